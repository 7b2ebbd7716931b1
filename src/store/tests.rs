mod crashes;
mod damage;
mod older;
mod files;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::WallTime;
use crate::judge::{Counts, Guard};
use crate::rollout::{Hook, HookPoint, Hooks, Judging, Plan, Smoke, Strategy, Task};
use crate::slo::{Budget, DEFAULT_WINDOW, Kept, Objective, Rings, Target};
use crate::split::{BasisPoints, Split};
use crate::upstream::BreakerOrder;

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
    Draft { split, author: author.into(), reason: None, at: 1.234_567, rollout: None }
}

fn revise(store: &Store, expected: u64, green: u16) -> Result<Revision, CommitError> {
    let mut batch = Batch::new();
    batch.revise(&shop(), expected, draft("a", green));
    store.commit(batch).map(|mut made| made.remove(0))
}

#[test]
fn of_two_changes_to_one_revision_the_second_loses() {
    let store = Store::in_memory();
    assert_eq!(revise(&store, 0, 0).unwrap().number, 1);
    assert_eq!(revise(&store, 1, 5).unwrap().number, 2);
    let lost = revise(&store, 1, 10).unwrap_err();
    assert!(matches!(lost, CommitError::LostRace(LostRace { expected: 1, current: 2 })));
    assert_eq!(store.recall().unwrap().newest["shop"].split, split(5));
}

#[test]
fn a_batch_happens_whole_or_not_at_all() {
    let store = Store::in_memory();
    let mut batch = Batch::new();
    batch.revise(&shop(), 0, draft("a", 0));
    batch.revise(&"api".into(), 7, draft("a", 0));
    assert!(matches!(store.commit(batch), Err(CommitError::LostRace(_))));
    assert_eq!(store.recall().unwrap(), Memory::default());
    let mut batch = Batch::new();
    batch.revise(&shop(), 0, draft("a", 0)).revise(&shop(), 1, draft("a", 5));
    batch.outcome(&shop(), 1, "left for green");
    let made = store.commit(batch).unwrap();
    assert_eq!(made.iter().map(|made| made.number).collect::<Vec<_>>(), [1, 2]);
    let first = store.revision("shop", 1).unwrap().unwrap();
    assert_eq!(first, Revision { outcome: Some("left for green".into()), ..made[0].clone() });
    assert_eq!(store.history("shop", 9).unwrap(), [made[1].clone(), first]);
}

#[test]
fn each_way_out_of_one_pool_has_its_own_salt() {
    let store = Store::in_memory();
    let greens = [0, 5, 10, 0, 0, 20, 50, 100, 40];
    let salts = greens
        .iter()
        .enumerate()
        .map(|(before, &green)| revise(&store, before as u64, green).unwrap().salt);
    assert_eq!(salts.collect::<Vec<_>>(), [1, 2, 2, 2, 5, 6, 6, 6, 9]);
}

#[test]
fn the_oldest_are_forgotten() {
    let store = Store::in_memory();
    for number in 0..KEPT as u64 + 5 {
        revise(&store, number, 0).unwrap();
    }
    let history = store.history("shop", usize::MAX).unwrap();
    assert_eq!((history.len(), history[0].number, history[KEPT - 1].number), (KEPT, 1_005, 6));
    assert_eq!(store.revision("shop", 5).unwrap(), None);
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
    Rollout::start(id, shop(), plan, author, reason, WallTime::from_millis(id)).0
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
        What::Upstreams { service: service(), pool: pool(), list: vec![(upstream(), 5)] },
    ];
    whats.into_iter().map(standing).collect()
}

fn flag(percent: u16) -> FlagState {
    let at = WallTime::from_millis(3);
    FlagState { percent: share(percent), revision: 0, author: "ada".into(), reason: None, at }
}

