//! The judge within a rollout: what both pools did second by second in, a verdict and the trail of
//! what was decided out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Action, Event, Finished, MeasureError, Query, Rollout, Strategy, TaskError};
use crate::clock::WallTime;
use crate::judge::bursts::Bursts;
use crate::judge::ledger::Failing;
use crate::judge::{Counts, Distribution, Evidence, Judge, Metric, Reading, Ruling, Verdict};
use crate::split::BasisPoints;

/// Seconds of the trail.
const TRAIL: usize = 300;

/// Lines of the log.
const LOG: usize = 200;

/// How long a change of share makes latencies of no account: caches are cold, upstreams start
/// slowly.
const WARMING: Duration = Duration::from_secs(10);

/// How far a p99 of the past stretches that.
const WARMING_P99: u32 = 2;

/// What a rollout's judge has heard, and what came of it. Kept as it is, under a version of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hearing {
    judge: Option<Box<Judge>>,
    /// The place of the step that the judge was told of.
    step: Option<usize>,
    /// When the share was last set.
    shifted: WallTime,
    /// How long the last share had stood when the rollout ended.
    stood: Duration,
    /// What the two pools took since the share was last set, for people.
    took: [Distribution; 2],
    /// What the two pools did since then.
    in_step: [Counts; 2],
    /// Since when upstreams of both pools warm up, as `POOL/ADDRESS`.
    warm_since: BTreeMap<Arc<str>, WallTime>,
    /// Whether the target was away.
    away: Away,
    /// What a Prometheus server said.
    measured: Measured,
    trail: VecDeque<Second>,
    log: VecDeque<(WallTime, String)>,
    /// A few requests that failed on the target; kept once traffic was taken back.
    failing: Vec<Failing>,
}

/// One second of a rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// When it ended.
    pub at: WallTime,
    /// The target's share, in basis points.
    pub share: u16,
    /// What the pool did that traffic leaves.
    pub stable: Counts,
    /// What the target did.
    pub canary: Counts,
}

/// An absence of the target: nearly nothing of it succeeded while the other pool was well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Away {
    /// Seconds of the one that lasts.
    seconds: u64,
    /// What failed in it.
    failed: u64,
    /// Its only upstream, if only one was asked.
    upstream: Option<Arc<str>>,
    /// How long the last one took, until it is told.
    back: Option<u64>,
}

/// Failures that an absence has at least: of fewer nobody can say that.
const FEWEST_AWAY: u64 = 10;

/// Seconds up to which it is a moment; the judge takes back what is away for longer.
const MOMENT: u64 = 5;

impl Away {
    fn hear(&mut self, reading: &Reading) {
        let (stable, canary) = (reading.stable.attempts, reading.canary.attempts);
        let is_out = |counts: Counts| counts.total > 0 && counts.bad * 2 >= counts.total;
        if is_out(canary) && !is_out(stable) {
            self.seconds += 1;
            self.failed += canary.bad;
            let mut asked = reading.canary.upstreams.iter().filter(|one| one.attempts.total > 0);
            self.upstream = match (asked.next(), asked.next()) {
                (Some(only), None) => Some(only.name.clone()),
                _ => None,
            };
        } else if self.seconds > 0 && canary.total > 0 {
            let is_told = self.failed >= FEWEST_AWAY && self.seconds <= MOMENT;
            let back = is_told.then_some(self.seconds);
            *self = Away { upstream: self.upstream.take(), back, ..Away::default() };
        }
    }
}

/// What a Prometheus server said to the rollout's question.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Measured {
    asked: Option<WallTime>,
    answered: Option<(WallTime, f64)>,
    why_not: Option<String>,
    /// Answers above the limit, one after the other.
    above: u32,
}

/// From how many seconds on an upstream is no news any more.
const YOUNG: u64 = 600;

/// Answers above the limit that take traffic back: one may be a scrape that went wrong.
const ABOVE: u32 = 2;

/// Intervals without an answer after which there is none.
const SILENT: u32 = 3;

