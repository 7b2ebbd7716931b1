use std::time::Duration;

use super::drive::Drive;
use super::*;
use crate::clock::LONGEST;
use crate::config::Severity;
use crate::http::admission::Upload;
use crate::rollout::{Finished, HookPoint, MOST_REQUESTS, PlanRefused, TaskError, Wishes};
use crate::split::BasisPoints;
use crate::store::crash::{Failure, FrailDisk, Leaves};

const FILE: &str = r#"
[server]
allow_commands = true

[[listeners]]
address = "127.0.0.1:0"

[[routes]]
service = "shop"

[services.shop]
split = { blue = 100 }

[services.shop.rollout]
strategy = "blue-green"
watch = "2s"
drain = "5s"

[services.shop.rollout.hooks]
after_promote = { run = ["true"] }
deploy = { run = ["true"] }

[services.shop.pools]
blue.upstreams = ["192.0.2.1:80", "192.0.2.2:80"]
green.upstreams = ["192.0.2.3:80"]
"#;

const API: &str = "[[routes]]\nhosts = [\"api.test\"]\nservice = \"api\"\n\
                   [services.api.pools]\nonly.upstreams = [\"192.0.2.9:80\"]\n";

/// Orders on a disk of their own, and time.
struct Bench(Drive);

impl std::ops::Deref for Bench {
    type Target = Drive;

    fn deref(&self) -> &Drive {
        &self.0
    }
}

impl std::ops::DerefMut for Bench {
    fn deref_mut(&mut self) -> &mut Drive {
        &mut self.0
    }
}

fn config(text: &str) -> Arc<Config> {
    Arc::new(Config::parse(text).unwrap().0)
}

fn agreed() -> Result<Finished, TaskError> {
    Ok(Finished::Agreed(String::new()))
}

fn ada() -> By {
    By::new("ada", None)
}

impl Bench {
    fn of(text: &str) -> Bench {
        let (disk, wall) = (FrailDisk::default(), WallTime::from_millis(1_000_000_000));
        let now = Now { instant: Instant::now(), wall };
        Bench(Drive::open(disk, config(text), now).unwrap())
    }

    /// The next process, after so many seconds.
    fn restart(&mut self, text: &str, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
        let disk = self.disk.survivor(Leaves::EveryWrite);
        self.0 = Drive::open(disk, config(text), self.now).unwrap();
    }

    /// So many seconds pass; answers with how often the disk refused something.
    fn ticks(&mut self, ticks: u64) -> usize {
        let before = self.failed;
        for _ in 0..ticks {
            self.pass(Duration::from_secs(1));
            self.tick();
        }
        self.failed - before
    }

    fn start(&mut self, wishes: &Wishes) {
        let (service, wishes) = ("shop".into(), Box::new(wishes.clone()));
        self.order(Order::StartRollout { service, wishes }, ada()).unwrap();
    }

    /// Tasks that were begun since it was asked last.
    fn begun(&mut self) -> Vec<Task> {
        self.settle();
        let begun =
            std::mem::take(&mut self.effects).into_iter().filter_map(|effect| match effect {
                Effect::Begin { task, .. } => Some(task),
                _ => None,
            });
        begun.collect()
    }

    fn done(&mut self, task: Task) {
        self.ended(1, task, agreed());
    }

    fn ended(&mut self, id: u64, task: Task, result: Result<Finished, TaskError>) {
        let Drive { orders, snapshot, now, .. } = &mut self.0;
        orders.on_done("shop", id, task, result, snapshot, *now);
        self.run(Counts::Wait);
    }

    fn report(&self) -> Report {
        Report::newest(self.orders.state(), "shop", self.now.wall).unwrap()
    }

