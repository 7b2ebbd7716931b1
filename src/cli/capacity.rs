//! `capacity`: a service or none in, how much its pools carry and how much more they could out.

use anyhow::Context;
use clap::Args;

use super::api::{Api, Call, segment};
use super::table::{fitted, percent};
use super::terminal::{self, wrapped};
use super::{Ending, Reach, print};
use crate::admin::wire;

/// Show how much each pool carries, and how much more it could.
///
/// TOP is the highest of the last 28 days, over ten seconds. The ceiling is the limit on requests at once, or how
/// many at once double the pool's p99, whichever is lower; where neither is known, what one upstream of the
/// service has carried well, marked ≥ because it may be able to carry more. ROOM is how much of the ceiling is
/// free now, ONE LOST with the largest upstream of the pool lost. docs/capacity.md says how it is found out.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman capacity\n  pointsman capacity shop\n  \
                        pointsman capacity shop --json | jq '.[0].pools[].ceiling.head_room'")]
pub struct Capacity {
    /// The service; all are shown if left out.
    service: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

impl Capacity {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let api = Api(&self.reach);
        let names = match &self.service {
            Some(service) => vec![service.clone()],
            None => api.services().await?.into_iter().map(|service| service.name).collect(),
        };
        let mut all: Vec<wire::Capacity> = Vec::new();
        for name in &names {
            let path = format!("/v1/services/{}/capacity", segment(name));
            let told = api.ask(Call::get(&path)).await;
            all.push(told.with_context(|| format!("nothing is known of {name}"))?);
        }
        print(&match self.reach.json {
            true => serde_json::to_string_pretty(&all)?,
            false => picture(&all, terminal::size().map(|(columns, _)| columns)),
        });
        Ok(Ending::Done)
    }
}

/// Columns of what is no terminal.
const COLUMNS: usize = 80;

fn picture(all: &[wire::Capacity], columns: Option<usize>) -> String {
    let headings = [
        "SERVICE/POOL",
        "??>SHARE",
        "???>UP",
        ">REQ/S",
        "?>TOP",
        ">HELD",
        "?>TOP",
        "CEILING",
        ">ROOM",
        ">ONE LOST",
    ];
    let rows = all.iter().flat_map(|of| of.pools.iter().map(|pool| row(&of.service, pool)));
    let mut lines = vec![fitted(&headings, rows.collect(), columns)];
    let columns = columns.unwrap_or(COLUMNS);
    lines.extend(all.iter().flat_map(|of| wrapped(&words(of), columns)));
    lines.join("\n")
}

fn row(service: &str, pool: &wire::PoolCapacity) -> Vec<String> {
    let none = || "-".to_string();
    let highest = |it: &Option<wire::Highest>| it.as_ref().map_or_else(none, |it| number(it.value));
    let ceiling = pool.ceiling.as_ref();
    vec![
        format!("{service}/{}", pool.pool),
        percent(pool.share),
        format!("{}/{}", pool.well, pool.upstreams),
        number(pool.requests_per_second),
        highest(&pool.highest_rate),
        pool.in_flight.to_string(),
        highest(&pool.highest_in_flight),
        ceiling.map_or_else(none, |it| match it.by {
            wire::CeilingBy::Limit => format!("{} held: limit", number(it.most)),
            wire::CeilingBy::Doubled => format!("{} held: p99 ×2", number(it.most)),
            wire::CeilingBy::Carried => format!("≥ {} req/s", number(it.most)),
        }),
        ceiling.map_or_else(none, |it| room(it.by, it.head_room)),
        ceiling.map_or_else(none, |it| room(it.by, it.head_room_without_largest)),
    ]
}

/// What is free; of more than there is room for, how much there is.
fn room(by: wire::CeilingBy, free: f64) -> String {
    let at_least = if by == wire::CeilingBy::Carried && free > 0.0 { "≥ " } else { "" };
    format!("{at_least}{free:.0} %").replace("-0 %", "0 %")
}

