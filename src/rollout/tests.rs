//! A rollout with a service around it that does what it is told, and each strategy from its start
//! to its end.

mod any;
mod hooks;
mod orders;
mod renewal;
mod retreat;
mod time;

use super::*;
use crate::judge::{JudgeSettings, Metric};
use crate::split::BasisPoints;

const BLUE: &str = "blue";
const GREEN: &str = "green";

/// A rollout, and the service that it sees.
struct Trial {
    rollout: Rollout,
    now: WallTime,
    split: Split,
    target_ready: bool,
    target_answers: bool,
    way_back: WayBack,
    /// Attempts at the target in each tick.
    canary: Counts,
    old_in_flight: u32,
    upstreams: Vec<UpstreamView>,
    /// Upstreams that are ready again as soon as they may be.
    come_back: bool,
    verdict: Verdict,
    /// Tasks that were begun and not ended.
    begun: Vec<Task>,
    /// Everything it wanted, in short.
    log: Vec<String>,
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn share(percent: u16) -> BasisPoints {
    BasisPoints::new(percent * 100).unwrap()
}

fn hook(timeout: u64) -> Option<Hook> {
    Some(Hook::Command { run: vec!["true".into()], timeout: seconds(timeout) })
}

/// Whether the old pool would take what goes back.
fn way_back(is_open: bool) -> WayBack {
    let why = "pool `blue` has no upstream that accepts connections".into();
    if is_open { WayBack::Open } else { WayBack::Dead { why } }
}

/// How a task ends well.
fn agreed() -> Result<Finished, TaskError> {
    Ok(Finished::Agreed(String::new()))
}

/// Why a task fails, in one word.
fn no() -> TaskError {
    MeasureError::Refused("no".into()).into()
}

fn pass() -> Verdict {
    Verdict::Pass { evidence: "0 of 500 requests failed".into() }
}

fn fail() -> Verdict {
    Verdict::Fail { evidence: "60 of 500 requests failed".into(), driver: Metric::Errors }
}

fn smoke(timeout: u64) -> Smoke {
    Smoke {
        method: "GET".into(),
        path: "/".into(),
        headers: Vec::new(),
        body: None,
        status: None,
        contains: None,
        timeout: seconds(timeout),
    }
}

/// A judge for whom nobody is cold.
fn warm() -> Judging {
    let settings = JudgeSettings { warm_up: Duration::ZERO, ..JudgeSettings::default() };
    Judging { settings, ..Judging::default() }
}

/// The settings of a service, short of any hook.
fn settings(strategy: Strategy) -> RolloutSettings {
    RolloutSettings {
        judging: warm(),
        strategy,
        steps: vec![share(1), share(10), share(100)],
        hold: seconds(60),
        min_requests: 500,
        ..RolloutSettings::default()
    }
}

impl Trial {
    /// Of a service with all traffic on blue.
    fn of(settings: &RolloutSettings) -> Trial {
        Trial::wishing(settings, &Wishes::default())
    }

    fn wishing(settings: &RolloutSettings, wishes: &Wishes) -> Trial {
        let pools: Vec<(Arc<str>, usize)> = vec![(BLUE.into(), 3), (GREEN.into(), 3)];
        let split = Split::all_to(BLUE.into());
        let plan = Plan::new(settings, wishes, &pools, &split).unwrap();
        let now = WallTime::from_millis(1_000_000_000);
        let (rollout, actions) =
            Rollout::start(7, "shop".into(), (plan, None), ("ada".into(), None), now);
        let upstream =
            |name: &str| UpstreamView { address: name.into(), is_ready: true, in_flight: 0 };
        let mut trial = Trial {
            rollout,
            now,
            split,
            target_ready: true,
            target_answers: true,
            way_back: WayBack::Open,
            canary: Counts { total: 100, bad: 0 },
            old_in_flight: 0,
            upstreams: ["a", "b", "c"].map(upstream).into(),
            come_back: true,
            verdict: pass(),
            begun: Vec::new(),
            log: Vec::new(),
        };
        trial.take(actions);
        trial
    }

    /// As [`Trial::of`], after `ticks` in which every task passes at once.
    fn after(settings: &RolloutSettings, ticks: u64) -> Trial {
        let mut trial = Trial::of(settings);
        trial.run(ticks);
        trial
    }

