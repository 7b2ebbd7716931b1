use std::time::Duration;

use super::*;
use crate::config::Severity;
use crate::orders::{ModeOrder, Place, Target, UpstreamOrder};
use crate::rollout::{Finished, HookPoint, TaskError, Wishes};
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

/// A desk on a disk of its own, and time.
struct Bench {
    disk: FrailDisk,
    desk: Desk,
    snapshot: Snapshot,
    now: Now,
}

fn config(text: &str) -> Arc<Config> {
    Arc::new(Config::parse(text).unwrap().0)
}

fn open(disk: &FrailDisk, text: &str, now: Now) -> Desk {
    let store = Arc::new(Store::on_disk(disk.clone()).unwrap());
    Desk::open(store, config(text), Resolved::new(), now).unwrap()
}

/// How a task ends well.
fn agreed() -> Result<Finished, TaskError> {
    Ok(Finished::Agreed(String::new()))
}

fn ada() -> Order {
    Order::of("ada", None)
}

impl Bench {
    fn of(text: &str) -> Bench {
        let (disk, wall) = (FrailDisk::default(), WallTime::from_millis(1_000_000_000));
        let now = Now { instant: Instant::now(), wall };
        let desk = open(&disk, text, now);
        let snapshot = desk.build(None, now);
        Bench { disk, desk, snapshot, now }
    }

    /// The next process, after so many seconds.
    fn restart(&mut self, text: &str, seconds: u64) {
        self.pass(seconds);
        self.disk = self.disk.survivor(Leaves::EveryWrite);
        self.desk = open(&self.disk, text, self.now);
        self.snapshot = self.desk.build(None, self.now);
    }

    fn pass(&mut self, seconds: u64) {
        let length = Duration::from_secs(seconds);
        let (instant, wall) = (self.now.instant + length, self.now.wall + length);
        self.now = Now { instant, wall };
    }

    fn publish(&mut self) {
        self.snapshot = self.desk.build(Some(&self.snapshot), self.now);
    }

    fn ticks(&mut self, ticks: u64) -> usize {
        let mut failed = 0;
        for _ in 0..ticks {
            self.pass(1);
            failed += self.desk.tick(&self.snapshot, self.now).len();
            self.publish();
        }
        failed
    }

    fn start(&mut self, wishes: &Wishes) {
        self.desk.start_rollout("shop", wishes, &ada(), &self.snapshot, self.now).unwrap();
        self.publish();
    }

    /// Tasks that were begun since it was asked last.
    fn begun(&mut self) -> Vec<Task> {
        let begun = self.desk.take_effects().into_iter().filter_map(|effect| match effect {
            Effect::Begin { task, .. } => Some(task),
            Effect::Say(_) => None,
        });
        begun.collect()
    }

    fn done(&mut self, task: Task) -> Result<(), Refused> {
        self.desk.on_done("shop", 1, task, agreed(), &self.snapshot, self.now)
    }

    fn state(&self) -> &'static str {
        self.desk.report("shop", self.now).unwrap().unwrap().status.state
    }

    fn words(&self) -> String {
        self.desk.report("shop", self.now).unwrap().unwrap().status.words
    }

    fn is_draining(&self, address: &str) -> bool {
        find_upstream(&self.snapshot, "shop", "blue", address).unwrap().is_draining()
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
        bench.desk.resume_rollouts(bench.now);
        assert_eq!(bench.begun(), [after_promote()]);
    }
    // Another rollout of the service makes no difference.
    bench
        .desk
        .start_rollout("shop", &Wishes::default(), &ada(), &bench.snapshot, bench.now)
        .unwrap();
    bench.begun();
    bench.done(after_promote()).unwrap();
    bench.restart(FILE, 1);
    bench.desk.resume_rollouts(bench.now);
    let second = bench.begun();
    assert_eq!((second, bench.state()), (vec![after_promote()], "running"));
    assert_eq!(bench.desk.lingering, []);
}

