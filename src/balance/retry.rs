//! Whether a failed attempt is made again: what failed in, the ways of trying again out, the best
//! first. Whether there is somebody to ask in one of them is for the caller to find out; only then
//! does a retry cost anything.
//!
//! A request that was never sent may go to another upstream whatever its method, and at no cost:
//! nobody has done anything for it yet. Nor does it cost anything to make a trial good that failed.
//! One that was sent may go on only if its method is idempotent (RFC 9110 section 9.2.2) and its body can be sent again. A
//! budget keeps retries from multiplying an overload: in ten seconds a fifth of the requests, as
//! in Finagle, and ten a second on top. It is a share of *past* requests and not, as in Envoy, of
//! those in flight: of these a third fail at once when one upstream of three dies, and that is what
//! retries are for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Draws, Moment};
use crate::upstream::Window;

/// A service's settings of retries.
#[derive(Clone, Debug, PartialEq)]
pub struct RetrySettings {
    /// How often a request is tried again; 0 for never.
    pub attempts: u32,
    /// Statuses that count as failures worth another try.
    pub statuses: Vec<u16>,
    /// How long one try may take up to its response's head; none for `timeouts.response`.
    pub per_try: Option<Duration>,
    /// How long all of them may take.
    pub total: Duration,
    /// Share of requests that may be retries, in percent.
    pub budget: u8,
    /// The first pause is drawn from zero to this; each further one from twice as much.
    pub backoff: Duration,
    /// Whether a canary's failure is tried again on the stable pool.
    pub shield: bool,
}

impl Default for RetrySettings {
    fn default() -> Self {
        RetrySettings {
            attempts: 1,
            statuses: Vec::new(),
            per_try: None,
            total: Duration::from_secs(30),
            budget: 20,
            backoff: Duration::from_millis(25),
            shield: true,
        }
    }
}

/// The longest pause before a retry.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Retries a second that every service has.
const FLOOR: u64 = 10;

/// Tries in all, whatever the settings: each costs a connection.
const MOST_TRIES: u32 = 8;

/// Members of a pool that a request is offered to which none of them takes.
const MOST_OFFERED: usize = 16;

/// How much longer than the time for one connection that may go on.
const OFFERING: Duration = Duration::from_secs(1);

/// What is known of an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Whether the upstream may have seen any of it.
    pub was_sent: bool,
    /// Whether a kept connection turned out to be dead: the upstream is not to blame.
    pub was_stale: bool,
    /// Whether sending it twice does what sending it once does.
    pub is_idempotent: bool,
    /// Whether its body, if any, can be sent again.
    pub can_replay: bool,
    /// Tries made so far, with this one.
    pub tries: u32,
    /// Since the request came.
    pub elapsed: Duration,
    /// Whether it went to a canary that the stable pool shields.
    pub on_canary: bool,
    /// Whether it failed for every pool; else it is an answer that only a canary is not believed.
    pub is_failure: bool,
    /// Whether another pool may stand in for its own.
    pub has_stand_in: bool,
    /// Whether it was a trial of an upstream that was out.
    pub was_trial: bool,
    /// Members of the pool that it was offered to.
    pub offered: usize,
    /// For how long it has been offered to those that could not be reached.
    pub offering: Duration,
    /// How long a connection may take.
    pub connect: Duration,
    /// Whether the connection failed or broke, and there is nobody else in the pool.
    pub was_alone: bool,
}

/// How it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// On any upstream, even the same one: a kept connection was dead.
    Reconnect,
    /// On an upstream of the pool that is well, at once: a trial failed.
    Relief,
    /// On another upstream of the pool, at once: it was never sent.
    Onward,
    /// On another upstream of the pool, after this pause.
    Another(Duration),
    /// On the same one once more, after this pause: there is no other.
    Same(Duration),
    /// On the stable pool, at once.
    Stable,
    /// On the pool that stands in, at once.
    StandIn,
}

impl RetrySettings {
    /// How it may be tried again, in the order to look for somebody; none if it may not. Only
    /// [`Retry::Another`] and [`Retry::Same`] are to be paid for from the budget.
    pub fn ways(&self, failed: &Failed, draws: &mut Draws) -> impl Iterator<Item = Retry> + use<> {
        let may_repeat = !failed.was_sent || failed.is_idempotent && failed.can_replay;
        let may = may_repeat && failed.elapsed < self.total && failed.tries < MOST_TRIES;
        let again = failed.is_failure && failed.tries <= self.attempts;
        let ways = [
            failed.was_stale.then_some(Retry::Reconnect),
            // No budget: the stable pool gets no more than it would without a canary.
            (failed.on_canary && self.shield).then_some(Retry::Stable),
            failed.was_trial.then_some(Retry::Relief),
            (failed.is_failure && self.offers_on(failed)).then_some(Retry::Onward),
            (may && again).then(|| Retry::Another(self.pause(failed, draws))),
            (may && again && failed.was_alone).then(|| Retry::Same(self.jitter(failed, draws))),
            // No budget and no count either: a pool that failed gets nothing more from it, and the
            // other no more than if a breaker had opened.
            ((failed.is_failure || failed.was_trial) && failed.has_stand_in)
                .then_some(Retry::StandIn),
        ];
        ways.into_iter().flatten().filter(move |_| may)
    }

