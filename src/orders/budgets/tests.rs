use std::time::Instant;

use super::super::drive::Drive;
use super::super::{By, Counts, Order, Report};
use super::*;
use crate::config::Severity;
use crate::rollout::{self, Task, Wishes};
use crate::split::BasisPoints;
use crate::store::crash::{Failure, FrailDisk, Leaves};
use crate::upstream::{Outcome, StatusClass};

const FILE: &str = "[[listeners]]\naddress = \":0\"\n\
    [services.shop]\nsplit = { blue = 100, green = 0 }\nslo = {}\n\
    rollout = { steps = [10, 50, 100], hold = \"1m\", min_requests = 0, guard.errors = 100 }\n\
    judge.enabled = false\n\
    [services.shop.pools]\nblue.upstreams = [\"192.0.2.1:1\"]\ngreen.upstreams = [\"192.0.2.2:1\"]\n";

/// Orders on simulated time, with a snapshot that requests are counted in.
struct Office {
    config: Arc<Config>,
    drive: Drive,
    said: Vec<Event>,
}

const DAY: u64 = 24 * 60 * 60;

impl Office {
    fn open(file: &str) -> Office {
        let now = Now { instant: Instant::now(), wall: WallTime::from_millis(1_700_000_000_000) };
        let config = Arc::new(Config::parse(file).unwrap().0);
        let drive = Drive::open(FrailDisk::default(), config.clone(), now).unwrap();
        Office { config, drive, said: Vec::new() }
    }

    /// The next process, after this one was killed.
    fn killed(self) -> Office {
        let disk = self.drive.disk.survivor(Leaves::EveryWrite);
        let config = self.config.clone();
        let drive = Drive::open(disk, config.clone(), self.drive.now).unwrap();
        Office { config, drive, said: Vec::new() }
    }

    /// `seconds` with so many requests each, so many of which fail, on blue.
    fn serve(&mut self, seconds: u64, requests: u64, failing: u64) {
        self.serve_both(seconds, (requests, failing), (0, 0));
    }

    fn serve_both(&mut self, seconds: u64, blue: (u64, u64), green: (u64, u64)) {
        for _ in 0..seconds {
            let service = self.drive.snapshot.service("shop").unwrap();
            let slo = service.slo.as_ref().unwrap();
            for (pool, (requests, failing)) in [("blue", blue), ("green", green)] {
                for n in 0..requests {
                    let is_bad = n < failing;
                    let status = StatusClass::of(if is_bad { 500 } else { 200 });
                    service.state.slo.count(slo, Outcome::Status(status), Duration::ZERO);
                    service.pool(pool).unwrap().state.attempts.count(is_bad);
                }
            }
            self.pass(1).unwrap();
        }
    }

    /// One look after so many seconds; whether the disk took all of it.
    fn pass(&mut self, seconds: u64) -> Result<(), ()> {
        let failed = self.drive.failed;
        self.drive.pass(Duration::from_secs(seconds));
        self.drive.tick();
        self.settle();
        if self.drive.failed == failed { Ok(()) } else { Err(()) }
    }

    fn settle(&mut self) {
        let said = self.drive.said();
        self.said.extend(said);
    }

    fn give(&mut self, order: Order, by: By) -> Result<(), Refused> {
        let done = self.drive.order(order, by).map(drop);
        self.settle();
        done
    }

    fn start(&mut self, despite_freeze: bool, reason: Option<&str>) -> Result<(), Refused> {
        let wishes = Box::new(Wishes { despite_freeze, ..Wishes::default() });
        self.give(Order::StartRollout { service: "shop".into(), wishes }, By::new("ada", reason))
    }

    fn freeze(&mut self, what: FreezeOrder, reason: Option<&str>) -> Result<(), Refused> {
        self.give(Order::Freeze { service: "shop".into(), what }, By::new("bob", reason))
    }

    fn order(&mut self, what: rollout::Order) -> Result<(), Refused> {
        self.give(Order::Rollout { service: "shop".into(), what }, By::new("ada", None))
    }

