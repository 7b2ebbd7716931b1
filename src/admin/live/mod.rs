//! `/v1/live`: all services, or one of them, as lines once a second for who watches.
//!
//! One look a second is shared by all who watch the same thing, and none is made while nobody does. Who
//! reads too slowly has no queue: it gets the newest line once there is room for it, whole if it has
//! missed one. So a viewer costs one line that is on its way, and its place, of which there are so many.

mod board;
mod close;
mod glance;
mod plots;

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::Frame;
use serde::Deserialize;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use self::board::{Extent, Found, Rows, Tick, row};
use self::glance::Look;
use super::answer::find;
use super::guard::Caller;
use super::problem::Problem;
use super::{Admin, wire};

/// How often there is a line.
const PERIOD: Duration = Duration::from_secs(1);

/// How many watch at once at most, however many may ask.
const MOST: usize = 64;

/// What is watched: a service, or all of them.
type Topic = Option<Arc<str>>;

/// Those who watch.
#[derive(Debug)]
pub struct Live {
    topics: Mutex<HashMap<Topic, watch::Sender<Option<Arc<Tick>>>>>,
    places: Arc<Semaphore>,
    most: usize,
}

impl Live {
    /// For as many viewers as half of the connections that the API takes: the others are for who gives
    /// orders.
    pub fn new(connections: usize) -> Live {
        let most = (connections / 2).clamp(1, MOST);
        Live { topics: Mutex::default(), places: Arc::new(Semaphore::new(most)), most }
    }

    /// Ticks of a topic: those that others watch already, or those of a look that begins now.
    fn watch(&self, admin: &Admin, topic: Topic) -> watch::Receiver<Option<Arc<Tick>>> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = topics.get(&topic) {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(None);
        topics.insert(topic.clone(), sender);
        tokio::spawn(keep_looking(admin.clone(), topic));
        receiver
    }

    /// Shows a look; false if nobody watches any more, and then nobody looks any more.
    fn show(&self, topic: &Topic, tick: Option<&Arc<Tick>>) -> bool {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = topics.get(topic) else { return false };
        if sender.receiver_count() == 0 {
            topics.remove(topic);
            return false;
        }
        if let Some(tick) = tick {
            sender.send_replace(Some(tick.clone()));
        }
        true
    }

    /// Ends a topic for all who watch it.
    fn end(&self, topic: &Topic) {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).remove(topic);
    }
}

/// Looks once a second for as long as somebody watches, there is something to look at, and the process
/// goes on.
async fn keep_looking(admin: Admin, topic: Topic) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last: Option<Arc<Tick>> = None;
    loop {
        ticks.tick().await;
        if !admin.live.show(&topic, None) {
            return;
        }
        if admin.is_stopping.load(Ordering::Relaxed) {
            return admin.live.end(&topic);
        }
        let (asked, of, before) = (admin.clone(), topic.clone(), last.clone());
        // With thousands of services it takes longer than requests should wait.
        let looked = spawn_blocking(move || look(&asked, of.as_deref(), before.as_deref())).await;
        let Ok(Some(tick)) = looked else { return admin.live.end(&topic) };
        let tick = Arc::new(tick);
        admin.live.show(&topic, Some(&tick));
        last = Some(tick);
    }
}

/// What there is now; none if the service is gone.
fn look(admin: &Admin, topic: Option<&str>, before: Option<&Tick>) -> Option<Tick> {
    let snapshot = admin.published.load();
    let state = admin.state.borrow().clone();
    let now = snapshot.moment(admin.clock.now());
    let looks = Look { admin, state: &state, now, wall: admin.clock.wall_time() };
    let events = admin.events.after(before.map_or(u64::MAX - 1, |tick| tick.last_event));
    let newest = events.last().map(|entry| entry.number);
    let event = |entry: &Arc<crate::events::Entry>| {
        (entry.event.subject.service.clone(), row(&wire::Event::from(&**entry)))
    };
    let mut found = Found {
        at: admin.clock.unix_seconds(),
        generation: snapshot.generation,
        last_event: match before {
            Some(tick) => newest.unwrap_or(tick.last_event),
            None => admin.events.last(),
        },
        events: events.iter().map(event).collect(),
        plots: None,
    };
    let mut rows = Rows::new();
    rows.insert("status".into(), row(&status(admin)));
    rows.insert("config".into(), row(&super::status::config(admin, true)));
    match topic {
        None => {
            for service in &snapshot.services {
                rows.insert(
                    format!("service/{}", service.name).into(),
                    row(&looks.glance(service)),
                );
            }
        }
        Some(name) => {
            let service = snapshot.service(name)?;
            close::look(&looks, service, &mut rows);
            let service = service.name.clone();
            found.plots = Some(plots::Plots { history: admin.history.clone(), service });
        }
    }
    Some(Tick::after(before, rows, found))
}