    fn state(&self) -> &'static str {
        self.report().status.state
    }

    fn words(&self) -> String {
        self.report().status.words
    }

    fn split(&self) -> String {
        self.snapshot.service("shop").unwrap().split.to_string()
    }

    fn newest(&self) -> u64 {
        self.orders.state().newest("shop").map_or(0, |newest| newest.number)
    }

    fn standing(&self) -> usize {
        self.orders.state().orders().count()
    }

    fn abort(&mut self) -> Result<Answered, Refused> {
        let (service, what) = ("shop".into(), crate::rollout::Order::Abort);
        self.order(Order::Rollout { service, what }, ada())
    }

    fn drain(&mut self, address: &str, pool: &str, by: By) -> Result<Answered, Refused> {
        let place = Place {
            service: "shop".into(),
            pool: pool.into(),
            upstream: Some(address.parse().unwrap()),
        };
        self.order(Order::Upstream { place, what: UpstreamOrder::Drain }, by)
    }

    fn drain_later(&mut self, address: &str, pool: &str) -> Ticket {
        let place = Place {
            service: "shop".into(),
            pool: pool.into(),
            upstream: Some(address.parse().unwrap()),
        };
        self.give(Order::Upstream { place, what: UpstreamOrder::Drain }, ada())
    }

    fn is_draining(&self, address: &str) -> bool {
        find_upstream(&self.snapshot, "shop", "blue", address).unwrap().is_draining()
    }

    /// What is in force is what is stored, as a process that begins now would find it.
    fn assert_stored(&self) {
        let disk = self.disk.survivor(Leaves::EveryWrite);
        let found = crate::store::Store::on_disk(disk).unwrap().recall().unwrap();
        assert_eq!(simulation::lasting(self.orders.state()), simulation::lasting(&found));
    }
}

fn after_promote() -> Task {
    Task::Hook(HookPoint::AfterPromote)
}

fn rolling() -> Wishes {
    Wishes {
        to: Some("blue".into()),
        strategy: Some(crate::rollout::Strategy::Rolling),
        ..Wishes::default()
    }
}

#[test]
fn a_hook_of_a_rollout_that_has_just_ended_is_begun_again_until_it_has_ended() {
    let mut bench = Bench::of(FILE);
    bench.start(&Wishes::default());
    assert_eq!(bench.begun(), [after_promote()]);
    bench.ticks(9);
    assert_eq!(bench.state(), "promoted");
    for _ in 0..2 {
        bench.restart(FILE, 60);
        let now = bench.now;
        bench.orders.resume_rollouts(now);
        assert_eq!(bench.begun(), [after_promote()]);
    }
    // Another rollout of the service makes no difference.
    bench.start(&Wishes::default());
    bench.begun();
    bench.done(after_promote());
    bench.restart(FILE, 1);
    let now = bench.now;
    bench.orders.resume_rollouts(now);
    let second = bench.begun();
    assert_eq!((second, bench.state()), (vec![after_promote()], "running"));
    assert_eq!(bench.orders.state().lingering().count(), 0);
}

#[test]
fn a_hook_that_ends_after_its_rollout_is_not_begun_again() {
    let mut bench = Bench::of(FILE);
    bench.start(&Wishes::default());
    bench.ticks(9);
    assert_eq!((bench.state(), bench.begun()), ("promoted", vec![after_promote()]));
    bench.done(after_promote());
    bench.restart(FILE, 1);
    let now = bench.now;
    bench.orders.resume_rollouts(now);
    assert_eq!(bench.begun(), []);
}

#[test]
fn the_end_of_a_task_that_cannot_be_stored_is_heard_again() {
    let text = FILE.replace("after_promote", "before_start");
    let mut bench = Bench::of(&text);
    bench.start(&Wishes::default());
    bench.disk.fail_after(0, Failure::Once);
    let task = Task::Hook(HookPoint::BeforeStart);
    bench.done(task);
    assert_eq!(bench.failed, 1);
    assert_eq!((bench.state(), bench.words().as_str()), ("running", "waits for hook before_start"));
    assert_eq!(bench.ticks(2), 0);
    assert!(bench.words().starts_with("all traffic is on `green`"), "{}", bench.words());
}

