//! Copies in, requests to the mirror's pool and comparisons of the answers out.
//!
//! Nothing of this counts for the pool: no place is taken on an upstream, no breaker, ejection,
//! latency or tally hears how a copy went. Which upstream is asked follows from their health all the
//! same, by the snapshot in force when the copy is sent.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::connections::{AskError, Body, Connections, Target};
use super::{Copies, Queued};
use crate::clock::Clock;
use crate::http::view::View;
use crate::mirror::Copied;
use crate::mirror::{Answered, Difference, MirrorSettings, QueuePlace};
use crate::snapshot::{Published, Why};

/// The longest path that a report shows, in characters.
const LONGEST_PATH: usize = 500;

/// How often connections that nobody uses are looked for, and how long one may wait.
const SWEEP: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(30);

/// Why a copy failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Why(#[from] Why),
    #[error("the pool is gone")]
    NoPool,
    #[error("{0}: {1}")]
    Ask(Arc<str>, AskError),
    #[error("no whole answer within {0:?}")]
    Late(Duration),
}

/// Sends copies until no lane can offer one any more.
pub async fn send_copies(copies: Copies, published: Arc<Published>, clock: Clock) {
    let way = Arc::new(Way { published, clock, connections: Connections::default() });
    Sender { way, waiting: HashMap::new(), under_way: JoinSet::new() }.run(copies).await;
}

struct Sender {
    way: Arc<Way>,
    /// By service; each copy holds a place, so that none grows beyond its bound.
    waiting: HashMap<Arc<str>, VecDeque<Queued>>,
    under_way: JoinSet<()>,
}

/// What sending one takes.
struct Way {
    published: Arc<Published>,
    clock: Clock,
    connections: Connections,
}

impl Sender {
    async fn run(mut self, mut copies: Copies) {
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                queued = copies.0.recv() => match queued {
                    Some(queued) => self.take(queued),
                    None => return,
                },
                Some(_) = self.under_way.join_next() => {}
                _ = sweep.tick() => self.way.connections.close_idle(self.way.clock.now(), IDLE),
            }
            self.begin();
        }
    }

    fn take(&mut self, queued: Queued) {
        self.waiting.entry(queued.copied.service.clone()).or_default().push_back(queued);
    }

    /// Begins as many as may be under way, of each service for itself: one whose mirror hangs keeps
    /// no other waiting.
    fn begin(&mut self) {
        let Sender { way, waiting, under_way } = self;
        waiting.retain(|_, waiting| {
            while let Some(next) = waiting.front() {
                let Copied { state, settings, .. } = &next.copied;
                let Some(place) = state.begin(settings.concurrent) else { break };
                let Some(Queued { copied, place: waited }) = waiting.pop_front() else { break };
                drop(waited);
                under_way.spawn(way.clone().send(copied, place));
            }
            !waiting.is_empty()
        });
    }
}

impl Way {
    async fn send(self: Arc<Self>, copied: Copied, _place: QueuePlace) {
        let Copied { settings, state, .. } = &copied;
        let asked = timeout(settings.timeout, self.ask(&copied)).await;
        match asked.unwrap_or(Err(Failed::Late(settings.timeout))) {
            Ok(answered) => {
                // Whoever sees it counted finds what came of it.
                self.compare(&copied, answered);
                state.on_sent();
            }
            Err(failed) => state.on_failed(failed.to_string()),
        }
    }

    /// The answer to a copy, as far as it is compared.
    async fn ask(&self, copied: &Copied) -> Result<Option<Answered>, Failed> {
        let Copied { settings, request, .. } = copied;
        let (target, name) = {
            let snapshot = self.published.load();
            let service = snapshot.service(&copied.service).ok_or(Failed::NoPool)?;
            let pool = service.pool(&settings.to).ok_or(Failed::NoPool)?;
            let moment = snapshot.moment(self.clock.now());
            let place = pool.pick_aside(&service.stability, moment, &mut self.clock.draws())?;
            let member = &pool.members.list()[place];
            let address = member.target.clone().ok_or(Why::NoUpstream)?;
            (Target { address, http2: pool.http2 }, member.upstream.name.clone())
        };
        let asked = self.connections.ask(&target, request, self.clock.now(), IDLE).await;
        let failed = |error| Failed::Ask(name.clone(), error);
        let (response, connection) = asked.map_err(failed)?;
        let (answered, is_whole) = read(response, settings).await.map_err(failed)?;
        if is_whole {
            self.connections.keep(&target, connection, self.clock.now()).await;
        }
        Ok(answered)
    }

    fn compare(&self, copied: &Copied, mirror: Option<Answered>) {
        let by = copied.settings.compare.as_ref();
        let (Some(by), Some(live), Some(mirror)) = (by, &copied.live, mirror) else { return };
        let parts = live.differs(&mirror, by);
        let found = (!parts.is_empty()).then(|| Difference {
            at: self.clock.wall_time(),
            request_id: copied.request_id.clone(),
            method: copied.request.method().to_string(),
            path: path(&copied.request),
            parts,
        });
        copied.state.on_compared(found);
    }
}

/// Reads an answer up to its limit and lets it go; whether it was read to its end.
async fn read(
    response: Response<Body>,
    settings: &MirrorSettings,
) -> Result<(Option<Answered>, bool), AskError> {
    let (head, mut body) = response.into_parts();
    let begin = |by| Answered::begin(head.status.as_u16(), View::Map(&head.headers), by);
    let mut answered = settings.compare.as_ref().map(begin);
    let mut left = settings.answer_limit();
    while let Some(piece) = body.piece().await {
        let piece = piece?;
        answered.iter_mut().for_each(|answered| answered.push(&piece));
        match left.checked_sub(piece.len()) {
            Some(less) => left = less,
            None => return Ok((answered, false)),
        }
    }
    Ok((answered, true))
}

fn path(request: &Request<Bytes>) -> String {
    request.uri().path().chars().take(LONGEST_PATH).collect()
}
