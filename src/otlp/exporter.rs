//! The task that sends spans: what has come in, calls of the collector and counts out.
//!
//! One half gathers what requests leave, so that their rooms are emptied whatever the collector does; the
//! other sends, one call at a time. Neither holds anything that a request waits for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::patience::{End, Next, Patience, Spans};
use super::post::Post;
use super::queue::{Batch, Queue};
use super::spans::{resource, scope, spans};
use crate::clock::Clock;
use crate::config::{Traces, TracesProtocol};
use crate::event::{Event, Kind, Subject};
use crate::events::Events;
use crate::files::InForce;
use crate::outgoing::client::Client;
use crate::snapshot::Published;
use crate::traces::{Dropped, Entry, Waiting};

/// How often what requests leave is gathered, and how often it is looked whether they leave anything.
const OFTEN: Duration = Duration::from_millis(500);
const SELDOM: Duration = Duration::from_secs(1);

/// How long the end of the process waits for the last spans.
const LAST: Duration = Duration::from_secs(3);

/// Sends spans, if the config says where to.
pub struct Exporter {
    waiting: Arc<Waiting>,
    queue: Mutex<Queue>,
    /// Something has come, or nothing will come any more.
    news: Notify,
    closing: watch::Sender<bool>,
    done: watch::Sender<bool>,
    published: Arc<Published>,
    events: Arc<Events>,
    clock: Clock,
}

/// The collector, as it was told of last.
struct Collector {
    traces: Arc<Traces>,
    who: (Arc<str>, Arc<str>),
    way: Way,
}

/// How it is called.
enum Way {
    /// OpenTelemetry's exporter over our own client.
    Http(Box<SpanExporter>, Post),
    #[cfg(feature = "traces-grpc")]
    Grpc(Box<super::grpc::Grpc>),
}

impl Way {
    /// By these settings, as this resource; why not, in words.
    fn new(traces: &Arc<Traces>, resource: &Resource) -> Result<Way, String> {
        match traces.protocol {
            #[cfg(feature = "traces-grpc")]
            TracesProtocol::Grpc => super::grpc::Grpc::new(traces, resource)
                .map(|grpc| Way::Grpc(Box::new(grpc)))
                .map_err(|error| error.to_string()),
            // Where it is not built in the file is refused.
            #[cfg(not(feature = "traces-grpc"))]
            TracesProtocol::Grpc => Err("gRPC is not built in".into()),
            TracesProtocol::Http => {
                let post = Post::new(Client::default(), traces.clone());
                let built = SpanExporter::builder()
                    .with_http()
                    .with_protocol(Protocol::HttpBinary)
                    .with_endpoint(traces.endpoint.to_string())
                    .with_timeout(traces.timeout)
                    .with_retry_policy(RetryPolicy::disabled())
                    .with_http_client(post.clone())
                    .build();
                let mut exporter = built.map_err(|error| error.to_string())?;
                exporter.set_resource(resource);
                Ok(Way::Http(Box::new(exporter), post))
            }
        }
    }

    async fn send(&self, spans: Vec<SpanData>) -> End {
        match self {
            #[cfg(feature = "traces-grpc")]
            Way::Grpc(grpc) => grpc.send(spans).await,
            Way::Http(exporter, post) => {
                let sent = exporter.export(spans).await;
                post.heard().unwrap_or_else(|| match sent {
                    Ok(()) => End::Taken { refused: 0, why: String::new() },
                    Err(error) => End::Never(error.to_string()),
                })
            }
        }
    }
}

impl Exporter {
    /// Sends what comes to these rooms.
    pub fn new(
        waiting: Arc<Waiting>,
        published: Arc<Published>,
        events: Arc<Events>,
        clock: Clock,
    ) -> Exporter {
        let (closing, done) = (watch::Sender::new(false), watch::Sender::new(false));
        let (queue, news) = (Mutex::default(), Notify::new());
        Exporter { waiting, queue, news, closing, done, published, events, clock }
    }

    /// Sends until the task is ended.
    pub async fn run(self: Arc<Self>, in_force: watch::Receiver<Arc<InForce>>) {
        tokio::join!(self.gather(), self.send(in_force));
        std::future::pending().await
    }

    /// Sends what is still there, each once, for three seconds at most, and gives up the rest. To be called
    /// when no request is left.
    pub async fn stop(&self) {
        self.closing.send_replace(true);
        let mut done = self.done.subscribe();
        // What is left is counted.
        let _ = timeout(LAST, done.wait_for(|done| *done)).await;
        self.take_in(&mut Vec::new());
        let left = self.queue().give_up();
        if left > 0 {
            tracing::warn!(spans = left, "spans were not sent before the process stopped");
        }
        self.waiting.note_dropped(Dropped::Stopped, left);
    }

    async fn gather(&self) {
        let (mut spare, mut closing) = (Vec::new(), self.closing.subscribe());
        loop {
            let is_on = self.published.load().config.traces.is_some();
            let every = if is_on { OFTEN } else { SELDOM };
            let is_last = timeout(every, closing.wait_for(|closing| *closing)).await.is_ok();
            self.take_in(&mut spare);
            self.news.notify_one();
            if is_last {
                return;
            }
        }
    }