#[test]
fn a_superseded_renewal_lets_in_what_it_had_only_drained() {
    let mut bench = Bench::of(FILE);
    let pool = bench.snapshot.service("shop").unwrap().pool("blue").unwrap();
    let held = pool.members.list()[0].upstream.hold(Upload::Done);
    bench.start(&rolling());
    bench.ticks(1);
    assert!(bench.is_draining("192.0.2.1:80"), "{}", bench.words());
    let order =
        Order::Shift { service: "shop".into(), to: TrafficOrder::Flip { pool: "green".into() } };
    bench.order(order, By { force: true, ..ada() }).unwrap();
    assert_eq!((bench.state(), bench.is_draining("192.0.2.1:80")), ("superseded", false));
    assert_eq!(bench.standing(), 0);
    bench.restart(FILE, 1);
    assert_eq!(bench.standing(), 0);
    drop(held);
}

#[test]
fn a_stage_is_stored_as_soon_as_it_is_entered() {
    let mut bench = Bench::of(FILE);
    let pool = bench.snapshot.service("shop").unwrap().pool("blue").unwrap();
    let seat = pool.take(0);
    bench.start(&Wishes::default());
    bench.ticks(3);
    assert_eq!(bench.words(), "waits for requests of `blue` to end");
    bench.restart(FILE, 0);
    assert_eq!(bench.words(), "waits for requests of `blue` to end");
    drop(seat);
}

fn green() -> Wishes {
    Wishes { to: Some("green".into()), ..Wishes::default() }
}

#[test]
fn an_order_may_wish_no_more_than_a_file_may_say() {
    let mut bench = Bench::of(FILE);
    let mut start = |min_requests, hold, watch| {
        let (min_requests, hold, watch) = (Some(min_requests), Some(hold), Some(watch));
        let wishes = Box::new(Wishes { min_requests, hold, watch, ..green() });
        bench.order(Order::StartRollout { service: "shop".into(), wishes }, ada()).err()
    };
    let longer = LONGEST + Duration::from_nanos(1);
    let refused = |why| Some(Refused::Plan(why));
    assert_eq!(start(MOST_REQUESTS + 1, LONGEST, LONGEST), refused(PlanRefused::Requests));
    assert_eq!(start(0, longer, LONGEST), refused(PlanRefused::Wait("hold")));
    assert_eq!(start(0, LONGEST, longer), refused(PlanRefused::Wait("watch")));
    assert_eq!(start(MOST_REQUESTS, LONGEST, LONGEST), None);
}

fn shift(bench: &mut Bench, to: TrafficOrder) -> Result<Revision, Refused> {
    match bench.order(Order::Shift { service: "shop".into(), to }, ada())?.answer {
        Made::Revision(revision) | Made::Already(revision) => Ok((*revision).clone()),
        answer => panic!("{answer:?}"),
    }
}

fn flip(bench: &mut Bench, pool: &str) -> Result<Revision, Refused> {
    shift(bench, TrafficOrder::Flip { pool: pool.into() })
}

#[test]
fn a_version_cannot_run_on_a_contracted_schema_until_another_one_in_its_place_has_traffic() {
    let file = FILE.replace("deploy =", "before_start = { run = [\"true\"] }\ncontract =");
    let mut bench = Bench::of(&file);
    let before_start = || Task::Hook(HookPoint::BeforeStart);
    bench.start(&green());
    bench.done(before_start());
    bench.ticks(10);
    bench.done(Task::Hook(HookPoint::Contract));
    assert_eq!(bench.state(), "promoted");
    let contracted = || Err(Refused::Contracted { pool: "blue".into() });
    assert_eq!(flip(&mut bench, "blue"), contracted());
    // A rollout that ends before it has moved anything has proved nothing.
    bench.start(&Wishes { to: Some("blue".into()), ..Wishes::default() });
    let refused = Err(TaskError::NoHook);
    bench.ended(2, before_start(), refused);
    assert_eq!(bench.state(), "failed");
    assert_eq!(flip(&mut bench, "blue"), contracted());
    bench.restart(&file, 1);
    assert_eq!(flip(&mut bench, "blue"), contracted());
    bench.start(&Wishes { to: Some("blue".into()), ..Wishes::default() });
    bench.ended(3, before_start(), agreed());
    bench.ticks(2);
    bench.abort().unwrap();
    flip(&mut bench, "green").unwrap();
    assert!(flip(&mut bench, "blue").is_ok());
}

