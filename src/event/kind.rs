//! What can happen: each kind with what it tells, and the tables that follow from it.

use std::sync::Arc;
use std::time::Duration;

use super::{RuleEvent, Subject};
use crate::config::Severity;
use crate::incident::Step;
use crate::rollout::{self, Weight};
use crate::slo::State;
use crate::split::{BasisPoints, Split};
use crate::upstream::{BreakerOrder, BreakerState, Labels, Proof};

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A service's traffic divides anew, by order or by an edit of the file.
    Shifted {
        /// How.
        split: Split,
        /// The revision that it made.
        revision: u64,
    },
    /// A service's traffic is as it was.
    RolledBack {
        /// The revision that it was taken from.
        to: u64,
        /// How it divides.
        split: Split,
        /// The revision that this made.
        revision: u64,
    },
    /// A flag has another share of clients.
    FlagSet {
        /// The flag.
        flag: Arc<str>,
        /// Its share.
        percent: BasisPoints,
        /// Its revision.
        revision: u64,
    },
    /// An upstream gets no new requests.
    Drained {
        /// Whether its pool has nobody left who could take any.
        is_last: bool,
    },
    /// An upstream is drained no more.
    Activated,
    /// An upstream has joined its pool.
    Added {
        /// Relative to the others.
        weight: u16,
    },
    /// An upstream has another weight.
    Reweighted {
        /// What it was.
        from: u16,
        /// What it is.
        to: u16,
    },
    /// An upstream has other labels.
    Relabelled {
        /// All that it has now.
        labels: Labels,
    },
    /// An upstream has left its pool.
    Removed,
    /// Somebody has told a breaker what to do.
    BreakerOrdered(BreakerOrder),
    /// A breaker has changed by itself.
    BreakerTurned {
        /// What it does now.
        state: BreakerState,
        /// How long it stays open; none if it was told to.
        left: Option<Duration>,
    },
    /// Nobody of a pool is well: the fallback answers, or all are tried.
    Panicked {
        /// Upstreams that are well.
        well: usize,
        /// Those that there are.
        known: usize,
    },
    /// Somebody of a pool is well again.
    Calmed {
        /// Upstreams that are well.
        well: usize,
        /// Those that there are.
        known: usize,
    },
    /// An upstream refuses connections, or cannot be reached.
    Refuses {
        /// What the last try came to.
        why: String,
    },
    /// An upstream that refused connections takes requests again.
    Accepts,
    /// An upstream failed too often in a row.
    Ejected {
        /// For how long.
        left: Duration,
    },
    /// An upstream's ejection is over.
    CameBack,
    /// Health checks have found something else.
    Proved {
        /// What.
        proof: Proof,
        /// Why it is down.
        why: Option<Arc<str>>,
    },
    /// A service serves.
    Serves,
    /// New requests of a service wait.
    Held {
        /// How long at most.
        length: Duration,
    },
    /// New requests of a service are told to come back later.
    InMaintenance,
    /// What an error budget lets rollouts do has changed.
    BudgetTurned {
        /// What they may do.
        state: State,
        /// What is left of the scarcest budget, 0 to 1.
        remaining: f64,
        /// Why, in words.
        why: String,
    },
    /// Somebody keeps a service's rollouts where they are.
    Frozen {
        /// For how long at most.
        length: Option<Duration>,
    },
    /// Rollouts are kept no more.
    Thawed,
    /// Rollouts go on whatever the error budget says.
    Overridden {
        /// For how long at most.
        length: Duration,
        /// Who had frozen them, if somebody had.
        freeze_by: Option<String>,
        /// Why they were kept, if it is known.
        why: Option<String>,
    },
    /// The error budget is heeded again.
    OverrideEnded,
    /// The judge would take back too much of what is as good as the rest.
    JudgeMistaken {
        /// How often it would have.
        taken_back: u64,
        /// Of so many trials.
        trials: u64,
        /// The upstream that it was in most of them, if it was one.
        upstream: Option<Arc<str>>,
    },
    /// Somebody has started a rollout that the error budget refuses.
    StartedDespite {
        /// The rollout.
        rollout: u64,
        /// Why it was refused.
        why: String,
    },
    /// Something of a rollout.
    Rollout {
        /// The rollout.
        id: u64,
        /// What.
        event: Box<rollout::Event>,
    },
    /// What could not wait for the disk is in force, and not stored.
    Unstored {
        /// What, in words.
        what: String,
        /// Why it is not stored.
        why: String,
    },
    /// What was in force without the disk having it is stored.
    Stored {
        /// What, in words.
        what: String,
    },
    /// The disk does not answer.
    DiskSilent {
        /// For how long it has not.
        waited: Duration,
        /// Orders and decisions that wait for it.
        orders: usize,
    },
    /// The disk answers again.
    DiskAnswers {
        /// After how long.
        after: Duration,
    },
    /// The store takes nothing.
    StoreFails {
        /// What it said.
        why: String,
    },
    /// The store takes orders again.
    StoreWorks,
    /// The process has no descriptors, memory or ports left for somebody.
    Exhausted {
        /// How often since it was said last.
        times: u64,
        /// How many descriptors it may have.
        limit: usize,
    },
    /// Another process has taken the place of the one before.
    Upgraded {
        /// Its version.
        version: &'static str,
    },
    /// Another process was to take over and does not: this one goes on.
    UpgradeRefused {
        /// Why.
        why: String,
    },
    /// A part of the process that must not end has ended.
    PartEnded {
        /// Which.
        part: String,
    },
    /// A service is served that was not.
    ServiceAdded,
    /// A service is served no more.
    ServiceRemoved,
    /// The addresses of an upstream's name cannot be found.
    NameFails {
        /// Why.
        why: String,
        /// Whether it has addresses from before, which stay.
        keeps_last: bool,
    },
    /// The addresses of an upstream's name are found again.
    NameResolves,
    /// The file was read again and is in force.
    Reloaded {
        /// The first of its differences to what was in force, in words.
        changes: Vec<String>,
        /// How many there are.
        all: usize,
    },
    /// Something is gone from the file, and what was ordered of it is kept.
    OrdersKept {
        /// What is gone.
        part: String,
        /// What is kept, in words.
        what: String,
        /// For how long.
        length: Duration,
    },
    /// Something is in the file again, and what was ordered of it is in force again.
    OrdersBack {
        /// What is back.
        part: String,
        /// What is in force again, in words.
        what: String,
    },
    /// What was ordered of something that is gone from the file is kept no longer.
    OrdersForgotten {
        /// What is gone.
        part: String,
        /// What was kept, in words.
        what: String,
    },
    /// A file that was merely saved takes away what is in use: it waits for somebody's word.
    RemovalWaits {
        /// What it takes away, in words.
        what: String,
    },
    /// A file was refused, and the config in force stays.
    ReloadRefused {
        /// What is at fault: a file or an address.
        at_fault: String,
        /// Why.
        why: String,
        /// The config's file.
        file: Option<String>,
    },
    /// So much of what the process may have of memory is used that idle connections are closed.
    MemoryShort {
        /// What is used, in bytes.
        used: u64,
        /// What it may have.
        limit: u64,
    },
    /// Memory is not short any more.
    MemoryEnough,
    /// A collector of traces does not take spans.
    TracesLost {
        /// Its host and port.
        collector: String,
        /// Why.
        why: String,
    },
    /// It takes them again.
    TracesTaken {
        /// Its host and port.
        collector: String,
    },
    /// A rate limit refuses requests, which it did not for a minute.
    LimitBites {
        /// Its route; none for the service's own.
        route: Option<String>,
        /// What it lets through, in words.
        limit: String,
    },
    /// A rate limit has refused no request for a minute.
    LimitRests {
        /// Its route; none for the service's own.
        route: Option<String>,
        /// How many it has refused since it began to.
        refused: u64,
    },
    /// Somebody has asked the admin API for a change or a secret; what came of it is told besides.
    Asked {
        /// Method and path.
        what: String,
        /// What was answered; none if whoever asked has not waited for it.
        status: Option<u16>,
        /// Where it came from: an address, or a user of this machine.
        from: String,
        /// The role of whoever asked.
        role: String,
        /// Of a wrong request: how many more were since the last one that was told.
        more: u64,
    },
    /// Somebody was refused by the admin API.
    TurnedAway {
        /// Method and path.
        what: String,
        /// What was answered.
        status: u16,
        /// Why.
        why: String,
        /// Where it came from: an address, or a user of this machine.
        from: String,
        /// The role of whoever asked; none without a token that is known.
        role: Option<String>,
        /// How many more were since the last one that was told.
        more: u64,
    },
    /// A certificate is good for a short time only, or not any more.
    CertificateExpires {
        /// Its file.
        file: String,
        /// How long it is good yet; nothing if it has expired.
        left: Duration,
    },
    /// There is another one in the place of one that was to expire.
    CertificateRenewed {
        /// Its file.
        file: String,
        /// How long it is good.
        left: Duration,
    },
    /// An authority has given a certificate that was ordered.
    CertificateIssued {
        /// For whom.
        holder: String,
        /// How long it is good.
        left: Duration,
    },
    /// An order for a certificate has come to nothing.
    CertificateNotIssued {
        /// For whom.
        holder: String,
        /// Why.
        why: String,
        /// What mends it; empty if nobody knows.
        what_to_do: String,
        /// After how long it is tried again.
        again: Duration,
        /// Whether there is an earlier one, which is still shown.
        has_one: bool,
    },
    /// Something of a rule of the automation, or of all of them.
    Rule {
        /// Which; empty where it is of all.
        rule: Arc<str>,
        /// What.
        event: Box<RuleEvent>,
    },
    /// Something was done with an incident.
    Incident {
        /// Its number.
        id: u64,
        /// At which revision it is with that.
        revision: u64,
        /// What was done.
        step: Step,
        /// How bad it is.
        severity: Severity,
        /// What is told of it, in a line.
        text: String,
    },
    /// Alerts of somebody else have begun to fire, or were resolved.
    AlertsTurned {
        /// Whether they fire.
        are_firing: bool,
        /// The first of them, in words.
        alerts: Vec<String>,
        /// How many there are.
        all: usize,
    },
    /// One of which only the words are kept: it happened before the process began.
    Kept(Kept),
}