    fn take_in(&self, spare: &mut Vec<u8>) {
        let now = self.published.load().moment(self.clock.now());
        let now = (now, self.clock.wall_time());
        self.waiting.take(spare, |mut bytes| {
            while let Some(entry) = Entry::split(&mut bytes) {
                if Entry::has_failed(entry)
                    && let Some(entry) = Entry::decode(entry, now)
                {
                    self.waiting.examples.note(&entry);
                }
                let gone = self.queue().push(entry);
                if gone > 0 {
                    self.waiting.note_dropped(Dropped::QueueFull, gone);
                }
            }
        });
    }

    async fn send(&self, mut in_force: watch::Receiver<Arc<InForce>>) {
        let (mut draws, mut patience) = (self.clock.draws(), Patience::default());
        let (mut collector, mut again) = (None, None);
        loop {
            let batch = match again.take() {
                Some(batch) => batch,
                None => match self.next_batch().await {
                    Some(batch) => batch,
                    None => break,
                },
            };
            if self.look_up(&mut collector) {
                patience.begin_anew();
                self.queue().begin_anew();
            }
            let end = match &collector {
                Some(collector) => self.post(collector, &batch).await,
                None => End::Never("no traces are kept any more".into()),
            };
            let is_last = *self.closing.borrow();
            let now = self.clock.now();
            let Next { spans, pause, mut told } = patience.on_end(end, is_last, now, &mut draws);
            match spans {
                Spans::Sent { refused } => {
                    self.queue().taken();
                    let refused = refused.min(batch.spans);
                    self.waiting.note_sent(batch.spans - refused);
                    self.waiting.note_dropped(Dropped::Refused, refused);
                }
                Spans::Again => again = Some(batch),
                Spans::InHalves => {
                    if let Err(alone) = self.queue().halve(batch) {
                        self.waiting.note_dropped(Dropped::Refused, alone.spans);
                        let why = "a request alone is too large for it".to_string();
                        told = patience.on_too_large(why, now);
                    }
                }
                Spans::GivenUp => self.waiting.note_dropped(Dropped::NotTaken, batch.spans),
                Spans::Refused => self.waiting.note_dropped(Dropped::Refused, batch.spans),
            }
            if again.is_none() {
                self.queue().done();
            }
            self.tell(told, &collector);
            self.pause(pause, &mut in_force).await;
        }
        self.done.send_replace(true);
    }

    /// What is sent next; none if nothing will come any more.
    async fn next_batch(&self) -> Option<Batch> {
        loop {
            let is_last = *self.closing.borrow();
            if let Some(batch) = self.queue().batch() {
                return Some(batch);
            }
            if is_last {
                // Its rooms may not have been emptied since.
                self.take_in(&mut Vec::new());
                return self.queue().batch();
            }
            self.news.notified().await;
        }
    }

    /// Waits so long, unless the process ends or the file says something else.
    async fn pause(&self, pause: Duration, in_force: &mut watch::Receiver<Arc<InForce>>) {
        if pause.is_zero() {
            return;
        }
        let mut closing = self.closing.subscribe();
        in_force.mark_unchanged();
        tokio::select! {
            () = sleep(pause) => {}
            _ = closing.wait_for(|closing| *closing) => {}
            // The one who tells of it is gone when the process ends.
            Ok(()) = in_force.changed() => {}
        }
    }

    /// Whom to send to by what is in force; what waits when nothing is kept any more goes where it was meant
    /// to. Whether that is somebody else than before.
    fn look_up(&self, collector: &mut Option<Collector>) -> bool {
        let snapshot = self.published.load();
        let Some(traces) = snapshot.config.traces.clone() else { return false };
        let who = self.events.who(&snapshot);
        let is_same = collector.as_ref().is_some_and(|it| it.traces == traces && it.who == who);
        if is_same {
            return false;
        }
        match Way::new(&traces, &resource(&traces, &who.0, &who.1)) {
            Ok(way) => *collector = Some(Collector { traces, who, way }),
            Err(error) => {
                tracing::error!(error, "traces cannot be sent");
                *collector = None;
            }
        }
        true
    }

    async fn post(&self, collector: &Collector, batch: &Batch) -> End {
        let (moment, wall) = (self.published.load().moment(self.clock.now()), (self.clock.wall)());
        let at = (moment, self.clock.wall_time());
        let (scope, traces) = (scope(), &collector.traces);
        let entries = batch.entries.iter().filter_map(|entry| Entry::decode(entry, at));
        let made: Vec<SpanData> =
            entries.flat_map(|entry| spans(&entry, traces, &scope, (moment, wall))).collect();
        collector.way.send(made).await
    }

    fn tell(&self, told: Option<Result<(), String>>, collector: &Option<Collector>) {
        let host = collector.as_ref().and_then(|it| it.traces.endpoint.authority());
        let collector = host.map(ToString::to_string).unwrap_or_default();
        let kind = match told {
            Some(Err(why)) => Kind::TracesLost { collector, why },
            Some(Ok(())) => Kind::TracesTaken { collector },
            None => return,
        };
        self.events.say(Event::by_itself(kind, Subject::default()));
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
