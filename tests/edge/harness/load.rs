//! A paced load: so many requests per second over so many kept connections in, what became of each
//! request out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at};

use super::client::Ended;
use super::{Client, until};

/// So many connections as one machine of two cores carries with ease.
const CONNECTIONS: u32 = 25;

/// Waits for a turn without another heavy load in this process; it lasts as long as the guard.
pub async fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// The same request again and again, or in turn those of many clients.
#[derive(Clone, Debug)]
pub struct Load {
    pub to: SocketAddr,
    pub connections: u32,
    /// Of all connections together. A connection that had to wait catches up.
    pub per_second: u32,
    pub request: &'static str,
    /// How many clients there are. Each has one of the connections, on which it takes its turn, so
    /// it never asks twice at once; and as a browser does it sends the last cookie it was given.
    pub clients: u32,
    /// What the client of a number brings at first: a field line, or nothing.
    pub brings: fn(u32) -> String,
}

/// What became of one request.
#[derive(Clone, Debug)]
pub struct Record {
    /// Which of the clients it was.
    pub client: u32,
    pub sent: Instant,
    pub took: Duration,
    /// Status and body, or how the connection ended before both were there.
    pub end: Result<(u16, String), Ended>,
    /// Whether the connection could carry another request afterwards.
    pub kept: bool,
}

impl Record {
    pub fn is_ok(&self) -> bool {
        self.status() == Some(200)
    }

    pub fn status(&self) -> Option<u16> {
        self.end.as_ref().ok().map(|(status, _)| *status)
    }

    /// Whether this one succeeded. Origins answer with their names.
    pub fn is_from(&self, origin: &str) -> bool {
        matches!(&self.end, Ok((200, body)) if body == origin)
    }

    /// Whether it had been sent and was not done at some moment between these two.
    pub fn was_under_way(&self, from: Instant, to: Instant) -> bool {
        self.sent <= to && self.sent + self.took >= from
    }
}

impl Load {
    /// GETs of `/`.
    pub fn gets(to: SocketAddr, per_second: u32) -> Load {
        let request = "GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n";
        Load { to, connections: CONNECTIONS, per_second, request, clients: 0, brings: nothing }
    }

    /// GETs of `/` by so many clients, more than connections, who bring these field lines.
    pub fn crowd(to: SocketAddr, per_second: u32, clients: u32, brings: fn(u32) -> String) -> Load {
        Load { clients, brings, ..Load::gets(to, per_second) }
    }

    /// POSTs of a few bytes to `/`.
    pub fn posts(to: SocketAddr, per_second: u32) -> Load {
        let request = "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 5\r\n\r\norder";
        Load { to, connections: 5, per_second, request, clients: 0, brings: nothing }
    }

    /// Begins; it runs until it is stopped or dropped.
    pub fn start(self) -> Running {
        let over = Arc::new(AtomicBool::new(false));
        let turns = u64::from(self.clients.div_ceil(self.connections).max(1));
        let (mut connections, mut answered) = (JoinSet::new(), Vec::new());
        for nth in 0..self.connections {
            let count = Arc::<AtomicU64>::default();
            answered.push(count.clone());
            connections.spawn(send(self.clone(), nth, over.clone(), count));
        }
        Running { over, connections, answered, turns }
    }

    /// Runs until so many requests have come to an end.
    pub async fn run(self, requests: u64) -> Vec<Record> {
        let running = self.start();
        running.until_more(requests).await;
        running.stop().await
    }
}

/// A load under way.
pub struct Running {
    over: Arc<AtomicBool>,
    connections: JoinSet<Vec<Record>>,
    /// How many requests of each connection have come to an end.
    answered: Vec<Arc<AtomicU64>>,
    /// How many of a connection it takes for each of its clients to have had its turn.
    turns: u64,
}

impl Running {
    /// Waits until so many more requests have come to an end, however long a busy machine takes.
    pub async fn until_more(&self, requests: u64) {
        let all = || self.answered.iter().map(|n| n.load(Ordering::Relaxed)).sum::<u64>();
        let goal = all() + requests;
        until("enough requests are answered", async || all() >= goal).await;
    }

    /// Waits until every client has asked once more, from beginning to end.
    pub async fn until_all_have_asked(&self) {
        let counts = || self.answered.iter().map(|n| n.load(Ordering::Relaxed));
        // What is under way now was asked before.
        let goals: Vec<u64> = counts().map(|count| count + 1 + self.turns).collect();
        let are_there = || counts().zip(&goals).all(|(count, goal)| count >= *goal);
        until("every client has asked", async || are_there()).await;
    }

    /// Sends no more, waits for what is under way; all requests in the order they were sent.
    pub async fn stop(mut self) -> Vec<Record> {
        self.over.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        while let Some(records) = self.connections.join_next().await {
            all.extend(records.unwrap());
        }
        all.sort_unstable_by_key(|record: &Record| record.sent);
        all
    }
}

/// One connection of a load, opened anew whenever the edge has closed it.
async fn send(
    load: Load,
    nth: u32,
    over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
) -> Vec<Record> {
    let period = Duration::from_secs(1) * load.connections / load.per_second;
    let first = tokio::time::Instant::now() + period * nth / load.connections;
    let mut ticks = interval_at(first, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut records, mut kept) = (Vec::new(), None);
    let mut clients: Vec<(u32, String)> = match load.clients {
        0 => vec![(0, load.request.to_string())],
        all => {
            let mine = (nth..all).step_by(load.connections as usize);
            mine.map(|client| (client, bearing(load.request, &(load.brings)(client)))).collect()
        }
    };
    let mut turn = (0..clients.len()).cycle();
    while !over.load(Ordering::Relaxed) {
        let Some(turn) = turn.next() else { break };
        let (client_number, request) = &mut clients[turn];
        ticks.tick().await;
        let sent = Instant::now();
        let mut client = match kept.take() {
            Some(client) => client,
            None => Client::connect(load.to).await,
        };
        // If the other end takes no more, what it has to say is what counts.
        client.try_send(request.as_bytes()).await;
        let response = client.outcome(false).await;
        let took = sent.elapsed();
        let closes = |value: &&str| value.eq_ignore_ascii_case("close");
        if let Ok(response) = &response
            && !response.fields("connection").iter().any(closes)
        {
            kept = Some(client);
        }
        if let Ok(response) = &response
            && let Some(given) = response.fields("set-cookie").first()
        {
            let cookie = given.split(';').next().unwrap();
            *request = bearing(load.request, &format!("cookie: {cookie}"));
        }
        let end = response.map(|response| (response.status, response.body));
        let (client, kept) = (*client_number, kept.is_some());
        records.push(Record { client, sent, took, end, kept });
        answered.fetch_add(1, Ordering::Relaxed);
    }
    records
}

fn nothing(_: u32) -> String {
    String::new()
}

/// A request with one more field line, if there is one.
fn bearing(request: &str, line: &str) -> String {
    match line {
        "" => request.to_string(),
        line => request.replacen("\r\n", &format!("\r\n{line}\r\n"), 1),
    }
}
