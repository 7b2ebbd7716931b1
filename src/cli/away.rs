//! A proxy that is asked again and again, and may be started anew meanwhile: a path in, an answer out, as soon
//! as somebody gives one.

use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use tokio::time::sleep;

use super::Reach;
use super::api::{Api, ApiError, Call};
use crate::server::clock;

/// How long a process that was there may be away: longer than a stop with the usual settings and a
/// start take together.
const RESTART: Duration = Duration::from_secs(120);

/// How often it is looked for meanwhile.
const AGAIN: Duration = Duration::from_millis(500);

/// Whether the proxy is there.
#[derive(Debug)]
pub(super) struct Away<'r> {
    reach: &'r Reach,
    /// How long it is waited for; without an end if none.
    patience: Option<Duration>,
    has_been_reached: bool,
    /// Since when nobody is there.
    since: Option<Instant>,
}

/// What one look at the proxy has shown; the first of its kind says so.
#[derive(Debug, PartialEq)]
enum Seen<T> {
    Answer(T, Option<String>),
    Nobody(Option<String>),
}

impl<'r> Away<'r> {
    /// For who watches until told to stop. At first it may be the address that is wrong: only who was there
    /// is waited for.
    pub fn watched(reach: &'r Reach) -> Away<'r> {
        Away { reach, patience: None, has_been_reached: false, since: None }
    }

    /// For who waits for what was ordered, which goes on by itself while the proxy is started again.
    pub fn ordered(reach: &'r Reach) -> Away<'r> {
        Away { reach, patience: Some(RESTART), has_been_reached: true, since: None }
    }

    /// What is read at this path. While nobody is there it goes on asking, and says so once on the standard
    /// error.
    ///
    /// # Errors
    ///
    /// What is wrong, if waiting does not help or was in vain.
    pub async fn heard<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, ApiError> {
        let (clock, reach) = (clock::system(), self.reach);
        let tell = |said: Option<String>| {
            said.iter().for_each(|said| eprintln!("{} {said}", reach.admin));
        };
        loop {
            let answer = Api(reach).ask(Call::get(path)).await;
            match self.see(answer, clock.now())? {
                Seen::Answer(answer, said) => {
                    tell(said);
                    return Ok(answer);
                }
                Seen::Nobody(said) => tell(said),
            }
            sleep(AGAIN).await;
        }
    }

    /// Takes in an answer, or that there is none.
    fn see<T>(&mut self, answer: Result<T, ApiError>, now: Instant) -> Result<Seen<T>, ApiError> {
        match answer {
            Err(ApiError::Unreachable { .. }) if self.waits(now) => {
                let is_new = self.since.is_none();
                self.since.get_or_insert(now);
                let length = self.patience.map(|length| format!(" for {} s", length.as_secs()));
                let said = format!("cannot be reached; trying again{}", length.unwrap_or_default());
                Ok(Seen::Nobody(is_new.then_some(said)))
            }
            Err(error) => Err(error),
            Ok(answer) => {
                self.has_been_reached = true;
                let was_away = self.since.take().is_some();
                Ok(Seen::Answer(answer, was_away.then(|| "is there again".into())))
            }
        }
    }

    fn waits(&self, now: Instant) -> bool {
        let waited =
            self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.has_been_reached && self.patience.is_none_or(|patience| waited < patience)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        reach: Reach,
    }

    fn reach() -> Reach {
        Line::parse_from(["x", "--admin", "127.0.0.1:1"]).reach
    }

    fn gone() -> Result<u8, ApiError> {
        Err(ApiError::Unreachable { address: "a:1".into(), error: "refused".into() })
    }

    #[test]
    fn who_was_there_is_waited_for_and_that_is_said_once() {
        let (reach, now) = (reach(), Instant::now());
        let mut away = Away::watched(&reach);
        assert!(away.see(gone(), now).is_err(), "the address may be wrong");
        assert_eq!(away.see(Ok(1), now).unwrap(), Seen::Answer(1, None));
        let said = Some("cannot be reached; trying again".to_string());
        assert_eq!(away.see(gone(), now).unwrap(), Seen::Nobody(said));
        assert_eq!(away.see(gone(), now + 100 * RESTART).unwrap(), Seen::Nobody(None));
        let said = Some("is there again".to_string());
        assert_eq!(away.see(Ok(2), now).unwrap(), Seen::Answer(2, said));
        assert_eq!(away.see(Ok(3), now).unwrap(), Seen::Answer(3, None));
    }

    #[test]
    fn who_waits_for_an_order_has_reached_the_proxy_and_gives_up_some_time() {
        let (reach, now) = (reach(), Instant::now());
        let mut away = Away::ordered(&reach);
        let said = Some("cannot be reached; trying again for 120 s".to_string());
        assert_eq!(away.see(gone(), now).unwrap(), Seen::Nobody(said));
        assert_eq!(away.see(gone(), now + RESTART / 2).unwrap(), Seen::Nobody(None));
        assert!(matches!(away.see(Ok(1), now + RESTART).unwrap(), Seen::Answer(1, Some(_))));
        // Each time it is away anew.
        assert!(matches!(away.see(gone(), now + RESTART).unwrap(), Seen::Nobody(Some(_))));
        assert!(away.see(gone(), now + 2 * RESTART).is_err());
    }
}