/// An event as it is remembered over a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// What kind it was for people, such as `breaker`.
    pub name: String,
    /// What exactly, as [`Kind::code`] says it; empty if an older version noted it.
    pub code: String,
    /// How much it mattered.
    pub severity: Severity,
    /// What happened, in the words of that time.
    pub words: String,
}

impl Kind {
    /// What kind it is for people: the one that the API tells.
    pub fn name(&self) -> &str {
        match self {
            Kind::Shifted { .. } | Kind::RolledBack { .. } => "traffic",
            Kind::FlagSet { .. } => "flag",
            Kind::Drained { .. }
            | Kind::Activated
            | Kind::Added { .. }
            | Kind::Reweighted { .. }
            | Kind::Relabelled { .. }
            | Kind::Removed
            | Kind::Refuses { .. }
            | Kind::Accepts => "upstream",
            Kind::BreakerOrdered(_) | Kind::BreakerTurned { .. } => "breaker",
            Kind::Panicked { .. } | Kind::Calmed { .. } => "panic",
            Kind::Ejected { .. } | Kind::CameBack => "ejection",
            Kind::Proved { .. } => "health",
            Kind::Serves | Kind::Held { .. } | Kind::InMaintenance => "mode",
            Kind::BudgetTurned { .. }
            | Kind::Frozen { .. }
            | Kind::Thawed
            | Kind::Overridden { .. }
            | Kind::OverrideEnded
            | Kind::StartedDespite { .. } => "slo",
            Kind::Rollout { .. } | Kind::JudgeMistaken { .. } => "rollout",
            Kind::Unstored { .. }
            | Kind::Stored { .. }
            | Kind::DiskSilent { .. }
            | Kind::DiskAnswers { .. } => "store",
            Kind::StoreFails { .. } | Kind::StoreWorks => "store",
            Kind::Exhausted { .. }
            | Kind::MemoryShort { .. }
            | Kind::MemoryEnough
            | Kind::PartEnded { .. } => "process",
            Kind::TracesLost { .. } | Kind::TracesTaken { .. } => "traces",
            Kind::Upgraded { .. } | Kind::UpgradeRefused { .. } => "upgrade",
            Kind::OrdersKept { .. } | Kind::OrdersBack { .. } | Kind::OrdersForgotten { .. } => {
                "orders"
            }
            Kind::ServiceAdded | Kind::ServiceRemoved => "service",
            Kind::NameFails { .. } | Kind::NameResolves => "name",
            Kind::Reloaded { .. } | Kind::RemovalWaits { .. } | Kind::ReloadRefused { .. } => {
                "reload"
            }
            Kind::LimitBites { .. } | Kind::LimitRests { .. } => "rate",
            Kind::Asked { .. } | Kind::TurnedAway { .. } => "audit",
            Kind::Incident { .. } => "incident",
            Kind::AlertsTurned { .. } => "alert",
            Kind::CertificateExpires { .. }
            | Kind::CertificateRenewed { .. }
            | Kind::CertificateIssued { .. }
            | Kind::CertificateNotIssued { .. } => "certificate",
            Kind::Rule { .. } => "automation",
            Kind::Kept(kept) => &kept.name,
        }
    }

