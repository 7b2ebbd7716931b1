//! `drain`: an upstream in, none of its requests left out.

use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use http::Method;

use super::api::{Api, Call, segment};
use super::flip::wait_until_done;
use super::{Ending, Reach, print};
use crate::admin::wire;

/// Take an upstream out for new requests, and wait until it is done.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman drain shop/blue 10.0.0.11:9000\n  \
                        pointsman drain shop/blue 10.0.0.11:9000 --undo")]
pub struct Drain {
    /// The pool, as SERVICE/POOL.
    #[arg(value_name = "SERVICE/POOL", value_parser = pool)]
    pool: (String, String),
    /// The upstream's address as configured.
    address: String,
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
        let (service, pool) = &self.pool;
        let of_pool = format!("/v1/services/{}/pools/{}", segment(service), segment(pool));
        let path = format!("{of_pool}/upstreams/{}/state", segment(&self.address));
        let state =
            if self.undo { wire::UpstreamState::Active } else { wire::UpstreamState::Drain };
        let author = Some(super::author());
        let put = wire::PutUpstreamState {
            state,
            force: self.force,
            reason: self.reason.clone(),
            author,
        };
        let call = Call::json(Method::PUT, &path, &put);
        let set: wire::UpstreamStateSet = Api(&self.reach)
            .ask(call)
            .await
            .with_context(|| format!("{} was not changed", self.address))?;
        print(&match (self.reach.json, self.undo) {
            (true, _) => serde_json::to_string_pretty(&set)?,
            (false, true) => format!("{} takes requests again", self.address),
            (false, false) => format!("{} takes no new requests", self.address),
        });
        if self.undo || self.no_wait {
            return Ok(Ending::Done);
        }
        let held = async || {
            let pool: wire::Pool = Api(&self.reach).get_again(&of_pool).await?;
            let upstream = pool.upstreams.iter().find(|upstream| upstream.address == self.address);
            let upstream =
                upstream.ok_or_else(|| anyhow!("{} is gone from its pool", self.address))?;
            Ok(u64::from(upstream.in_flight))
        };
        wait_until_done(held, self.timeout, self.reach.json).await
    }
}
