//! `demo`: nothing in, a whole edge to play with out.
//!
//! Two versions of a small shop, the proxy before them, some load and the admin API, all in this
//! process: what it shows is the real thing, seen from a client.

mod judged;
mod load;
mod shop;

use std::io::IsTerminal;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use tokio::time::{interval, sleep};

use self::judged::Judged;
use self::load::{Load, Seen};
use self::shop::Shop;
use super::logging::{self, LogFormat};
use super::{Ending, print, run};
use crate::config::ListenAddress;
use crate::control::Control;
use crate::files::Source;
use crate::orders::{By, Order};
use crate::rollout::Wishes;
use crate::server::inherit::Inherited;
use crate::server::{Options, Server};
use crate::split::BasisPoints;

/// Where the demo listens if nobody else does.
const LISTEN: &str = "127.0.0.1:8080";
const ADMIN: &str = "127.0.0.1:9900";

/// How many of a thousand requests a bad green fails, and the blue beside it.
const BAD: [u64; 2] = [20, 1];

/// Requests a second; more where there is something to judge, so that it takes seconds.
const RPS: u32 = 300;
const RPS_JUDGED: u32 = 1_000;

/// How many seconds blue is seen alone before the rollout begins.
const ALONE: u32 = 3;

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
    /// Requests per second [default: 300, or 1000 with --bad-green]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rps: Option<u32>,
    /// Roll out a green that fails 2 % of its requests, where blue fails 0.1 %, and see it judged
    /// and taken back.
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
        logging::start(LogFormat::Text, "error");
        let [green_fails, blue_fails] = if self.bad_green { BAD } else { [0, 0] };
        let blue = Shop { version: "blue", takes: Duration::from_millis(2), fails: blue_fails };
        let green = Shop { version: "green", takes: Duration::from_millis(1), fails: green_fails };
        let (blue, green) = (shop::open(blue).await?, shop::open(green).await?);
        let listen = self.listen.unwrap_or_else(|| free(LISTEN));
        let admin = ListenAddress::Tcp(self.admin.unwrap_or_else(|| free(ADMIN)));
        let source = Source::Fixed(config(listen, blue, green));
        let options = Options { source, admin: Some(admin), watches_file: false };
        let server = run::start(options, Inherited::default()).await?;
        let address = server.address().ok_or_else(|| anyhow!("the demo has no TCP listener"))?;
        introduce(&server, address);
        let load = Load::start(address, self.rps());
        self.show(&load, &server).await?;
        let seen = load.stop().await;
        server.stop().await;
        print(&summary(&seen));
        // Blue's own failures are part of what is shown with a bad green.
        let is_well = seen.total() > 0 && (seen.errors == 0 || self.bad_green);
        Ok(if is_well { Ending::Done } else { Ending::No })
    }

    fn rps(&self) -> u32 {
        self.rps.unwrap_or(if self.bad_green { RPS_JUDGED } else { RPS })
    }

    /// Shows rates until the time is over or Ctrl-C is pressed.
    async fn show(&self, load: &Load, server: &Server) -> anyhow::Result<()> {
        let control = server.control();
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
        let mut judged = Judged::default();
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let now = load.seen();
                    shown += 1;
                    print(&line(SHOW * shown, &now.since(&before)));
                    before = now;
                    if self.bad_green && shown == ALONE {
                        roll_out(control).await?;
                    }
                    judged.tell(server).await?;
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
    let by = By::new("demo", Some("a green that fails 2 % of its requests"));
    let order = Order::StartRollout { service: "shop".into(), wishes: Box::new(wishes) };
    control.order(order, by).await?;
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
         [services.shop]\nsplit = {{ blue = 100, green = 0 }}\njudge.warm_up = \"0s\"\n\n\
         [services.shop.pools]\nblue.upstreams = [\"{blue}\"]\ngreen.upstreams = [\"{green}\"]\n"
    )
}

fn introduce(server: &Server, address: SocketAddr) {
    let admin = server.admin_address().to_string();
    let (program, flag) = (program(), flag(server));
    print(&format!(
        "A shop in two versions, blue and green, behind one address.\n\n  \
         the page    http://{admin}/    watch it, and give orders\n  \
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

/// What to type for this program.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "pointsman".into())
}

/// What leads another command here.
fn flag(server: &Server) -> String {
    let admin = server.admin_address().to_string();
    if admin == ADMIN { String::new() } else { format!(" --admin {admin}") }
}

/// Columns of a full bar: with two of them a line fits a terminal of eighty.
const BAR: usize = 6;

/// One second, as clients saw it.
fn line(at: Duration, seen: &Seen) -> String {
    let total = seen.total().max(1);
    let pool = |name: &str, code: &str, count: u64| {
        let share = count as f64 / total as f64;
        let bar = "█".repeat((share * BAR as f64).round() as usize);
        let coloured =
            match std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
                true => format!("\x1b[{code}m{bar}\x1b[0m"),
                false => bar.clone(),
            };
        let pad = " ".repeat(BAR - bar.chars().count().min(BAR));
        format!("{name} {coloured}{pad} {count:>5}/s {:>3.0} %", share * 100.0)
    };
    let mean = seen.nanos as f64 / total as f64 / 1e6;
    format!(
        "{:>3.0}s  {}  {}  {mean:>4.1} ms  {} error{}",
        at.as_secs_f64(),
        pool("blue", "34", seen.blue),
        pool("green", "32", seen.green),
        seen.errors,
        if seen.errors == 1 { "" } else { "s" },
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
