//! What travels over the admin API for operations that change no split: breakers, modes, upstreams,
//! events.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::de::{self, IntoDeserializer, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::clock::Moment;
use crate::event::Subject;
use crate::{events, snapshot, upstream};

/// What a circuit breaker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// It lets requests through.
    Closed,
    /// It lets none through.
    Open,
    /// It lets a few trials through.
    HalfOpen,
}

/// A circuit breaker.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct Breaker {
    /// What it does.
    pub state: BreakerState,
    /// What it was told.
    pub order: BreakerOrder,
    /// How often it has opened by itself.
    pub opened: u64,
}

/// What a circuit breaker is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BreakerOrder {
    /// To decide by itself.
    Auto,
    /// To let nothing through.
    Open,
    /// To let everything through.
    Closed,
}

/// An order to a breaker.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutBreaker {
    /// What it is to do.
    #[serde(deserialize_with = "breaker_order")]
    pub state: BreakerOrder,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who; `api` if left out.
    #[serde(default)]
    pub author: Option<String>,
}

/// A breaker that was told something.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct BreakerSet {
    /// What it was told.
    pub state: BreakerOrder,
    /// The generation from which on it is so.
    pub generation: u64,
}

/// Whether a service serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It does.
    #[default]
    Serve,
    /// New requests wait.
    Hold,
    /// New requests are told to come back later.
    Maintenance,
}

/// A mode to be set.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutMode {
    /// The mode.
    #[serde(deserialize_with = "mode")]
    pub mode: Mode,
    /// For `serve`: only if this mode is in force.
    #[serde(default)]
    pub from: Option<Mode>,
    /// How long a hold may last, such as `20s`; at most `5m`, and `20s` if left out.
    #[serde(default, rename = "for")]
    pub length: Option<String>,
    /// How many requests a hold lets wait; 1,000 if left out.
    #[serde(default, deserialize_with = "super::whole_if_given")]
    #[schema(minimum = 1, maximum = 100_000)]
    pub most: Option<usize>,
    /// What requests are told during maintenance.
    #[serde(default)]
    pub message: Option<String>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who; `api` if left out.
    #[serde(default)]
    pub author: Option<String>,
}

/// A mode that was set.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct ModeSet {
    /// The mode.
    pub mode: Mode,
    /// Requests that wait now.
    pub waiting: usize,
    /// The generation from which on it is so.
    pub generation: u64,
}

/// An upstream to be added, or given another weight or other labels.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostUpstream {
    /// `host:port`, `ip:port`, `srv:NAME` or `unix:/path`.
    pub address: String,
    /// Relative to the others of the pool, 1 to 10,000; 100 if left out, or what it was.
    #[serde(default, deserialize_with = "super::whole_if_given")]
    #[schema(minimum = 1, maximum = 10_000)]
    pub weight: Option<u16>,
    /// All labels that it has, at most 8; none if left out, or what it had.
    #[serde(
        default,
        deserialize_with = "super::each_once_if_given",
        skip_serializing_if = "Option::is_none"
    )]
    pub labels: Option<BTreeMap<String, String>>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who; `api` if left out.
    #[serde(default)]
    pub author: Option<String>,
}

/// Upstreams of a pool that were changed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UpstreamsChanged {
    /// The upstream.
    pub address: String,
    /// The generation from which on it is so.
    pub generation: u64,
    /// What is still to come, such as its name's addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Counts up from 1.
    pub number: u64,
    /// Unix time, in seconds.
    pub at: f64,
    /// How much it matters: `low`, `medium`, `high` or `critical`.
    #[serde(default)]
    pub severity: String,
    /// What kind, such as `breaker`.
    pub kind: String,
    /// Where it happened; empty parts are meant as a whole.
    pub service: String,
    /// The pool.
    pub pool: String,
    /// The upstream.
    pub upstream: String,
    /// The upstream's labels, if it has any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What happened.
    pub what: String,
    /// Who did it, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The runbook, as a file of the repository, if somebody is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// The trace of a request that failed there a short while before, if a collector was told of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// A state to be set.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutUpstreamState {
    /// `active` or `drain`.
    #[serde(deserialize_with = "upstream_state")]
    pub state: UpstreamState,
    /// Drain it even if it is the last one of a pool that gets traffic.
    #[serde(default)]
    pub force: bool,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who; `api` if left out.
    #[serde(default)]
    pub author: Option<String>,
}