    /// What it is the state of, at its place: of all that share it, the last one says how it is now.
    pub(super) fn state_of(&self) -> String {
        match self {
            Kind::Drained { .. } | Kind::Activated => "drain".into(),
            Kind::Added { .. } | Kind::Reweighted { .. } | Kind::Removed => "membership".into(),
            Kind::Relabelled { .. } => "labels".into(),
            Kind::Refuses { .. } | Kind::Accepts => "connections".into(),
            Kind::FlagSet { flag, .. } => format!("flag {flag}"),
            Kind::BudgetTurned { .. } => "budget".into(),
            Kind::JudgeMistaken { .. } => "judge".into(),
            Kind::Frozen { .. } | Kind::Thawed => "freeze".into(),
            Kind::Overridden { .. } | Kind::OverrideEnded => "override".into(),
            Kind::Rollout { id, .. } | Kind::StartedDespite { rollout: id, .. } => {
                format!("rollout {id}")
            }
            Kind::Unstored { what, .. } | Kind::Stored { what } => format!("order {what}"),
            Kind::DiskSilent { .. } | Kind::DiskAnswers { .. } => "disk".into(),
            Kind::StoreFails { .. } | Kind::StoreWorks => "store".into(),
            Kind::Exhausted { .. } => "means".into(),
            Kind::MemoryShort { .. } | Kind::MemoryEnough => "memory".into(),
            Kind::TracesLost { .. } | Kind::TracesTaken { .. } => "traces".into(),
            Kind::PartEnded { part } => format!("part {part}"),
            Kind::Upgraded { .. } | Kind::UpgradeRefused { .. } => "upgrade".into(),
            Kind::OrdersKept { part, .. }
            | Kind::OrdersBack { part, .. }
            | Kind::OrdersForgotten { part, .. } => format!("orders of {part}"),
            Kind::LimitBites { route, .. } | Kind::LimitRests { route, .. } => {
                format!("rate of {}", route.as_deref().unwrap_or_default())
            }
            Kind::Asked { what, .. } => format!("request {what}"),
            Kind::TurnedAway { from, .. } => format!("requests from {from}"),
            Kind::CertificateExpires { file, .. } | Kind::CertificateRenewed { file, .. } => {
                format!("certificate {file}")
            }
            Kind::CertificateIssued { holder, .. } | Kind::CertificateNotIssued { holder, .. } => {
                format!("certificate for {holder}")
            }
            Kind::Rule { rule, .. } => format!("rule {rule}"),
            Kind::Incident { id, .. } => format!("incident {id}"),
            Kind::Kept(kept) => kept.code.clone(),
            _ => self.name().into(),
        }
    }