/// What the judge knew of the stable pool when the rollout began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// Its attempts.
    pub attempts: Counts,
    /// How long the good ones took.
    pub latency: Distribution,
    /// How failures and slow answers of its upstreams come together.
    pub bursts: Bursts,
    /// Failures beyond the stable pool's that the error budget bears; none if there is no budget.
    pub budget: Option<f64>,
}

impl Hearing {
    /// Lets go of its judge, whose numbers mean something else by now.
    pub(super) fn dismiss_judge(&mut self) {
        (self.judge, self.step) = (None, None);
    }
}

impl Rollout {
    /// Gives the rollout a judge, which knows this of the past.
    pub fn seat_judge(&mut self, past: Past) {
        let settings = self.plan.judging.settings.clone();
        if !settings.enabled || self.plan.strategy == Strategy::Rolling {
            return;
        }
        let steps = self.plan.steps.len() as u32;
        // Twice what it takes if all goes well: what regresses late is found late otherwise.
        let planned = (self.plan.hold * steps + self.plan.watch) * 2;
        let judge = Judge::new(settings, past.bursts, past.latency, planned)
            .with_budget(past.budget)
            .with_attempts_before(past.attempts);
        self.hearing_mut().judge = Some(Box::new(judge));
    }

    /// Hears what both pools did in a second.
    pub fn hear(&mut self, reading: &Reading, now: WallTime) {
        let (share, has_traffic) = (self.share(), self.step.is_some());
        let (stable, canary) = (reading.stable.attempts, reading.canary.attempts);
        let hearing = Arc::make_mut(&mut self.hearing);
        hearing.trail.push_back(Second { at: now, share: share.get(), stable, canary });
        if hearing.trail.len() > TRAIL {
            hearing.trail.pop_front();
        }
        if hearing.step != self.step {
            hearing.step = self.step;
            hearing.took = Default::default();
            hearing.in_step = Default::default();
            if let (Some(judge), true) = (&mut hearing.judge, has_traffic) {
                judge.begin_step(share);
            }
        }
        for (at, side) in [&reading.stable, &reading.canary].into_iter().enumerate() {
            hearing.took[at] += &side.latency;
            hearing.took[at] += &side.cold;
            hearing.in_step[at] += side.attempts;
        }
        if let Some(judge) = &mut hearing.judge {
            if has_traffic {
                hearing.away.hear(reading);
            }
            judge.tick(reading);
        }
    }

    /// That the target is back, if it was away for a moment: told once.
    pub(super) fn take_return(&mut self) -> Option<Event> {
        self.hearing.away.back?;
        let away = std::mem::take(&mut self.hearing_mut().away);
        let (to, upstream) = (self.plan.to.clone(), away.upstream);
        Some(Event::WasAway { to, upstream, seconds: away.back? })
    }

    /// How long ago the target's upstreams have started, if that was lately; what is new may be slow, or
    /// fail, for that alone.
    fn age_words(&self, now: WallTime) -> String {
        let of_target =
            |key: &str| key.strip_prefix(&*self.plan.to).is_some_and(|rest| rest.starts_with('/'));
        let since = self.hearing.warm_since.iter().filter(|(key, _)| of_target(key));
        let ages = since.map(|(_, at)| now.elapsed_since(*at).as_secs());
        let (youngest, oldest, upstreams) = ages
            .fold((u64::MAX, 0, 0), |(least, most, count), age| {
                (age.min(least), age.max(most), count + 1)
            });
        match (upstreams, youngest) {
            (0, _) | (_, YOUNG..) => String::new(),
            (1, age) => format!("; the target's upstream is {age} s old"),
            _ if oldest == youngest => format!("; the target's upstreams are {oldest} s old"),
            _ => format!("; the target's upstreams are {youngest} to {oldest} s old"),
        }
    }

    /// All that its judge has heard.
    pub fn heard(&self) -> &Arc<Hearing> {
        &self.hearing
    }

    /// Goes on from what its judge had heard.
    pub fn set_heard(&mut self, heard: Arc<Hearing>) {
        self.hearing = heard;
    }

