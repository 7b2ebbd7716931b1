use std::time::{Duration, Instant};

use super::super::drive::Drive;
use super::super::{By, FreezeOrder, Made, Now, Order};
use super::*;
use crate::clock::WallTime;
use crate::config::{Config, Severity};
use crate::event::Event;
use crate::incident::{ALERTS_KEPT, Alert, EntryKind};
use crate::rollout;
use crate::store::crash::{FrailDisk, Leaves};
use crate::upstream::{Outcome, StatusClass};

const FILE: &str = r#"
[incidents]
rollback = "high"
alerts = { severity = "critical" }
updates = "10m"

[[listeners]]
address = "127.0.0.1:0"

[[routes]]
service = "shop"

[services.shop.pools]
blue.upstreams = ["192.0.2.1:80"]
green.upstreams = ["192.0.2.3:80"]

[services.shop]
split = { blue = 100 }
"#;

/// Orders on a disk, time, and events as the list of the process has them.
struct Bench {
    drive: Drive,
    events: Vec<(u64, WallTime, Event)>,
}

fn config() -> Arc<Config> {
    Arc::new(Config::parse(FILE).unwrap().0)
}

fn ann() -> By {
    By::new("ann", None)
}

impl Bench {
    fn new() -> Bench {
        let wall = WallTime::from_millis(1_700_000_000_000);
        let now = Now { instant: Instant::now(), wall };
        let drive = Drive::open(FrailDisk::default(), config(), now).unwrap();
        let mut bench = Bench { drive, events: Vec::new() };
        bench.ticks(1);
        bench
    }

    /// The next process, with the events that were stored.
    fn killed(&mut self) {
        let disk = self.drive.disk.survivor(Leaves::EveryWrite);
        self.drive.pass(Duration::from_secs(1));
        self.drive = Drive::open(disk, config(), self.drive.now).unwrap();
        self.ticks(1);
    }

    fn happens(&mut self, kind: Kind, subject: Subject) {
        let number = self.events.last().map_or(1, |(last, _, _)| last + 1);
        self.events.push((number, self.drive.now.wall, Event::by_itself(kind, subject)));
    }

    fn rolled_back(&mut self) {
        let event = rollout::Event::RolledBack { why: "8 % of 100 requests failed".into() };
        let kind = Kind::Rollout { id: 3, event: Box::new(event) };
        self.happens(kind, Subject::service("shop"));
    }

    fn ticks(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.drive.pass(Duration::from_secs(1));
            let drive = &mut self.drive;
            drive.orders.tick(&drive.snapshot, drive.now);
            let after = drive.orders.gathered();
            let new = self.events.iter().filter(|(number, _, _)| *number > after);
            let new: Vec<Happened<'_>> = new
                .map(|(number, at, event)| Happened { number: *number, at: *at, event })
                .collect();
            drive.orders.gather(&new, &drive.snapshot, drive.now);
            drive.run(super::super::Counts::Go);
        }
    }

    /// So many requests come, of which so many fail.
    fn requests(&self, good: u64, bad: u64) {
        let service = self.drive.snapshot.service("shop").unwrap();
        let tally = &service.pools[0].state.tally;
        for _ in 0..good {
            tally.record(Outcome::Status(StatusClass::Success), Duration::ZERO);
        }
        for n in 0..bad {
            let server_error = Outcome::Status(StatusClass::ServerError);
            let outcome = if n % 2 == 0 { server_error } else { Outcome::Failed };
            tally.record(outcome, Duration::ZERO);
        }
        tally.record(Outcome::ClientGone, Duration::ZERO);
    }

    fn order(&mut self, order: IncidentOrder) -> Result<Arc<Incident>, Refused> {
        match self.drive.order(Order::Incident(Box::new(order)), ann())?.answer {
            Made::Incident(incident) => Ok(incident),
            other => panic!("{other:?}"),
        }
    }

    fn alerts(&mut self, alerts: Vec<Alert>) -> Result<Vec<u64>, Refused> {
        match self.drive.order(Order::Alerts(alerts), By::new("am", None))?.answer {
            Made::Alerts { opened, .. } => Ok(opened),
            other => panic!("{other:?}"),
        }
    }

    fn incidents(&self) -> Vec<Arc<Incident>> {
        self.drive.orders.state().incidents().cloned().collect()
    }

    /// What was told since it was asked last, by its code.
    fn told(&mut self) -> Vec<String> {
        let said = self.drive.said().into_iter();
        said.map(|event| event.kind.code().to_string()).collect()
    }
}

