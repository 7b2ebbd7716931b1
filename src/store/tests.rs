mod crashes;
mod damage;
mod older;
mod files;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::*;
use crate::clock::WallTime;
use crate::judge::bursts::{Bursts, ByUpstream};
use crate::judge::{Counts, Guard};
use crate::rollout::{Deploy, Hook, Hooks, Judging, Plan, Rollout, Smoke, Strategy, Version};
use crate::slo::{Budget, DEFAULT_WINDOW, Goal, Kept, Objective, Rings};
use crate::split::{BasisPoints, Split};
use crate::state::{
    About, Deployed, Draft, FilePart, FlagState, GivesBack, Override, Revision, What,
};
use crate::upstream::{BreakerOrder, Label, Labels};

fn shop() -> Arc<str> {
    "shop".into()
}

fn share(percent: u16) -> BasisPoints {
    BasisPoints::new(percent * 100).unwrap()
}

/// So much to green, the rest to blue.
fn split(green: u16) -> Split {
    Split::new([("blue".into(), share(100 - green)), ("green".into(), share(green))]).unwrap()
}

fn draft(author: &str, green: u16) -> Draft {
    let split = split(green);
    Draft {
        split,
        author: author.into(),
        reason: None,
        at: 1.234_567,
        rollout: None,
        is_back: false,
    }
}

/// Changes on top of a state, as orders make them, and events.
#[derive(Clone, Debug, Default)]
struct Batch {
    state: State,
    changes: Vec<Change>,
    events: Vec<StoredEvent>,
}

impl Batch {
    fn on(state: State) -> Batch {
        Batch { state, ..Batch::default() }
    }

    fn change(&mut self, change: Change) -> &mut Batch {
        let gone = self.state.gives_way_to(&change);
        for change in [Some(change), gone].into_iter().flatten() {
            self.state.apply(&change);
            self.changes.push(change);
        }
        self
    }

    fn revise(&mut self, service: &Arc<str>, draft: Draft) -> Arc<Revision> {
        let revision = draft.after(self.state.newest(service).map(|newest| &**newest), None);
        let revision = Arc::new(revision);
        self.change(Change::Revision { service: service.clone(), revision: revision.clone() });
        revision
    }

    fn budget(&mut self, service: &str, budget: &Budget) -> &mut Batch {
        let of: Arc<str> = format!("{service}/{}", budget.objective()).into();
        self.change(Change::Alarms { of: of.clone(), alarms: budget.alarms().clone() });
        for block in budget.rings().unsaved() {
            self.change(Change::Block { of: of.clone(), block });
        }
        for (grain, oldest) in budget.rings().oldest_blocks() {
            let is_old =
                |block: &&Arc<crate::slo::Block>| block.grain == grain && block.number < oldest;
            let old: Vec<_> = self.state.blocks(&of).filter(is_old).cloned().collect();
            for block in old {
                let number = block.number;
                self.change(Change::ForgetBlock { of: of.clone(), grain, number });
            }
        }
        self
    }

    fn commit(&self, store: &Store) -> Result<(), StoreError> {
        store.commit(&self.changes, &self.events)
    }
}

fn rollout(id: u64) -> Rollout {
    let seconds = Duration::from_secs;
    let hook = Hook::Webhook {
        url: "https://ci.test/gate".into(),
        secret_file: Some("/etc/pointsman/gate.key".into()),
        timeout: seconds(10),
    };
    let smoke = Smoke {
        method: "GET".into(),
        path: "/health".into(),
        headers: vec![("accept".into(), "text/plain".into())],
        body: None,
        status: Some(200),
        contains: Some("ok".into()),
        timeout: Duration::from_millis(2_500),
    };
    let plan = Plan {
        strategy: Strategy::Canary,
        from: "blue".into(),
        to: "green".into(),
        steps: vec![share(5), share(50), share(100)],
        hold: seconds(60),
        min_requests: 100,
        longest_step: seconds(3_600),
        guard: Guard::default(),
        watch: seconds(600),
        ready_within: seconds(30),
        drain: seconds(30),
        at_once: 1,
        smoke: vec![smoke],
        hooks: Hooks { before_start: Some(hook), ..Hooks::default() },
        judging: Judging::default(),
    };
    let (author, reason) = ("ada".into(), Some("v2".into()));
    Rollout::start(id, shop(), (plan, None), (author, reason), WallTime::from_millis(id)).0
}