    /// Whether it is for the record alone: what came of it is told by another one.
    pub(super) fn is_for_the_record(&self) -> bool {
        matches!(
            self,
            Kind::Asked { .. }
                // Who sends alerts has told people of them.
                | Kind::AlertsTurned { .. }
                | Kind::Incident { step: Step::Noted, .. }
        )
    }

    /// What exactly happened, in one word that no later version changes.
    pub fn code(&self) -> &str {
        match self {
            Kind::Shifted { .. } => "shifted",
            Kind::RolledBack { .. } => "rolled-back",
            Kind::FlagSet { .. } => "flag-set",
            Kind::Drained { .. } => "drained",
            Kind::Activated => "activated",
            Kind::Added { .. } => "added",
            Kind::Reweighted { .. } => "reweighted",
            Kind::Relabelled { .. } => "relabelled",
            Kind::Removed => "removed",
            Kind::BreakerOrdered(BreakerOrder::Auto) => "breaker-set-to-auto",
            Kind::BreakerOrdered(BreakerOrder::Open) => "breaker-set-to-open",
            Kind::BreakerOrdered(BreakerOrder::Closed) => "breaker-set-to-closed",
            Kind::BreakerTurned { state: BreakerState::Open, .. } => "breaker-opened",
            Kind::BreakerTurned { state: BreakerState::HalfOpen, .. } => "breaker-half-open",
            Kind::BreakerTurned { state: BreakerState::Closed, .. } => "breaker-closed",
            Kind::Panicked { .. } => "panicked",
            Kind::Calmed { .. } => "calmed",
            Kind::Refuses { .. } => "refuses-connections",
            Kind::Accepts => "accepts-connections",
            Kind::Ejected { .. } => "ejected",
            Kind::CameBack => "came-back",
            Kind::Proved { proof: Proof::Unproven, .. } => "unproven",
            Kind::Proved { proof: Proof::Up, .. } => "up",
            Kind::Proved { proof: Proof::Down, .. } => "down",
            Kind::Serves => "serves",
            Kind::Held { .. } => "held",
            Kind::InMaintenance => "in-maintenance",
            Kind::BudgetTurned { state: State::Open, .. } => "budget-open",
            Kind::BudgetTurned { state: State::Caution, .. } => "budget-caution",
            Kind::BudgetTurned { state: State::Hold, .. } => "budget-hold",
            Kind::BudgetTurned { state: State::Frozen, .. } => "budget-frozen",
            Kind::Frozen { .. } => "frozen",
            Kind::Thawed => "thawed",
            Kind::Overridden { .. } => "overridden",
            Kind::OverrideEnded => "override-ended",
            Kind::StartedDespite { .. } => "started-despite",
            Kind::JudgeMistaken { .. } => "judge-mistaken",
            Kind::Rollout { event, .. } => event.code(),
            Kind::Unstored { .. } => "unstored",
            Kind::Stored { .. } => "stored",
            Kind::DiskSilent { .. } => "disk-silent",
            Kind::DiskAnswers { .. } => "disk-answers",
            Kind::StoreFails { .. } => "store-fails",
            Kind::StoreWorks => "store-works",
            Kind::Exhausted { .. } => "exhausted",
            Kind::PartEnded { .. } => "part-ended",
            Kind::Upgraded { .. } => "upgraded",
            Kind::UpgradeRefused { .. } => "upgrade-refused",
            Kind::ServiceAdded => "service-added",
            Kind::ServiceRemoved => "service-removed",
            Kind::NameFails { .. } => "name-fails",
            Kind::NameResolves => "name-resolves",
            Kind::Reloaded { .. } => "reloaded",
            Kind::OrdersKept { .. } => "orders-kept",
            Kind::OrdersBack { .. } => "orders-back",
            Kind::OrdersForgotten { .. } => "orders-forgotten",
            Kind::RemovalWaits { .. } => "removal-waits",
            Kind::ReloadRefused { .. } => "reload-refused",
            Kind::MemoryShort { .. } => "memory-short",
            Kind::MemoryEnough => "memory-enough",
            Kind::TracesLost { .. } => "traces-lost",
            Kind::TracesTaken { .. } => "traces-taken",
            Kind::LimitBites { .. } => "limit-bites",
            Kind::LimitRests { .. } => "limit-rests",
            Kind::Asked { .. } => "asked",
            Kind::TurnedAway { .. } => "turned-away",
            Kind::CertificateExpires { left: Duration::ZERO, .. } => "certificate-expired",
            Kind::CertificateExpires { .. } => "certificate-expires",
            Kind::CertificateRenewed { .. } => "certificate-renewed",
            Kind::CertificateIssued { .. } => "certificate-issued",
            Kind::CertificateNotIssued { .. } => "certificate-not-issued",
            Kind::Rule { event, .. } => event.code(),
            Kind::Incident { step: Step::Opened, .. } => "incident-opened",
            Kind::Incident { step: Step::Noted, .. } => "incident-noted",
            Kind::Incident { step: Step::Updated, .. } => "incident-updated",
            Kind::Incident { step: Step::Mitigated, .. } => "incident-mitigated",
            Kind::Incident { step: Step::Closed, .. } => "incident-closed",
            Kind::Incident { step: Step::Due, .. } => "incident-update-due",
            Kind::AlertsTurned { are_firing: true, .. } => "alerts-firing",
            Kind::AlertsTurned { are_firing: false, .. } => "alerts-resolved",
            Kind::Kept(kept) => &kept.code,
        }
    }

