//! What holds whatever happens.

use std::collections::HashMap;

use proptest::prelude::{Just, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;
use proptest::strategy::Strategy as Chance;

use super::*;

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    /// So many milliseconds pass, or the clock was set; then a look.
    Look(i64),
    /// Of what was begun, one ends: which, and whether well.
    End(usize, bool),
    /// Somebody tells the end of a task that may never have been begun.
    Late(Task, bool),
    Order(Order),
    Verdict(Verdict),
    TargetReady(bool),
    OldReady(bool),
    OldInFlight(u32),
    Upstream(usize, bool, u32),
    Gone(usize),
    Requests(u64),
    Crash,
    Supersede,
}

fn events() -> impl Chance<Value = Event> {
    let late = prop_oneof![
        Just(Task::Smoke),
        select(vec![
            HookPoint::BeforeStart,
            HookPoint::Expand,
            HookPoint::BeforeStep,
            HookPoint::BeforePromote,
            HookPoint::AfterPromote,
            HookPoint::AfterRollback,
            HookPoint::Contract,
            HookPoint::Deploy { upstream: "a".into() },
        ])
        .prop_map(Task::Hook),
    ];
    let verdict = select(vec![
        pass(),
        pass(),
        fail(),
        Verdict::Inconclusive { evidence: "who knows".into() },
    ]);
    let orders = vec![Order::Pause, Order::Resume, Order::Step, Order::Promote, Order::Abort];
    prop_oneof![
        40 => Just(Event::Look(1_000)),
        2 => select(vec![0, 5_000, -5_000, 3_600_000, -3_600_000]).prop_map(Event::Look),
        20 => (0..3usize, prop::bool::weighted(0.8)).prop_map(|(at, ok)| Event::End(at, ok)),
        1 => (late, any::<bool>()).prop_map(|(task, ok)| Event::Late(task, ok)),
        3 => select(orders).prop_map(Event::Order),
        2 => verdict.prop_map(Event::Verdict),
        2 => any::<bool>().prop_map(Event::TargetReady),
        1 => any::<bool>().prop_map(Event::OldReady),
        2 => (0..2u32).prop_map(Event::OldInFlight),
        4 => (0..3usize, any::<bool>(), 0..2u32).prop_map(|(at, r, n)| Event::Upstream(at, r, n)),
        1 => (0..8usize).prop_map(Event::Gone),
        2 => (0..200u64).prop_map(Event::Requests),
        2 => Just(Event::Crash),
        1 => (0..5u8).prop_map(|n| if n == 0 { Event::Supersede } else { Event::Crash }),
    ]
}

/// Settings that are over within seconds, with any of the hooks.
fn quick() -> impl Chance<Value = RolloutSettings> {
    let hooks = proptest::collection::vec(any::<bool>(), 7);
    (select(Strategy::ALL.to_vec()), hooks, any::<bool>(), 0..3u64, 1..4usize).prop_map(
        |(strategy, hooks, smokes, watch, at_once)| {
            let hook = |at: usize| if hooks[at] { hook(3) } else { None };
            let hooks = Hooks {
                before_start: hook(0),
                expand: hook(1),
                before_step: hook(2),
                before_promote: hook(3),
                after_promote: hook(4),
                after_rollback: hook(5),
                contract: hook(6),
                deploy: super::hook(3),
            };
            RolloutSettings {
                hold: seconds(2),
                min_requests: 200,
                longest_step: seconds(20),
                watch: seconds(2 * watch),
                ready_within: seconds(5),
                drain: seconds(3),
                smoke: if smokes { vec![smoke(2)] } else { Vec::new() },
                hooks,
                at_once,
                ..settings(strategy)
            }
        },
    )
}

fn begin(settings: &RolloutSettings) -> Trial {
    let rolls = settings.strategy == Strategy::Rolling;
    Trial::wishing(settings, &Wishes { to: rolls.then(|| BLUE.into()), ..Wishes::default() })
}

fn result(is_ok: bool) -> Result<Finished, TaskError> {
    if is_ok { agreed() } else { Err(no()) }
}