    /// Whether it was judged, and nothing that a judge can go on from is known any more.
    pub fn has_lost_hearing(&self) -> bool {
        let settings = &self.plan.judging.settings;
        settings.enabled && self.plan.strategy != Strategy::Rolling && self.hearing.judge.is_none()
    }

    /// Begins its step anew, with a judge that has heard nothing.
    pub fn begin_step_anew(&mut self, past: Past, now: WallTime) {
        self.seat_judge(past);
        (self.entered, self.counts) = (now, Counts::default());
        self.hearing_mut().shifted = now;
        self.note(super::Event::BegunAnew.words(self.id), now);
    }

    /// The process was away meanwhile.
    pub(super) fn interrupt_hearing(&mut self) {
        if let Some(judge) = &mut self.hearing_mut().judge {
            judge.interrupt();
        }
    }

    fn hearing_mut(&mut self) -> &mut Hearing {
        Arc::make_mut(&mut self.hearing)
    }

    /// Since when upstreams of both pools warm up, as `POOL/ADDRESS`.
    pub fn warm_since(&self) -> &BTreeMap<Arc<str>, WallTime> {
        &self.hearing.warm_since
    }

    /// Remembers since when they do.
    pub fn set_warm_since(&mut self, since: BTreeMap<Arc<str>, WallTime>) {
        self.hearing_mut().warm_since = since;
    }

    /// The clock was set back: moves what the judge counts from, which would lie ahead until the clock gets
    /// there. Latencies would say nothing for so long, and an answer of Prometheus would stay new.
    pub(super) fn move_heard(&mut self, back: impl Fn(&mut WallTime)) {
        let hearing = self.hearing_mut();
        back(&mut hearing.shifted);
        hearing.warm_since.values_mut().for_each(&back);
        hearing.measured.answered.iter_mut().for_each(|(at, _)| back(at));
    }

    /// Whether the share was set so lately that latencies say nothing yet.
    pub fn is_warming(&self, now: WallTime) -> bool {
        let p99 = self.hearing.took[0].quantile(0.99).unwrap_or_default();
        let for_ = WARMING.max(p99 * WARMING_P99);
        now.elapsed_since(self.hearing.shifted) < for_
    }

    /// How long the share that was last given to the target has stood, or stood.
    pub fn stepped(&self, now: WallTime) -> Duration {
        match &self.ended {
            // The way back is a change of share too.
            Some(_) => self.hearing.stood,
            None => now.elapsed_since(self.hearing.shifted),
        }
    }

    /// Somebody has looked and lets it go on: what is known of the split and of how fine the target
    /// is begins anew.
    pub(super) fn on_resumed(&mut self) {
        self.hearing_mut().step = None;
    }

    pub(super) fn on_shift(&mut self, now: WallTime) {
        self.hearing_mut().shifted = now;
    }

    /// It ends now; told before the way back, if there is one, and again after it.
    pub(super) fn on_end(&mut self, now: WallTime) {
        if self.hearing.stood.is_zero() {
            self.hearing_mut().stood = now.elapsed_since(self.hearing.shifted);
        }
    }

    /// What is said of the target now, which in the last second was asked so often.
    pub fn verdict(&self, last: Counts, now: WallTime) -> Verdict {
        let verdict = match &self.hearing.judge {
            Some(judge) => match judge.ruling() {
                // Said in words only where somebody reads them.
                Ruling::Pass => Verdict::Pass { evidence: String::new() },
                Ruling::Inconclusive if !self.has_waited(now) => {
                    Verdict::Inconclusive { evidence: String::new() }
                }
                _ => self.with_age(judge.verdict(), now),
            },
            None => self.by_guard(last, now),
        };
        self.with_measure(verdict, now)
    }

    /// A failure and how old what fails is.
    fn with_age(&self, verdict: Verdict, now: WallTime) -> Verdict {
        match verdict {
            Verdict::Fail { evidence, driver } => {
                let evidence = format!("{evidence}{}", self.age_words(now));
                Verdict::Fail { evidence, driver }
            }
            verdict => verdict,
        }
    }