    /// The one target of notices that is told of it, whatever it wants to hear of; none for all.
    pub(super) fn only_for(&self) -> Option<&Arc<str>> {
        match self {
            Kind::Rule { event, .. } => match &**event {
                RuleEvent::Escalated { to, .. } => to.as_ref(),
                _ => None,
            },
            _ => None,
        }
    }

    /// What it names that tells it from others of its kind at the same place. Of what was ordered
    /// each figure is news; of trouble none is.
    pub(super) fn named(&self) -> String {
        match self {
            Kind::Shifted { revision, .. } | Kind::RolledBack { revision, .. } => {
                revision.to_string()
            }
            Kind::FlagSet { flag, revision, .. } => format!("{flag} {revision}"),
            Kind::Added { weight } => weight.to_string(),
            Kind::Reweighted { from, to } => format!("{from} {to}"),
            Kind::Relabelled { labels } => labels.to_string(),
            Kind::Held { length } => format!("{length:?}"),
            Kind::Frozen { length } => format!("{length:?}"),
            Kind::Overridden { length, .. } => format!("{length:?}"),
            Kind::StartedDespite { rollout: id, .. } => id.to_string(),
            Kind::Unstored { what, .. } | Kind::Stored { what } => what.clone(),
            Kind::Rollout { id, event } => format!("{id} {}", event.named()),
            Kind::OrdersKept { part, what, .. }
            | Kind::OrdersBack { part, what }
            | Kind::OrdersForgotten { part, what } => format!("{part} {what}"),
            Kind::RemovalWaits { what } => what.clone(),
            Kind::ReloadRefused { at_fault, .. } => at_fault.clone(),
            Kind::PartEnded { part } => part.clone(),
            Kind::Upgraded { version } => version.to_string(),
            Kind::UpgradeRefused { why } => why.clone(),
            Kind::Reloaded { changes, all } => format!("{all} {}", changes.join("; ")),
            Kind::LimitBites { route, .. } | Kind::LimitRests { route, .. } => {
                route.clone().unwrap_or_default()
            }
            Kind::Asked { what, .. } => what.clone(),
            Kind::TurnedAway { from, .. } => from.clone(),
            // That it is worse now is news.
            Kind::CertificateExpires { file, left } => format!("{file} {left:?}"),
            Kind::CertificateRenewed { file, .. } => file.clone(),
            Kind::CertificateIssued { holder, .. } | Kind::CertificateNotIssued { holder, .. } => {
                holder.clone()
            }
            Kind::Rule { rule, event } => format!("{rule} {}", event.named()),
            // Each word of people is news.
            Kind::Incident { id, revision, .. } => format!("{id} {revision}"),
            Kind::AlertsTurned { alerts, .. } => alerts.join(", "),
            Kind::Kept(kept) => kept.words.clone(),
            Kind::Drained { .. }
            | Kind::ServiceAdded
            | Kind::ServiceRemoved
            | Kind::NameFails { .. }
            | Kind::NameResolves
            | Kind::Refuses { .. }
            | Kind::Accepts
            | Kind::Activated
            | Kind::Removed
            | Kind::BreakerOrdered(_)
            | Kind::BreakerTurned { .. }
            | Kind::Panicked { .. }
            | Kind::Calmed { .. }
            | Kind::Ejected { .. }
            | Kind::CameBack
            | Kind::Proved { .. }
            | Kind::Serves
            | Kind::InMaintenance
            | Kind::BudgetTurned { .. }
            | Kind::Thawed
            | Kind::OverrideEnded
            | Kind::JudgeMistaken { .. }
            | Kind::StoreFails { .. }
            | Kind::Exhausted { .. }
            | Kind::MemoryShort { .. }
            | Kind::MemoryEnough
            | Kind::TracesLost { .. }
            | Kind::TracesTaken { .. }
            | Kind::DiskSilent { .. }
            | Kind::DiskAnswers { .. }
            | Kind::StoreWorks => String::new(),
        }
    }

