//! `demo`: nothing in, a whole edge to play with out.
//!
//! Two versions of a small shop, the proxy before them, some load and the admin API, all in this
//! process: what it shows is the real thing, seen from a client.

mod load;
mod shop;

use std::io::IsTerminal;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use tokio::time::{interval, sleep};

use self::load::{Load, Seen};
use self::shop::Shop;
use super::logging::{self, LogFormat};
use super::{Ending, print, run};
use crate::config::ListenAddress;
use crate::control::{Control, Order, Report, Source};
use crate::rollout::Wishes;
use crate::server::{Options, Server};
use crate::split::BasisPoints;

/// Where the demo listens if nobody else does.
const LISTEN: &str = "127.0.0.1:8080";
const ADMIN: &str = "127.0.0.1:9900";

/// How many of a hundred requests a bad green fails.
const BAD: u64 = 8;

/// How often rates are shown.
const SHOW: Duration = Duration::from_secs(1);

/// See it work: two versions of a shop, a proxy before them, and some load.
///
/// Needs no file, no other server and no rights. Prints the addresses, three commands to try in a
/// second terminal, and what clients get, second by second, until Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman demo\n  pointsman demo --for 10s --rps 1000\n  \
                        pointsman demo --bad-green")]
pub struct Demo {
    /// Stop by itself after this long.
    #[arg(long = "for", value_name = "DURATION", value_parser = crate::config::duration)]
    length: Option<Duration>,
    /// Requests per second.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rps: u32,
    /// Roll out a green that fails 8 % of its requests, and see it taken back.
    #[arg(long)]
    bad_green: bool,
    /// Where clients connect [default: 127.0.0.1:8080, or any free port if that is taken]
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// Admin address [default: 127.0.0.1:9900, or any free port if that is taken]
    #[arg(long, value_name = "IP:PORT")]
    admin: Option<SocketAddr>,
}

impl Demo {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        // What goes wrong is shown; that all goes well is what the demo itself says.
        logging::start(LogFormat::Text, Some("warn,pingora_core=off,pingora_proxy=off"));
        let blue = Shop { version: "blue", takes: Duration::from_millis(2), fails: 0 };
        let fails = if self.bad_green { BAD } else { 0 };
        let green = Shop { version: "green", takes: Duration::from_millis(1), fails };
        let (blue, green) = (shop::open(blue).await?, shop::open(green).await?);
        let listen = self.listen.unwrap_or_else(|| free(LISTEN));
        let admin = ListenAddress::Tcp(self.admin.unwrap_or_else(|| free(ADMIN)));
        let source = Source::Fixed(config(listen, blue, green));
        let options = Options { source, admin: Some(admin), watches_file: false };
        let server = run::start(options).await?;
        let address = server.address().ok_or_else(|| anyhow!("the demo has no TCP listener"))?;
        introduce(&server, address);
        let load = Load::start(address, self.rps);
        if self.bad_green {
            roll_out(server.control()).await?;
        }
        self.show(&load, server.control()).await?;
        let seen = load.stop().await;
        server.stop().await;
        print(&summary(&seen));
        Ok(if seen.errors == 0 && seen.total() > 0 { Ending::Done } else { Ending::No })
    }

    /// Shows rates until the time is over or Ctrl-C is pressed.
    async fn show(&self, load: &Load, control: &Control) -> anyhow::Result<()> {
        let over = async {
            match self.length {
                Some(length) => sleep(length).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        let mut ticks = interval(SHOW);
        // The first tick comes at once, when there is nothing to show yet.
        ticks.tick().await;
        let (mut shown, mut before) = (0, Seen::default());
        let mut told = None;
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let now = load.seen();
                    shown += 1;
                    print(&line(SHOW * shown, &now.since(&before)));
                    before = now;
                    tell(control, &mut told).await?;
                }
                stopped = tokio::signal::ctrl_c() => return stopped.context("cannot hear Ctrl-C"),
                () = &mut over => return Ok(()),
            }
        }
    }
}

/// Starts a canary to green that is quick enough to watch.
async fn roll_out(control: &Control) -> anyhow::Result<()> {
    let steps = [10, 50, 100].into_iter().filter_map(|percent| BasisPoints::new(percent * 100));
    let wishes = Wishes {
        to: Some("green".into()),
        steps: Some(steps.collect()),
        hold: Some(Duration::from_secs(10)),
        min_requests: Some(100),
        ..Wishes::default()
    };
    let order = Order::of("demo", Some("a green that fails 8 % of its requests"));
    control.start_rollout("shop", wishes, order).await?;
    Ok(())
}

/// Says how the rollout stands, if there is one and it has gone on.
async fn tell(control: &Control, told: &mut Option<(&'static str, usize)>) -> anyhow::Result<()> {
    let reports = control.rollouts("shop").await?;
    let Some(Report { rollout, status, .. }) = reports.first() else { return Ok(()) };
    let stands = (status.state, status.steps.0);
    if *told != Some(stands) {
        *told = Some(stands);
        print(&format!("       rollout {}: {}: {}", rollout.id, status.state, status.words));
    }
    Ok(())
}

/// This address, or any port if it is taken.
fn free(usual: &str) -> SocketAddr {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    usual.parse().ok().filter(|address| TcpListener::bind(address).is_ok()).unwrap_or(any)
}

fn config(listen: SocketAddr, blue: SocketAddr, green: SocketAddr) -> String {
    format!(
        "[[listeners]]\naddress = \"{listen}\"\n\n\
         [services.shop]\nsplit = {{ blue = 100, green = 0 }}\n\n\
         [services.shop.pools]\nblue.upstreams = [\"{blue}\"]\ngreen.upstreams = [\"{green}\"]\n"
    )
}

fn introduce(server: &Server, address: SocketAddr) {
    let admin = server.admin_address().to_string();
    let program = std::env::args().next().unwrap_or_else(|| "pointsman".into());
    let flag = if admin == ADMIN { String::new() } else { format!(" --admin {admin}") };
    print(&format!(
        "A shop in two versions, blue and green, behind one address.\n\n  \
         the shop    http://{address}/\n  \
         admin API   http://{admin}/v1/status\n  \
         metrics     http://{admin}/metrics\n\n\
         Try in a second terminal:\n\n  \
         {program} shift shop blue=90 green=10{flag}\n  \
         {program} flip shop green{flag}\n  \
         {program} status{flag}\n\n\
         What clients get, second by second (Ctrl-C stops):\n"
    ));
}

/// One second, as clients saw it.
fn line(at: Duration, seen: &Seen) -> String {
    let total = seen.total().max(1);
    let pool = |name: &str, code: &str, count: u64| {
        let share = count as f64 / total as f64;
        let bar = "█".repeat((share * 10.0).round() as usize);
        let coloured =
            match std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
                true => format!("\x1b[{code}m{bar}\x1b[0m"),
                false => bar.clone(),
            };
        let pad = " ".repeat(10 - bar.chars().count().min(10));
        format!("{name} {coloured}{pad} {count:>5}/s {:>3.0} %", share * 100.0)
    };
    let mean = seen.nanos as f64 / total as f64 / 1e6;
    format!(
        "{:>4.0}s  {}  {}  {mean:>4.1} ms  {} errors",
        at.as_secs_f64(),
        pool("blue", "34", seen.blue),
        pool("green", "32", seen.green),
        seen.errors,
    )
}

fn summary(seen: &Seen) -> String {
    format!(
        "\n{} requests: {} from blue, {} from green, {} errors",
        seen.total() + seen.errors,
        seen.blue,
        seen.green,
        seen.errors
    )
}