    /// A verdict and what the Prometheus server has to say to it.
    fn with_measure(&self, verdict: Verdict, now: WallTime) -> Verdict {
        match (self.by_measure(now), verdict) {
            (Some(measured @ Verdict::Fail { .. }), _) | (Some(measured), Verdict::Pass { .. }) => {
                measured
            }
            (Some(measured), Verdict::Inconclusive { evidence }) if !evidence.is_empty() => {
                Verdict::Inconclusive { evidence: format!("{evidence}; {}", measured.evidence()) }
            }
            (_, verdict) => verdict,
        }
    }

    /// Whether a step has waited as long as it may, so that what is missing is told.
    fn has_waited(&self, now: WallTime) -> bool {
        now.elapsed_since(self.entered) >= self.plan.longest_step.max(self.holds_for())
    }

    /// The guard alone, which holds nothing up: how many requests a step wants is its own rule.
    fn by_guard(&self, last: Counts, now: WallTime) -> Verdict {
        let (mut whole, since) = self.seen();
        whole += last;
        let elapsed = now.elapsed_since(since.unwrap_or(self.started));
        let [beside, target] = self.hearing.in_step;
        // With all traffic there is nothing beside it: what still came of the other pool was sent before.
        let is_alone = self.hearing.step == self.step && self.share() == BasisPoints::WHOLE;
        let beside = if is_alone { Counts::default() } else { beside };
        match self.plan.guard.judge(whole, [beside, target], elapsed) {
            Verdict::Inconclusive { evidence } => Verdict::Pass { evidence },
            verdict => verdict,
        }
    }

    /// What the Prometheus server has to say, if it is asked and does not let the target pass.
    fn by_measure(&self, now: WallTime) -> Option<Verdict> {
        let query = self.plan.judging.prometheus.as_ref()?;
        let measured = &self.hearing.measured;
        let latest =
            measured.answered.filter(|(at, _)| now.elapsed_since(*at) < query.interval * SILENT);
        let Some((_, value)) = latest else {
            let why = measured.why_not.as_deref().unwrap_or("it was not asked yet");
            let evidence = format!("Prometheus has no answer to `{}`: {why}", query.query);
            return Some(Verdict::Inconclusive { evidence });
        };
        let evidence = query.compared(value);
        match (measured.above, value > query.above) {
            (ABOVE.., _) => {
                Some(Verdict::Fail { evidence, driver: Metric::Custom("prometheus".into()) })
            }
            (_, true) => Some(Verdict::Inconclusive { evidence }),
            (_, false) => None,
        }
    }

    /// Whether the Prometheus server is to be asked again; it is asked with this.
    pub(super) fn is_to_measure(&mut self, now: WallTime) -> bool {
        let Some(query) = &self.plan.judging.prometheus else { return false };
        let asked = self.hearing.measured.asked;
        let is_due = asked.is_none_or(|at| now < at || now.elapsed_since(at) >= query.interval);
        if is_due {
            self.hearing_mut().measured.asked = Some(now);
        }
        is_due
    }

    /// Hears what the Prometheus server said. That it has no answer any more, or has one again, is
    /// told once: until it has, the rollout does not go on.
    pub(super) fn on_measured(
        &mut self,
        said: Result<Finished, TaskError>,
        now: WallTime,
        actions: &mut Vec<Action>,
    ) {
        let Some(query) = &self.plan.judging.prometheus else { return };
        let measured = &mut Arc::make_mut(&mut self.hearing).measured;
        let number = match said {
            Ok(Finished::Measured(value)) => Ok(value),
            Ok(_) => Err(MeasureError::NoNumber.into()),
            Err(error) => Err(error),
        };
        match number {
            Ok(value) => {
                if measured.why_not.take().is_some() {
                    actions.push(Action::Say(Event::Measured));
                }
                measured.answered = Some((now, value));
                measured.above = if value > query.above { measured.above + 1 } else { 0 };
            }
            Err(error) => {
                let why = error.to_string();
                if measured.why_not.is_none() {
                    let (query, why) = (query.query.clone(), why.clone());
                    actions.push(Action::Say(Event::Unmeasured { query, why }));
                }
                measured.why_not = Some(why);
            }
        }
    }