/// A figure with as many digits as matter.
fn number(value: f64) -> String {
    let is_small = value < 100.0 && value.fract().abs() > 0.05;
    if is_small { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// What is to be said of a service beside its numbers.
fn words(of: &wire::Capacity) -> String {
    let wire::Capacity { service, hours, hours_needed, carried, carried_in, .. } = of;
    let (Some(carried), Some(pool)) = (carried, carried_in) else {
        return format!("{service}: nothing shows yet how much one upstream carries.");
    };
    let carried = format!(
        "{service}: one upstream has carried {} requests a second well at most (pool {pool}, for each 100 of \
         weight).",
        number(*carried)
    );
    match hours < hours_needed {
        true => format!(
            "{carried} Changes that give one too much are warned of after {hours_needed} hours with requests; \
             {hours} so far."
        ),
        false => format!("{carried} A change that gives one more than 80 % of it is warned of."),
    }
}

/// Prints what is warned of to the standard error, where people read and scripts do not.
pub(super) fn warn(warnings: &[String]) {
    warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(hours: u64) -> wire::Capacity {
        let ceiling = |by, most: f64, now: f64| wire::Ceiling {
            by,
            most,
            most_without_largest: most / 2.0,
            now,
            head_room: 100.0 - now / most * 100.0,
            head_room_without_largest: 100.0 - now / most * 200.0,
        };
        let pool = |pool: &str, ceiling| wire::PoolCapacity {
            pool: pool.into(),
            share: 50.0,
            upstreams: 2,
            well: 2,
            requests_per_second: 120.04,
            in_flight: 30,
            highest_rate: Some(wire::Highest { value: 1_412.6, hour: 0.0 }),
            highest_in_flight: Some(wire::Highest { value: 64.0, hour: 0.0 }),
            carried: Some(212.0),
            ceiling,
        };
        wire::Capacity {
            service: "shop".into(),
            requests_per_second: 240.0,
            hours,
            hours_needed: 24,
            carried: Some(212.3),
            carried_in: Some("blue".into()),
            pools: vec![
                pool("blue", Some(ceiling(wire::CeilingBy::Limit, 200.0, 30.0))),
                pool("green", Some(ceiling(wire::CeilingBy::Doubled, 48.0, 30.0))),
                pool("red", Some(ceiling(wire::CeilingBy::Carried, 424.6, 120.0))),
                pool("new", None),
            ],
        }
    }

    #[test]
    fn it_fits_a_terminal_and_says_what_bounds_each_pool() {
        let text = picture(&[capacity(30)], Some(80));
        let wanted = "\
SERVICE/POOL  SHARE  REQ/S   TOP  HELD  TOP  CEILING            ROOM  ONE LOST
shop/blue      50 %    120  1413    30   64  200 held: limit    85 %      70 %
shop/green     50 %    120  1413    30   64  48 held: p99 ×2    38 %     -25 %
shop/red       50 %    120  1413    30   64  ≥ 425 req/s      ≥ 72 %    ≥ 43 %
shop/new       50 %    120  1413    30   64  -                     -         -
shop: one upstream has carried 212 requests a second well at most (pool blue,
for each 100 of weight). A change that gives one more than 80 % of it is warned
of.";
        assert_eq!(text, wanted);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let wide = picture(&[capacity(30)], None);
        assert!(wide.contains("  UP  ") && wide.contains("  2/2  "), "{wide}");
    }

    #[test]
    fn before_a_day_has_passed_it_says_so() {
        let text = picture(&[capacity(5)], Some(80)).replace('\n', " ");
        assert!(text.contains("after 24 hours with requests; 5 so far."), "{text}");
        let none = wire::Capacity { carried: None, carried_in: None, ..capacity(0) };
        assert!(picture(&[none], None).ends_with("how much one upstream carries."));
    }
}