fn event(number: u64) -> StoredEvent {
    StoredEvent {
        number,
        at: WallTime::from_millis(number),
        kind: "breaker".into(),
        code: String::new(),
        severity: "high".into(),
        service: "shop".into(),
        pool: "green".into(),
        upstream: String::new(),
        what: "opened".into(),
        author: None,
        reason: Some("6 of 100 requests failed".into()),
        labels: Default::default(),
        trace: None,
    }
}

fn standing(what: What) -> Override {
    let (at, until) = (WallTime::from_millis(7), Some(WallTime::from_millis(9)));
    Override { what, author: "ada".into(), reason: Some("deploy".into()), at, until }
}

/// One of each kind.
fn overrides() -> Vec<Override> {
    let (service, pool) = (|| "shop".to_string(), || "blue".to_string());
    let upstream = || "unix:/run/blue 1.sock".to_string();
    let whats = [
        What::Breaker {
            service: service(),
            pool: pool(),
            upstream: None,
            order: BreakerOrder::Closed,
        },
        What::Breaker {
            service: service(),
            pool: pool(),
            upstream: Some(upstream()),
            order: BreakerOrder::Open,
        },
        What::Contracted { service: service(), pool: pool(), by_rollout: 3 },
        What::Drain { service: service(), pool: pool(), upstream: upstream() },
        What::Freeze { service: service() },
        What::Lifted { service: service(), rollout: None },
        What::Lifted { service: service(), rollout: Some(4) },
        What::Maintenance { service: "api".into(), message: Some("back at nine".into()) },
        What::Hold { service: service(), most: 9 },
        What::Upstreams {
            service: service(),
            pool: pool(),
            list: vec![(upstream(), 5)],
            in_file: None,
            labels: BTreeMap::new(),
            deploy: None,
        },
    ];
    whats.into_iter().map(standing).collect()
}

fn flag(percent: u16) -> FlagState {
    let at = WallTime::from_millis(3);
    FlagState {
        percent: share(percent),
        revision: 0,
        author: "ada".into(),
        reason: None,
        at,
        is_back: false,
    }
}

fn availability() -> Objective {
    Objective::Availability(Goal::THREE_NINES)
}

/// A budget that has been looked at for so many half hours, and stored after each but the last.
fn budget(half_hours: u64) -> Budget {
    let at = |second: u64| WallTime::from_millis(1_700_000_000_000 + second * 1_000);
    let kept = Kept::default();
    let mut budget = Budget::begin(availability(), DEFAULT_WINDOW, kept, true, at(0));
    for look in 1..=half_hours * 180 {
        if look % 180 == 1 {
            budget.set_saved();
        }
        budget.look(Counts { total: 100 * look, bad: look }, at(10 * look));
    }
    budget
}

/// A batch with every kind of change, the `n`th of a row.
fn everything(n: u64) -> &'static Batch {
    static ROW: OnceLock<Vec<Batch>> = OnceLock::new();
    let row = ROW.get_or_init(|| {
        let mut row: Vec<Batch> = Vec::new();
        for n in 0..12 {
            let before = row.last().map(|batch| batch.state.clone()).unwrap_or_default();
            row.push(nth(before, n));
        }
        row
    });
    &row[n as usize]
}

fn nth(state: State, n: u64) -> Batch {
    let mut batch = Batch::on(state);
    let draft = Draft { rollout: Some(n), reason: Some("step".into()), ..draft("ada", 5) };
    batch.revise(&shop(), draft);
    if let Some(passed) = batch.state.revision("shop", n).cloned() {
        let revision = Revision { outcome: Some("was passed".into()), ..(*passed).clone() };
        batch.change(Change::Revision { service: shop(), revision: Arc::new(revision) });
    }
    let (name, state) = ("beta".into(), FlagState { revision: n + 1, ..flag(n as u16 % 100) });
    batch.change(Change::Flag { name, state: Arc::new(state) });
    let said = Some("blue=95 green=5".to_string());
    batch.change(Change::InFile { of: "split shop".into(), said });
    batch.change(Change::InFile { of: "flag beta".into(), said: None });
    let since = (!n.is_multiple_of(4)).then(|| WallTime::from_millis(n));
    batch.change(Change::Absent { part: FilePart::Service("web".into()), since });
    batch.budget("shop", &budget(n + 1)).budget("api", &budget(1));
    let bursts = (n % 3 != 2).then(|| Arc::new(bursts(60 * n)));
    batch.change(Change::Bursts { of: "shop/blue".into(), bursts });
    batch.events = vec![event(2 * n + 1), event(2 * n + 2)];
    for standing in overrides() {
        batch.change(Change::Order(standing));
    }
    let rollout = Arc::new(judged(n + 1));
    let (id, heard) = (rollout.id, rollout.heard().clone());
    match n % 2 {
        0 => {
            batch.change(Change::Rollout(rollout));
            batch.change(Change::Heard { service: shop(), id, heard });
        }
        _ => {
            batch.change(Change::Past(rollout));
            batch.change(Change::EndRollout { service: shop() });
            batch.change(Change::ForgetHeard { service: shop() });
            batch.change(Change::Clear(About::mode("api")));
            let of: Arc<str> = "api/availability".into();
            let blocks: Vec<_> = batch.state.blocks(&of).cloned().collect();
            for block in blocks {
                let (grain, number) = (block.grain, block.number);
                batch.change(Change::ForgetBlock { of: of.clone(), grain, number });
            }
            batch.change(Change::ForgetAlarms { of });
        }
    }
    batch
}