fn opening(services: &[&str]) -> Opening {
    Opening {
        title: "checkout failing".into(),
        severity: Severity::Critical,
        services: services.iter().map(|name| (*name).into()).collect(),
        commander: None,
        channel: None,
        every: Duration::from_secs(600),
    }
}

fn alert(fingerprint: &str, severity: &str) -> Alert {
    let labels = [("alertname", "Down"), ("service", "shop"), ("severity", severity)];
    Alert {
        fingerprint: fingerprint.into(),
        name: String::new(),
        service: String::new(),
        labels: labels.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect(),
        annotations: Default::default(),
        since: WallTime::from_millis(1),
        resolved: None,
        heard: WallTime::from_millis(1_700_000_000_000),
    }
}

#[test]
fn a_storm_opens_one_incident_and_tells_of_it_once() {
    let mut bench = Bench::new();
    bench.told();
    for second in 0..60 {
        for _ in 0..166 {
            let left = Duration::from_secs(second);
            let kind = if second % 7 == 0 { Kind::CameBack } else { Kind::Ejected { left } };
            bench.happens(kind, Subject::new("shop", "blue", "192.0.2.1:80"));
        }
        bench.rolled_back();
        bench.ticks(1);
    }
    let all = bench.incidents();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].origin.kind, OriginKind::Rollback);
    let entries = all[0].timeline.entries();
    let gathered: u64 =
        entries.iter().filter(|it| it.kind == EntryKind::Event).map(|it| it.count).sum();
    assert_eq!(gathered, 60 * 167, "nothing is missing, and nothing is there twice");
    assert!(entries.len() < 10, "{}", entries.len());
    assert_eq!(bench.told(), ["incident-opened"]);
    assert_eq!(all[0].seen, 60 * 167);
}

#[test]
fn whatever_it_is_killed_at_one_incident_is_opened_and_nothing_is_forgotten() {
    for ticks in 0..4 {
        let mut bench = Bench::new();
        bench.rolled_back();
        bench.ticks(ticks);
        let known = bench.incidents();
        bench.killed();
        bench.ticks(2);
        let all = bench.incidents();
        assert_eq!(all.len(), 1, "killed after {ticks}");
        assert!(known.is_empty() || known[0].opened == all[0].opened);
        let close = IncidentOrder::Close { id: 1, resolution: "mended".into() };
        bench.order(close).unwrap();
        bench.killed();
        bench.ticks(3);
        let all = bench.incidents();
        assert_eq!(
            (all.len(), all[0].state()),
            (1, "closed"),
            "the same event opens no second one"
        );
        let entries = all[0].timeline.entries();
        let gathered = entries.iter().filter(|it| it.kind == EntryKind::Event);
        assert_eq!(gathered.map(|it| it.count).sum::<u64>(), 1);
    }
}

#[test]
fn it_counts_what_failed_from_the_first_failure_on_over_restarts() {
    let mut bench = Bench::new();
    bench.requests(100, 0);
    bench.ticks(1);
    bench.requests(10, 5);
    bench.ticks(60);
    bench.requests(10, 5);
    let open = IncidentOrder::Open { opening: opening(&["shop"]), freezes: false };
    let incident = bench.order(open).unwrap();
    assert_eq!((incident.impact.came.requests, incident.impact.came.failed), (30, 10));
    assert_eq!(incident.time_to_detect(), Some(Duration::from_secs(59)));
    bench.requests(0, 7);
    bench.ticks(1);
    bench.killed();
    bench.requests(1, 2);
    let note = IncidentOrder::Note { id: 1, text: "the cache".into() };
    let incident = bench.order(note).unwrap();
    assert_eq!((incident.impact.came.requests, incident.impact.came.failed), (40, 19));
    let close = IncidentOrder::Close { id: 1, resolution: "over".into() };
    bench.order(close).unwrap();
    bench.requests(5, 5);
    bench.ticks(2);
    assert_eq!(bench.incidents()[0].impact.came.failed, 19, "what comes later is not its");
}

#[test]
fn it_freezes_what_is_not_frozen_and_lifts_only_that() {
    let mut bench = Bench::new();
    let open = |freezes| IncidentOrder::Open { opening: opening(&["shop"]), freezes };
    let about = About::freeze("shop");
    let incident = bench.order(open(true)).unwrap();
    assert_eq!(incident.froze, ["shop"]);
    assert!(bench.drive.orders.state().order(&about).is_some());
    bench.order(IncidentOrder::Close { id: 1, resolution: "over".into() }).unwrap();
    assert!(bench.drive.orders.state().order(&about).is_none());

    let freeze = FreezeOrder::Freeze { length: None };
    let freeze = Order::Freeze { service: "shop".into(), what: freeze };
    bench.drive.order(freeze, By::new("bob", Some("black friday"))).unwrap();
    assert!(bench.order(open(true)).unwrap().froze.is_empty());
    bench.order(IncidentOrder::Close { id: 2, resolution: "over".into() }).unwrap();
    assert!(bench.drive.orders.state().order(&about).is_some(), "that one is bob's");
}