    fn tell(&mut self, input: Input) -> Result<(), OrderRefused> {
        let view = View {
            now: self.now,
            split: &self.split,
            target_ready: self.target_ready,
            target_answers: self.target_answers,
            way_back: &self.way_back,
            canary: self.canary,
            old_in_flight: self.old_in_flight,
            upstreams: &self.upstreams,
            verdict: self.verdict.clone(),
            held: None,
        };
        let actions = self.rollout.advance(input, &view)?;
        self.take(actions);
        Ok(())
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            let short = match action {
                Action::Shift { split, .. } => {
                    let short = format!("shift {}", split.weight(GREEN));
                    self.split = split;
                    short
                }
                Action::Begin(task) => {
                    let short = format!("begin {}", task.words());
                    self.begun.push(task);
                    short
                }
                Action::Drain(address) => {
                    self.set_ready(&address, false);
                    format!("drain {address}")
                }
                Action::Renew(address) => {
                    self.set_ready(&address, self.come_back);
                    format!("renew {address}")
                }
                Action::Contract { pool } => format!("contract {pool}"),
                Action::Say(event) if matches!(event.weight(), Weight::Note | Weight::End) => {
                    continue;
                }
                Action::Say(event) => format!("{:?}: {}", event.weight(), event.words(7)),
            };
            self.log.push(short);
        }
    }

    fn upstream(&mut self, address: &str) -> &mut UpstreamView {
        self.upstreams.iter_mut().find(|upstream| &*upstream.address == address).unwrap()
    }

    fn set_ready(&mut self, address: &str, is_ready: bool) {
        let mut all = self.upstreams.iter_mut();
        // It may have left the pool.
        if let Some(upstream) = all.find(|upstream| &*upstream.address == address) {
            upstream.is_ready = is_ready;
        }
    }

    /// A second later.
    fn tick(&mut self) {
        self.ticks(1);
    }

    /// So many seconds, while nothing that was begun ends.
    fn ticks(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.now = self.now + seconds(1);
            self.tell(Input::Tick).unwrap();
        }
    }

    /// So many seconds, while all that was begun passes.
    fn run(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.pass_all();
            self.tick();
        }
        self.pass_all();
    }

    /// Until it has ended.
    fn run_out(&mut self) {
        let limit = self.now + seconds(10_000);
        while !self.rollout.is_over() {
            assert!(self.now < limit, "it stands still: {:?}", self.rollout);
            self.run(1);
        }
    }

    fn pass_all(&mut self) {
        while let Some(task) = self.begun.first().cloned() {
            self.done(&task, agreed());
        }
    }

    fn done(&mut self, task: &Task, result: Result<Finished, TaskError>) {
        self.begun.retain(|begun| begun != task);
        self.tell(Input::Done { task: task.clone(), result }).unwrap();
    }

    /// The one task under way fails.
    fn fail_one(&mut self) {
        let [task] = &self.begun[..] else { panic!("begun are {:?}", self.begun) };
        self.done(&task.clone(), Err(no()));
    }

    fn order(&mut self, order: Order) -> Result<(), OrderRefused> {
        self.tell(Input::Order { order, author: "bob".into(), reason: None })
    }

    fn supersede(&mut self, by: &str) {
        let actions = self.rollout.supersede(by, false, self.now);
        self.take(actions);
    }

    /// The next process, which knows what is stored.
    fn crash(&mut self) {
        let stored = StoredRollout::of(&self.rollout);
        let heard = StoredHearing::of(self.rollout.id, self.rollout.heard()).unwrap();
        let [stored, heard] = [serde_json::to_string(&stored), serde_json::to_string(&heard)];
        let stored: StoredRollout = serde_json::from_str(&stored.unwrap()).unwrap();
        let heard: StoredHearing = serde_json::from_str(&heard.unwrap()).unwrap();
        self.rollout = stored.read().unwrap();
        let (id, heard) = heard.read().unwrap().unwrap();
        assert_eq!(id, self.rollout.id);
        self.rollout.set_heard(heard);
        self.begun = self.rollout.resume(self.now);
    }

    fn share(&self) -> u16 {
        self.split.weight(GREEN).get() / 100
    }

    fn outcome(&self) -> &'static str {
        self.rollout.status(self.now).state
    }

    fn words(&self) -> String {
        self.rollout.status(self.now).words
    }

    fn log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }
}

#[test]
fn all_at_once_switches_when_the_target_is_healthy_and_lets_the_old_pool_end() {
    let mut trial = Trial::of(&settings(Strategy::AllAtOnce));
    (trial.target_ready, trial.old_in_flight) = (false, 3);
    trial.ticks(30);
    assert_eq!((trial.log(), trial.words().contains("to be healthy")), (vec![], true));
    trial.target_ready = true;
    trial.ticks(10);
    assert_eq!(trial.log(), ["shift 100"]);
    assert_eq!(trial.words(), "waits for requests of `blue` to end");
    trial.old_in_flight = 0;
    trial.tick();
    assert_eq!((trial.outcome(), trial.share()), ("promoted", 100));
}

#[test]
fn a_drain_does_not_wait_for_ever() {
    let mut trial = Trial::of(&settings(Strategy::AllAtOnce));
    trial.old_in_flight = 1;
    trial.ticks(30);
    assert_eq!(trial.outcome(), "running");
    trial.tick();
    assert_eq!(trial.outcome(), "promoted");
}