/// What is known of a pool that stalls, after so many seconds.
fn bursts(seconds: u64) -> Bursts {
    let mut bursts = Bursts::default();
    for at in 0..seconds {
        let attempts = Counts { total: 50, bad: if at % 40 < 3 { 20 } else { 0 } };
        let upstream = ByUpstream { name: "a".into(), attempts, answers: 30, slow: [15, 2, 0] };
        bursts.tick(&[upstream.clone(), ByUpstream { name: "b".into(), ..upstream }]);
    }
    bursts
}

/// A rollout whose judge has heard something.
fn judged(id: u64) -> Rollout {
    let mut judged = rollout(id);
    judged.seat_judge(crate::rollout::Past::default());
    for second in 1..=3 {
        let reading = crate::judge::Reading::default();
        judged.hear(&reading, WallTime::from_millis(1_000 * second));
    }
    judged
}

#[test]
fn whatever_is_committed_is_recalled_as_it_was_believed() {
    let store = Store::in_memory();
    for n in 0..8 {
        everything(n).commit(&store).unwrap();
        assert_eq!(store.recall().unwrap(), everything(n).state, "after {n}");
    }
    let numbers: Vec<u64> = store.events().unwrap().iter().map(|event| event.number).collect();
    assert_eq!(numbers, (1..=16).collect::<Vec<_>>());
}

#[test]
fn an_export_of_what_is_in_memory_is_that_of_the_store() {
    let store = Store::in_memory();
    for n in 0..4 {
        everything(n).commit(&store).unwrap();
    }
    let of_memory = Export::of(&everything(3).state, &store.events().unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let of_store = store.export().unwrap();
    let recalled = [of_memory, of_store].map(|export| {
        let path = folder.path().join("again.redb");
        Store::import(&path, &export, true).unwrap();
        let again = Store::open(&path).unwrap();
        (again.recall().unwrap(), again.events().unwrap())
    });
    assert_eq!(recalled[0], recalled[1]);
    assert_eq!(recalled[0].0, everything(3).state);
}

#[test]
fn labels_that_were_ordered_are_kept_with_their_upstreams() {
    let labels: Labels = ["zone=a".parse::<Label>().unwrap()].into_iter().collect();
    let what = |labels: &[(&str, &Labels)]| What::Upstreams {
        service: "shop".into(),
        pool: "blue".into(),
        list: vec![("10.0.0.1:80".into(), 5), ("10.0.0.2:80".into(), 5)],
        in_file: None,
        labels: labels.iter().map(|(of, labels)| (of.to_string(), (*labels).clone())).collect(),
        deploy: None,
    };
    // That one was given none is another thing than that nothing was said of it.
    let all = [("10.0.0.1:80", &labels), ("10.0.0.2:80", &Labels::default())];
    let store = Store::in_memory();
    let mut batch = Batch::default();
    batch.change(Change::Order(Override { what: what(&all), ..overrides().remove(0) }));
    batch.commit(&store).unwrap();
    let kept = store.recall().unwrap();
    let standing = kept.order(&About::upstreams("shop", "blue")).unwrap();
    assert_eq!(standing.what, what(&all));
    // As older versions wrote it, and so that they read it where nobody was given any.
    let json = serde_json::to_value(what(&[])).unwrap();
    assert_eq!(json["upstreams"].get("labels"), None, "{json}");
    assert_eq!(serde_json::from_value::<What>(json).unwrap(), what(&[]));
}

#[test]
fn the_oldest_events_are_forgotten() {
    let store = Store::in_memory();
    for first in [1, 600] {
        let events: Vec<StoredEvent> = (first..first + 599).map(event).collect();
        store.commit(&[], &events).unwrap();
    }
    let events = store.events().unwrap();
    assert_eq!((events.len(), events[0].number), (EVENTS_KEPT, 199));
}

#[test]
fn what_a_judge_of_another_version_has_heard_is_let_go_of_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let export = |version: u64| {
        let store = Store::in_memory();
        everything(0).commit(&store).unwrap();
        let mut json = serde_json::to_value(store.export().unwrap()).unwrap();
        json["tables"]["hearings"]["shop"]["version"] = version.into();
        serde_json::from_value::<Export>(json).unwrap()
    };
    for (version, is_known) in [(1, false), (2, true), (3, false)] {
        Store::import(&path, &export(version), true).unwrap();
        let state = Store::open(&path).unwrap().recall().unwrap();
        let rollout = state.rollout("shop").unwrap();
        assert_eq!(rollout.has_lost_hearing(), !is_known);
        assert_eq!((rollout.id, &rollout.plan), (1, &judged(1).plan));
    }
    // One that says nothing of the kind is damage, not another version.
    let mut json = serde_json::to_value(export(1)).unwrap();
    json["tables"]["hearings"]["shop"]["heard"]["trail"] = 7.into();
    let damaged: Export = serde_json::from_value(json).unwrap();
    let imported = Store::import(&path, &damaged, true);
    assert!(matches!(imported, Err(StoreError::NotAnExport { .. })), "{imported:?}");
}