fn status(admin: &Admin) -> wire::LiveStatus {
    let snapshot = admin.published.load();
    let gauges = admin.process.gauges();
    let (name, environment) = admin.events.who(&snapshot);
    wire::LiveStatus {
        name: name.to_string(),
        environment: environment.to_string(),
        version: env!("CARGO_PKG_VERSION").to_string(),
        started: gauges.started,
        ready: !admin.is_stopping.load(Ordering::Relaxed),
        store_writable: gauges.is_store_writable,
    }
}

/// What to watch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// One service; all at a glance if left out.
    service: Option<String>,
    /// After how many lines it ends.
    lines: Option<String>,
}

/// All services at a glance, or one closely, as a line of JSON a second for as long as somebody reads.
#[utoipa::path(get, path = "/v1/live", tag = "process",
    params(
        ("service" = Option<String>, Query, description = "This service closely; without it all at a glance"),
        ("lines" = Option<u64>, Query, minimum = 1, maximum = 1_000_000_000,
            description = "Ends after so many lines; without it once the process stops")),
    responses(
        (status = 200, description = "Lines of JSON, one a second", body = wire::LiveLine,
            content_type = "application/x-ndjson"),
        (status = 404, description = "No such service", body = Problem),
        (status = 422, description = "`lines` is no such number", body = Problem),
        (status = 503, description = "Too many watch already", body = Problem)))]
pub async fn show(
    State(admin): State<Admin>,
    caller: Caller,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(Wanted { service, lines }) = wanted?;
    let number = |text: &String| text.parse().ok().filter(|lines| (1..=MOST_LINES).contains(lines));
    let left: u64 = match &lines {
        None => u64::MAX,
        Some(text) => number(text).ok_or_else(|| {
            let detail = format!("lines: expected 1 to {MOST_LINES}; this is `{text}`");
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-value", detail)
        })?,
    };
    let topic = match &service {
        None => None,
        Some(name) => {
            caller.must_see(name)?;
            Some(find(&admin.published.load(), name)?.name.clone())
        }
    };
    let place = admin.live.places.clone().try_acquire_owned().map_err(|_| {
        let most = admin.live.most;
        let detail = format!("{most} watch already; `GET /v1/status` needs no place");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-watching", detail)
    })?;
    let ticks = admin.live.watch(&admin, topic);
    let (lines, read) = mpsc::channel(1);
    let write = move |tick: &Tick, extent| {
        // A token that was taken away, or given another role, shows nothing more.
        caller.still_holds(&admin).then(|| match caller.is_bound() {
            false => tick.line(extent),
            true => tick.line_for(extent, |service| caller.sees(service)),
        })
    };
    tokio::spawn(async move {
        let _place = place;
        tell(ticks, lines, left, write).await;
    });
    let fields = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((fields, Body::new(Lines(read))).into_response())
}

/// How many lines may be asked for.
const MOST_LINES: u64 = 1_000_000_000;

/// Gives a viewer so many lines, each once the one before is on its way, until there is nothing more to
/// tell it.
async fn tell(
    mut ticks: watch::Receiver<Option<Arc<Tick>>>,
    lines: mpsc::Sender<Bytes>,
    mut left: u64,
    write: impl Fn(&Tick, Extent) -> Option<Bytes>,
) {
    let mut told = 0;
    while left > 0 {
        // Where there is no room yet, what comes meanwhile is not kept.
        let Ok(room) = lines.reserve().await else { return };
        let is_newer = |tick: &Option<Arc<Tick>>| tick.as_ref().is_some_and(|it| it.number > told);
        let tick = tokio::select! {
            tick = ticks.wait_for(is_newer) => tick.ok().and_then(|tick| tick.clone()),
            () = lines.closed() => return,
        };
        let Some(tick) = tick else { return };
        let is_next = told > 0 && tick.number == told + 1;
        let extent = if is_next { Extent::Changes } else { Extent::Whole };
        let Some(line) = write(&tick, extent) else { return };
        room.send(line);
        (told, left) = (tick.number, left - 1);
    }
}

/// Lines as a body. It ends when who tells them does.
struct Lines(mpsc::Receiver<Bytes>);

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

#[cfg(test)]
mod tests;
