//! `drain`: an upstream in, none of its requests left out.

use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use http::Method;

use super::api::{Api, Call, segment};
use super::away::Away;
use super::flip::wait_until_done;
use super::{Ending, Reach, print};
use crate::admin::wire;
use crate::upstream::Label;

/// Take an upstream out for new requests, and wait until it is done.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman drain shop/blue 10.0.0.11:9000\n  \
                        pointsman drain shop/blue 10.0.0.11:9000 --undo\n  \
                        pointsman drain shop --label zone=a")]
pub struct Drain {
    /// The pool; with `--label` also a whole service.
    #[arg(value_name = "SERVICE[/POOL]")]
    target: String,
    /// The upstream's address as configured.
    #[arg(required_unless_present = "label", conflicts_with = "label")]
    address: Option<String>,
    /// All upstreams that have this label, such as `zone=a`.
    #[arg(long, value_name = "NAME=TEXT")]
    label: Option<Label>,
    /// Let it take requests again.
    #[arg(long)]
    undo: bool,
    /// Even if it is the last one of a pool that gets traffic.
    #[arg(long)]
    force: bool,
    /// Do not wait for the requests it still holds.
    #[arg(long)]
    no_wait: bool,
    /// How long to wait for them; the upstream stays drained if it is not long enough.
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = crate::config::duration)]
    timeout: Duration,
    /// Why; kept with the event.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn pool(text: &str) -> Result<(String, String), String> {
    let (service, pool) = text.split_once('/').ok_or("expected SERVICE/POOL, such as shop/blue")?;
    Ok((service.to_string(), pool.to_string()))
}

impl Drain {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        match (&self.label, &self.address) {
            (Some(label), _) => self.all_labelled(label).await,
            (None, Some(address)) => self.one(address).await,
            (None, None) => Ok(Ending::Usage),
        }
    }

    fn state(&self) -> wire::UpstreamState {
        if self.undo { wire::UpstreamState::Active } else { wire::UpstreamState::Drain }
    }

    async fn one(&self, address: &str) -> anyhow::Result<Ending> {
        let (service, pool) = pool(&self.target).map_err(|error| anyhow!("{error}"))?;
        let of_pool = format!("/v1/services/{}/pools/{}", segment(&service), segment(&pool));
        let path = format!("{of_pool}/upstreams/{}/state", segment(address));
        let (state, author) = (self.state(), Some(super::author()));
        let reason = self.reason.clone();
        let put = wire::PutUpstreamState { state, force: self.force, reason, author };
        let call = Call::json(Method::PUT, &path, &put);
        let set: wire::UpstreamStateSet =
            Api(&self.reach).order(call, || format!("{address} was not changed")).await?;
        print(&match (self.reach.json, self.undo) {
            (true, _) => serde_json::to_string_pretty(&set)?,
            (false, true) => format!("{address} takes requests again"),
            (false, false) => format!("{address} takes no new requests"),
        });
        if self.undo || self.no_wait {
            return Ok(Ending::Done);
        }
        let held = async || {
            let pool: wire::Pool = Away::ordered(&self.reach).heard(&of_pool).await?;
            let upstream = pool.upstreams.iter().find(|upstream| upstream.address == address);
            let upstream = upstream.ok_or_else(|| anyhow!("{address} is gone from its pool"))?;
            Ok(u64::from(upstream.in_flight))
        };
        wait_until_done(held, self.timeout, self.reach.json).await
    }

    async fn all_labelled(&self, label: &Label) -> anyhow::Result<Ending> {
        let (service, pool) = match self.target.split_once('/') {
            Some((service, pool)) => (service, Some(pool.to_string())),
            None => (&*self.target, None),
        };
        let of_service = format!("/v1/services/{}", segment(service));
        let path = format!("{of_service}/labelled/state");
        let put = wire::PutLabelledState {
            label: label.to_string(),
            state: self.state(),
            pool: pool.clone(),
            force: self.force,
            reason: self.reason.clone(),
            author: Some(super::author()),
        };
        let call = Call::json(Method::PUT, &path, &put);
        let set: wire::LabelledStateSet =
            Api(&self.reach).order(call, || "nothing was changed".into()).await?;
        let who = set.upstreams.join(", ");
        print(&match (self.reach.json, self.undo) {
            (true, _) => serde_json::to_string_pretty(&set)?,
            (false, true) => format!("{who}: they take requests again"),
            (false, false) => format!("{who}: they take no new requests"),
        });
        if self.undo || self.no_wait {
            return Ok(Ending::Done);
        }
        let held = async || {
            let service: wire::Service = Away::ordered(&self.reach).heard(&of_service).await?;
            let pools = service
                .pools
                .iter()
                .filter(|known| pool.as_ref().is_none_or(|name| known.name == *name));
            let upstreams = pools.flat_map(|pool| &pool.upstreams);
            let meant = upstreams.filter(|upstream| set.upstreams.contains(&upstream.address));
            Ok(meant.map(|upstream| u64::from(upstream.in_flight)).sum())
        };
        wait_until_done(held, self.timeout, self.reach.json).await
    }
}
