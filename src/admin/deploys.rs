//! Deploys: a version's addresses in; the rollout that brings it traffic, or that it has it already,
//! out.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;

use super::answer::{Answer, Body, Object, Path, by, etag, give, strange};
use super::guard::Caller;
use super::problem::Problem;
use super::rollouts::{bad, wishes};
use super::{Admin, wire};
use crate::balance::check_weight;
use crate::orders::{DeployOrder, MOST_DEPLOYED, Made, Order, Refused};
use crate::rollout::{Strategy, Tag};
use crate::split::BasisPoints;
use crate::upstream::Address;

/// Puts a version into a pool that gets no traffic, and starts a rollout to it. That begins once all
/// of its upstreams have proved well; if they do not, the pool has its upstreams back.
#[utoipa::path(post, path = "/v1/services/{service}/deploy", tag = "rollouts",
    params(("service" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = wire::Deploy,
    responses(
        (status = 200, description = "This version has all traffic already", body = wire::Deployed,
            headers(("ETag" = String, description = "The service's revision"))),
        (status = 201, description = "The rollout that has begun", body = wire::Deployed,
            headers(("ETag" = String, description = "The service's revision"))),
        (status = 404, description = "No such service or pool", body = Problem),
        (status = 409, description = "A rollout is under way, no pool or more than one is free, they are \
                                      frozen, or it cannot be planned as things are", body = Problem),
        (status = 422, description = "An address or the tag is none, or an override has no reason",
            body = Problem)))]
pub async fn deploy(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body<wire::Deploy>,
) -> Answer {
    let Json(Object(deploy)) = body?;
    let at = addresses(&deploy.to)?;
    at.iter().try_for_each(|(address, _)| caller.must_reach(address))?;
    let tag: Option<Tag> = deploy
        .tag
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|error| bad(format!("tag: {error}")))?;
    let start = deploy.start();
    if start.override_freeze && !start.has_reason() {
        return Err(admin.problem(Refused::NoReason, &name));
    }
    let wishes = wishes(&start)?;
    if wishes.strategy == Some(Strategy::Rolling) {
        return Err(admin.problem(Refused::DeployRolls(name.clone()), &name));
    }
    let by = by(&headers, &caller, start.author, start.reason, false)?;
    let what = DeployOrder { at, tag, within: caller.networks(), wishes };
    let order = Order::Deploy { service: name.clone(), what: Box::new(what) };
    let granted = give(&admin, &name, order, by).await?;
    let (status, pool, revision, rollout) = match granted.answer {
        Made::Rollout(report) => {
            let rollout = wire::Rollout::of(*report, admin.clock.wall_time());
            (StatusCode::CREATED, rollout.to.clone(), rollout.revision, Some(rollout))
        }
        Made::Already(newest) => {
            let mut parts = newest.split.parts().iter();
            let whole = parts.find(|(_, weight)| *weight == BasisPoints::WHOLE);
            let pool = whole.map(|(pool, _)| pool.to_string()).ok_or_else(strange)?;
            (StatusCode::OK, pool, newest.number, None)
        }
        _ => return Err(strange()),
    };
    let deployed = wire::Deployed {
        service: name,
        pool,
        tag: deploy.tag,
        upstreams: deploy.to.into_iter().map(wire::DeployTo::address).collect(),
        unchanged: rollout.is_none(),
        revision,
        rollout,
        warnings: wire::warnings(&granted.warnings),
        storing: wire::Storing::of(granted.stored),
    };
    Ok((status, etag(deployed.revision), Json(deployed)).into_response())
}

/// The places of a version, each once, and the weights that they come with.
fn addresses(given: &[wire::DeployTo]) -> Result<Vec<(Address, Option<u16>)>, Problem> {
    if given.is_empty() || given.len() > MOST_DEPLOYED {
        return Err(bad(format!("to: from 1 to {MOST_DEPLOYED} addresses")));
    }
    let mut seen = BTreeSet::new();
    let one = |to: &wire::DeployTo| {
        let (text, weight) = match to {
            wire::DeployTo::Address(text) => (text, None),
            wire::DeployTo::Weighed(wire::Weighed { address, weight }) => (address, Some(*weight)),
        };
        let address: Address =
            text.parse().map_err(|error| bad(format!("to: `{text}`: {error}")))?;
        let weight = weight.map(check_weight).transpose();
        let weight = weight.map_err(|why| bad(format!("to: `{address}`: {why}")))?;
        match seen.insert(address.to_string()) {
            true => Ok((address, weight)),
            false => Err(bad(format!("to: `{address}` is there twice"))),
        }
    };
    given.iter().map(one).collect()
}
