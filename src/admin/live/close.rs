//! One service closely: all that its page shows, as rows.

use super::board::{Rows, row};
use super::glance::Look;
use crate::admin::{rollouts, services, wire};
use crate::orders::Report;
use crate::snapshot::Service;

/// Adds what is known of a service.
pub(super) fn look(look: &Look<'_>, service: &Service, rows: &mut Rows) {
    let mut described = services::describe(look.admin, service, look.now);
    described.rollout = None;
    let mut pool_names = Vec::with_capacity(described.pools.len());
    for mut pool in std::mem::take(&mut described.pools) {
        for upstream in std::mem::take(&mut pool.upstreams) {
            let key = format!("upstream/{}/{}", pool.name, upstream.address);
            rows.insert(key.into(), row(&upstream));
        }
        rows.insert(format!("pool/{}", pool.name).into(), row(&pool));
        pool_names.push(pool.name);
    }
    let wrong = look.wrong_but_rollout(service);
    let whole = wire::LiveService { pool_names, wrong, service: described };
    rows.insert("service".into(), row(&whole));
    if let Some(report) = Report::newest(look.state, &service.name, look.wall) {
        let rollout = wire::Rollout::of(report, look.wall);
        rows.insert("rollout".into(), row(&rollouts::with_waits(look.admin, rollout)));
    }
    if let Some(newest) = look.state.newest(&service.name) {
        rows.insert("revision".into(), row(&wire::Revision::from(&**newest)));
    }
    let standing = service.state.standing();
    if wire::Budget::of(&standing).is_some() {
        rows.insert("slo".into(), row(&wire::Slo::of(&service.name, &standing)));
    }
}