    /// Full jitter (Brooker 2015): U[0, min(1 s, backoff · 2^(n-1))]. The first retry of a request
    /// that was never sent needs none: it goes to another upstream, and nothing was asked of this.
    fn pause(&self, failed: &Failed, draws: &mut Draws) -> Duration {
        match !failed.was_sent && failed.tries <= 1 {
            true => Duration::ZERO,
            false => self.jitter(failed, draws),
        }
    }

    /// Whether it goes on to another member that may take it.
    fn offers_on(&self, failed: &Failed) -> bool {
        !failed.was_sent
            && self.attempts > 0
            && failed.offered < MOST_OFFERED
            && failed.offering < offering(failed.connect)
    }

    fn jitter(&self, failed: &Failed, draws: &mut Draws) -> Duration {
        let doubled = self.backoff.saturating_mul(1 << (failed.tries - 1).min(16));
        let left = self.total.saturating_sub(failed.elapsed);
        doubled.min(LONGEST_PAUSE).min(left).mul_f64(draws.unit())
    }
}

/// For how long a request is offered to members that cannot be reached, if a connection may take so
/// long.
pub fn offering(connect: Duration) -> Duration {
    connect + OFFERING
}

/// What a service may spend on retries.
#[derive(Debug, Default)]
pub struct Budget {
    /// Requests, retries.
    window: Window,
    made: AtomicU64,
    refused: AtomicU64,
}

impl Budget {
    /// A request came.
    pub fn on_request(&self, now: Moment) {
        self.window.count([true, false, false], now);
    }

    /// Whether one more retry is within this share. Nothing is taken yet: of many that ask at once
    /// all may be told yes, which a budget of ten seconds bears.
    pub fn affords(&self, percent: u8, now: Moment) -> bool {
        let [requests, retries, _] = self.window.sums(Moment::default(), now);
        let whole = requests * u64::from(percent) / 100 + FLOOR * crate::upstream::WINDOW_SECONDS;
        percent > 0 && retries < whole
    }

    /// Notes a retry that is not made because it is not within the share.
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A retry is made at its cost.
    pub fn spend(&self, now: Moment) {
        self.window.count([false, true, false], now);
    }

