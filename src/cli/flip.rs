//! `flip`: a pool in, all traffic on it and the others done out.

use std::time::Duration;

use clap::Args;
use http::Method;
use tokio::time::sleep;

use super::api::{Api, Call, segment};
use super::away::Away;
use super::{Ending, Reach, Why, shift};
use crate::admin::wire;
use crate::server::clock;

/// How often to look whether requests are still in flight.
const LOOK: Duration = Duration::from_millis(100);

/// Send all of a service's traffic to one pool, and wait until the others are done.
///
/// Refused if no upstream of the pool accepts a connection, or none has passed its health check. The
/// switch is one step: no request fails.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman flip shop green --reason \"release 42\"\n  \
                        pointsman flip shop blue --no-wait")]
pub struct Flip {
    /// The service.
    service: String,
    /// The pool that is to get everything.
    pool: String,
    /// Even if none of its upstreams would take requests.
    #[arg(long)]
    force: bool,
    /// Do not wait for requests that other pools still hold.
    #[arg(long)]
    no_wait: bool,
    /// How long to wait for them; the switch stays made if it is not long enough.
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = crate::config::duration)]
    drain: Duration,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    reach: Reach,
}

impl Flip {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let body = wire::Flip {
            to: self.pool.clone(),
            force: self.force,
            reason: self.why.reason.clone(),
            author: Some(super::author()),
        };
        let path = format!("/v1/services/{}/flip", segment(&self.service));
        let call = Call::json(Method::POST, &path, &body).if_match(self.why.if_revision);
        let revision: wire::Revision =
            Api(&self.reach).order(call, || format!("{} was not flipped", self.service)).await?;
        shift::report(&self.service, &revision, self.reach.json)?;
        if self.no_wait {
            return Ok(Ending::Done);
        }
        let path = format!("/v1/services/{}", segment(&self.service));
        let others = async || {
            let service: wire::Service = Away::ordered(&self.reach).heard(&path).await?;
            let others = service.pools.iter().filter(|pool| pool.name != self.pool);
            anyhow::Ok(others.map(|pool| pool.in_flight).sum())
        };
        wait_until_done(others, self.drain, self.reach.json).await
    }
}

/// Waits until nothing is in flight; says no if that takes too long.
pub(super) async fn wait_until_done(
    in_flight: impl AsyncFn() -> anyhow::Result<u64>,
    patience: Duration,
    quiet: bool,
) -> anyhow::Result<Ending> {
    let clock = clock::system();
    let until = clock.now() + patience;
    let mut told = None;
    loop {
        let left = in_flight().await?;
        if left == 0 {
            if !quiet && told.is_some() {
                eprintln!("drained");
            }
            return Ok(Ending::Done);
        }
        if clock.now() >= until {
            eprintln!("still {left} in flight after {} s", patience.as_secs_f64());
            return Ok(Ending::No);
        }
        if !quiet && told != Some(left) {
            eprintln!("waiting for {left} in flight");
            told = Some(left);
        }
        sleep(LOOK).await;
    }
}