#[test]
fn a_hook_that_ends_after_its_rollout_is_not_begun_again() {
    let mut bench = Bench::of(FILE);
    bench.start(&Wishes::default());
    bench.ticks(9);
    assert_eq!((bench.state(), bench.begun()), ("promoted", vec![after_promote()]));
    bench.done(after_promote()).unwrap();
    bench.restart(FILE, 1);
    bench.desk.resume_rollouts(bench.now);
    assert_eq!(bench.begun(), []);
}

#[test]
fn the_end_of_a_task_that_cannot_be_stored_is_heard_again() {
    let text = FILE.replace("after_promote", "before_start");
    let mut bench = Bench::of(&text);
    bench.start(&Wishes::default());
    bench.disk.fail_after(0, Failure::Once);
    let task = Task::Hook(HookPoint::BeforeStart);
    assert!(matches!(bench.done(task), Err(Refused::Store(_))));
    assert_eq!((bench.state(), bench.words().as_str()), ("running", "waits for hook before_start"));
    assert_eq!(bench.ticks(1), 0);
    assert!(bench.words().starts_with("all traffic is on `green`"), "{}", bench.words());
}

#[test]
fn a_reload_happens_whole_or_not_at_all() {
    let mut failed = 0;
    for at in 0..40 {
        let mut bench = Bench::of(FILE);
        let add = crate::orders::UpstreamOrder::Add { weight: None };
        let place = crate::orders::Place {
            service: "shop".into(),
            pool: "green".into(),
            upstream: Some("192.0.2.4:80".parse().unwrap()),
        };
        bench.desk.set_upstream(&place, add, &ada(), &bench.snapshot, bench.now).unwrap();
        let edited = FILE.replace("blue = 100", "blue = 90, green = 10").replace(".3:80", ".5:80");
        let before = bench.desk.store.export().unwrap();
        bench.disk.fail_after(at, Failure::Once);
        let reloaded = bench.desk.reload(&config(&edited), bench.now);
        let changed = bench.desk.run_time.changed.len();
        let facts = (bench.desk.newest_number("shop"), changed, bench.desk.overrides.len());
        match reloaded {
            Ok(()) => assert_eq!(facts, (2, 0, 0)),
            Err(_) => {
                failed += 1;
                assert_eq!(facts, (1, 1, 1));
                assert_eq!(bench.desk.config, config(FILE));
                assert_eq!(bench.desk.store.export().unwrap(), before);
            }
        }
    }
    assert!(failed > 3, "{failed}");
}

#[test]
fn what_was_ordered_of_a_service_goes_with_it() {
    let (with, mut bench) = (format!("{FILE}{API}"), Bench::of(&format!("{FILE}{API}")));
    let order = ModeOrder::Maintenance { message: None };
    bench.desk.set_mode("api", order, &ada(), &bench.snapshot, bench.now).unwrap();
    bench.desk.reload(&config(FILE), bench.now).unwrap();
    assert_eq!(bench.desk.overrides.len(), 0);
    bench.restart(&with, 1);
    assert_eq!(bench.snapshot.service("api").unwrap().mode, Mode::Serve);
    // Also when it goes while nobody looks.
    let order = ModeOrder::Maintenance { message: None };
    bench.desk.set_mode("api", order, &ada(), &bench.snapshot, bench.now).unwrap();
    bench.restart(FILE, 1);
    bench.restart(&with, 1);
    assert_eq!(bench.snapshot.service("api").unwrap().mode, Mode::Serve);
}