    /// Notes a retry that was made, from the budget or beside it.
    pub fn on_retry(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    /// Retries made, and retries that the budget did not allow, so far.
    pub fn read(&self) -> (u64, u64) {
        (self.made.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Failed = Failed {
        was_sent: true,
        was_stale: false,
        is_idempotent: true,
        can_replay: true,
        tries: 1,
        elapsed: Duration::from_millis(10),
        on_canary: false,
        is_failure: true,
        has_stand_in: false,
        was_trial: false,
        offered: 1,
        offering: Duration::ZERO,
        connect: Duration::from_secs(1),
        was_alone: false,
    };

    fn ways(settings: &RetrySettings, failed: Failed) -> Vec<Retry> {
        settings.ways(&failed, &mut Draws::seeded(1)).collect()
    }

    /// The first of them.
    fn decide(settings: &RetrySettings, failed: Failed) -> Option<Retry> {
        ways(settings, failed).first().copied()
    }

    fn is_another(retry: Option<Retry>) -> bool {
        matches!(retry, Some(Retry::Another(_)))
    }

    #[test]
    fn what_may_be_repeated_is_and_nothing_else() {
        let settings = RetrySettings::default();
        assert!(is_another(decide(&settings, SENT)));
        let not_sent = Failed { was_sent: false, is_idempotent: false, can_replay: false, ..SENT };
        let another = Retry::Another(Duration::ZERO);
        assert_eq!(ways(&settings, not_sent), [Retry::Onward, another]);
        for refused in [
            Failed { is_idempotent: false, ..SENT },
            Failed { can_replay: false, ..SENT },
            Failed { tries: 2, ..SENT },
            Failed { elapsed: Duration::from_secs(30), ..SENT },
        ] {
            assert_eq!(decide(&settings, refused), None, "{refused:?}");
        }
        assert_eq!(decide(&RetrySettings { attempts: 0, ..settings }, SENT), None);
    }

    #[test]
    fn a_dead_kept_connection_costs_no_attempt_but_respects_methods() {
        let settings = RetrySettings { attempts: 0, ..RetrySettings::default() };
        let stale = Failed { was_stale: true, ..SENT };
        assert_eq!(decide(&settings, stale), Some(Retry::Reconnect));
        assert_eq!(decide(&settings, Failed { is_idempotent: false, ..stale }), None);
    }

    #[test]
    fn a_canary_is_shielded_even_without_retries_or_budget() {
        let settings = RetrySettings { attempts: 0, budget: 0, ..RetrySettings::default() };
        let on_canary = Failed { on_canary: true, ..SENT };
        assert_eq!(decide(&settings, on_canary), Some(Retry::Stable));
        assert_eq!(decide(&RetrySettings { shield: false, ..settings.clone() }, on_canary), None);
        assert_eq!(decide(&settings, Failed { is_idempotent: false, ..on_canary }), None);
    }

    #[test]
    fn the_ways_have_an_order_and_an_answer_that_is_only_doubted_has_one() {
        let settings = RetrySettings { backoff: Duration::ZERO, ..RetrySettings::default() };
        let another = Retry::Another(Duration::ZERO);
        let all = Failed { was_stale: true, on_canary: true, has_stand_in: true, ..SENT };
        let order = [Retry::Reconnect, Retry::Stable, another, Retry::StandIn];
        assert_eq!(ways(&settings, all), order);
        assert_eq!(ways(&settings, Failed { tries: 2, ..all })[2..], [Retry::StandIn]);
        let doubted = Failed { was_stale: false, is_failure: false, ..all };
        assert_eq!(ways(&settings, doubted), [Retry::Stable]);
        assert_eq!(ways(&settings, Failed { can_replay: false, ..all }), []);
    }

    #[test]
    fn what_was_never_sent_is_offered_to_sixteen_and_no_longer_than_a_connection_and_a_second() {
        let settings = RetrySettings::default();
        let not_sent = Failed { was_sent: false, is_idempotent: false, tries: 2, ..SENT };
        let is_offered = |failed| decide(&settings, failed) == Some(Retry::Onward);
        assert!(is_offered(Failed { offered: 15, ..not_sent }));
        assert!(!is_offered(Failed { offered: 16, ..not_sent }));
        let long = Duration::from_millis(1_999);
        assert!(is_offered(Failed { offering: long, ..not_sent }));
        assert!(!is_offered(Failed { offering: long + Duration::from_millis(1), ..not_sent }));
        let never = RetrySettings { attempts: 0, ..RetrySettings::default() };
        assert_eq!(ways(&never, not_sent), []);
    }

    #[test]
    fn a_trial_that_failed_is_made_good_without_attempts_and_budget_if_it_may_be() {
        let settings = RetrySettings { attempts: 0, budget: 0, ..RetrySettings::default() };
        let trial = Failed { was_trial: true, is_failure: false, ..SENT };
        assert_eq!(ways(&settings, trial), [Retry::Relief]);
        assert_eq!(ways(&settings, Failed { is_idempotent: false, ..trial }), []);
        let stood_in_for = Failed { has_stand_in: true, ..trial };
        assert_eq!(ways(&settings, stood_in_for), [Retry::Relief, Retry::StandIn]);
    }

    #[test]
    fn who_is_alone_is_asked_once_more() {
        let settings = RetrySettings { backoff: Duration::ZERO, ..RetrySettings::default() };
        let alone = Failed { was_alone: true, ..SENT };
        assert_eq!(ways(&settings, alone)[1..], [Retry::Same(Duration::ZERO)]);
        assert_eq!(ways(&settings, Failed { tries: 2, ..alone }), []);
        assert_eq!(ways(&settings, Failed { is_idempotent: false, ..alone }), []);
    }

    #[test]
    fn pauses_are_drawn_from_a_doubling_range() {
        let settings = RetrySettings { attempts: 5, ..RetrySettings::default() };
        let mut draws = Draws::seeded(2);
        for tries in 1..=5 {
            let most = Duration::from_millis(25) * (1 << (tries - 1));
            let pauses = (0..200).map(|_| settings.pause(&Failed { tries, ..SENT }, &mut draws));
            let longest = pauses.max().unwrap_or_default();
            assert!(longest <= most && longest > most * 9 / 10, "{longest:?} of {most:?}");
        }
    }

    #[test]
    fn the_budget_is_a_fifth_of_ten_seconds_and_a_floor() {
        let (budget, now) = (Budget::default(), Moment::from_micros(1));
        let take = |percent, now| {
            let affords = budget.affords(percent, now);
            affords.then(|| budget.spend(now)).is_some()
        };
        assert!((0..1_000).all(|_| budget.affords(20, now)), "asking costs nothing");
        assert_eq!((0..1_000).filter(|_| take(20, now)).count(), 100);
        (0..5_000).for_each(|_| budget.on_request(now));
        assert_eq!((0..5_000).filter(|_| take(20, now)).count(), 1_000);
        assert!(take(20, now + Duration::from_secs(10)), "spent retries are forgotten");
        assert!(!take(0, now));
    }
}
