//! What is known of a proxy: lines of what is watched in, its services, one of them closely, and events out.

use std::collections::{BTreeMap, VecDeque};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::moments::Moments;
use crate::admin::wire;

/// Seconds of a plot that are kept, and by how many more before the oldest go.
const SECONDS: usize = 300;
const SLACK: usize = 20;

/// Events that are kept: as many as the API does.
const EVENTS: usize = 1_000;

/// How it stands with the connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Link {
    /// Nothing has come yet.
    #[default]
    Connecting,
    /// Lines come.
    Live,
    /// Nobody is there since then, as Unix time in seconds; it is tried again.
    Away {
        /// Since when.
        since: f64,
        /// What went wrong at last.
        why: String,
    },
    /// It says no.
    Refused {
        /// In its words.
        why: String,
    },
}

/// All that is known.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// How it stands with the connection.
    pub link: Link,
    /// When the last line was made, as Unix time in seconds.
    pub at: f64,
    /// Who asks, and what it may ask for.
    pub me: Option<wire::Me>,
    /// The process.
    pub status: Option<wire::LiveStatus>,
    /// The config's state.
    pub config: Option<wire::ConfigStatus>,
    /// All services by name; none before the first line.
    pub services: Option<BTreeMap<String, wire::Glance>>,
    /// The service that is watched closely.
    pub close: Option<Close>,
    /// What happened, the oldest first.
    pub events: VecDeque<wire::Event>,
}

/// One service closely.
#[derive(Clone, Debug, Default)]
pub struct Close {
    /// Its name.
    pub name: String,
    /// The service without pools and rollout.
    pub service: Option<wire::LiveService>,
    /// Its pools without upstreams, by name.
    pub pools: BTreeMap<String, wire::Pool>,
    /// Upstreams by the keys of their rows.
    pub upstreams: BTreeMap<String, wire::Upstream>,
    /// The rollout under way, else the last one.
    pub rollout: Option<wire::Rollout>,
    /// The newest revision.
    pub revision: Option<wire::Revision>,
    /// Objectives and budgets.
    pub slo: Option<wire::Slo>,
    /// By pool the last seconds: when, requests, failures, p50, p95, p99.
    pub seconds: BTreeMap<String, Vec<wire::Points>>,
    /// How evidence grew while it was watched.
    pub moments: Moments,
}

impl Known {
    /// Begins to watch a service closely, or none.
    pub fn watch(&mut self, service: Option<&str>) {
        self.close = service.map(|name| Close { name: name.into(), ..Close::default() });
    }

    /// Takes a line of what is watched: of this service, or of all of them.
    pub fn take(&mut self, topic: Option<&str>, line: wire::LiveLine) {
        let wire::LiveLine { at, whole, mut rows, gone, events, seconds, .. } = line;
        (self.link, self.at) = (Link::Live, at);
        put(&mut self.status, rows.remove("status"));
        put(&mut self.config, rows.remove("config"));
        match topic {
            None => self.take_all(whole, rows, &gone),
            Some(name) => {
                if let Some(close) = self.close.as_mut().filter(|close| close.name == name) {
                    close.take(whole, rows, &gone, seconds.unwrap_or_default());
                    close.moments.see(close.rollout.as_ref(), at);
                }
            }
        }
        let happened = events.into_iter().filter_map(read);
        self.happened(happened.collect());
    }

    fn take_all(&mut self, whole: bool, rows: BTreeMap<String, Value>, gone: &[String]) {
        let services = self.services.get_or_insert_default();
        if whole {
            services.clear();
        }
        for key in gone.iter().filter_map(|key| key.strip_prefix("service/")) {
            services.remove(key);
        }
        for (key, row) in rows {
            if let (Some(name), Some(glance)) = (key.strip_prefix("service/"), read(row)) {
                services.insert(name.to_string(), glance);
            }
        }
    }

    /// Takes events in that are newer than those that are there.
    pub fn happened(&mut self, events: Vec<wire::Event>) {
        let last = self.events.back().map_or(0, |event| event.number);
        self.events.extend(events.into_iter().filter(|event| event.number > last));
        while self.events.len() > EVENTS {
            self.events.pop_front();
        }
    }

    /// All events there are: those of before may be of another process, whose numbers began anew.
    pub fn all_events(&mut self, events: Vec<wire::Event>) {
        self.events.clear();
        self.happened(events);
    }