    fn standing(&self) -> Standing {
        let Drive { orders, now, .. } = &self.drive;
        orders.budgets.standing_at(orders.state(), "shop", *now)
    }

    fn standing_orders(&self) -> Vec<Override> {
        self.drive.orders.state().orders().cloned().collect()
    }

    fn state(&self) -> Stand {
        let shown = self.drive.snapshot.service("shop").unwrap().state.standing();
        assert_eq!(*shown, self.standing(), "what is shown is what is so");
        shown.state()
    }

    fn seen(&self) -> (u64, u64) {
        let seen = self.standing().objectives[0].reading.seen;
        (seen.total, seen.bad)
    }

    /// State and words of the last rollout.
    fn rollout(&self) -> (&'static str, String) {
        let Drive { orders, now, .. } = &self.drive;
        let report = Report::newest(orders.state(), "shop", now.wall).unwrap();
        (report.status.state, report.status.words)
    }

    fn share(&self) -> BasisPoints {
        self.drive.snapshot.service("shop").unwrap().split.weight("green")
    }

    /// What was said of the budget since it was asked last: severity and words.
    fn told(&mut self) -> Vec<(Severity, String)> {
        let said = std::mem::take(&mut self.said).into_iter();
        let of_budgets = said.filter(|event| event.kind.name() == "slo");
        of_budgets.map(|event| (event.severity(), event.words())).collect()
    }
}

#[test]
fn an_outage_refuses_new_rollouts_until_it_is_over_for_half_an_hour() {
    let mut office = Office::open(FILE);
    office.serve(60, 10, 0);
    office.serve(10, 10, 10);
    assert_eq!(office.state(), Stand::Hold);
    let Err(Refused::Frozen { why, .. }) = office.start(false, None) else { panic!() };
    assert!(
        why.starts_with("the error budget of availability burns 14")
            && why.contains("× (14.4× over 1 h and 5 min), ")
            && why.ends_with("% of it is spent"),
        "{why}"
    );
    let told = office.told();
    assert!(told.len() == 1 && told[0].0 == Severity::High, "{told:?}");
    assert!(told[0].1.starts_with("rollouts are held: the error budget of availability burns"));
    // The bad seconds leave the short window, and after that half an hour passes.
    office.serve(330, 10, 0);
    assert_eq!(office.standing().burning(), [false, true, true, true]);
    while office.standing().burning()[1] {
        office.serve(1, 10, 0);
    }
    office.serve(1_790, 10, 0);
    assert_eq!(office.state(), Stand::Hold);
    office.serve(15, 10, 0);
    assert_eq!(office.state(), Stand::Open);
    let told = office.told();
    assert!(told.len() == 1 && told[0].0 == Severity::Low, "{told:?}");
    office.start(false, None).unwrap();
}

#[test]
fn one_under_way_is_held_and_goes_on_by_itself() {
    let mut office = Office::open(FILE);
    office.start(false, None).unwrap();
    office.serve_both(30, (90, 0), (10, 0));
    assert_eq!(office.share(), BasisPoints::new(1_000).unwrap());
    // Both fail alike: it is not the canary's doing.
    office.serve_both(5, (90, 90), (10, 10));
    let (state, words) = office.rollout();
    assert!(state == "running" && words.starts_with("held: the error budget"), "{words}");
    assert!(matches!(office.order(rollout::Order::Step), Err(Refused::Rollout(_))));
    office.order(rollout::Order::Pause).unwrap();
    office.serve_both(60, (90, 0), (10, 0));
    office.order(rollout::Order::Resume).unwrap();
    while office.state() == Stand::Hold {
        office.serve_both(1, (9, 0), (1, 0));
    }
    // Half of the step's minute had passed before it was held; neither hold nor pause counts.
    office.serve_both(20, (9, 0), (1, 0));
    assert_eq!(office.share().get(), 1_000);
    office.serve_both(15, (9, 0), (1, 0));
    assert_eq!(office.share().get(), 5_000);
}

