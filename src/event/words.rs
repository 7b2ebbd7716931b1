//! The words for each kind of event, as people and logs read them.

use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

use super::Kind;
use crate::clock::in_words;
use crate::slo::State;
use crate::upstream::{BreakerOrder, BreakerState};

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Kind::Rule { rule, event } if rule.is_empty() => write!(f, "{event}"),
            Kind::Rule { rule, event } => write!(f, "rule {rule}: {event}"),
            Kind::Shifted { split, revision } => {
                write!(f, "traffic shifted: {split} (revision {revision})")
            }
            Kind::RolledBack { to, split, revision } => {
                write!(f, "rolled back to revision {to}: {split} (revision {revision})")
            }
            Kind::FlagSet { flag, percent, .. } => {
                write!(f, "flag `{flag}` for {percent} % of clients")
            }
            Kind::Drained { is_last: false } => f.write_str("drained"),
            Kind::Drained { is_last: true } => {
                f.write_str("drained; its pool has nobody left who takes requests")
            }
            Kind::Activated => f.write_str("active again"),
            Kind::Added { weight } => write!(f, "added with weight {weight}"),
            Kind::Reweighted { from, to } => write!(f, "weight {from} → {to}"),
            Kind::Relabelled { labels } if labels.is_empty() => f.write_str("has no labels now"),
            Kind::Relabelled { labels } => write!(f, "has the labels {labels} now"),
            Kind::Removed => f.write_str("removed"),
            Kind::BreakerOrdered(order) => f.write_str(match order {
                BreakerOrder::Auto => "breaker back to automatic",
                BreakerOrder::Open => "breaker opened by order",
                BreakerOrder::Closed => "breaker closed by order",
            }),
            Kind::BreakerTurned { state, left } => breaker(*state, *left, f),
            Kind::Panicked { well, known } => {
                write!(
                    f,
                    "{well} of {known} upstreams are well: the fallback answers, or all are tried"
                )
            }
            Kind::Calmed { well, known } => write!(f, "{well} of {known} upstreams are well"),
            Kind::Refuses { why } => write!(f, "gets no requests: {why}"),
            Kind::Accepts => f.write_str("accepts connections again"),
            Kind::Ejected { left } => {
                let left = left.as_secs_f64();
                write!(f, "ejected for {left:.0} s: it failed too often in a row")
            }
            Kind::CameBack => f.write_str("back in after its ejection: it answers well"),
            Kind::Proved { proof, why: Some(why) } => {
                write!(f, "health check: {}, {why}", proof.name())
            }
            Kind::Proved { proof, why: None } => write!(f, "health check: {}", proof.name()),
            Kind::Serves => f.write_str("serves again"),
            Kind::Held { length } => write!(f, "held for {} at most", in_words(*length)),
            Kind::InMaintenance => f.write_str("in maintenance"),
            Kind::BudgetTurned { state, remaining, why } => budget(*state, *remaining, why, f),
            Kind::Frozen { length: None } => f.write_str("rollouts are frozen"),
            Kind::Frozen { length: Some(length) } => {
                write!(f, "rollouts are frozen for {} at most", in_words(*length))
            }
            Kind::Thawed => f.write_str("rollouts are not frozen any more"),
            Kind::Overridden { length, freeze_by, why } => {
                write!(f, "rollouts go on for {} at most all the same", in_words(*length))?;
                if let Some(by) = freeze_by {
                    write!(f, "; the freeze by {by} is lifted")?;
                }
                why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
            }
            Kind::OverrideEnded => f.write_str("the error budget is heeded again"),
            Kind::StartedDespite { rollout, why } => {
                write!(f, "rollout {rollout} starts all the same: {why}")
            }
            Kind::JudgeMistaken { taken_back, trials, upstream } => {
                write!(
                    f,
                    "the judge would take back {taken_back} of {trials} canaries that are as good as the \
                     rest, 1 in 100 is promised: "
                )?;
                match upstream {
                    Some(name) => write!(
                        f,
                        "mostly {name}, which is worse than the others; take it out or have it looked at"
                    ),
                    None => f.write_str(
                        "have more stable upstreams, or a smaller `risk` (docs/judge.md), and look twice \
                         at what it takes back",
                    ),
                }
            }
            Kind::Rollout { id, event } => f.write_str(&event.words(*id)),
            Kind::Unstored { what, why } => {
                write!(f, "{what}; this is in force, but not stored: {why}")
            }
            Kind::Stored { what } => write!(f, "stored now: {what}"),
            Kind::DiskSilent { waited, orders } => {
                let waited = in_words(*waited);
                write!(f, "the disk has not answered for {waited}; {orders} orders wait for it")
            }
            Kind::DiskAnswers { after } => {
                write!(f, "the disk answers again, after {:.1} s", after.as_secs_f64())
            }
            Kind::StoreFails { why } => {
                write!(f, "orders are refused and rollouts stand still: {why}")
            }
            Kind::Exhausted { times, limit } => write!(
                f,
                "out of descriptors, memory or ports: {times} connections or requests were refused \
                 (at most {limit} descriptors)"
            ),
            Kind::PartEnded { part } => write!(
                f,
                "a part of the process has ended that must not ({part}); it stops, to be started again"
            ),
            Kind::Upgraded { version } => {
                write!(f, "version {version} serves, without a connection lost")
            }
            Kind::UpgradeRefused { why } => write!(f, "no upgrade, all goes on as before: {why}"),
            Kind::StoreWorks => f.write_str("the store can be written again"),
            Kind::ServiceAdded => f.write_str("the service is new"),
            Kind::ServiceRemoved => f.write_str("the service is not served any more"),
            Kind::NameFails { why, keeps_last: true } => {
                write!(f, "the name does not resolve; its last addresses stay: {why}")
            }
            Kind::NameFails { why, keeps_last: false } => {
                write!(f, "the name does not resolve, and has no addresses: {why}")
            }
            Kind::NameResolves => f.write_str("the name resolves again"),
            Kind::Reloaded { changes, all } => reloaded(changes, *all, f),
            Kind::OrdersKept { part, what, length } => {
                let length = in_words(*length);
                write!(f, "{part} is gone from the file; kept for {length}: {what}")
            }
            Kind::OrdersBack { part, what } => {
                write!(f, "{part} is in the file again; in force again: {what}")
            }
            Kind::OrdersForgotten { part, what } => {
                write!(f, "{part} is gone from the file; forgotten: {what}")
            }
            Kind::RemovalWaits { what } => write!(
                f,
                "the saved file waits for `pointsman reload`: it takes away what is in use ({what})"
            ),
            Kind::ReloadRefused { why, .. } => {
                write!(f, "config refused, the old one stays in force: {why}")
            }
            Kind::MemoryShort { used, limit } => {
                let mib = |bytes: u64| bytes.div_ceil(1 << 20);
                let (used, limit) = (mib(*used), mib(*limit));
                write!(
                    f,
                    "memory is short ({used} of {limit} MiB): idle connections are closed, and above \
                     `server.memory.refuse` new ones refused"
                )
            }
            Kind::MemoryEnough => f.write_str("memory is not short any more"),
            Kind::TracesLost { collector, why } => write!(
                f,
                "the collector of traces at {collector} does not take spans, which are lost unless it \
                 soon does: {why}"
            ),
            Kind::TracesTaken { collector } => {
                write!(f, "the collector of traces at {collector} takes spans again")
            }
            Kind::LimitBites { route, limit } => {
                write!(f, "the rate limit{} refuses requests: {limit}", of_route(route))
            }
            Kind::LimitRests { route, refused } => write!(
                f,
                "the rate limit{} refuses nobody any more; it has refused {refused} requests",
                of_route(route)
            ),
            Kind::Asked { what, status, from, role, more } => {
                let answer = status.map_or("not waited for".into(), |status| status.to_string());
                write!(f, "{what} from {from} as {role}: {answer}")?;
                match more {
                    0 => Ok(()),
                    more => write!(f, "; and {more} more wrong ones since the last that was told"),
                }
            }
            Kind::TurnedAway { what, status, why, from, role, more } => {
                let role = role.as_ref().map_or_else(String::new, |role| format!(" as {role}"));
                write!(f, "{what} from {from}{role} was refused with {status}: {why}")?;
                match more {
                    0 => Ok(()),
                    more => write!(f, "; and {more} more since the last that was told"),
                }
            }
            Kind::CertificateExpires { file, left } if left.is_zero() => {
                write!(f, "the certificate in {file} has expired")
            }
            Kind::CertificateExpires { file, left } => {
                write!(f, "the certificate in {file} expires in {}", in_words(*left))
            }
            Kind::CertificateRenewed { file, left } => {
                write!(f, "the certificate in {file} is another, good for {}", in_words(*left))
            }
            Kind::CertificateIssued { holder, left } => {
                let days = left.as_secs() / (24 * 60 * 60);
                write!(f, "there is a certificate for {holder}, good for {days} days")
            }
            Kind::CertificateNotIssued { holder, why, what_to_do, again, has_one } => {
                write!(f, "no certificate for {holder}: {why}")?;
                if !what_to_do.is_empty() {
                    write!(f, "; {what_to_do}")?;
                }
                write!(f, ". It is ordered again in {}", in_words(*again))?;
                if *has_one { f.write_str("; the one before stays") } else { Ok(()) }
            }
            Kind::Incident { text, .. } => f.write_str(text),
            Kind::AlertsTurned { are_firing, alerts, all } => {
                f.write_str(if *are_firing { "alerts fire: " } else { "alerts are resolved: " })?;
                f.write_str(&alerts.join(", "))?;
                match all - alerts.len() {
                    0 => Ok(()),
                    more => write!(f, "; and {more} more"),
                }
            }
            Kind::Kept(kept) => f.write_str(&kept.words),
        }
    }
}