/// A state to be set for all upstreams of a service that have a label.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutLabelledState {
    /// The label, such as `zone=a`.
    pub label: String,
    /// `active` or `drain`.
    #[serde(deserialize_with = "upstream_state")]
    pub state: UpstreamState,
    /// Those of this pool alone.
    #[serde(default)]
    pub pool: Option<String>,
    /// Drain them even if a pool that gets traffic has nobody left then.
    #[serde(default)]
    pub force: bool,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who; `api` if left out.
    #[serde(default)]
    pub author: Option<String>,
}

/// A state that was set for all that have a label.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LabelledStateSet {
    /// The state.
    pub state: UpstreamState,
    /// The upstreams.
    pub upstreams: Vec<String>,
    /// Requests they hold now.
    pub in_flight: u64,
    /// The generation from which on it is so.
    pub generation: u64,
    /// Whether the disk has it, where it has not yet.
    #[serde(flatten)]
    pub storing: super::Storing,
}

/// What an upstream is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamState {
    /// Take requests.
    Active,
    /// End those it has and take no more.
    Drain,
}

/// A state that was set.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UpstreamStateSet {
    /// The state.
    pub state: UpstreamState,
    /// Requests the upstream holds now.
    pub in_flight: u32,
    /// The generation from which on it is so.
    pub generation: u64,
    /// Whether the disk has it, where it has not yet.
    #[serde(flatten)]
    pub storing: super::Storing,
}

/// A word that must be one of a few. serde's own message for what is no text at all, such as
/// `true`, would not say which.
struct OneOf<T> {
    words: &'static [&'static str],
    of: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOf<T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<String> = self.words.iter().map(|word| format!("\"{word}\"")).collect();
        write!(f, "one of {}", words.join(", "))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        match self.words.contains(&text) {
            true => T::deserialize(text.into_deserializer()),
            false => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

fn one_of<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    words: &'static [&'static str],
) -> Result<T, D::Error> {
    deserializer.deserialize_str(OneOf { words, of: PhantomData })
}

fn breaker_order<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BreakerOrder, D::Error> {
    one_of(deserializer, &["auto", "open", "closed"])
}

fn upstream_state<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UpstreamState, D::Error> {
    one_of(deserializer, &["active", "drain"])
}

fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mode, D::Error> {
    one_of(deserializer, &["serve", "hold", "maintenance"])
}

impl From<&events::Entry> for Event {
    fn from(entry: &events::Entry) -> Event {
        let (number, at, event) = (entry.number, entry.at.seconds(), &entry.event);
        let Subject { service, pool, upstream } = event.subject.clone();
        let (kind, severity) = (event.kind.name().to_string(), event.severity().name().to_string());
        let what = event.words();
        let (author, reason) = (event.author.clone(), event.reason.clone());
        let labels = entry.labels.to_map();
        let trace_id = entry.trace.clone();
        Event {
            number,
            at,
            severity,
            kind,
            service,
            pool,
            upstream,
            labels,
            what,
            author,
            reason,
            runbook: event.runbook(),
            trace_id,
        }
    }
}

impl Mode {
    /// What a service does at this moment.
    pub fn of(service: &snapshot::Service, now: Moment) -> Mode {
        match service.mode.at(now) {
            snapshot::Mode::Serve => Mode::Serve,
            snapshot::Mode::Hold { .. } => Mode::Hold,
            snapshot::Mode::Maintenance { .. } => Mode::Maintenance,
        }
    }
}

impl From<BreakerOrder> for upstream::BreakerOrder {
    fn from(order: BreakerOrder) -> Self {
        match order {
            BreakerOrder::Auto => upstream::BreakerOrder::Auto,
            BreakerOrder::Open => upstream::BreakerOrder::Open,
            BreakerOrder::Closed => upstream::BreakerOrder::Closed,
        }
    }
}

impl Breaker {
    /// A breaker as it is now.
    pub fn of(breaker: &upstream::Breaker, now: Moment) -> Breaker {
        Breaker {
            state: match breaker.state(now) {
                upstream::BreakerState::Closed => BreakerState::Closed,
                upstream::BreakerState::Open => BreakerState::Open,
                upstream::BreakerState::HalfOpen => BreakerState::HalfOpen,
            },
            order: match breaker.order() {
                upstream::BreakerOrder::Auto => BreakerOrder::Auto,
                upstream::BreakerOrder::Open => BreakerOrder::Open,
                upstream::BreakerOrder::Closed => BreakerOrder::Closed,
            },
            opened: breaker.opened(),
        }
    }
}