fn availability() -> Objective {
    Objective::Availability(Target::THREE_NINES)
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
fn everything(n: u64) -> Batch {
    let mut batch = Batch::new();
    let draft = Draft { rollout: Some(n), reason: Some("step".into()), ..draft("ada", 5) };
    batch.revise(&shop(), n, draft).outcome(&shop(), n, "was passed");
    batch.rollout(&rollout(n + 1)).flag(&"beta".into(), n, flag(n as u16 % 100));
    batch.in_file("split shop", Some("blue=95 green=5")).in_file("flag beta", None);
    batch.budget("shop", &budget(n + 1)).budget("api", &budget(1));
    batch.events(vec![event(2 * n + 1), event(2 * n + 2)]);
    overrides().into_iter().for_each(|standing| {
        batch.set(standing);
    });
    if n % 2 == 1 {
        batch.end_rollout(&rollout(n + 1));
        batch.clear(OverrideKey::Mode { service: "api".into() });
        batch.forget_budget("api/availability");
    }
    batch
}

#[test]
fn what_ended_with_a_hook_under_way_is_recalled_until_the_hook_has_ended() {
    let store = Store::in_memory();
    store.commit(everything(0)).unwrap();
    store.commit(everything(1)).unwrap();
    store.commit(everything(2)).unwrap();
    let mut ended = rollout(2);
    assert_eq!(store.recall().unwrap().lingering, [ended.clone()]);
    ended.forget(&Task::Hook(HookPoint::BeforeStart));
    let mut batch = Batch::new();
    batch.settle(&ended).settle(&rollout(9));
    store.commit(batch).unwrap();
    let memory = store.recall().unwrap();
    assert_eq!((memory.lingering, memory.rollouts), (vec![], vec![rollout(3)]));
    assert_eq!(store.past_rollouts("shop", 9).unwrap(), [ended]);
}

#[test]
fn everything_that_was_committed_is_recalled() {
    let store = Store::in_memory();
    store.commit(everything(0)).unwrap();
    let secret = store.secret(|| Ok([0xa5; 16])).unwrap();
    let memory = store.recall().unwrap();
    let expected = Memory {
        newest: [(shop(), store.revision("shop", 1).unwrap().unwrap())].into(),
        rollouts: vec![rollout(1)],
        lingering: vec![],
        last_rollouts: [(shop(), 1)].into(),
        overrides: overrides(),
        flags: [("beta".into(), FlagState { revision: 1, ..flag(0) })].into(),
        in_file: [("split shop".into(), "blue=95 green=5".into())].into(),
        secret: Some(secret),
        events: vec![event(1), event(2)],
    };
    assert_eq!(memory, expected);
    store.commit(everything(1)).unwrap();
    let memory = store.recall().unwrap();
    assert_eq!((memory.rollouts, &memory.last_rollouts["shop"]), (vec![], &2));
    assert_eq!(store.past_rollouts("shop", 9).unwrap(), [rollout(2)]);
    assert_eq!(memory.overrides.len(), overrides().len() - 1);
    assert_eq!(store.events_after(2, 1).unwrap(), [event(3)]);
    let shares = store.flag_history("beta", 9).unwrap();
    assert_eq!(shares.iter().map(|state| state.percent.get()).collect::<Vec<_>>(), [100, 0]);
}

#[test]
fn a_budget_is_stored_in_pieces_and_forgotten_once_it_is_over() {
    let store = Store::in_memory();
    for half_hours in 1..=16 {
        let mut batch = Batch::new();
        batch.budget("shop", &budget(half_hours));
        store.commit(batch).unwrap();
    }
    let Kept { blocks, course } = store.budget("shop", &availability()).unwrap();
    let whole = budget(16);
    assert_eq!(&course, whole.course());
    let rings = |blocks| {
        let mut rings = Rings::recall(DEFAULT_WINDOW, blocks);
        rings.note(whole.rings().newest().unwrap(), whole.rings().totals());
        rings.set_saved();
        rings
    };
    let recalled = rings(blocks.clone());
    assert_eq!(recalled.newest(), whole.rings().newest());
    assert_eq!(recalled.totals(), whole.rings().totals());
    // Eight hours came and six are needed, in stretches of half an hour.
    let fine = blocks.iter().filter(|block| block.grain.name() == "10s").count();
    assert!((13..=14).contains(&fine), "{fine}");
    assert_eq!(blocks.len(), fine + 3, "and two days and ten");
    let (key, newest) = store.budgets().unwrap().remove(0);
    assert_eq!((key.as_str(), Some(newest)), ("shop/availability", whole.rings().newest()));
    let p99 = Objective::Latency {
        quantile: crate::slo::Quantile::P99,
        at_most: Duration::from_millis(500),
    };
    assert_eq!(store.budget("shop", &p99).unwrap(), Kept::default());
    let mut batch = Batch::new();
    batch.forget_budget(&key);
    store.commit(batch).unwrap();
    assert_eq!(store.budget("shop", &availability()).unwrap(), Kept::default());
    assert_eq!(store.export().unwrap(), {
        let empty = Store::in_memory();
        (0..17).for_each(|_| drop(empty.commit(Batch::new()).unwrap()));
        empty.export().unwrap()
    });
}

#[test]
fn a_service_is_held_or_in_maintenance_never_both() {
    let store = Store::in_memory();
    let mut batch = Batch::new();
    batch.set(standing(What::Hold { service: "shop".into(), most: 9 }));
    let maintenance = What::Maintenance { service: "shop".into(), message: None };
    batch.set(standing(maintenance.clone()));
    store.commit(batch).unwrap();
    assert_eq!(store.recall().unwrap().overrides, [standing(maintenance)]);
}

#[test]
fn names_that_begin_alike_are_kept_apart() {
    let store = Store::in_memory();
    for (service, revisions) in [("a", 2), ("a-b", 3), ("a0", 1), ("A", 1), ("a_", 1)] {
        for number in 0..revisions {
            let mut batch = Batch::new();
            batch.revise(&service.into(), number, draft(service, 0));
            store.commit(batch).unwrap();
        }
    }
    let newest = store.recall().unwrap().newest;
    let found: Vec<_> = newest.iter().map(|(name, at)| (&**name, at.number, &*at.author)).collect();
    let expected =
        [("A", 1, "A"), ("a", 2, "a"), ("a-b", 3, "a-b"), ("a0", 1, "a0"), ("a_", 1, "a_")];
    assert_eq!(found, expected);
    assert_eq!(store.history("a", 9).unwrap().len(), 2);
}

#[test]
fn of_two_changes_to_one_flag_the_second_loses() {
    let store = Store::in_memory();
    let set = |expected| {
        let mut batch = Batch::new();
        batch.flag(&"beta".into(), expected, flag(10));
        store.commit(batch)
    };
    set(0).unwrap();
    let lost = set(0).unwrap_err().to_string();
    assert_eq!(lost, "flag `beta` is at revision 1 by now, not at 0");
}

#[test]
fn the_secret_is_made_once() {
    let store = Store::in_memory();
    assert!(matches!(store.secret(|| Err(io::Error::other("no"))), Err(StoreError::Secret(_))));
    assert_eq!(store.secret(|| Ok([1; 16])).unwrap(), [1; 16]);
    assert_eq!(store.secret(|| Ok([2; 16])).unwrap(), [1; 16]);
}

#[test]
fn a_way_back_to_a_divided_state_puts_every_client_where_it_was() {
    let store = Store::in_memory();
    for (before, green) in [(0, 0), (1, 20), (2, 100), (3, 50)] {
        revise(&store, before, green).unwrap();
    }
    let mut batch = Batch::new();
    batch.revert(&shop(), 4, draft("a", 20), 2);
    batch.revise(&shop(), 5, draft("a", 30));
    let made = store.commit(batch).unwrap();
    let second = store.revision("shop", 2).unwrap().unwrap();
    assert_eq!((made[0].salt, &made[0].layout), (2, &second.layout));
    assert_eq!(made[1].salt, 2, "and so it goes on");
    assert_eq!(store.revision("shop", 4).unwrap().unwrap().salt, 4);
}

#[test]
fn a_shift_between_two_pools_is_remembered_as_leaving_the_third_alone() {
    let of = |a, b, c| {
        let parts = [("a", a), ("b", b), ("c", c)];
        let parts = parts.map(|(pool, percent): (&str, u16)| (pool.into(), share(percent)));
        Draft { split: Split::new(parts).unwrap(), ..draft("ada", 0) }
    };
    let store = Store::in_memory();
    let mut batch = Batch::new();
    batch.revise(&shop(), 0, of(30, 40, 30)).revise(&shop(), 1, of(10, 40, 50));
    let made = store.commit(batch).unwrap();
    assert_ne!(made[1].layout, crate::split::Layout::of(&made[1].split));
    assert_eq!(store.recall().unwrap().newest["shop"].layout, made[1].layout);
}
