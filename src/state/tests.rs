use super::*;
use crate::clock::WallTime;
use crate::split::{BasisPoints, Layout, Split};

fn shop() -> Arc<str> {
    "shop".into()
}

fn share(percent: u16) -> BasisPoints {
    BasisPoints::new(percent * 100).unwrap()
}

fn of(parts: &[(&str, u16)]) -> Draft {
    let parts = parts.iter().map(|(pool, percent)| ((*pool).into(), share(*percent)));
    let split = Split::new(parts).unwrap();
    Draft {
        split,
        author: "ada".into(),
        reason: None,
        at: 1.234_567,
        rollout: None,
        is_back: false,
    }
}

/// So much to green, the rest to blue.
fn green(percent: u16) -> Draft {
    of(&[("blue", 100 - percent), ("green", percent)])
}

/// Takes in a change with what gives way to it.
fn take(state: &mut State, change: &Change) {
    let gone = state.gives_way_to(change);
    state.apply(change);
    gone.iter().for_each(|gone| state.apply(gone));
}

fn revise(state: &mut State, draft: Draft, back_to: Option<u64>) -> Arc<Revision> {
    let newest = state.newest("shop").cloned();
    let then = back_to.and_then(|number| state.revision("shop", number)).cloned();
    let revision = Arc::new(draft.after(newest.as_deref(), then.as_deref()));
    take(state, &Change::Revision { service: shop(), revision: revision.clone() });
    revision
}

#[test]
fn each_way_out_of_one_pool_has_its_own_salt() {
    let mut state = State::default();
    let greens = [0, 5, 10, 0, 0, 20, 50, 100, 40];
    let salts = greens.map(|percent| revise(&mut state, green(percent), None).salt);
    assert_eq!(salts, [1, 2, 2, 2, 5, 6, 6, 6, 9]);
}

#[test]
fn a_way_back_to_a_divided_state_puts_every_client_where_it_was() {
    let mut state = State::default();
    for percent in [0, 20, 100, 50] {
        revise(&mut state, green(percent), None);
    }
    let back = revise(&mut state, green(20), Some(2));
    let second = state.revision("shop", 2).unwrap().clone();
    assert_eq!((back.salt, &back.layout), (2, &second.layout));
    assert_eq!(revise(&mut state, green(30), None).salt, 2, "and so it goes on");
    assert_eq!(state.revision("shop", 4).unwrap().salt, 4);
}

#[test]
fn a_shift_between_two_pools_leaves_the_third_alone() {
    let mut state = State::default();
    revise(&mut state, of(&[("a", 30), ("b", 40), ("c", 30)]), None);
    let second = revise(&mut state, of(&[("a", 10), ("b", 40), ("c", 50)]), None);
    assert_ne!(second.layout, Layout::of(&second.split));
}

#[test]
fn the_oldest_revisions_and_states_of_flags_give_way() {
    let mut state = State::default();
    for _ in 0..KEPT + 5 {
        revise(&mut state, green(0), None);
    }
    let numbers: Vec<u64> = state.history("shop").map(|revision| revision.number).collect();
    assert_eq!((numbers.len(), numbers[0], numbers[KEPT - 1]), (KEPT, 1_005, 6));
    for revision in 1..=FLAG_STATES_KEPT as u64 + 3 {
        let (percent, at) = (share(5), WallTime::from_millis(revision));
        let set =
            FlagState { percent, revision, author: "ada".into(), reason: None, at, is_back: false };
        take(&mut state, &Change::Flag { name: "beta".into(), state: Arc::new(set) });
    }
    let states: Vec<u64> = state.flag_history("beta").map(|state| state.revision).collect();
    assert_eq!((states.len(), states[0]), (FLAG_STATES_KEPT, FLAG_STATES_KEPT as u64 + 3));
    // What becomes of one that is there puts none out.
    let newest = state.newest("shop").unwrap().clone();
    let again = Change::Revision { service: shop(), revision: newest };
    assert_eq!(state.gives_way_to(&again), None);
}

fn drained(upstream: &str) -> Override {
    let what =
        What::Drain { service: "shop".into(), pool: "blue".into(), upstream: upstream.into() };
    let at = WallTime::from_millis(7);
    Override { what, author: "ada".into(), reason: None, at, until: None }
}

#[test]
fn a_state_is_what_its_changes_make_and_nothing_is_left_of_what_is_cleared() {
    let mut state = State::default();
    revise(&mut state, green(5), None);
    state.apply(&Change::Order(drained("unix:/run/a b.sock")));
    state.apply(&Change::InFile { of: "split shop".into(), said: Some("blue=100".into()) });
    let mut again = State::default();
    again.apply_all(&state.changes());
    assert_eq!(again, state);
    for change in [
        Change::Clear(drained("unix:/run/a b.sock").what.about()),
        Change::InFile { of: "split shop".into(), said: None },
        Change::ForgetRevision { service: shop(), number: 1 },
    ] {
        again.apply(&change);
    }
    assert_eq!(again, State::default());
}

#[test]
fn a_copy_is_not_changed_and_shares_what_is_not() {
    let mut state = State::default();
    revise(&mut state, green(5), None);
    let api: Arc<str> = "api".into();
    let first = Arc::new(green(0).after(None, None));
    state.apply(&Change::Revision { service: api.clone(), revision: first });
    let before = state.clone();
    revise(&mut state, green(50), None);
    assert_eq!((before.history("shop").count(), state.history("shop").count()), (1, 2));
    assert!(Arc::ptr_eq(&before.services["api"], &state.services["api"]));
    assert!(!Arc::ptr_eq(&before.services["shop"], &state.services["shop"]));
}

#[test]
fn what_undoes_a_change_says_how_the_entry_is() {
    let mut state = State::default();
    let clear = |upstream: &str| Change::Clear(drained(upstream).what.about());
    assert_eq!(state.undoing(&Change::Order(drained("a:1"))), Some(clear("a:1")));
    state.apply(&Change::Order(drained("a:1")));
    assert_eq!(state.undoing(&clear("a:1")), Some(Change::Order(drained("a:1"))));
    let revision = revise(&mut state, green(5), None);
    assert_eq!(state.undoing(&Change::Revision { service: shop(), revision }), None);
}

#[test]
fn the_key_of_an_order_is_read_back() {
    let about = drained("unix:/run/a b.sock").what.about();
    assert_eq!(About::read(about.as_str()), Some(about.clone()));
    assert_eq!(about.service(), "shop");
    assert_eq!(About::read("dance shop"), None);
    assert_eq!(About::read("drain"), None);
}

#[test]
fn what_is_unlike_another_state_is_named_and_nothing_else() {
    let order = |service: &str| {
        let what = What::Freeze { service: service.into() };
        let at = WallTime::from_millis(1);
        Change::Order(Override { what, author: "ada".into(), reason: None, at, until: None })
    };
    let mut before = State::default();
    ["api", "shop", "web"].map(order).iter().for_each(|change| before.apply(change));
    let mut after = before.clone();
    assert!(after.is_same_as(&before));
    assert_eq!(after.services_unlike(&before).count(), 0);
    after.apply(&order("shop"));
    after.apply(&Change::Clear(About::freeze("web")));
    after.apply(&order("new"));
    assert!(!after.is_same_as(&before));
    let mut unlike: Vec<&str> = after.services_unlike(&before).map(|name| &**name).collect();
    unlike.sort_unstable();
    assert_eq!(unlike, ["new", "shop", "web"]);
}