    /// Nobody is there since then, if somebody was.
    pub fn lost(&mut self, why: String, now: f64) {
        let since = match &self.link {
            Link::Away { since, .. } => *since,
            _ => now,
        };
        self.link = Link::Away { since, why };
    }

    /// Whether this token may ask for an operation, as `PUT /v1/services/{service}/split`.
    pub fn may(&self, operation: &str) -> bool {
        self.me.as_ref().is_none_or(|me| me.may.iter().any(|one| one == operation))
    }

    /// A service at a glance.
    pub fn glance(&self, name: &str) -> Option<&wire::Glance> {
        self.services.as_ref()?.get(name)
    }

    /// The service that is watched closely, if it is this one and has come.
    pub fn close(&self, name: &str) -> Option<&Close> {
        self.close.as_ref().filter(|close| close.name == name && close.service.is_some())
    }
}

impl Close {
    fn take(
        &mut self,
        whole: bool,
        rows: BTreeMap<String, Value>,
        gone: &[String],
        seconds: BTreeMap<String, Vec<wire::Points>>,
    ) {
        if whole {
            let (name, moments) =
                (std::mem::take(&mut self.name), std::mem::take(&mut self.moments));
            *self = Close { name, moments, ..Close::default() };
        }
        for key in gone {
            match key.split_once('/') {
                Some(("pool", name)) => drop(self.pools.remove(name)),
                Some(("upstream", rest)) => drop(self.upstreams.remove(rest)),
                _ if key == "rollout" => self.rollout = None,
                _ if key == "revision" => self.revision = None,
                _ if key == "slo" => self.slo = None,
                _ => {}
            }
        }
        for (key, row) in rows {
            match key.split_once('/') {
                Some(("pool", name)) => {
                    read(row).map(|pool| self.pools.insert(name.to_string(), pool));
                }
                Some(("upstream", rest)) => {
                    read(row).map(|upstream| self.upstreams.insert(rest.to_string(), upstream));
                }
                _ if key == "service" => put(&mut self.service, Some(row)),
                _ if key == "rollout" => put(&mut self.rollout, Some(row)),
                _ if key == "revision" => put(&mut self.revision, Some(row)),
                _ if key == "slo" => put(&mut self.slo, Some(row)),
                _ => {}
            }
        }
        for (pool, points) in seconds {
            let known = self.seconds.entry(pool).or_default();
            let last = known.last().and_then(at).unwrap_or(0.0);
            known.extend(points.into_iter().filter(|point| at(point).is_some_and(|at| at > last)));
            if known.len() > SECONDS + SLACK {
                known.drain(..known.len() - SECONDS);
            }
        }
    }

    /// Its pools in the order of the file.
    pub fn in_order(&self) -> Vec<&wire::Pool> {
        let names = self.service.iter().flat_map(|service| &service.pool_names);
        names.filter_map(|name| self.pools.get(name)).collect()
    }

    /// Upstreams of a pool.
    pub fn upstreams(&self, pool: &str) -> impl Iterator<Item = &wire::Upstream> {
        let of_pool = format!("{pool}/");
        let all = self.upstreams.range(of_pool.clone()..);
        all.take_while(move |(key, _)| key.starts_with(&of_pool)).map(|(_, upstream)| upstream)
    }

    /// Whether an upstream was drained by order.
    pub fn is_drained(&self, pool: &str, address: &str) -> bool {
        let orders = self.service.iter().flat_map(|service| &service.service.orders);
        orders.into_iter().any(|order| {
            let is_of = |of: &Option<String>, name: &str| of.as_deref() == Some(name);
            order.kind == "drain" && is_of(&order.pool, pool) && is_of(&order.upstream, address)
        })
    }

    /// Whether somebody has frozen its rollouts.
    pub fn is_frozen(&self) -> bool {
        self.slo.as_ref().is_some_and(|slo| slo.freeze.is_some())
    }

    /// The rollout, while it is under way.
    pub fn under_way(&self) -> Option<&wire::Rollout> {
        self.rollout.as_ref().filter(|rollout| rollout.ended.is_none())
    }
}

/// When a point of a plot was over, as Unix time in seconds.
pub fn at(point: &wire::Points) -> Option<f64> {
    point.first().copied().flatten()
}

/// A row; none for one of another version that cannot be read.
fn read<T: DeserializeOwned>(row: Value) -> Option<T> {
    serde_json::from_value(row).ok()
}

fn put<T: DeserializeOwned>(place: &mut Option<T>, row: Option<Value>) {
    if let Some(new) = row.and_then(read) {
        *place = Some(new);
    }
}