#[test]
fn names_that_begin_alike_are_kept_apart() {
    let store = Store::in_memory();
    let mut batch = Batch::default();
    for (service, revisions) in [("a", 2), ("a-b", 3), ("a0", 1), ("A", 1), ("a_", 1)] {
        (0..revisions).for_each(|_| drop(batch.revise(&service.into(), draft(service, 0))));
    }
    batch.commit(&store).unwrap();
    let state = store.recall().unwrap();
    let newest = state.services().map(|name| (name, state.newest(name).unwrap()));
    let found: Vec<_> = newest.map(|(name, at)| (&**name, at.number, &*at.author)).collect();
    let expected =
        [("A", 1, "A"), ("a", 2, "a"), ("a-b", 3, "a-b"), ("a0", 1, "a0"), ("a_", 1, "a_")];
    assert_eq!(found, expected);
}

#[test]
fn the_secret_is_made_once() {
    let store = Store::in_memory();
    assert!(matches!(store.secret(|| Err(io::Error::other("no"))), Err(StoreError::Secret(_))));
    assert_eq!(store.secret(|| Ok([1; 16])).unwrap(), [1; 16]);
    assert_eq!(store.secret(|| Ok([2; 16])).unwrap(), [1; 16]);
}

/// A version in the place of another that was deployed before it.
fn deployed() -> Deployed {
    let version = |rollout, tag: &str| Version { rollout, tag: Some(tag.parse().unwrap()) };
    let what = What::Upstreams {
        service: "shop".into(),
        pool: "blue".into(),
        list: vec![("192.0.2.1:80".into(), 100)],
        in_file: Some(Vec::new()),
        labels: BTreeMap::new(),
        deploy: Some(Deployed { version: version(4, "v41"), gives_back: None }),
    };
    let was = Some(Box::new(standing(what)));
    Deployed { version: version(7, "v42"), gives_back: Some(GivesBack { was }) }
}

#[test]
fn what_was_deployed_is_kept_with_what_the_pool_had_before() {
    let what = What::Upstreams {
        service: "shop".into(),
        pool: "blue".into(),
        list: vec![("192.0.2.2:80".into(), 100)],
        in_file: Some(Vec::new()),
        labels: BTreeMap::new(),
        deploy: Some(deployed()),
    };
    let store = Store::in_memory();
    let mut batch = Batch::default();
    batch.change(Change::Order(standing(what.clone())));
    let mut rollout = rollout(7);
    let upstreams = vec!["192.0.2.2:80".into()];
    rollout.deploy = Some(Deploy { tag: Some("v42".parse().unwrap()), upstreams });
    batch.change(Change::Rollout(Arc::new(rollout.clone())));
    let revision = batch.revise(&shop(), draft("ada", 5));
    let versions = [("blue".into(), deployed().version)].into();
    let revision = Revision { versions, ..(*revision).clone() };
    batch.change(Change::Revision { service: shop(), revision: Arc::new(revision.clone()) });
    batch.commit(&store).unwrap();
    let kept = store.recall().unwrap();
    assert_eq!(kept.order(&About::upstreams("shop", "blue")).unwrap().what, what);
    assert_eq!(kept.rollout("shop").unwrap().deploy, rollout.deploy);
    assert_eq!(kept.newest("shop").unwrap().versions, revision.versions);
}