#[test]
fn a_hook_that_ends_well_during_a_freeze_is_remembered() {
    let hooks = "hold = \"1m\", hooks = { before_step = \"http://gate.test/\" }";
    let mut office = Office::open(&FILE.replace("hold = \"1m\"", hooks));
    office.start(false, None).unwrap();
    office.serve_both(61, (9, 0), (1, 0));
    let task = Task::Hook(rollout::HookPoint::BeforeStep);
    assert!(office.rollout().1.contains("waits for hook before_step"));
    office.freeze(FreezeOrder::Freeze { length: None }, Some("stop")).unwrap();
    office.serve_both(1, (9, 0), (1, 0));
    let passed = Ok(rollout::Finished::Agreed(String::new()));
    let Drive { orders, snapshot, now, .. } = &mut office.drive;
    orders.on_done("shop", 1, task, passed, snapshot, *now);
    office.drive.run(Counts::Wait);
    office.settle();
    office.serve_both(60, (9, 0), (1, 0));
    assert_eq!(office.share().get(), 1_000);
    office.freeze(FreezeOrder::Lift, None).unwrap();
    office.serve_both(1, (9, 0), (1, 0));
    assert_eq!(office.share().get(), 5_000);
}

#[test]
fn neither_a_rollback_nor_an_abort_nor_a_shift_is_ever_refused() {
    let mut office = Office::open(FILE);
    for way in 0..3 {
        office.start(way > 0, Some("again")).unwrap();
        office.serve_both(10, (90, 0), (10, 0));
        office.freeze(FreezeOrder::Freeze { length: None }, Some("enough")).unwrap();
        office.serve_both(10, (90, 0), (10, 0));
        assert!(office.rollout().1.starts_with("held: bob froze them: enough"));
        match way {
            0 => office.order(rollout::Order::Abort).unwrap(),
            _ => {
                let to = match way {
                    1 => crate::orders::TrafficOrder::Back { to: None },
                    _ => crate::orders::TrafficOrder::Flip { pool: "blue".into() },
                };
                let by = By { force: way == 2, ..By::new("ada", None) };
                office.give(Order::Shift { service: "shop".into(), to }, by).unwrap();
            }
        }
        assert_eq!(office.share(), BasisPoints::NONE);
    }
}

#[test]
fn a_canary_that_burns_the_budget_is_taken_back() {
    let mut office = Office::open(FILE);
    office.start(false, None).unwrap();
    office.serve_both(60, (90, 0), (10, 0));
    // Its guard would let all of it pass.
    office.serve_both(20, (90, 1), (10, 8));
    let (state, words) = office.rollout();
    assert_eq!((state, office.share()), ("rolled-back", BasisPoints::NONE));
    assert!(words.contains("are the target's, and the error budget burns "), "{words}");
}

#[test]
fn an_override_needs_a_reason_and_is_kept_for_its_rollout_alone() {
    let mut office = Office::open(FILE);
    office.serve(60, 10, 5);
    office.told();
    assert_eq!(office.start(true, None), Err(Refused::NoReason));
    assert_eq!(office.start(true, Some(" ")), Err(Refused::NoReason));
    office.start(true, Some("the mend")).unwrap();
    let told = office.told();
    assert!(told.len() == 1 && told[0].0 == Severity::Medium, "{told:?}");
    assert!(told[0].1.starts_with("rollout 1 starts all the same: the error budget"), "{told:?}");
    let standing = office.standing_orders().remove(0);
    let what = What::Lifted { service: "shop".into(), rollout: Some(1) };
    assert_eq!((standing.what, standing.author.as_str()), (what, "ada"));
    assert_eq!(standing.reason.as_deref(), Some("the mend"));
    assert_eq!(standing.until, Some(standing.at + LONGEST_OVERRIDE));
    // It goes on though the budget still burns.
    office.serve(70, 10, 5);
    assert_eq!((office.state(), office.share().get()), (Stand::Hold, 5_000));
    // A freeze that somebody orders later counts for it too.
    office.freeze(FreezeOrder::Freeze { length: None }, Some("stop")).unwrap();
    office.serve(2, 10, 5);
    assert!(office.rollout().1.starts_with("held: bob froze them: stop"));
    // Once that is lifted, what was said for the rollout counts again.
    office.freeze(FreezeOrder::Lift, None).unwrap();
    office.serve(2, 10, 5);
    assert!(!office.rollout().1.starts_with("held"), "{:?}", office.rollout());
    office.freeze(FreezeOrder::Freeze { length: None }, Some("stop again")).unwrap();
    office.serve(2, 10, 5);
    assert!(office.rollout().1.starts_with("held: bob froze them: stop again"));
    office.order(rollout::Order::Abort).unwrap();
    office.serve(1, 10, 5);
    office.freeze(FreezeOrder::Lift, None).unwrap();
    assert!(matches!(office.start(false, None), Err(Refused::Frozen { .. })));
    assert!(office.standing_orders().is_empty());
}

