//! `explain`: a request that nobody sends in, where it would go and why out.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use http::{Method, StatusCode};

use super::address::AdminAddress;
use super::api::{Api, ApiError, Call};
use super::check::is_coloured;
use super::input::Input;
use super::why::{not_taken, refused};
use super::{Ending, Reach, print, reload};
use crate::admin::{explained, wire};
use crate::orders::{Now, Supposed};
use crate::server::clock;
use crate::state::State;

/// Tell where a request would go now, and why nowhere else: route, service, pool, upstream.
///
/// Asked are the functions that decide, and no later decision is changed by it: nothing is sent,
/// counted or tried. Passwords, what `auth.ask` asks, and limits on rates are not looked at.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman explain https://shop.example.com/cart\n  \
                        pointsman explain https://shop.example.com/cart -H 'cookie: session=abc' \
                        --from 192.0.2.9\n  \
                        pointsman explain http://shop.example.com/ -X POST --json | jq .upstream\n  \
                        pointsman explain http://shop.example.com/ --config next.toml\n  \
                        pointsman explain http://shop.example.com/ --at 41\n\n\
                        Exit codes: 0 told; 1 the file is no config, or there is no such revision; 2 that \
                        is no request; 5 the revision sends traffic to a pool that there is no more; 69 \
                        nobody there, which --config does without.")]
pub struct Explain {
    /// What is asked for: a whole URL.
    #[arg(value_name = "URL")]
    url: String,
    /// A field; more than one may be given.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = field)]
    fields: Vec<(String, String)>,
    /// The method.
    #[arg(long = "method", short = 'X', value_name = "METHOD", default_value = "GET")]
    method: String,
    /// The address that the connection comes from; 127.0.0.1 if left out.
    #[arg(long, value_name = "IP")]
    from: Option<IpAddr>,
    /// With this file in place of the config in force; `-` for standard input. Upstreams stand as they do for
    /// the running proxy; if none answers all are well.
    #[arg(long, value_name = "FILE", conflicts_with = "at")]
    config: Option<PathBuf>,
    /// With the split of this revision of its service, and all else as it is now.
    #[arg(long, value_name = "REVISION")]
    at: Option<u64>,
    #[command(flatten)]
    reach: Reach,
}

/// A field as it is written in a head.
fn field(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once(':').ok_or("expected NAME: VALUE")?;
    match name.is_empty() {
        true => Err("expected NAME: VALUE"),
        false => Ok((name.into(), value.trim().into())),
    }
}

impl Explain {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let fields = self.fields.into_iter();
        let asked = wire::Explain {
            url: self.url,
            method: Some(self.method),
            fields: fields.map(|(name, value)| wire::ExplainField { name, value }).collect(),
            client: self.from.map(|from| from.to_string()),
            at: self.at,
        };
        let (with, told) = match self.config {
            None => {
                let call = Call::json(Method::POST, "/v1/explain", &asked);
                (None, Api(&self.reach).ask(call).await?)
            }
            Some(file) => {
                let told = with_file(&self.reach, &file, asked).await?;
                let Some(told) = told else { return Ok(Ending::No) };
                (Some(file), told)
            }
        };
        print(&match self.reach.json {
            true => serde_json::to_string_pretty(&told)?,
            false => {
                let with = with.map(|file| with_what(&file, &self.reach.admin, told.health));
                let with = with.map_or(String::new(), |with| format!("{with}\n\n"));
                format!("{with}{}", picture(&told))
            }
        });
        Ok(Ending::Done)
    }
}

