//! `incident`: what somebody says or asks of an incident in, what is known of it out.

use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};
use http::Method;

use super::api::{Api, Call};
use super::events::moment;
use super::table::table;
use super::{Ending, Reach, print};
use crate::admin::wire;
use crate::config::{Severity, duration};

/// Open, follow and close incidents.
///
/// One that is open gathers by itself what happens to its services, and counts what fails. Messages go to
/// the targets of `[[notify]]`. Without a number, what is open is meant if there is one only.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    pointsman incident open \"checkout failing\" --service shop --severity critical --freeze\n  \
    pointsman incident suggest\n  \
    pointsman incident note \"the cache was flushed at 12:00\"\n  \
    pointsman incident update \"rolled back, watching\" --next 15m\n  \
    pointsman incident mitigate \"no failures since the rollback\"\n  \
    pointsman incident close \"revision 41 had a broken query\"\n  \
    pointsman incident report 7 > report.md")]
pub struct Incident {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Open(Open),
    List(List),
    /// Show an incident, and what happened in it.
    Show(Show),
    /// Put something into its timeline; nobody is told.
    Note(Say),
    Update(Update),
    /// Say that nobody is hit any more, and what did it; tells who is to be told.
    Mitigate(Say),
    /// Close it, with what resolved it; tells who is to be told.
    Close(Say),
    /// Name what fits what is seen, each as a command; what was changed last comes first.
    Suggest(Show),
    /// Draft the post-mortem, as Markdown.
    Report(Show),
}

/// Open an incident, and tell who is to be told.
#[derive(Debug, Args)]
struct Open {
    /// What is wrong, in a few words.
    title: String,
    /// A service concerned; may be said several times.
    #[arg(long = "service", value_name = "SERVICE")]
    services: Vec<String>,
    /// How bad it is: critical, high, medium or low.
    #[arg(long, default_value = "high", value_name = "SEVERITY")]
    severity: Severity,
    /// Who leads.
    #[arg(long, value_name = "NAME")]
    commander: Option<String>,
    /// Where people talk about it.
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// How long after an update the next one is due.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    next: Option<Duration>,
    /// Freeze rollouts of its services until it is closed.
    #[arg(long, requires = "services")]
    freeze: bool,
    #[command(flatten)]
    reach: Reach,
}

/// List incidents, the newest first.
#[derive(Debug, Args)]
struct List {
    /// Those that are open only.
    #[arg(long)]
    open: bool,
    /// The alerts of others instead, beside what is seen here.
    #[arg(long, conflicts_with = "open")]
    alerts: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Which incident is asked about.
#[derive(Debug, Args)]
struct Show {
    /// Its number; without it the one that is open, or else the newest.
    #[arg(value_name = "INCIDENT")]
    id: Option<u64>,
    #[command(flatten)]
    reach: Reach,
}

/// Something that is said of an incident.
#[derive(Debug, Args)]
struct Say {
    /// What.
    text: String,
    /// The incident's number; without it the one that is open.
    #[arg(long = "incident", value_name = "INCIDENT")]
    id: Option<u64>,
    #[command(flatten)]
    reach: Reach,
}

/// Tell how it is: prints the message and sends it to who is to be told.
#[derive(Debug, Args)]
struct Update {
    /// What is known now.
    text: String,
    /// The incident's number; without it the one that is open.
    #[arg(long = "incident", value_name = "INCIDENT")]
    id: Option<u64>,
    /// How bad it is now: critical, high, medium or low.
    #[arg(long, value_name = "SEVERITY")]
    severity: Option<Severity>,
    /// Who leads now.
    #[arg(long, value_name = "NAME")]
    commander: Option<String>,
    /// Where people talk about it now.
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// How long until the next update.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    next: Option<Duration>,
    #[command(flatten)]
    reach: Reach,
}

impl Incident {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        match self.verb {
            Verb::Open(verb) => verb.run().await,
            Verb::List(verb) => verb.run().await,
            Verb::Show(verb) => verb.show().await,
            Verb::Note(verb) => verb.say("notes").await,
            Verb::Update(verb) => verb.run().await,
            Verb::Mitigate(verb) => verb.say("mitigate").await,
            Verb::Close(verb) => verb.say("close").await,
            Verb::Suggest(verb) => verb.suggest().await,
            Verb::Report(verb) => verb.report().await,
        }
    }
}

