//! `upstream`: a pool and an address in, the pool with or without it out.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use http::Method;

use super::api::{Api, Call, segment};
use super::{Ending, Reach, print};
use crate::admin::wire;
use crate::upstream::Label;

/// Add upstreams to a pool or take them out of it, without touching the others.
///
/// What is changed here stands until the pool's list is edited in the file.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pointsman upstream add shop/blue 10.0.0.13:9000 --weight 50 --label zone=a\n  \
                        pointsman upstream remove shop/blue 10.0.0.11:9000"
)]
pub struct Upstream {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Add an upstream, or give one that is there another weight or other labels.
    Add {
        /// The pool, as SERVICE/POOL.
        #[arg(value_name = "SERVICE/POOL", value_parser = super::drain::pool)]
        pool: (String, String),
        /// `host:port`, `ip:port`, `srv:NAME` or `unix:/path`.
        address: String,
        /// Relative to the others of the pool, 1 to 10000 [default: 100, or what it was]
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=10_000))]
        weight: Option<u16>,
        /// One of its labels; may be given up to eight times [default: none, or those it had]
        #[arg(long = "label", value_name = "NAME=TEXT")]
        labels: Vec<Label>,
        /// Why; kept with the event.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Take an upstream out; requests it holds end.
    ///
    /// What was ordered of it (a drain, its breaker) goes with it: added again, it takes requests.
    Remove {
        /// The pool, as SERVICE/POOL.
        #[arg(value_name = "SERVICE/POOL", value_parser = super::drain::pool)]
        pool: (String, String),
        /// The address as configured.
        address: String,
        /// Why; kept with the event.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
}

impl Upstream {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        match self.what {
            What::Add { pool, address, weight, labels, reason, reach } => {
                let path = path(&pool);
                let author = Some(super::author());
                let named = match weight {
                    Some(weight) => format!("{address} with weight {weight}"),
                    None => address.clone(),
                };
                let given = labels.len();
                let labels: BTreeMap<_, _> =
                    labels.into_iter().map(|label| (label.name, label.text)).collect();
                if labels.len() < given {
                    eprintln!("pointsman: each label has one text: give every name once");
                    return Ok(Ending::Usage);
                }
                let labels = (given > 0).then_some(labels);
                let post = wire::PostUpstream { address, weight, labels, reason, author };
                let call = Call::json(Method::POST, &path, &post);
                change(&reach, call, &format!("{named} is in {}/{}", pool.0, pool.1)).await
            }
            What::Remove { pool, address, reason, reach } => {
                let author = segment(&super::author());
                let mut path = format!("{}/{}?author={author}", path(&pool), segment(&address));
                if let Some(reason) = reason {
                    path.push_str(&format!("&reason={}", segment(&reason)));
                }
                let call = Call::delete(&path);
                change(&reach, call, &format!("{address} is out of {}/{}", pool.0, pool.1)).await
            }
        }
    }
}

fn path((service, pool): &(String, String)) -> String {
    format!("/v1/services/{}/pools/{}/upstreams", segment(service), segment(pool))
}

async fn change(reach: &Reach, call: Call<'_>, said: &str) -> anyhow::Result<Ending> {
    let changed: wire::UpstreamsChanged =
        Api(reach).order(call, || "the pool was not changed".into()).await?;
    print(&match (reach.json, &changed.note) {
        (true, _) => serde_json::to_string_pretty(&changed)?,
        (false, Some(note)) => format!("{said}; {note}"),
        (false, None) => said.to_string(),
    });
    Ok(Ending::Done)
}
