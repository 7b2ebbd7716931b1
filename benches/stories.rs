//! What the judge makes of a restart, a crash loop, a shared outage, a cold start, bursts and a slow version,
//! before real sockets: real proxies as processes, real origins, minutes of real time.
//!
//! `cargo bench --bench stories --profile dev`, or some of them: `-- restart bursts`. It ends with 1 if one
//! ends otherwise than it should. Each proxy has its own minutes; three stories run at a time.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]
#![allow(clippy::unwrap_used, reason = "what is not there cannot be measured")]

#[path = "../tests/edge/harness/mod.rs"]
#[allow(unused, reason = "it is the tests', and they use all of it")]
mod harness;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pointsman::clock::Draws;
use serde_json::Value;
use tokio::time::sleep;

use harness::edge::shop_at;
use harness::load;
use harness::process::be_what_is_ordered;
use harness::{Client, Load, Origin, Process, Reply, Running};

const ANYWHERE: &str = "127.0.0.1:0";

/// Of each story: 2 cores carry three of them at a time, with their loads, their origins and their proxies.
const PER_SECOND: u32 = 250;

/// How long the old version is watched before; less than a service has that has run for a day.
const PAST: Duration = Duration::from_secs(45);

/// The canary's share in the first step, which outlasts what happens in it.
const SHARE: u32 = 20;

/// No story takes longer.
const LONGEST: Duration = Duration::from_secs(720);

/// Nobody may be slow for having just started.
const AT_ONCE: &str = "warm_up = \"0s\"";

/// How long who has just started may be slow in the story of a slow version.
const WARM_UP: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    // It is its own origins, too, as the tests are.
    be_what_is_ordered();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(tell())
}

