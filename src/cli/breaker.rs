//! `breaker`: a pool or an upstream in, its circuit breaker opened, closed or left to itself out.

use clap::{Args, ValueEnum};
use http::Method;

use super::api::{Api, Call, segment};
use super::{Ending, Reach, print};
use crate::admin::wire;

/// Open or close a circuit breaker by hand, or let it decide by itself again.
///
/// While open, the pool's requests are answered by its service's fallback, or with 503; nothing
/// reaches its upstreams. The order stands until it is taken back with `auto`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pointsman breaker shop/blue open --reason \"database is down\"\n  \
                        pointsman breaker shop/blue auto\n  \
                        pointsman breaker shop/blue open --upstream 10.0.0.11:9000"
)]
pub struct Breaker {
    /// The pool, as SERVICE/POOL.
    #[arg(value_name = "SERVICE/POOL", value_parser = super::drain::pool)]
    pool: (String, String),
    /// What it is to do.
    state: State,
    /// The breaker of this upstream, instead of the pool's.
    #[arg(long, value_name = "ADDRESS")]
    upstream: Option<String>,
    /// Why; kept with the event.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    /// Let nothing through.
    Open,
    /// Let everything through, whatever fails. A pool's leaves those of its upstreams alone.
    Closed,
    /// Decide by itself.
    Auto,
}

impl Breaker {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let (service, pool) = &self.pool;
        let mut path = format!("/v1/services/{}/pools/{}", segment(service), segment(pool));
        if let Some(upstream) = &self.upstream {
            path.push_str(&format!("/upstreams/{}", segment(upstream)));
        }
        path.push_str("/breaker");
        let (state, said) = match self.state {
            State::Open => (wire::BreakerOrder::Open, "open: nothing is let through"),
            State::Closed => (
                wire::BreakerOrder::Closed,
                "closed, whatever fails; those of a pool's upstreams are their own",
            ),
            State::Auto => (wire::BreakerOrder::Auto, "automatic again"),
        };
        let put = wire::PutBreaker { state, reason: self.reason, author: Some(super::author()) };
        let call = Call::json(Method::PUT, &path, &put);
        let of = match &self.upstream {
            Some(upstream) => format!("{service}/{pool} {upstream}"),
            None => format!("{service}/{pool}"),
        };
        let set: wire::BreakerSet =
            Api(&self.reach).order(call, || format!("the breaker of {of} was not changed")).await?;
        print(&match self.reach.json {
            true => serde_json::to_string_pretty(&set)?,
            false => format!("the breaker of {of} is {said}"),
        });
        Ok(Ending::Done)
    }
}