    /// How much it matters, which for a breaker depends on whether it is a whole pool's.
    pub(super) fn severity(&self, subject: &Subject) -> Severity {
        match self {
            // What was ordered is no news to who ordered it; good news does not wake anybody.
            Kind::Shifted { .. }
            | Kind::RolledBack { .. }
            | Kind::FlagSet { .. }
            | Kind::Drained { is_last: false }
            | Kind::Activated
            | Kind::Added { .. }
            | Kind::Reweighted { .. }
            | Kind::Relabelled { .. }
            | Kind::Removed
            | Kind::BreakerOrdered(BreakerOrder::Auto | BreakerOrder::Closed)
            | Kind::Accepts
            | Kind::Upgraded { .. }
            | Kind::ServiceAdded
            | Kind::ServiceRemoved
            | Kind::NameResolves
            | Kind::Reloaded { .. }
            | Kind::Asked { .. }
            | Kind::MemoryEnough
            | Kind::TracesTaken { .. }
            // A limit does what it was told to.
            | Kind::LimitBites { .. }
            | Kind::LimitRests { .. }
            | Kind::BreakerTurned { state: BreakerState::HalfOpen | BreakerState::Closed, .. }
            | Kind::Calmed { .. }
            | Kind::CameBack
            | Kind::Proved { proof: Proof::Unproven | Proof::Up, .. }
            | Kind::Serves
            | Kind::Held { .. }
            | Kind::InMaintenance
            | Kind::BudgetTurned { state: State::Open, .. }
            | Kind::Frozen { .. }
            | Kind::Thawed
            | Kind::OverrideEnded
            | Kind::OrdersBack { .. }
            | Kind::OrdersForgotten { .. }
            | Kind::Stored { .. }
            | Kind::DiskAnswers { .. }
            | Kind::CertificateRenewed { .. }
            | Kind::CertificateIssued { .. }
            | Kind::StoreWorks => Severity::Low,
            Kind::BreakerTurned { state: BreakerState::Open, .. }
                if !subject.upstream.is_empty() =>
            {
                Severity::Medium
            }
            Kind::BreakerOrdered(BreakerOrder::Open) if !subject.upstream.is_empty() => {
                Severity::Low
            }
            Kind::Ejected { .. }
            | Kind::Refuses { .. }
            | Kind::NameFails { .. }
            | Kind::Proved { proof: Proof::Down, .. }
            | Kind::BudgetTurned { state: State::Caution, .. }
            // That a whole pool is out of service is news to all but the one who ordered it.
            | Kind::Drained { is_last: true }
            | Kind::BreakerOrdered(BreakerOrder::Open)
            // Whoever is on duty wants to know that somebody stands above an error budget.
            | Kind::Overridden { .. }
            | Kind::StartedDespite { .. }
            | Kind::JudgeMistaken { .. }
            | Kind::OrdersKept { .. }
            | Kind::TurnedAway { .. }
            | Kind::UpgradeRefused { .. }
            | Kind::ReloadRefused { .. } => Severity::Medium,
            Kind::CertificateExpires { left, .. } => match left.as_secs() / (24 * 60 * 60) {
                // Clients turn away now, or in a few days.
                _ if left.is_zero() => Severity::Critical,
                0..=3 => Severity::High,
                _ => Severity::Medium,
            },
            // Nobody gets a connection under that name.
            Kind::CertificateNotIssued { has_one: false, .. } => Severity::High,
            Kind::CertificateNotIssued { .. } => Severity::Medium,
            Kind::TracesLost { .. } => Severity::Medium,
            // Somebody believes that it is in force.
            Kind::RemovalWaits { .. }
            // A whole pool: users may be hurt.
            | Kind::BreakerTurned { state: BreakerState::Open, .. }
            | Kind::Panicked { .. }
            | Kind::DiskSilent { .. }
            | Kind::Exhausted { .. }
            | Kind::MemoryShort { .. }
            | Kind::BudgetTurned { state: State::Hold | State::Frozen, .. } => Severity::High,
            Kind::Unstored { .. } | Kind::StoreFails { .. } | Kind::PartEnded { .. } => {
                Severity::Critical
            }
            Kind::Rollout { event, .. } => match event.weight() {
                Weight::Note => Severity::Low,
                Weight::End | Weight::Warning => Severity::Medium,
                Weight::Failure => Severity::High,
                Weight::Alarm => Severity::Critical,
            },
            Kind::Rule { event, .. } => event.severity(),
            Kind::Incident { step: Step::Noted, .. } => Severity::Low,
            // Whoever was told that it is bad waits for the word that was promised.
            Kind::Incident { step: Step::Due, severity, .. } => (*severity).max(Severity::Medium),
            Kind::Incident { severity, .. } => *severity,
            Kind::AlertsTurned { are_firing: true, .. } => Severity::Medium,
            Kind::AlertsTurned { are_firing: false, .. } => Severity::Low,
            Kind::Kept(kept) => kept.severity,
        }
    }

