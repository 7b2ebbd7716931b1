//! What a screen is told: keys, lines, events, answers; and what each does to what is known and looked at.

use http::StatusCode;
use ratatui::crossterm::event::{Event, KeyEventKind};
use serde_json::Value;

use super::known::{Known, Link};
use super::view::{Effect, Page, View};
use crate::admin::wire;
use crate::cli::api::ApiError;

/// Something that is told.
#[derive(Debug)]
pub enum News {
    /// A key, or another size.
    Terminal(Event),
    /// A line of what is watched: of a service, or of all.
    Line(Option<String>, Box<wire::LiveLine>),
    /// Who asks.
    Me(wire::Me),
    /// All that happened.
    Events(Vec<wire::Event>),
    /// The connection by which something was watched is lost.
    Lost(Option<String>, ApiError),
    /// What came of an order, and what is said of the disk.
    Given(Result<(Value, Option<String>), ApiError>),
    /// A second is over.
    Tick,
    /// The process is told to end, or the keyboard is gone.
    Over,
}

/// Takes something in; what is to be done then.
pub fn take(news: News, known: &mut Known, view: &mut View, now: f64) -> Effect {
    match news {
        News::Terminal(Event::Key(key)) if key.kind != KeyEventKind::Release => {
            return view.press(key, known);
        }
        News::Terminal(_) | News::Tick => {}
        News::Line(topic, line) => known.take(topic.as_deref(), *line),
        News::Me(me) => known.me = Some(me),
        News::Events(events) => known.all_events(events),
        News::Lost(topic, error) => return lost(topic, error, known, view, now),
        News::Given(answer) => given(answer, view),
        News::Over => return Effect::Quit,
    }
    Effect::None
}

fn lost(
    topic: Option<String>,
    error: ApiError,
    known: &mut Known,
    view: &mut View,
    now: f64,
) -> Effect {
    match (error, topic) {
        (ApiError::Refused { status: StatusCode::NOT_FOUND, detail, .. }, Some(_)) => {
            (view.page, view.before, view.dialog) = (Page::Overview, Page::Overview, None);
            view.say(detail, true);
            return Effect::Watch;
        }
        (ApiError::Refused { detail, .. }, _) => known.link = Link::Refused { why: detail },
        (ApiError::Unreachable { error, .. }, _) => known.lost(error, now),
        (error, _) => known.lost(error.to_string(), now),
    }
    Effect::None
}

fn given(answer: Result<(Value, Option<String>), ApiError>, view: &mut View) {
    // Somebody may have closed it meanwhile: what came of it is said all the same.
    match (answer, view.dialog.take()) {
        (Ok((answer, note)), dialog) => {
            let done = dialog.map_or("it is done".into(), |dialog| dialog.wish.done(&answer));
            let note = note.map_or_else(String::new, |note| format!(" ({note})"));
            view.say(format!("{done}{note}"), false);
        }
        (Err(error), Some(mut dialog)) => {
            let (conflict, lost) = (StatusCode::CONFLICT, StatusCode::PRECONDITION_FAILED);
            let status = match &error {
                ApiError::Refused { status, .. } => Some(*status),
                _ => None,
            };
            let mut why = error.to_string();
            if status == Some(lost) {
                why.push_str(": close this, look again, and order what you still want");
            }
            dialog.refused(why, status == Some(conflict));
            view.dialog = Some(dialog);
        }
        (Err(error), None) => view.say(error.to_string(), true),
    }
}