impl Open {
    async fn run(self) -> anyhow::Result<Ending> {
        let post = wire::PostIncident {
            title: self.title,
            severity: Some(self.severity.into()),
            services: self.services,
            commander: self.commander,
            channel: self.channel,
            next: self.next.map(millis),
            freeze: self.freeze,
            author: Some(super::author()),
        };
        let call = Call::json(Method::POST, "/v1/incidents", &post);
        let incident: wire::Incident =
            Api(&self.reach).order(call, || "no incident was opened".into()).await?;
        told(&incident, &self.reach)
    }
}

impl List {
    async fn run(self) -> anyhow::Result<Ending> {
        let api = Api(&self.reach);
        if self.alerts {
            let alerts: Vec<wire::Alert> = api.ask(Call::get("/v1/alerts")).await?;
            print(&match self.reach.json {
                true => serde_json::to_string_pretty(&alerts)?,
                false => alerts_table(&alerts),
            });
            return Ok(Ending::Done);
        }
        let mut all: Vec<wire::Incident> = api.ask(Call::get("/v1/incidents")).await?;
        all.retain(|incident| !self.open || incident.state != "closed");
        print(&match self.reach.json {
            true => serde_json::to_string_pretty(&all)?,
            false if all.is_empty() => "no incidents".into(),
            false => {
                let row = |incident: &wire::Incident| {
                    vec![
                        incident.id.to_string(),
                        incident.severity.name().into(),
                        incident.state.clone(),
                        moment(incident.opened),
                        incident.services.join(" "),
                        incident.impact.failed.to_string(),
                        incident.title.clone(),
                    ]
                };
                let headings =
                    [">ID", "SEVERITY", "STATE", "OPENED", "SERVICES", ">FAILED", "WHAT"];
                table(&headings, all.iter().map(row))
            }
        });
        Ok(Ending::Done)
    }
}

fn alerts_table(alerts: &[wire::Alert]) -> String {
    if alerts.is_empty() {
        return "no alerts".into();
    }
    let row = |alert: &wire::Alert| {
        let status = match alert.status {
            wire::AlertStatus::Firing => "firing",
            wire::AlertStatus::Resolved => "resolved",
        };
        let seen = alert.seen.as_ref().map_or_else(String::new, |seen| {
            let wire::AlertBeside { requests_per_second, errors_percent, well, upstreams } = seen;
            format!(
                "{requests_per_second:.1} req/s, {errors_percent:.1} % fail, {well} of {upstreams} well"
            )
        });
        let said = ["summary", "description"].iter().find_map(|name| alert.annotations.get(*name));
        vec![
            alert.name.clone(),
            status.into(),
            alert.service.clone(),
            moment(alert.since),
            seen,
            said.cloned().unwrap_or_default(),
        ]
    };
    let headings = ["ALERT", "STATUS", "SERVICE", "SINCE", "SEEN HERE", "WHAT"];
    table(&headings, alerts.iter().map(row))
}

impl Show {
    async fn id(&self) -> anyhow::Result<u64> {
        match self.id {
            Some(id) => Ok(id),
            None => known(&self.reach, true).await,
        }
    }

    async fn show(self) -> anyhow::Result<Ending> {
        let path = format!("/v1/incidents/{}", self.id().await?);
        let incident: wire::Incident = Api(&self.reach).ask(Call::get(&path)).await?;
        if self.reach.json {
            return told(&incident, &self.reach);
        }
        let mut text = format!("{}\n", incident.message);
        for entry in &incident.timeline {
            text.push_str(&format!("\n{}", line(entry)));
        }
        if incident.left_out > 0 {
            text.push_str(&format!("\n{} more events in between are not kept", incident.left_out));
        }
        print(&text);
        Ok(Ending::Done)
    }