    /// Everything that is known of the target, with the verdict on it; none if there is no judge.
    pub fn evidence(&self) -> Option<Evidence> {
        let mut evidence = self.hearing.judge.as_ref()?.evidence();
        let now = self.last_heard();
        evidence.verdict = self.with_measure(self.with_age(evidence.verdict, now), now);
        Some(evidence)
    }

    /// What the Prometheus server said last, if it is asked.
    pub fn measured(&self) -> Option<String> {
        let query = self.plan.judging.prometheus.as_ref()?;
        let Measured { answered, why_not, .. } = &self.hearing.measured;
        Some(match (why_not, answered) {
            (Some(why), _) => format!("`{}` has no answer: {why}", query.query),
            (None, Some((_, value))) => query.compared(*value),
            (None, None) => format!("`{}` was not asked yet", query.query),
        })
    }

    /// When it was last told what the pools did.
    pub(super) fn last_heard(&self) -> WallTime {
        self.trail().last().map_or(self.started, |second| second.at)
    }

    /// How long the pools took since the share was last set, the one that traffic leaves first.
    pub fn took(&self) -> &[Distribution; 2] {
        &self.hearing.took
    }

    /// The last seconds.
    pub fn trail(&self) -> impl Iterator<Item = &Second> {
        self.hearing.trail.iter()
    }

    /// What was said of it, the oldest first.
    pub fn log(&self) -> impl Iterator<Item = &(WallTime, String)> {
        self.hearing.log.iter()
    }

    /// A few requests that failed on the target, if traffic was taken back.
    pub fn failing(&self) -> &[Failing] {
        &self.hearing.failing
    }

    /// Keeps a line of what is decided.
    pub(super) fn note(&mut self, what: String, now: WallTime) {
        let log = &mut self.hearing_mut().log;
        log.push_back((now, what));
        if log.len() > LOG {
            log.pop_front();
        }
    }

    /// Keeps requests that failed, as evidence.
    pub fn keep_failing(&mut self, failing: Vec<Failing>) {
        self.hearing_mut().failing = failing;
    }

    /// The service's name and the two pools', as reports say them.
    pub(super) fn names(&self) -> (&Arc<str>, &Arc<str>, &Arc<str>) {
        (&self.service, &self.plan.from, &self.plan.to)
    }
}

impl Query {
    /// Its answer beside its limit, in words.
    fn compared(&self, value: f64) -> String {
        format!("`{}` is {}, the limit is {}", self.query, short(value), self.above)
    }
}

