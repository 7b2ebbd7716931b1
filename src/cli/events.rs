//! `events`: a running proxy in, what happened lately out.

use std::time::Duration;

use clap::Args;

use super::api::{Api, ApiError, Call, segment};
use super::away::Away;
use super::{Ending, Reach, print};
use crate::admin::wire;
use crate::config::duration;
use crate::server::clock;

/// How long `--follow` has the proxy wait for the next event, in seconds: less than an answer may
/// take.
const WAIT: u64 = 10;

/// How long `--follow` waits by itself where the proxy does not.
const LOOK: Duration = Duration::from_secs(1);

/// Show what happened: breakers, ejections, health, panic, orders.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pointsman events\n  pointsman events --follow --service shop\n  \
                        pointsman events --since 10m --json | jq -r .what"
)]
pub struct Events {
    /// Go on and show what happens, also after the proxy was started again.
    #[arg(long, short)]
    follow: bool,
    /// Show those of this service only.
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Show those of so long ago at most.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    since: Option<Duration>,
    #[command(flatten)]
    reach: Reach,
}

impl Events {
    /// A name that neither a service nor any event has is mistyped.
    async fn check_service(&self) -> anyhow::Result<()> {
        let Some(service) = &self.service else { return Ok(()) };
        let api = Api(&self.reach);
        let path = format!("/v1/services/{}", segment(service));
        if let Err(unknown @ ApiError::Refused { .. }) =
            api.ask::<wire::Service>(Call::get(&path)).await
        {
            let events: Vec<wire::Event> = api.ask(Call::get("/v1/events?after=0")).await?;
            if !events.iter().any(|event| event.service == *service) {
                return Err(unknown.into());
            }
        }
        Ok(())
    }

    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let now = clock::system().unix_seconds();
        let oldest = self.since.map_or(0.0, |since| now - since.as_secs_f64());
        self.check_service().await?;
        let mut shown = Shown::default();
        let mut away = Away::watched(&self.reach);
        loop {
            let path = format!("/v1/events?after={}", shown.ask_after());
            let events: Vec<wire::Event> = away.heard(&path).await?;
            let Some(new) = shown.take(events) else {
                eprintln!("the proxy was started again: its events begin anew");
                continue;
            };
            for event in new.iter().filter(|event| self.admits(event, oldest)) {
                print(&match self.reach.json {
                    true => serde_json::to_string(event)?,
                    false => line(event),
                });
            }
            if !self.follow {
                return Ok(Ending::Done);
            }
            if self.wait(&shown).await.is_err() {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// Until there is something new. What it is is asked for as ever, with the last one that was
    /// shown, so that a proxy that was started again is noticed.
    async fn wait(&self, shown: &Shown) -> Result<(), ApiError> {
        let path = format!("/v1/events?after={}&wait={WAIT}", shown.last());
        Api(&self.reach).ask::<Vec<wire::Event>>(Call::get(&path)).await.map(drop)
    }

    fn admits(&self, event: &wire::Event, oldest: f64) -> bool {
        let is_wanted = self.service.as_ref().is_none_or(|service| event.service == *service);
        is_wanted && event.at >= oldest
    }
}

/// How far the events were shown: the last one's number and time.
#[derive(Debug, Default)]
struct Shown(Option<(u64, f64)>);

impl Shown {
    /// The number of the last one.
    fn last(&self) -> u64 {
        self.0.map_or(0, |(number, _)| number)
    }

    /// The number to ask after: the last one is asked for again, to see that it is still the same.
    fn ask_after(&self) -> u64 {
        self.0.map_or(0, |(number, _)| number.saturating_sub(1))
    }

    /// What is new in an answer; none if it is of another process, whose numbers began again. Then
    /// all of it is to be asked for.
    fn take(&mut self, mut events: Vec<wire::Event>) -> Option<Vec<wire::Event>> {
        if let Some((number, at)) = self.0 {
            // Without the last one, more have come since than are kept.
            let is_same = |first: &wire::Event| match first.number == number {
                true => first.at == at,
                false => first.number > number,
            };
            if !events.first().is_some_and(is_same) {
                self.0 = None;
                return None;
            }
            events.retain(|event| event.number > number);
        }
        if let Some(last) = events.last() {
            self.0 = Some((last.number, last.at));
        }
        Some(events)
    }
}

/// As `2026-11-24T12:00:00Z shop/blue 10.0.0.11:9000: ejected for 30 s (by cli:ann: "why")`.
fn line(event: &wire::Event) -> String {
    let at = moment(event.at);
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
    let trace =
        event.trace_id.as_ref().map(|trace| format!(" [trace {trace}]")).unwrap_or_default();
    match place.is_empty() {
        true => format!("{at} {}{by}{trace}", event.what),
        false => format!("{at} {}{upstream}: {}{by}{trace}", place.join("/"), event.what),
    }
}

/// A moment for people: seconds since the epoch as a date and time, in UTC.
pub(super) fn moment(at: f64) -> String {
    jiff::Timestamp::from_second(at as i64).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(numbers: std::ops::RangeInclusive<u64>, start: f64) -> Vec<wire::Event> {
        let event = |number| wire::Event {
            number,
            at: start + number as f64,
            severity: "low".into(),
            kind: "mode".into(),
            service: "shop".into(),
            pool: String::new(),
            upstream: String::new(),
            labels: Default::default(),
            what: String::new(),
            author: None,
            reason: None,
            runbook: None,
            trace_id: None,
        };
        numbers.map(event).collect()
    }

    fn numbers(new: Option<Vec<wire::Event>>) -> Option<Vec<u64>> {
        new.map(|new| new.iter().map(|event| event.number).collect())
    }

    #[test]
    fn each_event_is_new_once() {
        let mut shown = Shown::default();
        assert_eq!(numbers(shown.take(vec![])), Some(vec![]));
        assert_eq!(numbers(shown.take(events(1..=2, 0.0))), Some(vec![1, 2]));
        assert_eq!(shown.ask_after(), 1);
        assert_eq!(numbers(shown.take(events(2..=2, 0.0))), Some(vec![]));
        assert_eq!(numbers(shown.take(events(2..=4, 0.0))), Some(vec![3, 4]));
        assert_eq!(numbers(shown.take(events(9..=10, 0.0))), Some(vec![9, 10]), "a gap");
    }

    #[test]
    fn numbers_that_begin_again_are_noticed() {
        // Fewer events than before, as many, and more.
        for after_restart in [Vec::new(), events(5..=5, 50.0), events(5..=9, 50.0)] {
            let mut shown = Shown::default();
            shown.take(events(1..=5, 0.0));
            assert_eq!(numbers(shown.take(after_restart)), None);
            assert_eq!(shown.ask_after(), 0);
            assert_eq!(numbers(shown.take(events(1..=2, 50.0))), Some(vec![1, 2]));
        }
    }
}