fn of_route(route: &Option<String>) -> String {
    route.as_ref().map_or_else(String::new, |route| format!(" of the route {route}"))
}

fn breaker(state: BreakerState, left: Option<Duration>, f: &mut Formatter<'_>) -> Result {
    match (state, left) {
        (BreakerState::Open, Some(left)) => {
            write!(f, "breaker open for {:.1} s", left.as_secs_f64())
        }
        (BreakerState::Open, None) => f.write_str("breaker open by order"),
        (BreakerState::HalfOpen, _) => f.write_str("breaker half-open: trials, one at a time"),
        (BreakerState::Closed, _) => f.write_str("breaker closed"),
    }
}

fn reloaded(changes: &[String], all: usize, f: &mut Formatter<'_>) -> Result {
    if all == 0 {
        return f.write_str("config reloaded: no difference");
    }
    write!(f, "config reloaded: {}", changes.join("; "))?;
    match all - changes.len() {
        0 => Ok(()),
        more => write!(f, "; and {more} more"),
    }
}

fn budget(state: State, remaining: f64, why: &str, f: &mut Formatter<'_>) -> Result {
    match state {
        State::Open => {
            let left = remaining * 100.0;
            write!(f, "rollouts may go on: {left:.1} % of the error budget is left")
        }
        State::Caution => write!(f, "new rollouts need somebody's word: {why}"),
        State::Hold => write!(f, "rollouts are held: {why}"),
        State::Frozen => write!(f, "rollouts are frozen: {why}"),
    }
}
