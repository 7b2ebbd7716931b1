//! Who looks at a status: texts and tables in, lines that fit and are coloured out.

use crate::cli::table::fitted;
use crate::cli::terminal::{self, Colour};

/// Who looks at it: how much room there is, and whether it may be coloured.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Screen {
    /// Columns and rows of a terminal; none for a pipe or a file.
    pub size: Option<(usize, usize)>,
    /// Whether lines may be coloured.
    pub is_coloured: bool,
}

impl Screen {
    /// A text in this colour, if it may have one.
    pub fn paint(&self, colour: Colour, text: &str) -> String {
        if self.is_coloured { colour.paint(text) } else { text.to_string() }
    }

    /// A text that says no more than what follows, in as many lines as it takes.
    pub fn wrapped(&self, text: &str) -> Vec<String> {
        match self.size {
            Some((columns, _)) => terminal::wrapped(text, columns),
            None => vec![text.to_string()],
        }
    }

    /// A table with the lines of what is not well coloured.
    pub fn table(&self, headings: &[&str], rows: Vec<(Colour, Vec<String>)>) -> String {
        let (colours, rows): (Vec<Colour>, Vec<Vec<String>>) = rows.into_iter().unzip();
        let text = fitted(headings, rows, self.size.map(|(columns, _)| columns));
        let colours = std::iter::once(Colour::Plain).chain(colours);
        let lines = text.lines().zip(colours).map(|(line, colour)| self.paint(colour, line));
        lines.collect::<Vec<_>>().join("\n")
    }
}