#[test]
fn an_override_of_the_service_ends_by_itself_and_an_open_one_needs_none() {
    let mut office = Office::open(FILE);
    let hour = FreezeOrder::Override { length: Duration::from_secs(3_600) };
    let not_frozen = |why: Option<String>| Err(Refused::NotFrozen { service: "shop".into(), why });
    assert_eq!(office.freeze(hour, Some("why not")), not_frozen(None));
    assert_eq!(office.freeze(FreezeOrder::Lift, None), not_frozen(None));
    office.serve(60, 10, 5);
    assert_eq!(office.freeze(FreezeOrder::Lift, None), not_frozen(office.standing().why()));
    assert_eq!(office.freeze(hour, None), Err(Refused::NoReason));
    office.freeze(hour, Some("known and harmless")).unwrap();
    assert_eq!((office.state(), office.standing().refuses()), (Stand::Hold, None));
    office.start(false, None).unwrap();
    office.serve(60, 10, 5);
    office = office.killed();
    office.serve(3_530, 10, 5);
    assert_eq!(office.standing().refuses(), None);
    office.told();
    office.serve(20, 10, 5);
    assert!(office.standing().refuses().is_some());
    assert_eq!(office.told(), [(Severity::Low, "the error budget is heeded again".into())]);
    assert!(office.standing_orders().is_empty());
}

#[test]
fn a_freeze_by_order_outlives_the_process_and_ends_in_time() {
    let mut office = Office::open(FILE);
    let freeze = FreezeOrder::Freeze { length: Some(Duration::from_secs(600)) };
    assert_eq!(office.freeze(freeze, None), Err(Refused::NoReason));
    office.freeze(freeze, Some("black friday")).unwrap();
    assert_eq!(office.told(), [(Severity::Low, "rollouts are frozen for 10m at most".into())]);
    office = office.killed();
    assert_eq!(office.state(), Stand::Frozen);
    let refused = office.start(false, None);
    let why = "bob froze them: black friday".to_string();
    assert_eq!(refused, Err(Refused::Frozen { service: "shop".into(), why }));
    office.serve(600, 1, 0);
    assert_eq!(office.told(), [(Severity::Low, "rollouts are not frozen any more".into())]);
    office.start(false, None).unwrap();
}

