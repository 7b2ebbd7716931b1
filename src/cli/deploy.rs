//! `deploy`: a service and the addresses of a new version in; the version with all traffic, or the old
//! one with it still, out.

use clap::Args;
use http::Method;

use super::api::{Api, Call, segment};
use super::rollout::{Pace, follow, line};
use super::{Ending, Reach, capacity, print};
use crate::admin::wire;
use crate::balance::{WEIGHT_RANGE, check_weight};
use crate::rollout::Tag;
use crate::upstream::Address;

/// Bring a new version, which runs already, to a service: all of a pipeline's last step.
///
/// The pool that gets no traffic gets exactly these upstreams. Once all of them have proved well, by
/// health checks or by accepting connections, and have answered the smoke requests, traffic moves there
/// as the service's `rollout` table says, and the old pool is drained. A version that fails before its
/// first request leaves nothing behind: the pool has its upstreams back. One that the judge takes back
/// stays in its pool without traffic, to be looked at. The way back from a version that was promoted is
/// `pointsman rollback`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        pointsman deploy shop --to 10.0.1.11:9000,10.0.1.12:9000 --tag v42 --wait\n  \
                        pointsman deploy shop --to 10.0.1.11:9000=200,10.0.1.12:9000=100\n  \
                        pointsman deploy shop --to 127.0.0.1:9002 --strategy blue-green --wait\n  \
                        pointsman deploy shop --to web-42.internal:8080 --pool green\n\n\
                        Exit codes: 0 it runs, with --wait it has all traffic, or it had it already; 3 it was \
                        taken back or never got any; 4 the rollout is paused, or somebody gave it a part of \
                        the traffic; 5 refused (another one \
                        is under way, no pool is free, frozen, lost race); 69 the admin API cannot be \
                        reached.")]
pub struct Deploy {
    /// The service.
    service: String,
    /// Where the version runs: `host:port`, `ip:port`, `srv:NAME` or `unix:/path`, perhaps with its weight
    /// beside the others, 1 to 10000 [default: 100].
    #[arg(long, required = true, value_delimiter = ',', value_name = "ADDRESS[=WEIGHT],…",
          value_parser = place)]
    to: Vec<wire::DeployTo>,
    /// What people call the version; shown with it everywhere.
    #[arg(long, value_name = "TAG", value_parser = tag)]
    tag: Option<String>,
    /// The pool that it gets; may be left out if one alone has no traffic and no order on it.
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    /// `canary`, `blue-green` or `all-at-once`; what the config says if left out.
    #[arg(long, value_parser = ["canary", "blue-green", "all-at-once"])]
    strategy: Option<String>,
    #[command(flatten)]
    pace: Pace,
    /// Only if this is still the newest revision.
    #[arg(long, value_name = "REVISION")]
    if_revision: Option<u64>,
    /// Wait for the end: exit code 0 promoted, 3 taken back or failed, 4 paused. It waits for a proxy
    /// that is started again too. Ctrl-C ends the wait (130) and not the deploy.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    reach: Reach,
}

/// An address and perhaps its weight, as they are sent.
fn place(text: &str) -> Result<wire::DeployTo, String> {
    // The path of a socket may have one of its own.
    let is_path = |rest: &str| text.starts_with("unix:") && rest.parse::<u16>().is_err();
    let (address, weight) = match text.rsplit_once('=').filter(|(_, rest)| !is_path(rest)) {
        Some((address, weight)) => (address, Some(weight)),
        None => (text, None),
    };
    let parsed: Address = address.parse().map_err(|error| format!("{error}"))?;
    let address = parsed.to_string();
    let Some(weight) = weight else { return Ok(wire::DeployTo::Address(address)) };
    let (least, most) = WEIGHT_RANGE;
    let bad =
        || format!("the weight of {address}, `{weight}`, is no number from {least} to {most}");
    let weight =
        weight.parse().ok().and_then(|number| check_weight(number).ok()).ok_or_else(bad)?;
    Ok(wire::DeployTo::Weighed(wire::Weighed { address, weight }))
}

/// A tag, as it is sent.
fn tag(text: &str) -> Result<String, crate::rollout::NoTag> {
    text.parse::<Tag>().map(|tag| tag.to_string())
}

impl Deploy {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let Pace { steps, hold, min_requests, watch, no_judge, override_freeze, reason } =
            self.pace;
        let body = wire::Deploy {
            to: self.to,
            tag: self.tag,
            pool: self.pool,
            strategy: self.strategy,
            steps,
            hold,
            min_requests,
            watch,
            judge: no_judge.then_some(false),
            override_freeze,
            reason,
            author: Some(super::author()),
        };
        let path = format!("/v1/services/{}/deploy", segment(&self.service));
        let call = Call::json(Method::POST, &path, &body).if_match(self.if_revision);
        let deployed: wire::Deployed = Api(&self.reach)
            .order(call, || format!("nothing was deployed to {}", self.service))
            .await?;
        capacity::warn(&deployed.warnings);
        match &deployed.rollout {
            Some(rollout) if self.wait => {
                if !self.reach.json {
                    print(&begun(&deployed));
                }
                follow(&self.reach, &self.service, rollout.clone(), true).await
            }
            _ if self.reach.json => {
                print(&serde_json::to_string_pretty(&deployed)?);
                Ok(Ending::Done)
            }
            Some(rollout) => {
                print(&begun(&deployed));
                print(&line(rollout));
                let service = &deployed.service;
                print(&format!(
                    "next: pointsman rollout status {service} --watch, or pointsman rollout abort \
                     {service}"
                ));
                Ok(Ending::Done)
            }
            None => {
                let (service, pool, revision) =
                    (&deployed.service, &deployed.pool, deployed.revision);
                let version = version(&deployed);
                print(&format!(
                    "{version} is already there: pool {pool} of {service} has all traffic (revision \
                     {revision})"
                ));
                Ok(Ending::Done)
            }
        }
    }
}

fn begun(deployed: &wire::Deployed) -> String {
    let (service, pool) = (&deployed.service, &deployed.pool);
    format!("{} is deployed to pool {pool} of {service}", version(deployed))
}

/// The version and where it runs.
fn version(deployed: &wire::Deployed) -> String {
    let upstreams = deployed.upstreams.join(", ");
    match &deployed.tag {
        Some(tag) => format!("{tag} at {upstreams}"),
        None => upstreams,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_may_have_its_weight() {
        let plain = |address: &str| Ok(wire::DeployTo::Address(address.into()));
        let weighed = |address: &str, weight| {
            Ok(wire::DeployTo::Weighed(wire::Weighed { address: address.into(), weight }))
        };
        for (text, wanted) in [
            ("10.0.1.11:9000", plain("10.0.1.11:9000")),
            ("10.0.1.11:9000=200", weighed("10.0.1.11:9000", 200)),
            ("[::1]:80=1", weighed("[::1]:80", 1)),
            ("unix:/run/app.sock=10000", weighed("unix:/run/app.sock", 10_000)),
            ("unix:/run/a=b.sock", plain("unix:/run/a=b.sock")),
        ] {
            assert_eq!(place(text), wanted, "{text}");
        }
        for text in ["a:1=0", "a:1=10001", "a:1=", "a:1=x", "a:1=-1", "=5", "unix:/a=0"] {
            assert!(place(text).is_err(), "{text}");
        }
        let said = "the weight of a:1, `10001`, is no number from 1 to 10000";
        assert_eq!(place("a:1=10001"), Err(said.into()));
    }
}
