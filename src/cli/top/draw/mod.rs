//! The screen: what is known, what is looked at and a size in; characters and their styles out.

mod dialog;
mod events;
mod head;
mod help;
mod overview;
mod paint;
mod plot;
mod rollout;
mod service;

#[cfg(test)]
mod tests;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

pub use self::paint::Palette;
use self::paint::{Tone, clip, put};
use super::known::Known;
use super::view::{Page, View};

/// The least that there is room for.
pub const LEAST: (u16, u16) = (60, 16);

/// What is drawn, and how.
#[derive(Clone, Copy)]
pub struct Picture<'a> {
    /// What is known.
    pub known: &'a Known,
    /// What is looked at.
    pub view: &'a View,
    /// The time, as Unix time in seconds.
    pub now: f64,
    /// Colours.
    pub palette: Palette,
    /// Whether somebody is there to press keys.
    pub has_keys: bool,
}

impl Picture<'_> {
    /// Draws it.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect) {
        if (area.width, area.height) < (1, 1) {
            return;
        }
        if area.width < LEAST.0 || area.height < LEAST.1 {
            let (columns, rows) = LEAST;
            let text = format!("{columns}×{rows} is the least there is room for");
            return put(buffer, area, 0, &Line::raw(clip(&text, area.width.into())));
        }
        let top = head::draw(self, buffer, area);
        let foot = if self.has_keys { 2 } else { 0 };
        let rest = area.height.saturating_sub(top + foot);
        let body = Rect { y: area.y + top, height: rest, ..area };
        match &self.view.page {
            Page::Overview => overview::draw(self, buffer, body),
            Page::Service(name) => service::draw(self, name, buffer, body),
            Page::Events(of) => events::draw(self, of.as_deref(), buffer, body),
        }
        if self.has_keys {
            let foot = Rect { y: area.y + area.height - foot, height: foot, ..area };
            self.draw_foot(buffer, foot);
        }
        if self.view.is_helping {
            help::draw(self, buffer, area);
        }
        if let Some(dialog) = &self.view.dialog {
            dialog::draw(self, dialog, buffer, area);
        }
    }

    /// What was said last, and what keys do.
    fn draw_foot(&self, buffer: &mut Buffer, area: Rect) {
        let said = &self.view.said;
        if !said.text.is_empty() {
            let (sign, tone) = if said.is_bad { ("!", Tone::Odd) } else { ("✓", Tone::Fine) };
            let text = clip(&format!("{sign} {}", said.text), area.width.into());
            put(buffer, area, 0, &Line::from(self.palette.span(tone, text)));
        }
        let keys: &[(&str, &str)] = match &self.view.page {
            _ if self.view.is_filtering => &[("enter", "done"), ("esc", "all")],
            Page::Overview => &[
                ("↑↓", "choose"),
                ("enter", "open"),
                ("/", "find"),
                ("o", "order"),
                ("e", "events"),
                ("s", "shift"),
                ("?", "keys"),
                ("q", "quit"),
            ],
            Page::Service(_) => &[
                ("esc", "back"),
                ("e", "events"),
                ("s", "shift"),
                ("f", "flip"),
                ("p n P a", "rollout"),
                ("d", "drain"),
                ("b", "breaker"),
                ("?", "keys"),
                ("q", "quit"),
            ],
            Page::Events(_) => {
                &[("↑↓", "earlier, later"), ("esc", "back"), ("?", "all keys"), ("q", "quit")]
            }
        };
        let mut spans = Vec::new();
        for (key, does) in keys {
            spans.push(self.palette.span(Tone::Strong, *key));
            spans.push(self.palette.span(Tone::Faint, format!(" {does}  ")));
        }
        put(buffer, area, 1, &Line::from(spans));
    }
}
