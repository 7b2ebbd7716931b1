//! `events`: a running proxy in, what happened lately out.

use std::time::Duration;

use clap::Args;

use super::api::{Api, Call};
use super::{Ending, Reach, print};
use crate::admin::wire;

/// How often `--follow` looks.
const LOOK: Duration = Duration::from_secs(1);

/// Show what happened: breakers, ejections, health, panic, orders.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman events\n  pointsman events --follow\n  \
                        pointsman events --json | jq -r .what")]
pub struct Events {
    /// Go on and show what happens.
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Events {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let mut after = 0;
        loop {
            let path = format!("/v1/events?after={after}");
            let events: Vec<wire::Event> = Api(&self.reach).ask(Call::get(&path)).await?;
            for event in &events {
                after = event.number;
                print(&match self.reach.json {
                    true => serde_json::to_string(event)?,
                    false => line(event),
                });
            }
            if !self.follow {
                return Ok(Ending::Done);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// As `2026-11-24T12:00:00Z shop/blue 10.0.0.11:9000: ejected for 30 s (by cli:ann: "why")`.
fn line(event: &wire::Event) -> String {
    let at = jiff::Timestamp::from_second(event.at as i64).unwrap_or_default();
    let places = [&event.service, &event.pool];
    let place: Vec<&str> = places.iter().map(|p| p.as_str()).filter(|p| !p.is_empty()).collect();
    let upstream = match event.upstream.as_str() {
        "" => String::new(),
        upstream => format!(" {upstream}"),
    };
    let by = match (&event.author, &event.reason) {
        (Some(author), Some(reason)) => format!(" (by {author}: {reason})"),
        (Some(author), None) => format!(" (by {author})"),
        _ => String::new(),
    };
    format!("{at} {}{upstream}: {}{by}", place.join("/"), event.what)
}