    async fn suggest(self) -> anyhow::Result<Ending> {
        let path = format!("/v1/incidents/{}/suggestions", self.id().await?);
        let all: Vec<wire::IncidentSuggestion> = Api(&self.reach).ask(Call::get(&path)).await?;
        let lines = |one: &wire::IncidentSuggestion| format!("{}:\n  {}", one.why, one.command);
        print(&match self.reach.json {
            true => serde_json::to_string_pretty(&all)?,
            false if all.is_empty() => {
                "nothing fits what is seen; `pointsman status` and `pointsman events` show it"
                    .into()
            }
            false => all.iter().map(lines).collect::<Vec<_>>().join("\n"),
        });
        Ok(if all.is_empty() { Ending::No } else { Ending::Done })
    }

    async fn report(self) -> anyhow::Result<Ending> {
        let path = format!("/v1/incidents/{}/report", self.id().await?);
        let report: wire::IncidentReport = Api(&self.reach).ask(Call::get(&path)).await?;
        print(
            match self.reach.json {
                true => serde_json::to_string_pretty(&report)?,
                false => report.markdown,
            }
            .trim_end(),
        );
        Ok(Ending::Done)
    }
}

impl Say {
    async fn say(self, verb: &str) -> anyhow::Result<Ending> {
        let id = match self.id {
            Some(id) => id,
            None => known(&self.reach, false).await?,
        };
        let path = format!("/v1/incidents/{id}/{verb}");
        let post = wire::PostIncidentText { text: self.text, author: Some(super::author()) };
        let incident = give(&self.reach, &path, &post, id).await?;
        if verb == "notes" && !self.reach.json {
            print(&format!("noted in incident {id}"));
            return Ok(Ending::Done);
        }
        told(&incident, &self.reach)
    }
}

impl Update {
    async fn run(self) -> anyhow::Result<Ending> {
        let id = match self.id {
            Some(id) => id,
            None => known(&self.reach, false).await?,
        };
        let post = wire::PostIncidentUpdate {
            text: self.text,
            severity: self.severity.map(Into::into),
            commander: self.commander,
            channel: self.channel,
            next: self.next.map(millis),
            author: Some(super::author()),
        };
        let path = format!("/v1/incidents/{id}/update");
        told(&give(&self.reach, &path, &post, id).await?, &self.reach)
    }
}

async fn give(
    reach: &Reach,
    path: &str,
    post: &impl serde::Serialize,
    id: u64,
) -> anyhow::Result<wire::Incident> {
    let call = Call::json(Method::POST, path, post);
    Api(reach).order(call, || format!("incident {id} was not changed")).await
}

/// The incident that is meant by whoever names none.
async fn known(reach: &Reach, or_newest: bool) -> anyhow::Result<u64> {
    let all: Vec<wire::Incident> = Api(reach).ask(Call::get("/v1/incidents")).await?;
    let open: Vec<u64> =
        all.iter().filter(|incident| incident.state != "closed").map(|it| it.id).collect();
    match (&open[..], all.first()) {
        ([one], _) => Ok(*one),
        ([], Some(newest)) if or_newest => Ok(newest.id),
        ([], _) => bail!("no incident is open; `pointsman incident list` shows all"),
        (many, _) => {
            let many: Vec<String> = many.iter().map(u64::to_string).collect();
            bail!("several incidents are open: {}; say which", many.join(", "))
        }
    }
}

fn told(incident: &wire::Incident, reach: &Reach) -> anyhow::Result<Ending> {
    print(&match reach.json {
        true => serde_json::to_string_pretty(incident)?,
        false => incident.message.clone(),
    });
    Ok(Ending::Done)
}

/// As `2026-11-24T12:00:00Z  note by ann: the cache was flushed`.
fn line(entry: &wire::IncidentEntry) -> String {
    let by = entry.author.as_ref().map_or_else(String::new, |author| format!(" by {author}"));
    let place = if entry.place.is_empty() { String::new() } else { format!(" {}", entry.place) };
    let times = match (entry.count, entry.until) {
        (count @ 2.., Some(until)) => format!(" ({count} times, last {})", moment(until)),
        _ => String::new(),
    };
    format!("{}  {}{place}{by}: {}{times}", moment(entry.at), entry.kind, entry.what)
}

fn millis(length: Duration) -> String {
    format!("{}ms", length.as_millis())
}
