//! What happened, the newest last.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Picture;
use super::paint::{Tone, clip, left, put, width};
use crate::admin::wire;
use crate::cli::top::view;
use crate::cli::top::words;

/// Draws all of them, of one service or of all.
pub(super) fn draw(picture: &Picture<'_>, of: Option<&str>, buffer: &mut Buffer, area: Rect) {
    let count = view::events(picture.known, of).count();
    let whose = of.map_or_else(String::new, |name| format!(" of {name}"));
    let below = picture.view.below;
    let later = if below > 0 { format!(", {below} later ones below") } else { String::new() };
    let count = words::several(count, "event", "events");
    let title = format!("{count}{whose}{later}");
    put(buffer, area, 0, &Line::from(picture.palette.span(Tone::Strong, title)));
    let rest = Rect { y: area.y + 2, height: area.height.saturating_sub(2), ..area };
    list(picture, of, below, buffer, rest);
}

/// Lists the newest there is room for, but for those that are below.
pub(super) fn list(
    picture: &Picture<'_>,
    of: Option<&str>,
    below: usize,
    buffer: &mut Buffer,
    area: Rect,
) {
    let room = usize::from(area.height);
    let newest: Vec<_> = view::events(picture.known, of).rev().skip(below).take(room).collect();
    if newest.is_empty() {
        let none = picture.palette.span(Tone::Faint, "nothing has happened yet");
        return put(buffer, area, 0, &Line::from(none));
    }
    for (row, event) in newest.into_iter().rev().enumerate() {
        put(buffer, area, row, &line(picture, event, area.width.into()));
    }
}

fn line(picture: &Picture<'_>, event: &wire::Event, columns: usize) -> Line<'static> {
    let (sign, tone) = match view::worth(&event.severity) {
        1 => (" ", Tone::Plain),
        2 => ("!", Tone::Odd),
        _ => ("✕", Tone::Bad),
    };
    let place: Vec<&str> =
        [&*event.service, &*event.pool].into_iter().filter(|part| !part.is_empty()).collect();
    let mut place = place.join("/");
    if !event.upstream.is_empty() {
        place.push_str(&format!(" {}", event.upstream));
    }
    let clock = left(&words::clock(event.at, picture.now), 9);
    let place = if place.is_empty() { place } else { format!("{place}: ") };
    let by = match (&event.author, &event.reason) {
        (Some(author), Some(reason)) => format!(" (by {author}: {reason})"),
        (Some(author), None) => format!(" (by {author})"),
        _ => String::new(),
    };
    let used = width(&clock) + 2;
    let place = clip(&place, columns.saturating_sub(used));
    let what = clip(&event.what, columns.saturating_sub(used + width(&place)));
    let by = clip(&by, columns.saturating_sub(used + width(&place) + width(&what)));
    Line::from(vec![
        picture.palette.span(Tone::Faint, clock),
        picture.palette.span(tone, format!("{sign} ")),
        picture.palette.span(Tone::Strong, place),
        Span::raw(what),
        picture.palette.span(Tone::Faint, by),
    ])
}
