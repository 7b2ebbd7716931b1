//! The first lines: the process, how it stands with the connection, and what is wrong with either.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::Picture;
use super::paint::{Tone, clip, put, width};
use crate::cli::top::known::Link;
use crate::cli::top::words;

/// Draws them; how many they are.
pub(super) fn draw(picture: &Picture<'_>, buffer: &mut Buffer, area: Rect) -> u16 {
    let (known, palette) = (picture.known, picture.palette);
    let columns = usize::from(area.width);
    let (tone, link) = match &known.link {
        Link::Connecting => (Tone::Faint, "connecting…".to_string()),
        Link::Live if picture.has_keys => {
            (Tone::Fine, format!("● live {}", words::clock(known.at, picture.now)))
        }
        Link::Live => (Tone::Plain, words::clock(known.at, picture.now)),
        Link::Away { since, .. } => {
            (Tone::Bad, format!("✕ away since {}", words::clock(*since, picture.now)))
        }
        Link::Refused { .. } => (Tone::Bad, "✕ refused".into()),
    };
    let mut who = "pointsman".to_string();
    if let Some(status) = &known.status {
        who.push_str(&format!(" {}", status.version));
        match (&*status.name, &*status.environment) {
            ("", _) => {}
            (name, "") => who.push_str(&format!(" on {name}")),
            (name, environment) => who.push_str(&format!(" on {name} ({environment})")),
        }
        let state = if status.ready { "up" } else { "stopping, up" };
        who.push_str(&format!(" · {state} {}", words::length(known.at - status.started)));
    }
    if let Some(me) = &known.me
        && let Some(name) = &me.name
    {
        who.push_str(&format!(" · {name} ({})", me.role));
    }
    let room = columns.saturating_sub(width(&link) + 1);
    let who = clip(&who, room);
    let gap = " ".repeat(columns.saturating_sub(width(&who) + width(&link)));
    let spans = vec![palette.span(Tone::Strong, who), gap.into(), palette.span(tone, link)];
    put(buffer, area, 0, &Line::from(spans));
    let mut rows = 1;
    for (tone, text) in notes(picture) {
        put(buffer, area, rows, &Line::from(palette.span(tone, clip(&text, columns))));
        rows += 1;
    }
    rows as u16
}

/// What is wrong with the process or the connection.
fn notes(picture: &Picture<'_>) -> Vec<(Tone, String)> {
    let known = picture.known;
    let mut notes = Vec::new();
    match &known.link {
        Link::Away { since, why } => {
            let away = words::length(picture.now - since);
            let what = "what it knew is shown; trying again";
            notes.push((Tone::Bad, format!("✕ nobody answers for {away}: {what} ({why})")));
        }
        Link::Refused { why } => notes.push((Tone::Bad, format!("✕ {why}"))),
        Link::Connecting | Link::Live => {}
    }
    if known.status.as_ref().is_some_and(|status| !status.store_writable) {
        let text = "✕ the store cannot be written: orders are refused, rollouts stand still";
        notes.push((Tone::Bad, text.into()));
    }
    let Some(config) = &known.config else { return notes };
    let why = config.refused.as_deref().and_then(|why| why.lines().next());
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    if config.waits_for_reload {
        let text =
            format!("! the file on the disk is not in force, waiting for `pointsman reload`{why}");
        notes.push((Tone::Odd, text));
    } else if !config.last_reload_successful {
        notes.push((Tone::Bad, format!("✕ the file on the disk is not in force{why}")));
    }
    notes
}