    /// The command to run next.
    pub(super) fn next(&self, subject: &Subject) -> Option<String> {
        let service = &subject.service;
        match self {
            Kind::BudgetTurned { .. } | Kind::Overridden { .. } | Kind::StartedDespite { .. } => {
                Some(format!("pointsman slo {service}"))
            }
            Kind::Rollout { event, .. } => match event.weight() {
                Weight::Note => None,
                Weight::End | Weight::Warning | Weight::Alarm => {
                    Some(format!("pointsman rollout status {service}"))
                }
                Weight::Failure => Some(format!("pointsman rollout report {service}")),
            },
            Kind::JudgeMistaken { .. } => Some(format!("pointsman status {service} --judge")),
            Kind::RemovalWaits { .. } => Some("pointsman diff".into()),
            Kind::Rule { event, .. } if event.severity() > Severity::Low => {
                Some("pointsman automation".into())
            }
            Kind::TurnedAway { .. } | Kind::UpgradeRefused { .. } => None,
            Kind::Incident { id, step, .. } => Some(match step {
                Step::Opened => format!("pointsman incident suggest {id}"),
                Step::Due => format!("pointsman incident update --incident {id} \"...\""),
                Step::Closed => format!("pointsman incident report {id}"),
                Step::Noted | Step::Updated | Step::Mitigated => {
                    format!("pointsman incident show {id}")
                }
            }),
            Kind::AlertsTurned { .. } => Some("pointsman incident list --alerts".into()),
            Kind::ReloadRefused { file, .. } => {
                file.as_ref().map(|file| format!("pointsman check {file}"))
            }
            _ if self.severity(subject) > Severity::Low => {
                Some(format!("pointsman status {service}").trim_end().to_string())
            }
            _ => None,
        }
    }
}
