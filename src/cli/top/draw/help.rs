//! What keys do, and what signs mean.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Picture;
use super::dialog::framed;
use super::paint::{Tone, left};
use crate::cli::top::keys::KEYS;

/// Columns of one of two columns.
const HALF: usize = 37;

/// Keys that order nothing.
const LOOK: [(&str, &str); 10] = [
    ("↑ ↓ j k", "choose"),
    ("enter →", "open a service"),
    ("esc ←", "back"),
    ("/", "find a service"),
    ("o", "another order of services"),
    ("e", "what happened"),
    ("g G", "to the first, to the last"),
    ("pgup pgdn", "ten at once"),
    ("?", "this"),
    ("q ctrl-c", "quit"),
];

/// Draws it.
pub(super) fn draw(picture: &Picture<'_>, buffer: &mut Buffer, area: Rect) {
    let orders: Vec<(String, &str)> =
        KEYS.iter().map(|(key, does)| (key.to_string(), *does)).collect();
    let look: Vec<(String, &str)> =
        LOOK.iter().map(|(key, does)| (key.to_string(), *does)).collect();
    let mut lines = vec![pair(picture, None, None)];
    for nth in 0..orders.len().max(look.len()) {
        lines.push(pair(picture, look.get(nth), orders.get(nth)));
    }
    lines.push(Line::default());
    let faint = |text: &str| Line::from(picture.palette.span(Tone::Faint, text.to_string()));
    lines.push(faint("Orders ask why, and show the command that does the same."));
    lines.push(faint("✕ users are hurt  ! look at it  ● well  ◐ trials  ↓ drains  ? unproven"));
    lines.push(faint("▶ goes on  ‖ paused  ✓ done  ◉ here  ○ ahead    any key closes this"));
    framed(picture, "Keys", lines, 2 * HALF as u16 + 6, buffer, area);
}

fn pair(
    picture: &Picture<'_>,
    look: Option<&(String, &str)>,
    order: Option<&(String, &str)>,
) -> Line<'static> {
    if look.is_none() && order.is_none() {
        let title = format!("{}{}", left("Looking", HALF), "Orders of the chosen service");
        return Line::from(picture.palette.span(Tone::Strong, title));
    }
    let one = |of: Option<&(String, &str)>, key: usize, all: usize| {
        let (name, does) = of.map_or(("", ""), |(name, does)| (name, does));
        let name = picture.palette.span(Tone::Strong, left(name, key));
        [name, Span::raw(left(does, all - key))]
    };
    let spans = one(look, 11, HALF).into_iter().chain(one(order, 3, HALF));
    Line::from(spans.collect::<Vec<_>>())
}