#[test]
fn a_rollback_takes_nothing_back_of_a_rollout_that_has_moved_nothing() {
    let file = FILE.replace("deploy =", "before_start =");
    let mut bench = Bench::of(&file);
    flip(&mut bench, "green").unwrap();
    flip(&mut bench, "blue").unwrap();
    bench.start(&green());
    // The state before the last change is all traffic on the rollout's own target.
    let refused = shift(&mut bench, TrafficOrder::Back { to: None });
    assert_eq!(refused, Err(Refused::NothingMoved { service: "shop".into(), id: 1 }));
    assert_eq!(bench.state(), "running");
    let revision = shift(&mut bench, TrafficOrder::Back { to: Some(2) }).unwrap();
    assert_eq!((revision.split.to_string().as_str(), bench.state()), ("green=100", "superseded"));
}

#[test]
fn a_rollback_of_what_was_said_twice_takes_it_back() {
    let mut bench = Bench::of(FILE);
    let first = flip(&mut bench, "green").unwrap();
    assert_eq!(flip(&mut bench, "green"), Ok(first));
    let back = shift(&mut bench, TrafficOrder::Back { to: None }).unwrap();
    assert_eq!(back.split.to_string(), "blue=100");
}

#[test]
fn a_second_rollback_changes_nothing_whoever_made_the_first() {
    let back = |to| TrafficOrder::Back { to };
    // Somebody, of a flip.
    let mut bench = Bench::of(FILE);
    flip(&mut bench, "green").unwrap();
    let first = shift(&mut bench, back(None)).unwrap();
    assert!(first.is_back);
    bench.restart(FILE, 1);
    assert_eq!(shift(&mut bench, back(None)), Ok(first.clone()));
    assert_eq!(shift(&mut bench, back(Some(1))), Ok(first.clone()), "said twice");
    assert_eq!((bench.newest(), bench.split().as_str()), (3, "blue=100"));
    let further = shift(&mut bench, back(Some(2))).unwrap();
    assert_eq!((further.number, bench.split().as_str()), (4, "green=100"), "a number is obeyed");
    // Somebody, past a rollout.
    let mut bench = Bench::of(FILE);
    bench.start(&green());
    bench.ticks(1);
    let first = shift(&mut bench, back(None)).unwrap();
    assert_eq!(shift(&mut bench, back(None)), Ok(first));
    // An abort.
    let mut bench = Bench::of(FILE);
    flip(&mut bench, "green").unwrap();
    flip(&mut bench, "blue").unwrap();
    bench.start(&green());
    bench.ticks(1);
    bench.abort().unwrap();
    let before = bench.newest();
    assert_eq!(shift(&mut bench, back(None)).unwrap().number, before);
    assert_eq!(bench.split(), "blue=100");
    // A renewal moves no share, so there is nothing of it to take back, but it may have renewed half of
    // a pool: who wants its end is told how.
    bench.start(&rolling());
    let refused =
        Err(Refused::RolloutUnderWay { service: "shop".into(), id: 2, to: "blue".into() });
    assert_eq!(shift(&mut bench, back(None)), refused);
}

#[test]
fn a_flag_that_was_taken_back_stays_so() {
    let file = format!("{FILE}\n[flags.beta]\npercent = 1\nservices = [\"shop\"]\n");
    let mut bench = Bench::of(&file);
    let mut order = |percent: Option<u16>| {
        let percent = percent.map(|percent| BasisPoints::new(percent * 100).unwrap());
        match bench.order(Order::Flag { name: "beta".into(), percent }, ada())?.answer {
            Made::Flag { flag, is_changed } => {
                Ok((flag.percent.to_string(), flag.state.unwrap().revision, is_changed))
            }
            answer => panic!("{answer:?}"),
        }
    };
    assert_eq!(order(None), Err(Refused::FlagAsInFile("beta".into())));
    assert_eq!(order(Some(50)), Ok(("50".into(), 1, true)));
    assert_eq!(order(Some(50)), Ok(("50".into(), 1, false)), "said twice it is one change");
    assert_eq!(order(None), Ok(("1".into(), 2, true)));
    assert_eq!(order(None), Ok(("1".into(), 2, false)), "the risky change stays off");
    assert_eq!(order(Some(5)), Ok(("5".into(), 3, true)));
    assert_eq!(order(None), Ok(("1".into(), 4, true)));
}