impl Trial {
    fn hear(&mut self, event: &Event) {
        match event.clone() {
            Event::Look(millis) => {
                let now = self.now.millis().saturating_add_signed(millis);
                self.now = WallTime::from_millis(now);
                self.tell(Input::Tick).unwrap();
            }
            Event::End(at, is_ok) if at < self.begun.len() => {
                self.done(&self.begun[at].clone(), result(is_ok));
            }
            Event::End(..) => {}
            Event::Late(task, is_ok) => {
                self.tell(Input::Done { task, result: result(is_ok) }).unwrap();
            }
            Event::Order(order) => drop(self.order(order)),
            Event::Verdict(verdict) => self.verdict = verdict,
            Event::TargetReady(is_ready) => self.target_ready = is_ready,
            Event::OldReady(is_ready) => self.way_back = way_back(is_ready),
            Event::OldInFlight(held) => self.old_in_flight = held,
            Event::Upstream(at, is_ready, in_flight) => {
                if let Some(upstream) = self.upstreams.get_mut(at) {
                    (upstream.is_ready, upstream.in_flight) = (is_ready, in_flight);
                }
            }
            Event::Gone(at) if at < self.upstreams.len() => drop(self.upstreams.remove(at)),
            Event::Gone(_) => {}
            Event::Requests(total) => self.canary.total = total,
            Event::Crash => {
                let before = self.begun.clone();
                self.crash();
                let is_known = |task: &Task| before.contains(task);
                assert!(self.begun.iter().all(is_known), "{:?} of {before:?}", self.begun);
            }
            Event::Supersede => self.supersede("an edit of the file"),
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_it_never_gives_more_to_who_fails_and_goes_back_whole(
        settings in quick(),
        events in proptest::collection::vec(events(), 0..300),
    ) {
        let mut trial = begin(&settings);
        for event in &events {
            let (share, was_over) = (trial.share(), trial.rollout.is_over());
            trial.log();
            trial.hear(event);
            let told = !matches!(event, Event::Crash | Event::Supersede);
            let (ended, log) = (trial.rollout.ended.clone(), trial.log());
            // Before it has any traffic nothing can be said of it.
            if matches!(trial.verdict, Verdict::Fail { .. }) && told && share > 0 {
                prop_assert!(trial.share() <= share, "{event:?}: {share} to {}", trial.share());
            }
            prop_assert!(!was_over || log.is_empty(), "{event:?} after the end: {log:?}");
            prop_assert_eq!(trial.share(), trial.rollout.share().get() / 100);
            match ended.map(|(outcome, _)| outcome) {
                Some(Outcome::Promoted) if settings.strategy == Strategy::Rolling => {}
                Some(Outcome::Promoted) => prop_assert_eq!(trial.share(), 100),
                Some(Outcome::Superseded { .. }) => prop_assert_eq!(trial.share(), share),
                Some(_) => prop_assert_eq!(trial.share(), 0),
                None => prop_assert!(trial.share() >= share, "{event:?}: {share} to {}", trial.share()),
            }
        }
    }

    #[test]
    fn a_crash_anywhere_changes_nothing_of_how_it_ends(
        settings in quick(),
        world in world(),
        crashes in proptest::collection::vec(0..80u64, 1..4),
    ) {
        let undisturbed = world.run(&settings, &[]);
        prop_assert_eq!(world.run(&settings, &crashes), undisturbed);
    }
}

/// How things go, whenever they do.
#[derive(Clone, Debug)]
struct World {
    /// Tasks that fail, by what is said of them.
    failing: Vec<String>,
    /// How many ticks each task takes.
    takes: u64,
    /// The share at which the target's failures show.
    fails_at: u16,
    target_ready: bool,
    old_ready: bool,
    come_back: bool,
}

fn world() -> impl Chance<Value = World> {
    let tasks = vec![
        "hook before_start",
        "hook expand",
        "hook before_step",
        "hook before_promote",
        "hook after_promote",
        "hook after_rollback",
        "hook contract",
        "hook deploy of `b`",
        "smoke requests",
    ];
    let failing = proptest::sample::subsequence(tasks, 0..3);
    let fails_at = select(vec![1, 10, 100, 101, 101, 101]);
    let mostly = || prop::bool::weighted(0.8);
    (failing, 0..3u64, fails_at, mostly(), mostly(), mostly()).prop_map(
        |(failing, takes, fails_at, target_ready, old_ready, come_back)| World {
            failing: failing.into_iter().map(Into::into).collect(),
            takes,
            fails_at,
            target_ready,
            old_ready,
            come_back,
        },
    )
}

impl World {
    /// Where it has come to in the end, and what it did on the way.
    fn run(&self, settings: &RolloutSettings, crashes: &[u64]) -> (&'static str, u16, Vec<String>) {
        let mut trial = begin(settings);
        (trial.target_ready, trial.way_back) = (self.target_ready, way_back(self.old_ready));
        trial.come_back = self.come_back;
        let mut waited: HashMap<Task, u64> = HashMap::new();
        for tick in 0..300 {
            if crashes.contains(&tick) {
                trial.crash();
                waited.clear();
            }
            trial.verdict = if trial.share() >= self.fails_at { fail() } else { pass() };
            for task in trial.begun.clone() {
                let waited = waited.entry(task.clone()).or_default();
                *waited += 1;
                if *waited > self.takes {
                    let is_ok = !self.failing.contains(&task.words());
                    *waited = 0;
                    trial.done(&task, result(is_ok));
                }
            }
            trial.tick();
        }
        assert_eq!(trial.begun, [], "nothing is left undone");
        let mut log = trial.log();
        log.retain(|line| !line.starts_with("Warning") && !line.starts_with("Failure"));
        (trial.outcome(), trial.share(), log)
    }
}
