//! A box in the middle: what an order would do, why it is given, and the command that does the same.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Widget};

use super::Picture;
use super::paint::{Tone, clip, put, width, wrapped};
use crate::cli::top::dialog::Dialog;

/// Columns of a box with its frame.
const WIDE: u16 = 78;

/// Draws an order that is being given.
pub(super) fn draw(picture: &Picture<'_>, dialog: &Dialog, buffer: &mut Buffer, area: Rect) {
    let palette = picture.palette;
    let columns = usize::from(area.width.min(WIDE)).saturating_sub(4);
    let mut lines: Vec<Line<'static>> = Vec::new();
    let mut say = |tone: Tone, text: &str, most: usize| {
        for line in wrapped(text, columns, most) {
            lines.push(Line::from(palette.span(tone, line)));
        }
    };
    say(Tone::Plain, &dialog.foresees(picture.known), 4);
    say(Tone::Plain, "", 1);
    lines.push(Line::default());
    let mut wish = dialog.wish.clone();
    if let Some((name, text)) = wish.what.text() {
        lines.extend(field(picture, name, text, !dialog.is_at_reason, columns));
    }
    lines.extend(field(picture, "Why?", &dialog.by.reason, dialog.is_at_reason, columns));
    if dialog.may_force {
        let sign = if dialog.by.force { "[x]" } else { "[ ]" };
        let force = dialog.wish.what.force().unwrap_or_default();
        let text = format!("{sign} {force} (ctrl-f)");
        lines.push(Line::from(palette.span(Tone::Odd, clip(&text, columns))));
    }
    for line in wrapped(&dialog.problem, columns, 4) {
        lines.push(Line::from(palette.span(Tone::Bad, line)));
    }
    lines.push(Line::default());
    lines.push(Line::from(palette.span(Tone::Faint, "The same from a shell")));
    let command = dialog.wish.command(&dialog.by, &picture.view.flag);
    for line in wrapped(&command, columns, 4) {
        lines.push(Line::from(palette.span(Tone::Strong, line)));
    }
    lines.push(Line::default());
    let keys = match (dialog.is_sent, dialog.is_at_reason) {
        (true, _) => "on its way…".to_string(),
        (false, true) => "enter gives the order · tab back · esc cancels".into(),
        (false, false) => "enter goes on · ↑↓ changes it · esc cancels".into(),
    };
    lines.push(Line::from(palette.span(Tone::Faint, clip(&keys, columns))));
    framed(picture, &dialog.title(), lines, WIDE, buffer, area);
}

/// A name and what is typed under it, its end where it is too long.
fn field(
    picture: &Picture<'_>,
    name: &str,
    text: &str,
    is_typed: bool,
    columns: usize,
) -> Vec<Line<'static>> {
    let room = columns.saturating_sub(3);
    let mut end = text.to_string();
    while width(&end) > room {
        end.remove(0);
    }
    let (lead, cursor) = if is_typed { ("› ", "▏") } else { ("  ", "") };
    let tone = if is_typed { Tone::Strong } else { Tone::Faint };
    vec![
        Line::from(picture.palette.span(tone, format!("{lead}{name}"))),
        Line::from(vec![Span::raw(format!("  {end}")), Span::raw(cursor)]),
    ]
}

/// Lines in a frame in the middle of an area.
pub(super) fn framed(
    picture: &Picture<'_>,
    title: &str,
    lines: Vec<Line<'static>>,
    wide: u16,
    buffer: &mut Buffer,
    area: Rect,
) {
    let width = area.width.min(wide);
    let height = (lines.len() as u16 + 2).min(area.height);
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    // The rows as a whole: what is left of them beside it could not be read.
    Clear.render(Rect { x: area.x, width: area.width, ..place }, buffer);
    let title = clip(title, usize::from(width).saturating_sub(6));
    let title = picture.palette.span(Tone::Strong, format!(" {title} "));
    Block::bordered().title(Line::from(title)).render(place, buffer);
    let inner = Rect {
        x: place.x + 2,
        y: place.y + 1,
        width: width.saturating_sub(4),
        height: height.saturating_sub(2),
    };
    for (row, line) in lines.iter().enumerate() {
        put(buffer, inner, row, line);
    }
}
