use std::time::Duration;

use super::*;
use crate::incident::Step;
use crate::rollout::{self, Task, TaskError, Trouble};
use crate::slo::State;
use crate::split::Split;
use crate::upstream::{BreakerOrder, BreakerState, Proof};

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

/// One for each code that opens or closes an alert, at the places where it happens.
fn alerting() -> Vec<Event> {
    use rollout::Event as Of;
    let text = String::new;
    let hour = Duration::from_secs(3_600);
    let of_pool = [
        Kind::Panicked { well: 0, known: 2 },
        Kind::Calmed { well: 2, known: 2 },
        Kind::BreakerTurned { state: BreakerState::Open, left: None },
        Kind::BreakerTurned { state: BreakerState::Closed, left: None },
        Kind::BreakerOrdered(BreakerOrder::Open),
        Kind::BreakerOrdered(BreakerOrder::Closed),
        Kind::BreakerOrdered(BreakerOrder::Auto),
    ];
    let of_upstream = [
        Kind::Proved { proof: Proof::Down, why: None },
        Kind::Proved { proof: Proof::Up, why: None },
        Kind::Refuses { why: text() },
        Kind::Accepts,
        Kind::Ejected { left: hour },
        Kind::CameBack,
        Kind::Drained { is_last: true },
        Kind::Drained { is_last: false },
        Kind::Activated,
        Kind::NameFails { why: text(), keeps_last: true },
        Kind::NameResolves,
    ];
    let budget = |state| Kind::BudgetTurned { state, remaining: 0.5, why: text() };
    let mut of_service = vec![
        Kind::Held { length: hour },
        Kind::InMaintenance,
        Kind::Serves,
        Kind::LimitBites { route: None, limit: text() },
        Kind::LimitRests { route: None, refused: 1 },
        budget(State::Caution),
        budget(State::Hold),
        budget(State::Frozen),
        budget(State::Open),
        Kind::Overridden { length: hour, freeze_by: None, why: None },
        Kind::OverrideEnded,
        Kind::StartedDespite { rollout: 7, why: text() },
        Kind::JudgeMistaken { taken_back: 9, trials: 100, upstream: None },
    ];
    let to: std::sync::Arc<str> = "green".into();
    let paused = |trouble| Of::Paused { trouble, why: text() };
    let share = crate::split::BasisPoints::NONE;
    let of_rollout = [
        paused(Trouble::Verdict),
        paused(Trouble::NoWayBack),
        Of::Held { why: text() },
        Of::Overloads { to: to.clone(), share, what: text() },
        Of::Unmeasured { query: text(), why: text() },
        Of::SteppedWithoutVerdict { why: text() },
        Of::BegunAnew,
        Of::WasAway { to: to.clone(), upstream: None, seconds: 3 },
        Of::TaskFailed { task: Task::Smoke, why: TaskError::NoUpstream },
        Of::StaysOut { upstream: to.clone() },
        Of::Resumed,
        Of::LetGo,
        Of::Measured,
        Of::Ordered { order: rollout::Order::Promote },
        Of::Aborted,
        Of::Superseded { by: text(), is_rollback: true },
        Of::Superseded { by: text(), is_rollback: false },
        Of::Promoted { to: to.clone() },
        Of::RenewalEnded { service: to.clone(), pool: to, left_out: Vec::new() },
        Of::RolledBack { why: text() },
        Of::Failed { why: text() },
    ];
    let of_rollout = of_rollout.map(|event| Kind::Rollout { id: 7, event: event.into() });
    of_service.extend(of_rollout);
    let (what, part, file) =
        (|| "an order".to_string(), || "pool x".to_string(), || "a.pem".to_string());
    let ends = |left| Kind::CertificateExpires { file: file(), left };
    let not_issued = |has_one| Kind::CertificateNotIssued {
        holder: file(),
        why: text(),
        what_to_do: text(),
        again: hour,
        has_one,
    };
    let of_rule = |event| Kind::Rule { rule: "".into(), event: Box::new(event) };
    let of_process = [
        Kind::ReloadRefused { at_fault: text(), why: text(), file: None },
        Kind::RemovalWaits { what: what() },
        Kind::Reloaded { changes: Vec::new(), all: 0 },
        Kind::OrdersKept { part: part(), what: what(), length: hour },
        Kind::OrdersBack { part: part(), what: what() },
        Kind::OrdersForgotten { part: part(), what: what() },
        Kind::Unstored { what: what(), why: text() },
        Kind::Stored { what: what() },
        Kind::DiskSilent { waited: hour, orders: 1 },
        Kind::DiskAnswers { after: hour },
        Kind::StoreFails { why: text() },
        Kind::StoreWorks,
        Kind::MemoryShort { used: 1, limit: 2 },
        Kind::MemoryEnough,
        Kind::TracesLost { collector: text(), why: text() },
        Kind::TracesTaken { collector: text() },
        Kind::UpgradeRefused { why: text() },
        Kind::Upgraded { version: "1" },
        ends(Duration::ZERO),
        ends(hour),
        ends(hour * 24 * 9),
        Kind::CertificateRenewed { file: file(), left: hour },
        not_issued(true),
        not_issued(false),
        Kind::CertificateIssued { holder: file(), left: hour },
        of_rule(RuleEvent::Stopped),
        of_rule(RuleEvent::Started),
        of_rule(RuleEvent::Failed { act: 1, deed: text(), why: text() }),
        of_rule(RuleEvent::Unknown { act: 1, deed: text() }),
        of_rule(RuleEvent::Tells),
        of_rule(RuleEvent::Escalated { why: text(), to: None }),
        Kind::Exhausted { times: 1, limit: 2 },
        Kind::PartEnded { part: part() },
        Kind::TurnedAway {
            what: text(),
            status: 403,
            why: text(),
            from: text(),
            role: None,
            more: 0,
        },
    ];
    let incident = |step, severity| {
        let (id, revision) = (3, 1);
        Kind::Incident { id, revision, step, severity, text: text() }
    };
    of_service.extend([
        incident(Step::Opened, Severity::Critical),
        incident(Step::Updated, Severity::High),
        incident(Step::Mitigated, Severity::Low),
        incident(Step::Due, Severity::Low),
        incident(Step::Closed, Severity::High),
    ]);
    let at = |upstream: &'static str| {
        move |kind| Event::by_itself(kind, Subject::new("shop", "green", upstream))
    };
    let of_service =
        of_service.into_iter().map(|kind| Event::by_itself(kind, Subject::service("shop")));
    let of_process = of_process.into_iter().map(|kind| Event::by_itself(kind, Subject::default()));
    let of_breaker = of_pool[2..].iter().cloned().map(at("10.0.0.3:80")).collect::<Vec<_>>();
    let of_pool = of_pool.into_iter().map(at(""));
    let of_upstream = of_upstream.into_iter().map(at("10.0.0.3:80"));
    of_pool.chain(of_upstream).chain(of_breaker).chain(of_service).chain(of_process).collect()
}