/// A measured number with no more digits than people read.
fn short(value: f64) -> String {
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    let decimals = (4 - magnitude).clamp(0, 12) as usize;
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Side;
    use crate::judge::bursts::ByUpstream;
    use crate::rollout::{Judging, Plan, RolloutSettings, Wishes};
    use crate::split::Split;

    #[test]
    fn what_prometheus_says_twice_fails_a_target_whatever_the_judge_says() {
        let query = Query {
            url: "http://127.0.0.1:9090".into(),
            query: "up".into(),
            above: 1.0,
            interval: Duration::from_secs(5),
        };
        let judging = Judging { prometheus: Some(query), ..Judging::default() };
        let settings = RolloutSettings { judging, ..RolloutSettings::default() };
        let (pools, now) = ([("blue".into(), 1), ("green".into(), 1)], WallTime::from_millis(9));
        let split = Split::all_to("blue".into());
        let plan = Plan::new(&settings, &Wishes::default(), &pools, &split).unwrap();
        let (mut rollout, _) =
            Rollout::start(1, "shop".into(), (plan, None), ("ada".into(), None), now);
        let judged = || {
            let evidence = String::from("the split is off");
            [Verdict::Invalid { evidence: evidence.clone() }, Verdict::Inconclusive { evidence }]
        };
        rollout.on_measured(Ok(Finished::Measured(2.0)), now, &mut Vec::new());
        for verdict in judged() {
            let fails = matches!(rollout.with_measure(verdict, now), Verdict::Fail { .. });
            assert!(!fails, "once may be a scrape that went wrong");
        }
        rollout.on_measured(Ok(Finished::Measured(2.0)), now, &mut Vec::new());
        for verdict in judged() {
            let verdict = rollout.with_measure(verdict, now);
            assert!(matches!(verdict, Verdict::Fail { .. }), "{verdict:?}");
            assert_eq!(verdict.evidence(), "`up` is 2, the limit is 1");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nothing_new_that_was_heard() {
        let query = Query {
            url: "http://127.0.0.1:9090".into(),
            query: "up".into(),
            above: 1.0,
            interval: Duration::from_secs(5),
        };
        let judging = Judging { prometheus: Some(query), ..Judging::default() };
        let settings = RolloutSettings { judging, ..RolloutSettings::default() };
        let pools = [("blue".into(), 1), ("green".into(), 1)];
        let split = Split::all_to("blue".into());
        let plan = Plan::new(&settings, &Wishes::default(), &pools, &split).unwrap();
        let now = WallTime::from_millis(10_000_000);
        let (mut rollout, _) =
            Rollout::start(1, "shop".into(), (plan, None), ("ada".into(), None), now);
        rollout.on_shift(now);
        rollout.set_warm_since(BTreeMap::from([("green/b".into(), now)]));
        rollout.on_measured(Ok(Finished::Measured(0.5)), now, &mut Vec::new());
        let since = Duration::from_secs(20);
        rollout.keep_time(now + since);
        let now = now + since - Duration::from_secs(3_600);
        assert!(rollout.is_warming(now), "it lies ahead");
        rollout.keep_time(now);
        assert_eq!((rollout.is_warming(now), rollout.stepped(now)), (false, since));
        assert_eq!(rollout.warm_since()["green/b"], now - since);
        let verdict = rollout.with_measure(Verdict::Pass { evidence: String::new() }, now);
        assert!(matches!(verdict, Verdict::Inconclusive { .. }), "{verdict:?}");
    }

    #[test]
    fn what_still_comes_of_the_other_pool_does_not_turn_the_guard_off_once_all_traffic_has_left() {
        let pools = [("blue".into(), 1), ("green".into(), 1)];
        let (split, settings) = (Split::all_to("blue".into()), RolloutSettings::default());
        let mut plan = Plan::new(&settings, &Wishes::default(), &pools, &split).unwrap();
        plan.judging.settings.enabled = false;
        plan.steps = [5_000, 10_000].into_iter().filter_map(BasisPoints::new).collect();
        let now = WallTime::from_millis(9_000);
        let (mut rollout, _) =
            Rollout::start(1, "shop".into(), (plan, None), ("ada".into(), None), now);
        let mut fails_at = |step| {
            rollout.step = Some(step);
            let target = Counts { total: 100, bad: 30 };
            let mut reading = Reading::default();
            reading.canary.attempts = target;
            // It was sent to it before.
            reading.stable.attempts = Counts { total: 1, bad: 1 };
            rollout.hear(&reading, now);
            matches!(rollout.verdict(target, now), Verdict::Fail { .. })
        };
        assert_eq!([fails_at(0), fails_at(1)], [false, true]);
    }

    #[test]
    fn a_judge_is_told_that_the_process_was_away() {
        let pools = [("blue".into(), 1), ("green".into(), 1)];
        let (split, settings) = (Split::all_to("blue".into()), RolloutSettings::default());
        let plan = Plan::new(&settings, &Wishes::default(), &pools, &split).unwrap();
        let now = WallTime::from_millis(9_000);
        let (mut rollout, _) =
            Rollout::start(1, "shop".into(), (plan, None), ("ada".into(), None), now);
        rollout.seat_judge(Past::default());
        rollout.step = Some(0);
        rollout.hear(&Reading::default(), now);
        let mut judge = rollout.hearing.judge.clone().unwrap();
        rollout.resume(now);
        assert_ne!(rollout.hearing.judge.as_ref(), Some(&judge));
        judge.interrupt();
        assert_eq!(rollout.hearing.judge, Some(judge));
    }

    /// What becomes of an absence after these seconds of 20 requests each, of which so many failed.
    fn away_after(failed: &[(u64, u64)]) -> Option<(u64, Option<String>)> {
        let mut away = Away::default();
        let mut told = None;
        for &(stable, canary) in failed {
            let side = |pool: &str, bad| {
                let attempts = Counts { total: 20, bad };
                let name = format!("{pool}:80").into();
                let upstreams = vec![ByUpstream { name, attempts, ..ByUpstream::default() }];
                Side { attempts, upstreams, ..Side::default() }
            };
            away.hear(&Reading {
                stable: side("blue", stable),
                canary: side("green", canary),
                ..Reading::default()
            });
            told = told.or(away.back.map(|seconds| (seconds, away.upstream.clone())));
        }
        told.map(|(seconds, upstream)| (seconds, upstream.map(|name| name.to_string())))
    }

    #[test]
    fn an_absence_is_told_when_it_is_over_and_only_if_the_target_alone_was_away_for_a_moment() {
        let green = |seconds| Some((seconds, Some("green:80".to_string())));
        assert_eq!(away_after(&[(0, 0), (0, 8), (0, 20), (0, 20), (0, 3), (0, 0)]), green(2));
        assert_eq!(away_after(&[(0, 0), (0, 20), (0, 20)]), None, "it is not over");
        assert_eq!(away_after(&[(20, 20), (20, 20), (0, 0)]), None, "both were");
        assert_eq!(away_after(&[(0, 20); 9]), None);
        let long = [&[(0, 20); 9][..], &[(0, 0)]].concat();
        assert_eq!(away_after(&long), None, "that is no moment");
        let (to, upstream) = ("green".into(), Some("green:80".into()));
        assert_eq!(
            Event::WasAway { to, upstream, seconds: 2 }.words(7),
            "rollout 7: the only upstream of `green`, green:80, was away for 2 s; the step waits"
        );
    }

    #[test]
    fn a_failure_says_how_old_what_fails_is_while_that_is_news() {
        let (pools, now) =
            ([("blue".into(), 1), ("green".into(), 1)], WallTime::from_millis(9_000));
        let split = Split::all_to("blue".into());
        let plan =
            Plan::new(&RolloutSettings::default(), &Wishes::default(), &pools, &split).unwrap();
        let (mut rollout, _) =
            Rollout::start(1, "shop".into(), (plan, None), ("ada".into(), None), now);
        let mut said = |since: &[(&str, u64)], at: u64| {
            let since =
                since.iter().map(|(key, at)| ((*key).into(), WallTime::from_millis(at * 1_000)));
            rollout.set_warm_since(since.collect());
            let failure = Verdict::Fail { evidence: "it failed".into(), driver: Metric::P99 };
            let now = WallTime::from_millis(at * 1_000);
            rollout.with_age(failure, now).evidence().to_string()
        };
        assert_eq!(
            said(&[("blue/a", 9), ("green/b", 10)], 23),
            "it failed; the target's upstream is 13 s old"
        );
        let two = [("green/b", 10), ("green/c", 20)];
        assert_eq!(said(&two, 23), "it failed; the target's upstreams are 3 to 13 s old");
        assert_eq!(said(&two, 3_000), "it failed");
        assert_eq!(said(&[("blue/a", 9)], 23), "it failed");
    }

    #[test]
    fn a_number_is_as_long_as_people_read() {
        let cases = [
            (2.280058802560398, "2.2801"),
            (0.0, "0"),
            (0.5, "0.5"),
            (-3.0, "-3"),
            (123456.7, "123457"),
            (0.000012345678, "0.000012346"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
    }
}