#[test]
fn a_budget_that_is_spent_freezes_once_it_is_warm_and_low_budget_wants_a_word() {
    let file = FILE.replace("slo = {}", "slo = { window = \"1d\" }");
    let minutes = |office: &mut Office, count: u64, failing: fn(u64) -> u64| {
        for minute in 0..count {
            office.serve(1, 1_000, failing(minute));
            office.pass(59).unwrap();
        }
        let standing = office.standing();
        (office.state(), standing.objectives[0].reading.remaining, standing.burning())
    };
    let none = [false; 4];
    let mut office = Office::open(&file);
    let (state, left, burning) = minutes(&mut office, DAY / 60 - 5, |_| 2);
    assert!(state == Stand::Open && left < 0.0 && burning[3], "the first day: {left}");
    let mut office = Office::open(&file);
    assert_eq!(minutes(&mut office, DAY / 60 + 5, |_| 0), (Stand::Open, 1.0, none));
    // Just slower than any rate that is too much.
    let (state, left, burning) =
        minutes(&mut office, DAY / 60, |minute| u64::from(minute % 20 > 0));
    assert!((0.04..0.06).contains(&left), "{left}");
    assert_eq!((state, burning), (Stand::Caution, none));
    assert!(office.standing().refuses().is_some() && office.standing().holds().is_none());
    let (state, left, burning) = minutes(&mut office, 90, |_| 2);
    assert!(left < 0.0, "{left}");
    assert_eq!((state, burning), (Stand::Frozen, none));
    assert!(matches!(office.start(false, None), Err(Refused::Frozen { .. })));
    assert!(office.standing().holds().is_some());
    assert_eq!(minutes(&mut office, 150, |_| 0).0, Stand::Frozen, "not 10 % yet");
    assert_eq!(minutes(&mut office, 30, |_| 0).0, Stand::Caution);
    assert_eq!(minutes(&mut office, 120, |_| 0).0, Stand::Caution, "not 20 % yet");
    assert_eq!(minutes(&mut office, 40, |_| 0).0, Stand::Open);
    let severities: Vec<_> = office.told().into_iter().map(|(severity, _)| severity).collect();
    use Severity::{High, Low, Medium};
    assert_eq!(severities, [Medium, High, Medium, Low]);
}

#[test]
fn a_kill_loses_a_minute_of_counts_at_most_and_no_state() {
    let mut office = Office::open(FILE);
    office.serve(58 * 60 + 37, 10, 0);
    office.serve(60, 10, 10);
    assert_eq!(office.state(), Stand::Hold);
    office.serve(23, 10, 0);
    let (total, bad) = office.seen();
    office = office.killed();
    let (kept, kept_bad) = office.seen();
    assert!(total - kept <= 600 && bad - kept_bad <= 600, "{total} {kept} {bad} {kept_bad}");
    assert!(kept > 34_000 && kept_bad > 500, "{kept} {kept_bad}");
    assert_eq!(office.state(), Stand::Hold);
    assert_eq!(office.told(), [], "it was told before");
    office.serve(1, 10, 0);
    assert_eq!(office.seen().0, kept + 10);
}

#[test]
fn a_disk_that_fails_stops_nothing_and_misses_nothing() {
    let mut office = Office::open(FILE);
    office.serve(120, 10, 0);
    office.drive.disk.fail_after(0, Failure::Once);
    let failed = (0..61).filter(|_| office.pass(1).is_err()).count();
    assert_eq!(failed, 1, "it is tried again with the next second");
    office.serve(10, 10, 10);
    assert_eq!(office.state(), Stand::Hold);
    office.serve(60, 10, 0);
    let seen = office.seen();
    let kept = office.killed().seen();
    assert!(seen.0 - kept.0 <= 600 && kept.1 > 0, "{seen:?} {kept:?}");
}

#[test]
fn a_reload_keeps_history_of_what_counts_alike_only() {
    let with = |slo: &str| FILE.replace("slo = {}", &format!("slo = {slo}"));
    let mut office = Office::open(&with("{ latency.p99 = \"500ms\" }"));
    office.serve(120, 10, 0);
    let reload = |office: &mut Office, slo: &str| {
        let config = Arc::new(Config::parse(&with(slo)).unwrap().0);
        office.give(Order::reload(config.clone()), By::new("file", None)).unwrap();
        office.config = config;
        office.pass(1).unwrap();
        let of = |shown: &Shown| (shown.objective.to_string(), shown.reading.seen.total);
        office.standing().objectives.iter().map(of).collect::<Vec<_>>()
    };
    let of = |name: &str, total| (name.to_string(), total);
    let stricter = "{ availability = 99.99, latency.p99 = \"300ms\", window = \"7d\" }";
    assert_eq!(reload(&mut office, stricter), [of("availability", 1_200), of("p99 300ms", 0)]);
    let back = reload(&mut office, "{ latency.p99 = \"500ms\" }");
    let (name, kept) = &back[1];
    assert_eq!((name.as_str(), *kept), ("p99 500ms", 1_200));
    office.serve(1, 10, 0);
    assert_eq!(office.standing().objectives[1].reading.seen.total, kept + 10);
}