#[test]
fn a_rollback_past_a_rollout_calls_its_hook_and_is_told_as_loud_as_an_abort() {
    let file = FILE.replace("deploy =", "after_rollback =");
    let mut bench = Bench::of(&file);
    bench.start(&green());
    bench.ticks(1);
    bench.done(after_promote());
    bench.effects.clear();
    shift(&mut bench, TrafficOrder::Back { to: None }).unwrap();
    let (mut begun, mut said) = (Vec::new(), Vec::new());
    for effect in std::mem::take(&mut bench.effects) {
        match effect {
            Effect::Begin { task, .. } => begun.push(task),
            Effect::Say(event) => said.push((event.severity(), event.words(), event.author)),
            _ => {}
        }
    }
    assert_eq!(begun, [Task::Hook(HookPoint::AfterRollback)]);
    let superseded = said.iter().find(|(_, what, _)| what.contains("superseded")).unwrap();
    let author = superseded.2.as_deref();
    assert_eq!((superseded.0, author), (Severity::Medium, Some("ada")));
    assert_eq!(bench.state(), "superseded");
}

#[test]
fn an_abort_is_told_as_by_who_ordered_it_and_why() {
    let mut bench = Bench::of(FILE);
    bench.start(&green());
    bench.ticks(1);
    bench.done(after_promote());
    bench.effects.clear();
    let (service, what) = ("shop".into(), crate::rollout::Order::Abort);
    let by = By::new("bob", Some("the till is closed"));
    bench.order(Order::Rollout { service, what }, by).unwrap();
    let said = bench.said();
    let aborted = said.iter().find(|event| event.kind.code() == "rollout-aborted").unwrap();
    assert_eq!(aborted.told(), "rollout 1 was aborted, by bob: the till is closed");
    let newest = bench.orders.state().newest("shop").unwrap().clone();
    assert_eq!(newest.author, "bob");
    assert_eq!(newest.reason.as_deref(), Some("rollout 1 was aborted: the till is closed"));
    let kept = bench.report().status.words;
    assert!(kept.contains("bob") && kept.contains("the till is closed"), "{kept}");
}

#[test]
fn a_pool_that_has_nobody_left_is_told_louder_than_a_drain() {
    let mut bench = Bench::of(FILE);
    let force = || By { force: true, ..ada() };
    bench.drain("192.0.2.1:80", "blue", force()).unwrap();
    bench.drain("192.0.2.2:80", "blue", force()).unwrap();
    let told: Vec<_> = bench.said().iter().map(Event::severity).collect();
    assert_eq!(told, [Severity::Low, Severity::Medium]);
}

#[test]
fn the_last_upstream_of_a_pool_with_traffic_is_drained_only_by_force() {
    let mut bench = Bench::of(FILE);
    let mut drain =
        |address: &str, pool: &str, force| bench.drain(address, pool, By { force, ..ada() });
    drain("192.0.2.3:80", "green", false).unwrap();
    drain("192.0.2.1:80", "blue", false).unwrap();
    let last = Refused::LastDrained { pool: "blue".into(), address: "192.0.2.2:80".into() };
    assert_eq!(drain("192.0.2.2:80", "blue", false), Err(last));
    drain("192.0.2.2:80", "blue", true).unwrap();
}

