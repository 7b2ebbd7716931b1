use std::time::Duration;

use super::*;
use crate::rollout::{self, Task, TaskError, Trouble};
use crate::split::Split;
use crate::upstream::{BreakerState, Proof};

fn at(kind: Kind, upstream: &str) -> String {
    Event::by_itself(kind, Subject::new("shop", "green", upstream)).likeness()
}

fn of(kind: Kind) -> String {
    at(kind, "")
}

#[test]
fn trouble_of_the_same_kind_is_alike_whatever_its_figures() {
    let failed = |id, of: u64| {
        let why = format!("5 of {of} failed");
        self::of(Kind::Rollout { id, event: rollout::Event::RolledBack { why }.into() })
    };
    assert_eq!(failed(3, 90), failed(3, 7));
    assert_ne!(failed(3, 90), failed(4, 90));
    let stuck = |upstream: &str| {
        let why = format!("`{upstream}` is not healthy within 1m");
        let trouble = Trouble::Upstream(upstream.into());
        of(Kind::Rollout { id: 3, event: rollout::Event::Paused { trouble, why }.into() })
    };
    assert_ne!(stuck("10.0.0.3:80"), stuck("10.0.0.4:80"));
    let shifted = |revision| of(Kind::Shifted { split: Split::all_to("green".into()), revision });
    assert_ne!(shifted(10), shifted(20));
}

#[test]
fn different_things_whose_words_differ_in_digits_only_are_told_apart() {
    let refused = |port: u16| {
        let at_fault = format!("0.0.0.0:{port}");
        let why = format!("cannot listen on {at_fault}: in use");
        of(Kind::ReloadRefused { at_fault, why, file: None })
    };
    assert_ne!(refused(8080), refused(8081));
    let down = |upstream: &str| at(Kind::Proved { proof: Proof::Down, why: None }, upstream);
    assert_ne!(down("10.0.0.3:80"), down("10.0.0.4:80"));
}

#[test]
fn one_thing_whose_words_change_is_not_told_twice() {
    let open = |seconds: f64| Kind::BreakerTurned {
        state: BreakerState::Open,
        left: Some(Duration::from_secs_f64(seconds)),
    };
    assert_ne!(open(4.2).to_string(), open(9.7).to_string());
    assert_eq!(of(open(4.2)), of(open(9.7)));
    assert_ne!(of(open(4.2)), of(Kind::BreakerTurned { state: BreakerState::Closed, left: None }));
    assert_eq!(of(Kind::Panicked { well: 1, known: 3 }), of(Kind::Panicked { well: 0, known: 3 }));
    let down = |why: &str| of(Kind::Proved { proof: Proof::Down, why: Some(why.into()) });
    assert_eq!(down("status 503"), down("no answer within 2 s"));
    let failed = |why| {
        let event = rollout::Event::TaskFailed { task: Task::Smoke, why };
        of(Kind::Rollout { id: 3, event: event.into() })
    };
    assert_eq!(failed(TaskError::NoUpstream), failed(TaskError::Address("no host")));
}

#[test]
fn an_open_breaker_matters_more_if_it_is_a_whole_pools() {
    let open = Kind::BreakerTurned { state: BreakerState::Open, left: None };
    let at = |upstream| Event::by_itself(open.clone(), Subject::new("shop", "green", upstream));
    assert_eq!(at("").severity(), Severity::High);
    assert_eq!(at("10.0.0.3:80").severity(), Severity::Medium);
    assert_eq!(at("").next().unwrap(), "pointsman status shop");
}