#[test]
fn an_update_that_is_due_is_said_once_in_its_time() {
    let mut bench = Bench::new();
    let open = IncidentOrder::Open { opening: opening(&["shop"]), freezes: false };
    bench.order(open).unwrap();
    bench.ticks(598);
    bench.told();
    bench.ticks(4);
    assert_eq!(bench.told(), ["incident-update-due"]);
    bench.killed();
    bench.ticks(500);
    assert_eq!(bench.told(), Vec::<String>::new(), "after a restart neither");
    bench.ticks(110);
    assert_eq!(bench.told(), ["incident-update-due"]);
}

#[test]
fn what_cannot_be_done_is_refused() {
    let mut bench = Bench::new();
    let unknown = IncidentOrder::Open { opening: opening(&["shopp"]), freezes: false };
    assert_eq!(bench.order(unknown), Err(Refused::NoService("shopp".into())));
    let note = IncidentOrder::Note { id: 9, text: "x".into() };
    assert_eq!(bench.order(note), Err(Refused::NoIncident(9)));
    bench.order(IncidentOrder::Open { opening: opening(&[]), freezes: false }).unwrap();
    let close = IncidentOrder::Close { id: 1, resolution: "over".into() };
    let late = By { expected: Some(7), ..ann() };
    let order = Order::Incident(Box::new(close.clone()));
    let refused = bench.drive.order(order, late).unwrap_err();
    assert!(matches!(refused, Refused::LostRace(_)), "{refused:?}");
    bench.order(close.clone()).unwrap();
    let why = crate::incident::NotNow::Closed;
    assert_eq!(bench.order(close), Err(Refused::IncidentNot { id: 1, why }));
}

#[test]
fn an_alert_opens_one_incident_of_its_service_and_freezes_nothing() {
    let mut bench = Bench::new();
    bench.told();
    assert_eq!(bench.alerts(vec![alert("a", "warning")]), Ok(vec![]));
    let both = vec![alert("b", "critical"), alert("c", "critical")];
    assert_eq!(bench.alerts(both.clone()), Ok(vec![1]));
    assert_eq!(bench.told(), ["alerts-firing", "alerts-firing", "incident-opened"]);
    assert_eq!(bench.incidents()[0].services, ["shop"]);
    assert_eq!(bench.incidents()[0].severity, Severity::Critical);
    assert!(bench.drive.orders.state().orders().next().is_none());
    // What is said again is no news, before and after a restart.
    assert_eq!(bench.alerts(both.clone()), Ok(vec![]));
    bench.killed();
    assert_eq!(bench.alerts(both), Ok(vec![]));
    assert_eq!(bench.incidents().len(), 1);
    assert_eq!(bench.drive.orders.state().alerts().len(), 3);
    // One that is resolved leaves after a while.
    let resolved = Some(bench.drive.now.wall);
    bench
        .alerts(vec![Alert { resolved, heard: bench.drive.now.wall, ..alert("b", "critical") }])
        .unwrap();
    bench.ticks(899);
    assert_eq!(bench.drive.orders.state().alerts().len(), 3);
    bench.ticks(3);
    assert_eq!(bench.drive.orders.state().alerts().len(), 2);
}

#[test]
fn alerts_are_bounded_and_resolved_ones_make_room() {
    let mut bench = Bench::new();
    for n in 0..ALERTS_KEPT / 100 {
        let alerts = (0..100).map(|m| alert(&format!("{n}-{m}"), "warning")).collect();
        bench.alerts(alerts).unwrap();
    }
    let refused = bench.alerts(vec![alert("x", "warning"), alert("y", "warning")]);
    assert_eq!(refused, Err(Refused::TooManyAlerts(ALERTS_KEPT)));
    let resolved = Some(bench.drive.now.wall);
    bench.alerts(vec![Alert { resolved, ..alert("0-0", "warning") }]).unwrap();
    bench.alerts(vec![alert("x", "warning")]).unwrap();
    let alerts = bench.drive.orders.state().alerts();
    assert_eq!(alerts.len(), ALERTS_KEPT);
    assert!(alerts.contains_key("x") && !alerts.contains_key("0-0"));
}