/// What would become of it with this file; nothing if that is no config, which has been shown.
async fn with_file(
    reach: &Reach,
    file: &Path,
    request: wire::Explain,
) -> anyhow::Result<Option<wire::Explanation>> {
    let written = Input::of(Some(file.to_path_buf()))?.written()?;
    let asked = wire::ExplainWith { config: written.texts.clone().into(), request };
    let call = Call::json(Method::POST, "/v1/config/explain", &asked);
    match Api(reach).ask(call).await {
        Ok(told) => return Ok(Some(told)),
        Err(ApiError::Refused { problems, .. }) if !problems.is_empty() => {
            reload::show_problems(&problems, Some(file));
            return Ok(None);
        }
        Err(ApiError::Unreachable { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let clock = clock::system();
    let (config, problems) = written.check(clock.unix_seconds() as u64);
    let Some(config) = config else {
        eprintln!("{}\n", problems.render_of(&written.texts, is_coloured()));
        return Ok(None);
    };
    let now = Now { instant: clock.now(), wall: clock.wall_time() };
    let supposed = Supposed { state: State::default(), config, seen: None, at: None };
    let told = explained(&asked.request, &supposed.snapshot(now), &clock);
    let told = told.map_err(|error| ApiError::Refused {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        detail: error.to_string(),
        problems: Vec::new(),
    })?;
    Ok(Some(wire::Explanation { health: wire::Health::Well, ..told }))
}

/// What was taken for so.
fn with_what(file: &Path, admin: &AdminAddress, health: wire::Health) -> String {
    let file = file.display();
    match health {
        wire::Health::Running => {
            format!("With {file}, and upstreams as they are at {admin}; new ones are well.")
        }
        wire::Health::Well => format!(
            "With {file}, and all upstreams well: no proxy answers at {admin}. Each proxy gives \
             clients cohorts of its own."
        ),
    }
}

/// All of it, in sentences and a table.
fn picture(told: &wire::Explanation) -> String {
    let wire::Explanation { host, path, route, route_number, .. } = told;
    let mut lines = vec![match (route, route_number) {
        (Some(route), Some(number)) => {
            format!("{host}{path} comes by route {number} of the file, {route}.")
        }
        _ => format!("{host}{path} comes by no route."),
    }];
    if let Some(asks) = &told.asks {
        let what = if asks == "password" { "a name and a password" } else { "another service" };
        lines.push(format!("Its route asks for {what} first, which was not looked at."));
    }
    if let Some(target) = &told.target {
        lines.push(format!("The upstream is asked for {target}."));
    }
    lines.extend(way(told));
    lines.extend(end(told));
    if let Some(wire::Instead { pool, upstream, by }) = &told.instead {
        let why = match by.as_str() {
            "shield" => "the stable pool, which shields the canary",
            "stand-in" => "which stands in for its own",
            _ => "which is not well",
        };
        lines.push(format!("Instead {pool}/{upstream} is asked, {why}."));
    }
    if let Some(status) = told.fallback_status {
        lines.push(format!("Instead the service's own answer is given, {status}."));
    }
    lines.extend(not_taken("Not taken:", &told.not_taken));
    lines.join("\n")
}

/// Its service and its pool, and how those are.
fn way(told: &wire::Explanation) -> Vec<String> {
    let (Some(service), Some(revision)) = (&told.service, told.revision) else {
        return Vec::new();
    };
    let mode = match told.mode {
        Some(wire::Mode::Hold) => ", which is held",
        Some(wire::Mode::Maintenance) => ", which is in maintenance",
        Some(wire::Mode::Serve) | None => "",
    };
    let mut lines = vec![format!("It goes to service {service} at revision {revision}{mode}.")];
    if told.is_rate_limited {
        lines.push("Its client's rate is limited there, which was not looked at.".into());
    }
    let Some(pool) = &told.pool else { return lines };
    let by = match (told.by.as_deref(), told.cohort) {
        (Some("cohort"), Some(cohort)) => format!(", by its client's cohort, {cohort} of 10,000"),
        (Some("draw"), _) => ", by a draw, which may be another next time".into(),
        (Some("override"), _) => ", which it names itself".into(),
        (Some(other), _) => format!(", by {other}"),
        (None, _) => String::new(),
    };
    let breaker = match told.breaker.map(|breaker| breaker.state) {
        Some(wire::BreakerState::Closed) | None => "",
        Some(_) => "; its breaker is not closed",
    };
    lines.push(format!("It belongs to pool {pool}{by}{breaker}."));
    if told.sets_cookie {
        lines.push("Its client is given a cookie by which it stays there.".into());
    }
    lines
}

/// Where it ends.
fn end(told: &wire::Explanation) -> Vec<String> {
    if let (Some(pool), Some(upstream)) = (&told.pool, &told.upstream) {
        return vec![format!("It goes to upstream {pool}/{upstream}.")];
    }
    if let (true, Some(cause)) = (told.waits, told.cause.as_deref()) {
        return refused("It waits in line", cause);
    }
    let Some(status) = told.status else { return Vec::new() };
    if let Some(location) = &told.location {
        return vec![format!("Its route leads it to {location} ({status}).")];
    }
    match (&told.cause, &told.route) {
        (Some(cause), _) => refused(&format!("It is refused with {status}"), cause),
        (None, Some(_)) => vec![format!("Its route answers it with {status}.")],
        (None, None) => vec![format!("It goes no further, and is answered with {status}.")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explanation(more: serde_json::Value) -> wire::Explanation {
        let mut value = serde_json::json!({
            "host": "shop.test", "path": "/a", "route": "shop.test/", "route_number": 1,
            "service": "shop", "revision": 3, "mode": "serve", "is_rate_limited": false,
            "waits": false, "sets_cookie": false, "not_taken": [],
        });
        for (name, field) in more.as_object().unwrap() {
            value[name] = field.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn one_that_goes_on_says_where_and_why_nowhere_else() {
        let told = picture(&explanation(serde_json::json!({
            "pool": "blue", "by": "cohort", "cohort": 12, "upstream": "10.0.0.1:80",
            "target": "/b", "is_rate_limited": true, "asks": "password", "sets_cookie": true,
            "not_taken": [{"pool": "blue", "upstream": "10.0.0.2:80", "why": "drained"}],
        })));
        let wanted = "\
shop.test/a comes by route 1 of the file, shop.test/.
Its route asks for a name and a password first, which was not looked at.
The upstream is asked for /b.
It goes to service shop at revision 3.
Its client's rate is limited there, which was not looked at.
It belongs to pool blue, by its client's cohort, 12 of 10,000.
Its client is given a cookie by which it stays there.
It goes to upstream blue/10.0.0.1:80.

Not taken:
UPSTREAM          WHY
blue/10.0.0.2:80  drained";
        assert_eq!(told, wanted);
    }

    #[test]
    fn one_that_ends_here_says_why() {
        let refused = explanation(serde_json::json!({
            "mode": "maintenance", "status": 503, "cause": "maintenance",
            "instead": {"pool": "green", "upstream": "10.0.0.3:80", "by": "stand-in"},
        }));
        let told = picture(&refused);
        assert!(told.contains("revision 3, which is in maintenance.\n"), "{told}");
        assert!(told.contains("refused with 503: maintenance, the service is in maintenance.\n"));
        let instead = "Instead green/10.0.0.3:80 is asked, which stands in for its own.";
        assert!(told.ends_with(instead), "{told}");
        let held = serde_json::json!({"mode": "hold", "cause": "held", "waits": true});
        let told = picture(&explanation(held));
        assert!(told.contains("\nIt waits in line: held, the service is being switched"), "{told}");
        let own =
            serde_json::json!({"status": 503, "cause": "no_upstream", "fallback_status": 200});
        let told = picture(&explanation(own));
        assert!(told.ends_with("Instead the service's own answer is given, 200."), "{told}");
        let led =
            serde_json::json!({"status": 308, "location": "https://b.test/", "service": null});
        let told = picture(&explanation(led));
        assert!(told.ends_with("Its route leads it to https://b.test/ (308)."), "{told}");
        let none = serde_json::json!({
            "route": null, "route_number": null, "service": null, "status": 404, "cause": "no_route"
        });
        let told = picture(&explanation(none));
        assert!(
            told.starts_with("shop.test/a comes by no route.\nIt is refused with 404"),
            "{told}"
        );
    }

    #[test]
    fn fields_are_written_as_in_a_head() {
        assert_eq!(field("cookie: a=b: c"), Ok(("cookie".into(), "a=b: c".into())));
        assert!(field("cookie").is_err() && field(": x").is_err());
    }
}