/// Those that are asked for, the longest in a lane of its own.
async fn tell() -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|one| one == name);
    let bursts = async { !is_asked("bursts") || bursts().await };
    let starts = async {
        let one = !is_asked("restart") || restart().await;
        let two = !is_asked("cold-start") || cold_start().await;
        one && two
    };
    let outages = async {
        let one = !is_asked("crash-loop") || crash_loop().await;
        let two = !is_asked("shared-outage") || shared_outage().await;
        let three = !is_asked("slow") || slow().await;
        let four = !is_asked("turns-bad") || turns_bad().await;
        one && two && three && four
    };
    let (one, two, three) = tokio::join!(bursts, starts, outages);
    if one && two && three { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A rollout under way, and the load on it.
struct Story {
    name: &'static str,
    proxy: Running,
    load: load::Running,
    begun: Instant,
}

impl Story {
    /// A rollout to `green` that begins once `blue` has a past, whose steps and watch last so many seconds.
    async fn begin(
        name: &'static str,
        [blue, green]: [&[SocketAddr]; 2],
        judge: &str,
        hold: u64,
    ) -> Story {
        let service = format!(
            "[services.shop.judge]\n{judge}\n[services.shop.rollout]\nsteps = [{SHARE}, 50, 100]\n\
             hold = \"{hold}s\"\nlongest_step = \"8m\"\nwatch = \"{hold}s\"\n"
        );
        let file = shop_at(&[("blue", blue), ("green", green)], &service);
        let proxy = Running::start("workers = 1", &file).await;
        let load = Load { connections: 10, ..Load::gets(proxy.listen, PER_SECOND) }.start();
        sleep(PAST).await;
        let story = Story { name, proxy, load, begun: Instant::now() };
        story.say("the rollout begins");
        let (status, began) =
            story.ask("POST", "/v1/services/shop/rollout", "{\"to\":\"green\"}").await;
        assert_eq!(status, 201, "{began}");
        story
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut client = Client::connect(self.proxy.admin).await;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        client.send(head).await;
        let response = client.response().await;
        (response.status, serde_json::from_str(&response.body).unwrap_or(Value::Null))
    }

    async fn rollout(&self) -> Value {
        self.ask("GET", "/v1/services/shop/rollout", "").await.1
    }

    /// Whether it has ended, or stands still.
    async fn is_over(&self) -> bool {
        self.rollout().await["state"] != "running"
    }

    /// Waits until the rollout is so old.
    async fn until_second(&self, second: u64) {
        sleep(Duration::from_secs(second).saturating_sub(self.begun.elapsed())).await;
    }

    /// Waits until it has ended; how it did, and when.
    async fn ends(&self) -> (Value, Duration) {
        loop {
            let now = self.rollout().await;
            if now["state"] != "running" || self.begun.elapsed() > LONGEST {
                return (now, self.begun.elapsed());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// What was said of it so far.
    async fn was_told(&self, words: &str) -> bool {
        let (_, events) = self.ask("GET", "/v1/events", "").await;
        let said = |event: &Value| event["what"].as_str().is_some_and(|what| what.contains(words));
        events.as_array().is_some_and(|events| events.iter().any(said))
    }

    fn say(&self, what: impl std::fmt::Display) {
        println!("{} {:>4} s: {what}", self.name, self.begun.elapsed().as_secs());
    }

    /// Whether it ended so.
    async fn ended(&self, wanted: &str) -> bool {
        let (ended, _) = self.ends().await;
        self.say(format_args!("{} ({})", ended["state"], ended["status"]));
        self.holds(&format!("it is {wanted}"), ended["state"] == wanted)
    }

    /// Prints what should hold; whether it does.
    fn holds(&self, what: &str, holds: bool) -> bool {
        self.say(format_args!("{what}{}", if holds { "" } else { "  BROKEN" }));
        holds
    }

    /// No user saw a failure that the shield could keep away from him.
    async fn over(self) {
        let records = self.load.stop().await;
        let failed = records.iter().filter(|record| !record.is_ok()).count();
        println!("{}: {failed} of {} requests failed for a client", self.name, records.len());
    }
}

/// Kills a process and starts it again so much later.
async fn away_for(process: &mut Process, length: Duration) {
    let killed = Instant::now();
    process.kill().await;
    sleep(length.saturating_sub(killed.elapsed())).await;
    process.restart().await;
}

/// The only upstream of the canary is away for 2 s once: the step waits, and nothing goes back.
async fn restart() -> bool {
    let (blue, mut green) = (Process::start("blue").await, Process::start("green").await);
    let pools: [&[SocketAddr]; 2] = [&[blue.address], &[green.address]];
    // Two seconds in which all fails are 0.5 % of seven minutes, and of one and a half they are 2 %.
    let judge = format!("{AT_ONCE}\ngate = {{ rate = 2 }}");
    let story = Story::begin("restart", pools, &judge, 60).await;
    story.until_second(40).await;
    story.say("the canary's upstream restarts");
    away_for(&mut green, Duration::from_secs(2)).await;
    sleep(Duration::from_secs(3)).await;
    let now = story.rollout().await;
    story.say(&now["status"]);
    let says = &now["judgement"]["says"];
    let is_held =
        story.holds("the gate is shut", says == "inconclusive" && now["state"] == "running");
    let was_told = story.was_told("s; the step waits").await;
    let was_told = story.holds("it is said that the step waits", was_told);
    let is_promoted = story.ended("promoted").await;
    story.over().await;
    is_held && was_told && is_promoted
}

/// It is away for 2 s twice a minute: that goes back.
async fn crash_loop() -> bool {
    let (blue, mut green) = (Process::start("blue").await, Process::start("green").await);
    let pools: [&[SocketAddr]; 2] = [&[blue.address], &[green.address]];
    let story = Story::begin("crash-loop", pools, AT_ONCE, 60).await;
    let mut restarts = 0;
    while restarts < 8 && !story.is_over().await {
        story.until_second(30 * (restarts + 1)).await;
        restarts += 1;
        story.say(format_args!("restart {restarts}"));
        away_for(&mut green, Duration::from_secs(2)).await;
        sleep(Duration::from_secs(5)).await;
    }
    let is_back = story.ended("rolled-back").await;
    let is_soon = story.holds(&format!("found at restart {restarts} of at most 5"), restarts <= 5);
    story.over().await;
    is_back && is_soon
}

/// Both versions are away together for 5 s, twice: that is no fault of the release.
async fn shared_outage() -> bool {
    let (mut blue, mut green) = (Process::start("blue").await, Process::start("green").await);
    let pools: [&[SocketAddr]; 2] = [&[blue.address], &[green.address]];
    let story = Story::begin("shared-outage", pools, AT_ONCE, 60).await;
    for second in [20, 45] {
        story.until_second(second).await;
        story.say("both are away");
        let length = Duration::from_secs(5);
        tokio::join!(away_for(&mut blue, length), away_for(&mut green, length));
    }
    let is_promoted = story.ended("promoted").await;
    story.over().await;
    is_promoted
}

/// An origin whose answers take 20 ms, and this many times as long so long after its first one.
async fn timed(name: &'static str, times: impl Fn(f64) -> f64 + Send + Sync + 'static) -> Origin {
    let first = OnceLock::<Instant>::new();
    let script = move |_: &_| {
        let age = first.get_or_init(Instant::now).elapsed().as_secs_f64();
        Reply::ok(name).late((20.0 * times(age)) as u64)
    };
    Origin::at(ANYWHERE.parse().unwrap(), script).await
}

/// The canary is three times as slow at first and warm after a minute: nothing goes back, and in the end it
/// gets everything.
async fn cold_start() -> bool {
    let blue = timed("blue", |_| 1.0).await;
    let green = timed("green", |age| 1.0 + 2.0 * (1.0 - age / 60.0).max(0.0)).await;
    let pools: [&[SocketAddr]; 2] = [&[blue.address], &[green.address]];
    let story = Story::begin("cold-start", pools, "warm_up = \"60s\"", 30).await;
    let is_promoted = story.ended("promoted").await;
    story.over().await;
    is_promoted
}

/// The canary is half as slow again, cold and warm: it goes back within 20 s of the end of its warm-up.
async fn slow() -> bool {
    let (blue, green) = (timed("blue", |_| 1.0).await, timed("green", |_| 1.5).await);
    let pools: [&[SocketAddr]; 2] = [&[blue.address], &[green.address]];
    let story =
        Story::begin("slow", pools, &format!("warm_up = \"{}s\"", WARM_UP.as_secs()), 60).await;
    let (ended, took) = story.ends().await;
    story.say(format_args!("{} ({})", ended["state"], ended["status"]));
    let driver = ended["judgement"]["driver"].as_str().unwrap_or_default().to_string();
    let is_back = ended["state"] == "rolled-back" && driver.starts_with('p');
    let is_back = story.holds(&format!("it is rolled back by {driver}"), is_back);
    let after = took.saturating_sub(WARM_UP);
    let is_soon = took >= WARM_UP && after <= Duration::from_secs(20);
    let is_soon = story.holds(&format!("{after:.1?} after its warm-up of at most 20 s"), is_soon);
    story.over().await;
    is_back && is_soon
}

/// An origin of which one of a thousand requests fails, and this share once it has been asked for so long.
async fn failing(
    name: &'static str,
    share: f64,
    after: Duration,
) -> (Origin, Arc<OnceLock<Instant>>) {
    let (first, turned) = (OnceLock::<Instant>::new(), Arc::<OnceLock<Instant>>::default());
    let (told, asked) = (turned.clone(), AtomicU64::new(0));
    let script = move |_: &_| {
        let mut draws = Draws::seeded(asked.fetch_add(1, Ordering::Relaxed));
        let is_bad = first.get_or_init(Instant::now).elapsed() >= after;
        if is_bad {
            told.get_or_init(Instant::now);
        }
        match draws.unit() < if is_bad { share } else { 0.001 } {
            true => Reply::head("500 Internal Server Error", &[], "oh"),
            false => Reply::ok(name),
        }
    };
    (Origin::at(ANYWHERE.parse().unwrap(), script).await, turned)
}

/// The canary fails a fifth of its requests after a good half minute: it goes back within seconds.
async fn turns_bad() -> bool {
    let (blue, _) = failing("blue", 0.001, Duration::ZERO).await;
    let (green, turned) = failing("green", 0.2, Duration::from_secs(30)).await;
    let pools: [&[SocketAddr]; 2] = [&[blue.address], &[green.address]];
    let story = Story::begin("turns-bad", pools, AT_ONCE, 60).await;
    let (ended, _) = story.ends().await;
    let took = turned.get().map_or(LONGEST, Instant::elapsed);
    story.say(format_args!("{} ({})", ended["state"], ended["status"]));
    let is_back = story.holds("it is rolled-back", ended["state"] == "rolled-back");
    let is_soon = took <= Duration::from_secs(10);
    let is_soon = story.holds(&format!("{took:.1?} after it turned bad of at most 10 s"), is_soon);
    story.over().await;
    is_back && is_soon
}

/// An origin that fails 30 % of its requests for a second, 15 to 25 s after the last time.
async fn bursting(name: &'static str, seed: u64) -> Origin {
    let (start, asked) = (Instant::now(), AtomicU64::new(0));
    let mut draws = Draws::seeded(seed);
    let mut next = 20.0 * draws.unit();
    let mut bursts = Vec::new();
    while next < (PAST + LONGEST).as_secs_f64() {
        bursts.push(next);
        next += 15.0 + 10.0 * draws.unit();
    }
    let script = move |_: &_| {
        let now = start.elapsed().as_secs_f64();
        let nth = asked.fetch_add(1, Ordering::Relaxed);
        let in_burst = bursts.iter().any(|begins| (*begins..begins + 1.0).contains(&now));
        let draw = Draws::seeded(seed << 32 | nth).unit();
        match draw < if in_burst { 0.3 } else { 0.001 } {
            true => Reply::head("500 Internal Server Error", &[], "oh"),
            false => Reply::ok(name),
        }
    };
    Origin::at(ANYWHERE.parse().unwrap(), script).await
}

/// Three hosts of either version stall as they always do, for five minutes and more: the new one is as good as
/// the old one, and gets everything. As many of both, for who has others steers clear of one that stalls.
async fn bursts() -> bool {
    let (mut blue, mut green) = (Vec::new(), Vec::new());
    for seed in 0..3 {
        blue.push(bursting("blue", seed).await);
        green.push(bursting("green", 3 + seed).await);
    }
    let addresses = |pool: &[Origin]| pool.iter().map(|one| one.address).collect::<Vec<_>>();
    let (blue, green) = (addresses(&blue), addresses(&green));
    let story = Story::begin("bursts", [&blue, &green], AT_ONCE, 100).await;
    let is_promoted = story.ended("promoted").await;
    let has_lasted = story.holds("it took five minutes", story.begun.elapsed().as_secs() >= 300);
    story.over().await;
    is_promoted && has_lasted
}
