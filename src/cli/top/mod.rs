//! `top`: a running proxy in, what it does on a screen, and orders by keys, out.
//!
//! What is known (`known`), what is looked at (`view`), what a key orders (`keys`, `wish`, `dialog`) and the
//! picture (`draw`) are values and functions of them; `feed` and `screen` do all that waits.

mod dialog;
mod draw;
mod feed;
mod keys;
mod known;
mod moments;
mod news;
mod once;
#[cfg(test)]
mod sample;
mod screen;
#[cfg(test)]
mod tests;
mod view;
mod wish;
mod words;

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use ratatui::crossterm::event;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;

use self::draw::{Palette, Picture};
use self::known::Known;
use self::news::{News, take};
use self::screen::Screen;
use self::view::{Effect, Page, View};
use self::wish::Request;
use super::api::{Api, Call, segment};
use super::terminal;
use super::{Ending, Reach, print};
use crate::admin::wire;
use crate::server::clock;

/// How much may wait to be looked at.
const WAITING: usize = 64;

/// How often the picture is drawn though nothing is new: clocks go on.
const TICK: Duration = Duration::from_secs(1);

/// How long a single picture waits for a line.
const PATIENCE: Duration = Duration::from_secs(12);

/// Watch a running proxy on the whole screen, and give it orders.
///
/// Services with what is wrong first; a service with its split, its rollout and the evidence for and against
/// it, its pools and upstreams; what happened. Orders ask why, and show the command that does the same; `?`
/// explains all keys. It goes on when the proxy goes away and comes back. docs/top.md has more.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pointsman top\n  pointsman top shop\n  pointsman top --once\n  \
                        pointsman top --once --json | jq '.services[] | select(.wrong != []) | .name'"
)]
pub struct Top {
    /// Begin with this service.
    service: Option<String>,
    /// Print one picture and end; with --json for programs.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Top {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        if self.reach.json && !self.once {
            eprintln!("pointsman: --json goes with --once: `pointsman top --once --json`");
            return Ok(Ending::Usage);
        }
        if self.once {
            return self.once().await;
        }
        let is_dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        if is_dumb || !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
            eprintln!(
                "pointsman: `top` needs a terminal to draw on and keys from it; `pointsman top --once` prints \
                 one picture anywhere, `pointsman status --watch` goes on"
            );
            return Ok(Ending::Usage);
        }
        // Who is not there, or lets nobody in, says so before the screen is taken.
        let me: wire::Me = Api(&self.reach).ask(Call::get("/v1/me")).await?;
        if let Some(service) = &self.service {
            let path = format!("/v1/services/{}", segment(service));
            let _: wire::Service = Api(&self.reach).ask(Call::get(&path)).await?;
        }
        let known = Known { me: Some(me), ..Known::default() };
        let view = self.view();
        watch(self.reach, known, view).await
    }

    fn view(&self) -> View {
        View {
            page: self.service.clone().map_or(Page::Overview, Page::Service),
            chosen: self.service.clone(),
            author: super::author(),
            flag: flag(&self.reach),
            ..View::default()
        }
    }

    async fn once(self) -> anyhow::Result<Ending> {
        let api = Api(&self.reach);
        let mut path = feed::path(self.service.as_deref());
        path.push_str(if self.service.is_some() { "&lines=1" } else { "?lines=1" });
        let mut lines = api.lines(&path, PATIENCE).await?;
        let Some(line) = lines.next::<wire::LiveLine>().await? else {
            bail!("{} has stopped before it said anything", self.reach.admin);
        };
        let mut known = Known::default();
        known.watch(self.service.as_deref());
        known.take(self.service.as_deref(), line);
        known.all_events(api.ask(Call::get("/v1/events?after=0")).await?);
        let view = self.view();
        print(&match self.reach.json {
            true => serde_json::to_string_pretty(&once::json(&known, &view))?,
            false => {
                let columns = terminal::size().map_or(once::COLUMNS, |(columns, _)| columns);
                once::text(&known, &view, columns, clock::system().unix_seconds())
            }
        });
        Ok(Ending::Done)
    }
}

/// What leads a command to this proxy, where the environment does not.
fn flag(reach: &Reach) -> Vec<String> {
    let admin = reach.admin.to_string();
    let is_usual = admin == "127.0.0.1:9900";
    let is_set = std::env::var("POINTSMAN_ADMIN").is_ok_and(|set| set == admin);
    if is_usual || is_set { Vec::new() } else { vec!["--admin".into(), admin] }
}

/// Draws and takes keys until somebody has enough.
async fn watch(reach: Reach, mut known: Known, mut view: View) -> anyhow::Result<Ending> {
    let palette = Palette { is_coloured: terminal::is_coloured(&std::io::stdout()) };
    let clock = clock::system();
    let (sender, mut news) = mpsc::channel(WAITING);
    let mut screen = Screen::take().context("cannot draw on this terminal")?;
    listen(sender.clone())?;
    known.watch(view.watched());
    let mut watching = begin(&reach, view.watched(), &sender);
    while !screen.is_lost() {
        let now = clock.unix_seconds();
        let picture = Picture { known: &known, view: &view, now, palette, has_keys: true };
        let drawn = screen.terminal.draw(|frame| {
            let area = frame.area();
            picture.draw(frame.buffer_mut(), area);
        });
        drawn.context("cannot draw on this terminal")?;
        for told in gathered(&mut news).await {
            match take(told, &mut known, &mut view, clock.unix_seconds()) {
                Effect::None => {}
                Effect::Quit => return Ok(Ending::Done),
                Effect::Watch => {
                    watching.abort();
                    known.watch(view.watched());
                    watching = begin(&reach, view.watched(), &sender);
                }
                Effect::Give(request) => give(&reach, request, &sender),
            }
        }
    }
    bail!("the screen was lost: what is above says why");
}

/// What is new, once something is: all of it, so that it is drawn once.
async fn gathered(news: &mut Receiver<News>) -> Vec<News> {
    let first = tokio::select! {
        told = news.recv() => told.unwrap_or(News::Over),
        () = tokio::time::sleep(TICK) => News::Tick,
    };
    let mut all = vec![first];
    while let Ok(more) = news.try_recv() {
        all.push(more);
    }
    all
}

fn begin(reach: &Reach, service: Option<&str>, news: &Sender<News>) -> JoinHandle<()> {
    tokio::spawn(feed::watch(reach.clone(), service.map(str::to_string), news.clone()))
}

/// Hears keys, and signals that end the process.
fn listen(news: Sender<News>) -> anyhow::Result<()> {
    let keys = news.clone();
    // It blocks in a read, so it has a thread of its own, which ends with the process.
    let thread = std::thread::Builder::new().name("keys".into());
    thread.spawn(move || {
        while let Ok(event) = event::read() {
            if keys.blocking_send(News::Terminal(event)).is_err() {
                return;
            }
        }
        let _ = keys.blocking_send(News::Over);
    })?;
    for kind in [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()] {
        let (mut heard, news) = (signal(kind)?, news.clone());
        tokio::spawn(async move {
            heard.recv().await;
            let _ = news.send(News::Over).await;
        });
    }
    Ok(())
}

/// Gives an order beside the screen, which goes on.
fn give(reach: &Reach, request: Request, news: &Sender<News>) {
    let (reach, news) = (reach.clone(), news.clone());
    tokio::spawn(async move {
        let Request { method, path, body, if_match } = request;
        let call = Call::json(method, &path, &body).if_match(if_match);
        let answer = Api(&reach).ask_noted::<Value>(call).await;
        let _ = news.send(News::Given(answer)).await;
    });
}