#[test]
fn a_superseded_renewal_lets_in_what_it_had_only_drained() {
    let mut bench = Bench::of(FILE);
    let pool = bench.snapshot.service("shop").unwrap().pool("blue").unwrap();
    let held = pool.members.list()[0].upstream.hold();
    bench.start(&rolling());
    bench.ticks(1);
    assert!(bench.is_draining("192.0.2.1:80"), "{}", bench.words());
    let order = Order { force: true, ..ada() };
    let to = Target::Flip { pool: "green".into() };
    bench.desk.shift("shop", to, &order, &bench.snapshot, bench.now).unwrap();
    bench.publish();
    assert_eq!((bench.state(), bench.is_draining("192.0.2.1:80")), ("superseded", false));
    assert_eq!(bench.desk.overrides.len(), 0);
    bench.restart(FILE, 1);
    assert_eq!(bench.desk.overrides.len(), 0);
    drop(held);
}

#[test]
fn a_stage_is_stored_as_soon_as_it_is_entered() {
    let mut bench = Bench::of(FILE);
    let pool = bench.snapshot.service("shop").unwrap().pool("blue").unwrap();
    let seat = pool.take(0, &bench.snapshot.services[0].stability, Moment::default());
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

fn shift(bench: &mut Bench, to: Target) -> Result<Revision, Refused> {
    let shifted = bench.desk.shift("shop", to, &ada(), &bench.snapshot, bench.now);
    bench.publish();
    shifted
}

fn flip(bench: &mut Bench, pool: &str) -> Result<Revision, Refused> {
    shift(bench, Target::Flip { pool: pool.into() })
}

#[test]
fn a_version_cannot_run_on_a_contracted_schema_until_another_one_in_its_place_has_traffic() {
    let file = FILE.replace("deploy =", "before_start = { run = [\"true\"] }\ncontract =");
    let mut bench = Bench::of(&file);
    let before_start = || Task::Hook(HookPoint::BeforeStart);
    bench.start(&green());
    bench.done(before_start()).unwrap();
    bench.ticks(10);
    bench.done(Task::Hook(HookPoint::Contract)).unwrap();
    bench.publish();
    assert_eq!(bench.state(), "promoted");
    let contracted = || Err(Refused::Contracted { pool: "blue".into() });
    assert_eq!(flip(&mut bench, "blue"), contracted());
    // A rollout that ends before it has moved anything has proved nothing.
    bench.start(&Wishes { to: Some("blue".into()), ..Wishes::default() });
    let refused = Err(TaskError::NoHook);
    let (desk, task) = (&mut bench.desk, before_start());
    desk.on_done("shop", 2, task, refused, &bench.snapshot, bench.now).unwrap();
    bench.publish();
    assert_eq!(bench.state(), "failed");
    assert_eq!(flip(&mut bench, "blue"), contracted());
    bench.restart(&file, 1);
    assert_eq!(flip(&mut bench, "blue"), contracted());
    bench.start(&Wishes { to: Some("blue".into()), ..Wishes::default() });
    let (desk, task) = (&mut bench.desk, before_start());
    desk.on_done("shop", 3, task, agreed(), &bench.snapshot, bench.now).unwrap();
    bench.ticks(1);
    bench
        .desk
        .order_rollout("shop", crate::rollout::Order::Abort, &ada(), &bench.snapshot, bench.now)
        .unwrap();
    bench.publish();
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
    let refused = shift(&mut bench, Target::Back { to: None });
    assert_eq!(refused, Err(Refused::NothingMoved { service: "shop".into(), id: 1 }));
    assert_eq!(bench.state(), "running");
    let revision = shift(&mut bench, Target::Back { to: Some(2) }).unwrap();
    assert_eq!((revision.split.to_string().as_str(), bench.state()), ("green=100", "superseded"));
}

#[test]
fn a_rollback_of_what_was_said_twice_takes_it_back() {
    let mut bench = Bench::of(FILE);
    let first = flip(&mut bench, "green").unwrap();
    assert_eq!(flip(&mut bench, "green"), Ok(first));
    let back = shift(&mut bench, Target::Back { to: None }).unwrap();
    assert_eq!(back.split.to_string(), "blue=100");
}

#[test]
fn a_rollback_past_a_rollout_calls_its_hook_and_is_told_as_loud_as_an_abort() {
    let file = FILE.replace("deploy =", "after_rollback =");
    let mut bench = Bench::of(&file);
    bench.start(&green());
    bench.ticks(1);
    bench.done(after_promote()).unwrap();
    bench.desk.take_effects();
    bench
        .desk
        .shift("shop", Target::Back { to: None }, &ada(), &bench.snapshot, bench.now)
        .unwrap();
    let (mut begun, mut said) = (Vec::new(), Vec::new());
    for effect in bench.desk.take_effects() {
        match effect {
            Effect::Begin { task, .. } => begun.push(task),
            Effect::Say(event) => said.push((event.severity(), event.words(), event.author)),
        }
    }
    assert_eq!(begun, [Task::Hook(HookPoint::AfterRollback)]);
    let superseded = said.iter().find(|(_, what, _)| what.contains("superseded")).unwrap();
    let author = superseded.2.as_deref();
    assert_eq!((superseded.0, author), (Severity::Medium, Some("rollout 1 by ada")));
    assert_eq!(bench.state(), "superseded");
}

#[test]
fn the_last_upstream_of_a_pool_with_traffic_is_drained_only_by_force() {
    let mut bench = Bench::of(FILE);
    let mut drain = |address: &str, pool: &str, force| {
        let place = Place {
            service: "shop".into(),
            pool: pool.into(),
            upstream: Some(address.parse().unwrap()),
        };
        let order = Order { force, ..ada() };
        bench.desk.set_upstream(&place, UpstreamOrder::Drain, &order, &bench.snapshot, bench.now)
    };
    drain("192.0.2.3:80", "green", false).unwrap();
    drain("192.0.2.1:80", "blue", false).unwrap();
    let last = Refused::LastDrained { pool: "blue".into(), address: "192.0.2.2:80".into() };
    assert_eq!(drain("192.0.2.2:80", "blue", false), Err(last));
    drain("192.0.2.2:80", "blue", true).unwrap();
}

#[test]
fn traffic_leaves_a_target_though_the_disk_is_full_and_that_is_stored_later() {
    let mut bench = Bench::of(FILE);
    let split = |bench: &Bench| bench.snapshot.service("shop").unwrap().split.to_string();
    bench.start(&green());
    bench.ticks(1);
    bench.done(after_promote()).unwrap();
    assert_eq!(split(&bench), "green=100");
    let before = bench.desk.newest_number("shop");
    bench.disk.fail_after(0, Failure::Once);
    let abort = crate::rollout::Order::Abort;
    let aborted = bench.desk.order_rollout("shop", abort, &ada(), &bench.snapshot, bench.now);
    assert!(matches!(aborted, Err(Refused::Store(_))), "{aborted:?}");
    bench.publish();
    assert_eq!((split(&bench).as_str(), bench.state()), ("blue=100", "aborted"));
    let critical = bench.desk.take_effects().into_iter().any(|effect| match effect {
        Effect::Say(event) => event.severity() == Severity::Critical,
        Effect::Begin { .. } => false,
    });
    assert!(critical, "somebody has to make room");
    bench.disk.fail_after(0, Failure::Once);
    assert_eq!(bench.ticks(1), 1, "still full");
    assert_eq!((split(&bench).as_str(), bench.desk.newest_number("shop")), ("blue=100", before));
    assert_eq!(bench.ticks(1), 0);
    assert_eq!(
        (split(&bench).as_str(), bench.desk.newest_number("shop")),
        ("blue=100", before + 1)
    );
    bench.restart(FILE, 1);
    assert_eq!((split(&bench).as_str(), bench.state()), ("blue=100", "aborted"));
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
    let (desk, what) = (&mut bench.desk, UpstreamOrder::Activate);
    let let_in = desk.set_upstream(&place, what, &ada(), &bench.snapshot, bench.now);
    assert!(matches!(let_in, Err(Refused::RolloutUnderWay { id: 1, .. })), "{let_in:?}");
    assert!(bench.is_draining(first));
}
