//! How things look: tones in, styles out; and texts cut, aligned and put on the screen.
//!
//! No tone is known by its colour alone: a sign or a word stands beside it, so that it is read without
//! colours too. What is good or better for the new version is blue, what is worse orange: those two are told
//! apart by nearly everybody.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// Beside the point.
    Faint,
    /// What the rest is about.
    Strong,
    /// Users are hurt.
    Bad,
    /// Somebody should look.
    Odd,
    /// Speaks for the new version.
    Fine,
    /// Speaks against it.
    Worse,
    /// A pool, by its place.
    Pool(usize),
}

/// Whether there are colours.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    /// Whether there are.
    pub is_coloured: bool,
}

/// After Okabe and Ito: blue, orange, bluish green, purple, sky, yellow.
const POOLS: [u8; 6] = [33, 214, 36, 175, 117, 227];

/// The sign of a pool, by its place.
pub const SIGNS: [&str; 6] = ["■", "▲", "◆", "●", "□", "△"];

/// What its part of a bar is made of.
pub const FILLS: [char; 6] = ['█', '▒', '▓', '░', '█', '▒'];

impl Palette {
    /// The style of a tone.
    pub fn style(self, tone: Tone) -> Style {
        let style = Style::default();
        let fg = |colour| if self.is_coloured { style.fg(colour) } else { style };
        match tone {
            Tone::Plain => style,
            Tone::Faint => style.add_modifier(Modifier::DIM),
            Tone::Strong => style.add_modifier(Modifier::BOLD),
            Tone::Bad => fg(Color::LightRed).add_modifier(Modifier::BOLD),
            Tone::Odd => fg(Color::Yellow),
            Tone::Fine => fg(Color::Indexed(39)),
            Tone::Worse => fg(Color::Indexed(208)),
            Tone::Pool(at) => fg(Color::Indexed(POOLS[at % POOLS.len()])),
        }
    }

    /// A text in a tone.
    pub fn span(self, tone: Tone, text: impl Into<String>) -> Span<'static> {
        Span::styled(text.into(), self.style(tone))
    }

    /// The sign of a pool in its colour.
    pub fn sign(self, at: usize) -> Span<'static> {
        self.span(Tone::Pool(at), SIGNS[at % SIGNS.len()])
    }
}

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { Span::raw(text).width() }
}

/// A text of at most so many columns.
pub fn clip(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_string();
    }
    let (mut cut, mut used) = (String::new(), 0);
    for c in text.chars() {
        let wide = width(c.encode_utf8(&mut [0; 4]));
        if used + wide + 1 > columns {
            break;
        }
        cut.push(c);
        used += wide;
    }
    if columns > 0 {
        cut.push('…');
    }
    cut
}

/// A text in exactly so many columns, its end cut or filled up.
pub fn left(text: &str, columns: usize) -> String {
    let text = clip(text, columns);
    let missing = columns - width(&text).min(columns);
    text + &" ".repeat(missing)
}

/// The same, aligned right.
pub fn right(text: &str, columns: usize) -> String {
    let text = clip(text, columns);
    let missing = columns - width(&text).min(columns);
    " ".repeat(missing) + &text
}

/// Lines of at most so many columns, broken between words; a word that is longer is cut. The last of
/// `most` lines ends with `…` where there would be more.
pub fn wrapped(text: &str, columns: usize, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let is_full = lines.len() == most;
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            Some(line) if is_full => {
                *line = clip(&format!("{line} …"), columns);
                break;
            }
            _ => lines.push(clip(word, columns)),
        }
    }
    lines
}

/// Puts a line on the screen, if its row is within the area.
pub fn put(buffer: &mut Buffer, area: Rect, row: usize, line: &Line<'_>) {
    let Ok(row) = u16::try_from(row) else { return };
    if row < area.height {
        buffer.set_line(area.x, area.y + row, line, area.width);
    }
}

/// Marks a row as the chosen one.
pub fn choose(buffer: &mut Buffer, area: Rect, row: usize) {
    let Ok(row) = u16::try_from(row) else { return };
    if row < area.height {
        let row = Rect { y: area.y + row, height: 1, ..area };
        buffer.set_style(row, Style::default().add_modifier(Modifier::REVERSED));
    }
}

/// Which of `of` rows is the first to be seen among `room`, so that the chosen one is.
pub fn first(chosen: usize, of: usize, room: usize) -> usize {
    chosen.saturating_sub(room / 2).min(of.saturating_sub(room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_their_columns() {
        assert_eq!((clip("größer", 6), clip("größere", 6)), ("größer".into(), "größe…".into()));
        assert_eq!(
            (left("a", 3), right("a", 3), clip("abc", 0)),
            ("a  ".into(), "  a".into(), "".into())
        );
        // Two columns each.
        assert_eq!(clip("漢字漢字", 5), "漢字…");
        assert_eq!(wrapped("one two three four", 9, 2), ["one two", "three …"]);
        assert_eq!(wrapped("elephantine ox", 5, 9), ["elep…", "ox"]);
    }

    #[test]
    fn who_is_chosen_is_seen() {
        for (chosen, of, room, wanted) in
            [(0, 100, 10, 0), (50, 100, 10, 45), (99, 100, 10, 90), (3, 5, 10, 0)]
        {
            assert_eq!(first(chosen, of, room), wanted);
        }
    }
}
