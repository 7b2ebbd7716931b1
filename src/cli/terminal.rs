//! What is known of the terminal that is written to: its size, and whether it takes colours.

use std::io::IsTerminal;

use terminal_size::{Height, Width, terminal_size_of};

/// Columns and rows of standard output; none if it is no terminal.
pub fn size() -> Option<(usize, usize)> {
    let out = std::io::stdout();
    let (Width(columns), Height(rows)) = terminal_size_of(&out).filter(|_| out.is_terminal())?;
    Some((columns.max(20).into(), rows.max(5).into()))
}

/// Whether this stream is a terminal that may be coloured.
pub fn is_coloured(stream: &impl IsTerminal) -> bool {
    let says = |name: &str| std::env::var_os(name).unwrap_or_default();
    stream.is_terminal() && says("NO_COLOR").is_empty() && says("TERM") != "dumb"
}

/// A colour of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// As it is.
    Plain,
    /// Somebody should look.
    Yellow,
    /// Users are hurt.
    Red,
}

impl Colour {
    /// A text in this colour.
    pub fn paint(self, text: &str) -> String {
        match self {
            Colour::Plain => text.to_string(),
            Colour::Yellow => format!("\x1b[33m{text}\x1b[0m"),
            Colour::Red => format!("\x1b[31m{text}\x1b[0m"),
        }
    }
}

/// Lines of at most this many columns, broken between words; a word that is longer is cut.
pub fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let fits = |line: &&mut String| line.chars().count() + 1 + word.chars().count() <= columns;
        match lines.last_mut().filter(fits) {
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(clipped(word, columns)),
        }
    }
    lines
}

/// A line of at most this many columns.
pub fn clipped(line: &str, columns: usize) -> String {
    match line.char_indices().nth(columns) {
        Some(_) => line.chars().take(columns.saturating_sub(1)).chain(['…']).collect(),
        None => line.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole_where_they_fit() {
        assert_eq!(wrapped("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrapped("elephantine ox", 5), ["elep…", "ox"]);
        assert_eq!(
            (clipped("größer", 6), clipped("größere", 6)),
            ("größer".into(), "größe…".into())
        );
    }
}