#[test]
fn traffic_leaves_a_target_though_the_disk_is_full_and_that_is_stored_later() {
    let mut bench = Bench::of(FILE);
    bench.start(&green());
    bench.ticks(1);
    bench.done(after_promote());
    assert_eq!(bench.split(), "green=100");
    let before = bench.newest();
    bench.said();
    bench.disk.fail_after(0, Failure::Once);
    let (service, what) = ("shop".into(), crate::rollout::Order::Abort);
    let ticket = bench.give(Order::Rollout { service, what }, ada());
    assert_eq!((bench.split().as_str(), bench.state()), ("blue=100", "aborted"));
    let said = bench.said();
    let unstored = said.iter().find(|event| event.severity() == Severity::Critical);
    let words = unstored.expect("somebody has to make room").words();
    // All that the store says, also what it says to do.
    assert!(words.contains("not stored") && words.ends_with("and ask again"), "{words}");
    assert_eq!(bench.replies.get(&ticket), None);
    bench.pass(Duration::from_millis(500));
    let now = bench.now;
    bench.orders.on_time(now);
    bench.settle();
    let reply = bench.replies.remove(&ticket).unwrap().unwrap();
    assert_eq!(reply.stored, Stored::No, "nobody has said that it is noted");
    bench.disk.fail_after(0, Failure::Once);
    assert_eq!(bench.ticks(1), 1, "still full");
    let stored = |bench: &Bench| bench.store.recall().unwrap().newest("shop").unwrap().number;
    assert_eq!((bench.split().as_str(), stored(&bench)), ("blue=100", before));
    assert_eq!(bench.ticks(1), 0);
    assert_eq!((bench.split().as_str(), stored(&bench)), ("blue=100", before + 1));
    assert!(bench.said().iter().any(|event| matches!(event.kind, Kind::Stored { .. })));
    bench.assert_stored();
    bench.restart(FILE, 1);
    assert_eq!((bench.split().as_str(), bench.state()), ("blue=100", "aborted"));
}

#[test]
fn an_upstream_that_is_about_to_be_renewed_is_not_let_in() {
    let mut bench = Bench::of(FILE);
    bench.start(&rolling());
    let first = "192.0.2.1:80";
    assert!(bench.is_draining(first));
    let place = Place {
        service: "shop".into(),
        pool: "blue".into(),
        upstream: Some(first.parse().unwrap()),
    };
    let let_in = bench.order(Order::Upstream { place, what: UpstreamOrder::Activate }, ada());
    assert!(matches!(let_in, Err(Refused::RolloutUnderWay { id: 1, .. })), "{let_in:?}");
    assert!(bench.is_draining(first));
}

#[test]
fn a_step_begins_anew_and_says_so_where_what_its_judge_had_heard_cannot_be_read() {
    let canary = "steps = [10, 50, 100]\nhold = \"1h\"\n";
    let mut bench = Bench::of(&FILE.replace("strategy = \"blue-green\"\n", canary));
    bench.start(&green());
    bench.ticks(9);
    let mut state = bench.orders.state().clone();
    let mut rollout = (**state.rollout("shop").unwrap()).clone();
    assert!(rollout.evidence().is_some() && !rollout.has_lost_hearing());
    rollout.set_heard(Arc::default());
    state.apply(&Change::Rollout(Arc::new(rollout)));
    let file = bench.orders.config().clone();
    let (mut orders, edits) = Orders::open(state, file, Resolved::new(), bench.now);
    assert!(edits.iter().any(|change| matches!(change, Change::Heard { .. })), "{edits:?}");
    let rollout = orders.state().rollout("shop").unwrap().clone();
    assert!(rollout.evidence().is_some(), "it has a judge again");
    assert_eq!((rollout.stepped(bench.now.wall), rollout.share().get()), (Duration::ZERO, 1_000));
    let said = orders.take_effects().into_iter().any(|effect| match effect {
        Effect::Say(event) => event.words().ends_with("its step begins anew"),
        _ => false,
    });
    assert!(said);
}

mod absent;
mod dead_pools;
mod deploying;
mod hanging;
mod labelled;
mod observing;
mod reloading;
mod removed;
mod taken_back;
mod unstored;
mod warming;
