//! The pools of a status: services in, a table with a line for each of their pools out.

use super::screen::Screen;
use crate::admin::wire;
use crate::cli::table::{percent, shortened};
use crate::cli::terminal::Colour;

/// All of them.
pub(super) fn pools(services: &[wire::Service], screen: Screen) -> String {
    let mut headings = vec![
        "SERVICE",
        "??>REV",
        "POOL",
        "?TAG",
        ">SET",
        ">GOT",
        ">REQ/S",
        ">ERRORS",
        "????>P50",
        "?>P99",
        "???>IN FLIGHT",
        "STATE",
    ];
    let rows = services.iter().flat_map(|service| {
        service.pools.iter().map(|pool| {
            let (colour, state) = state(service, pool);
            let row = vec![
                service.name.clone(),
                service.revision.to_string(),
                pool.name.clone(),
                pool.tag.as_deref().map_or_else(|| "-".into(), shortened),
                percent(pool.weight),
                pool.measured.map_or_else(|| "-".into(), percent),
                format!("{:.1}", pool.requests_per_second),
                percent(pool.errors),
                time(pool, |latency| latency.p50),
                time(pool, |latency| latency.p99),
                pool.in_flight.to_string(),
                state,
            ];
            (colour, row)
        })
    });
    let mut rows: Vec<_> = rows.collect();
    if services.iter().flat_map(|service| &service.pools).all(|pool| pool.tag.is_none()) {
        let at = headings.iter().position(|heading| heading.ends_with("TAG"));
        if let Some(at) = at {
            headings.remove(at);
            rows.iter_mut().for_each(|(_, row)| drop(row.remove(at)));
        }
    }
    screen.table(&headings, rows)
}

/// One quantile of the shortest window.
fn time(pool: &wire::Pool, of: impl Fn(&wire::Latency) -> Option<f64>) -> String {
    let seconds = pool.latency.first().and_then(of);
    seconds.map_or_else(|| "-".into(), |seconds| format!("{:.1} ms", seconds * 1e3))
}

/// What is most important about a pool.
fn state(service: &wire::Service, pool: &wire::Pool) -> (Colour, String) {
    use Colour::{Plain, Red, Yellow};
    let order = |order| pool.breaker.order == order;
    let well = |upstream: &&wire::Upstream| {
        use wire::UpstreamCondition::{Active, SlowStart};
        matches!(upstream.state, Active | SlowStart)
    };
    let (well, all) = (pool.upstreams.iter().filter(well).count(), pool.upstreams.len());
    let known = [
        (service.mode == wire::Mode::Hold, Yellow, format!("held, {} wait", service.waiting)),
        (service.mode == wire::Mode::Maintenance, Yellow, "maintenance".into()),
        (order(wire::BreakerOrder::Open), Red, "breaker open by order".into()),
        (pool.breaker.state == wire::BreakerState::Open, Red, "breaker open".into()),
        (pool.breaker.state == wire::BreakerState::HalfOpen, Yellow, "breaker half-open".into()),
        (all == 0 && pool.weight == 0.0, Plain, "empty".into()),
        (!pool.available, Red, "no upstream".into()),
        (pool.panic, Red, format!("{well} of {all} well, all are tried")),
        (order(wire::BreakerOrder::Closed), Yellow, "breaker closed by order".into()),
        (well < all, Yellow, format!("up, {well} of {all} well")),
    ];
    let said = known.into_iter().find(|(holds, ..)| *holds);
    said.map_or_else(|| (Plain, "up".into()), |(_, colour, said)| (colour, said))
}