#[test]
fn what_closes_an_alert_is_of_the_same_topic_as_what_opens_it() {
    let all = alerting();
    let of = |event: &Event| event.alert().unwrap_or_else(|| panic!("{event:?} is of no alert"));
    for event in &all {
        let alert = of(event);
        let others = all.iter().filter(|other| {
            of(other).name == alert.name
                && other.subject == event.subject
                && of(other).turn != alert.turn
        });
        match alert.turn {
            Turn::Closes => {
                others.for_each(|other| assert_eq!(event.topic(), other.topic(), "{}", alert.name));
            }
            // All that it may be open with is closed, so that nothing stays behind.
            Turn::Opens | Turn::Stays => {
                assert!(alert.severities.contains(&event.severity()), "{}: {event:?}", alert.name);
            }
        }
    }
    let codes: std::collections::BTreeSet<_> = all.iter().map(|event| event.kind.code()).collect();
    for code in runbooks::all_codes() {
        assert!(alert::alert(code).is_none() || codes.contains(code), "`{code}` is not tried here");
    }
}

#[test]
fn what_nobody_is_called_for_opens_no_alert() {
    let shifted = Kind::Shifted { split: Split::all_to("green".into()), revision: 1 };
    let event = Event::by_itself(shifted, Subject::service("shop"));
    assert_eq!((event.alert(), event.is_relief()), (None, false));
}

#[test]
fn trouble_that_ends_other_trouble_is_told_as_relief_too_and_stays_an_alert() {
    let back = rollout::Event::RolledBack { why: String::new() };
    let event =
        Event::by_itself(Kind::Rollout { id: 7, event: back.into() }, Subject::service("shop"));
    assert_eq!((event.alert().unwrap().turn, event.is_relief()), (Turn::Stays, true));
}