#[test]
fn blue_green_asks_before_it_flips_and_watches_after() {
    let plan = RolloutSettings { smoke: vec![smoke(5)], ..settings(Strategy::BlueGreen) };
    let mut trial = Trial::of(&plan);
    trial.ticks(20);
    assert_eq!((trial.log(), trial.share()), (vec!["begin smoke requests".to_string()], 0));
    trial.pass_all();
    assert_eq!((trial.log(), trial.share()), (vec!["shift 100".to_string()], 100));
    trial.ticks(599);
    assert!(trial.words().contains("kept warm for another 1 s"), "{}", trial.words());
    trial.ticks(2);
    assert_eq!((trial.outcome(), trial.log()), ("promoted", vec![]));
}

#[test]
fn the_first_step_lasts_longer_by_the_time_in_which_a_target_warms_up() {
    let warming = RolloutSettings { judging: Judging::default(), ..settings(Strategy::Canary) };
    let mut trial = Trial::of(&warming);
    trial.tick();
    trial.ticks(119);
    assert_eq!((trial.share(), trial.words().as_str()), (1, "holds 1 % for another 1 s"));
    trial.tick();
    assert_eq!(trial.share(), 10);
    trial.ticks(60);
    assert_eq!(trial.share(), 100, "the others as long as they are to");
    // Without a judge nobody looks at latencies, and whoever waits for nothing does not for that.
    let unjudged = Wishes { judge: Some(false), ..Wishes::default() };
    let mut trial = Trial::wishing(&warming, &unjudged);
    trial.ticks(61);
    assert_eq!(trial.share(), 10);
    let at_once = Wishes { hold: Some(Duration::ZERO), ..Wishes::default() };
    let mut trial = Trial::wishing(&RolloutSettings { min_requests: 0, ..warming }, &at_once);
    trial.ticks(2);
    assert_eq!(trial.share(), 10);
}

#[test]
fn a_canary_takes_each_step_after_its_time_and_its_requests() {
    let mut trial = Trial::of(&settings(Strategy::Canary));
    trial.tick();
    assert_eq!(trial.share(), 1);
    trial.ticks(59);
    assert_eq!((trial.share(), trial.words().as_str()), (1, "holds 1 % for another 1 s"));
    trial.tick();
    assert_eq!(trial.share(), 10);
    // The requests of a step are counted from its beginning.
    trial.canary.total = 5;
    trial.ticks(99);
    assert_eq!((trial.share(), trial.words().as_str()), (10, "holds 10 % for 5 more requests"));
    trial.tick();
    assert_eq!(trial.share(), 100);
    trial.run_out();
    assert_eq!(
        (trial.outcome(), trial.log()),
        ("promoted", vec!["shift 1".to_string(), "shift 10".into(), "shift 100".into()])
    );
}

#[test]
fn a_step_wants_a_verdict_and_a_target_that_is_well() {
    let mut trial = Trial::after(&settings(Strategy::Canary), 1);
    trial.verdict = Verdict::Inconclusive { evidence: "too close to tell".into() };
    trial.ticks(100);
    assert_eq!(trial.share(), 1);
    (trial.verdict, trial.target_ready) = (pass(), false);
    trial.tick();
    assert_eq!(trial.share(), 1);
    trial.target_ready = true;
    trial.tick();
    assert_eq!(trial.share(), 10);
}

#[test]
fn the_schema_is_narrowed_after_the_watch_and_then_nothing_goes_back() {
    let hooks = Hooks { expand: hook(10), contract: hook(10), ..Hooks::default() };
    let mut trial = Trial::of(&RolloutSettings { hooks, ..settings(Strategy::BlueGreen) });
    trial.ticks(5);
    assert_eq!((trial.log(), trial.share()), (vec!["begin hook expand".to_string()], 0));
    trial.pass_all();
    trial.ticks(602);
    assert_eq!(trial.log(), ["shift 100", "contract blue", "begin hook contract"]);
    let refused = trial.order(Order::Abort).unwrap_err().to_string();
    assert!(refused.contains("the old version cannot run any more"), "{refused}");
    trial.pass_all();
    assert_eq!((trial.outcome(), trial.share()), ("promoted", 100));
}

#[test]
fn a_rollout_whose_traffic_was_changed_past_it_ends_and_moves_nothing() {
    let mut trial = Trial::after(&settings(Strategy::Canary), 10);
    trial.log();
    trial.supersede("a shift by bob");
    trial.ticks(1_000);
    assert_eq!((trial.outcome(), trial.log()), ("superseded", vec![]));
    assert_eq!(trial.words(), "superseded by a shift by bob");
    assert!(trial.order(Order::Abort).is_err());
}
