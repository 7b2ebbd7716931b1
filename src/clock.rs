//! Time and chance as values: comes in a reading function, goes out an `Instant` or a draw.
//!
//! Decisions take `now` and `draws` as arguments, so that tests, `explain` and rehearsals can run
//! the same code on their own time and dice. The rim is handed a [`Clock`] when the process is
//! wired; the only place that reads the machine's clock and random source is `server/clock.rs`.

use std::convert::Infallible;
use std::time::{Duration, Instant, SystemTime};

use jiff::SignedDuration;
use rand::TryRng;

/// The longest that anything is waited for: what is longer is a slip of the keyboard.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A length of time as configs write it, such as `9m 12s`.
pub fn in_words(length: Duration) -> String {
    let length = SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX);
    format!("{length:#}")
}

/// A length of time in milliseconds, to the microsecond, as it is told to programs.
pub fn in_millis(length: Duration) -> f64 {
    length.as_micros() as f64 / 1e3
}

/// The three readings the rim needs, as plain function pointers: copied freely, no indirection.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Monotonic time, for durations and deadlines.
    pub now: fn() -> Instant,
    /// Wall time, for people and logs.
    pub wall: fn() -> SystemTime,
    /// 64 fresh random bits.
    pub draw: fn() -> u64,
}

impl Clock {
    /// Monotonic time.
    pub fn now(&self) -> Instant {
        (self.now)()
    }

    /// Seconds since the Unix epoch, with its fraction; 0 for a clock set before 1970.
    pub fn unix_seconds(&self) -> f64 {
        let since = (self.wall)().duration_since(SystemTime::UNIX_EPOCH);
        since.unwrap_or(Duration::ZERO).as_secs_f64()
    }

    /// Wall time as it is stored.
    pub fn wall_time(&self) -> WallTime {
        let since = (self.wall)().duration_since(SystemTime::UNIX_EPOCH);
        WallTime(since.unwrap_or(Duration::ZERO).as_millis() as u64)
    }

    /// A new sequence of draws, seeded by chance.
    pub fn draws(&self) -> Draws {
        Draws::seeded((self.draw)())
    }
}

/// Wall time as it is stored: milliseconds since the Unix epoch. What has to outlast the process
/// (a rollout's steps, the end of a hold) is counted in it; everything else in [`Moment`]s.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct WallTime(u64);

impl WallTime {
    /// This many milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> WallTime {
        WallTime(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Seconds since the epoch, with their fraction.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e3
    }

    /// How long ago `earlier` was; zero if it was not, as when a clock was set back.
    pub const fn elapsed_since(self, earlier: WallTime) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for WallTime {
    type Output = WallTime;

    fn add(self, length: Duration) -> WallTime {
        WallTime(self.0.saturating_add(length.as_millis() as u64))
    }
}

impl std::ops::Sub<Duration> for WallTime {
    type Output = WallTime;

    fn sub(self, length: Duration) -> WallTime {
        WallTime(self.0.saturating_sub(length.as_millis() as u64))
    }
}

/// A moment that fits an atomic: microseconds since an origin which all of a process's state shares
/// (see [`Snapshot::moment`](crate::snapshot::Snapshot::moment)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// This many microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Moment {
        Moment(micros)
    }

    /// `now` as seen from `origin`; the origin itself for what lies before it.
    pub fn since(origin: Instant, now: Instant) -> Moment {
        Moment(now.saturating_duration_since(origin).as_micros() as u64)
    }

    /// Microseconds since the origin.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Whole seconds since the origin.
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000_000
    }

    /// How long ago `earlier` was; zero if it was not.
    pub const fn elapsed_since(self, earlier: Moment) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The same for people, by a time that is `known` twice.
    pub fn on(self, known: (Moment, WallTime)) -> WallTime {
        known.1 + self.elapsed_since(known.0) - known.0.elapsed_since(self)
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, length: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(length.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl std::ops::Sub<Duration> for Moment {
    type Output = Moment;

    fn sub(self, length: Duration) -> Moment {
        Moment(self.0.saturating_sub(u64::try_from(length.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// A sequence of random draws that one request uses up: SplitMix64 (Steele, Lea, Flood 2014),
/// which passes BigCrush and costs three multiplications a draw.
#[derive(Clone, Debug)]
pub struct Draws(u64);

impl Draws {
    /// The sequence that this seed names.
    pub fn seeded(seed: u64) -> Self {
        Draws(seed)
    }

    /// Another sequence, of which this one knows nothing: whoever draws from it changes nothing of what
    /// is drawn here.
    pub fn aside(&self) -> Draws {
        Draws(Draws(self.0 ^ 0xD1B5_4A32_D192_ED03).bits())
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`, uniform to within 2⁻⁶⁴·bound (Lemire's multiplication, without the
    /// rejection step: the bias is far below what a split could show). 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `0.0..1.0`, uniform.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// What `rand_distr` draws from: the same sequence.
impl TryRng for Draws {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.bits() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.bits())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for piece in bytes.chunks_mut(8) {
            piece.copy_from_slice(&self.bits().to_le_bytes()[..piece.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut draws = Draws::seeded(1);
        let mut seen = [0u32; 7];
        for _ in 0..7_000 {
            seen[draws.below(7) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (800..1_200).contains(&n)), "{seen:?}");
        assert_eq!(draws.below(0), 0);
    }

    #[test]
    fn a_distribution_draws_from_the_same_sequence() {
        let (mut drawn, mut expected) = (Draws::seeded(9), Draws::seeded(9));
        assert_eq!(drawn.try_next_u64(), Ok(expected.bits()));
        assert_eq!(drawn.try_next_u32(), Ok((expected.bits() >> 32) as u32));
        let mut bytes = [0; 11];
        assert_eq!(drawn.try_fill_bytes(&mut bytes), Ok(()));
        let wanted = [expected.bits().to_le_bytes(), expected.bits().to_le_bytes()].concat();
        assert_eq!(bytes, wanted[..11]);
        assert_eq!(drawn.bits(), expected.bits());
    }
}
