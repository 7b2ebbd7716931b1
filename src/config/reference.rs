//! Every key of the file with its default and what it means: the declared tables in, the text of
//! `conf/reference.toml` out.

use super::key::{Effect, Key, Kind, Shown, Table};
use super::read::FILE;
use super::settings::{in_bytes, quoted};
use crate::clock::in_words;

/// Where a line ends.
const WIDTH: usize = 100;

/// Where what is said of a key begins.
const COLUMN: usize = 34;

/// The least that a comment beside a key may have for its words, in columns.
const NARROWEST: usize = 24;

const INTRODUCTION: &str = "Every key with its default. Times are texts such as \"500ms\", \"30s\" or \
    \"1m 30s\", sizes are numbers of bytes or texts such as \"64KiB\". What is in a comment is not set \
    by default. `pointsman init --all` writes this file.";

/// A file that shows every key there is; it is a config itself.
pub fn reference() -> String {
    let mut page = Page { text: String::new(), is_comment: false };
    page.paragraphs(INTRODUCTION);
    page.text.push('\n');
    FILE.keys.iter().for_each(|key| page.key(key));
    page.tables("", &FILE);
    page.text
}

struct Page {
    text: String,
    /// Within a table that stands in a comment.
    is_comment: bool,
}

impl Page {
    /// The tables that a table holds, each with all that it holds.
    fn tables(&mut self, path: &str, table: &Table) {
        for key in table.keys {
            let path =
                if path.is_empty() { key.name.into() } else { format!("{path}.{}", key.name) };
            match (key.kind, key.shown) {
                (_, Shown::Lines(lines)) => self.text.push_str(&format!("\n{lines}")),
                (Kind::Table(table, _), _) => self.table(&format!("[{path}]"), &path, key, table),
                (Kind::Tables(table), _) => self.table(&format!("[[{path}]]"), &path, key, table),
                (Kind::Named(table), Shown::Example(name) | Shown::Option(name)) => {
                    let path = format!("{path}.{name}");
                    self.table(&format!("[{path}]"), &path, key, table);
                }
                _ => {}
            }
        }
    }

    fn table(&mut self, header: &str, path: &str, key: &Key, table: &Table) {
        let was_comment = self.is_comment;
        self.text.push('\n');
        self.paragraphs(table.about);
        self.is_comment |= matches!(key.shown, Shown::Option(_));
        self.line(header, key.about);
        table.keys.iter().for_each(|key| self.key(key));
        self.tables(path, table);
        self.is_comment = was_comment;
    }

    /// A key that is no table.
    fn key(&mut self, key: &Key) {
        let (value, is_comment) = match (key.shown, key.kind) {
            (_, Kind::Table(..) | Kind::Tables(_) | Kind::Named(_)) => return,
            (Shown::Example(value), _) => (value.to_string(), false),
            (Shown::Option(value), _) => (value.to_string(), true),
            (Shown::Lines(_), _) => return,
            (Shown::Default, _) => match default(key) {
                Some(value) => (value, false),
                None => return,
            },
        };
        let name = match key.name.contains('.') {
            true => quoted(key.name),
            false => key.name.to_string(),
        };
        let mark = if is_comment && !self.is_comment { "# " } else { "" };
        self.line(&format!("{mark}{name} = {value}"), &about(key));
    }

    /// Text with a comment beside it, and beneath.
    fn line(&mut self, text: &str, about: &str) {
        let text = if self.is_comment { format!("# {text}") } else { text.to_string() };
        self.text.push_str(&text);
        let begins = COLUMN.max(text.chars().count() + 2);
        let first = WIDTH.saturating_sub(begins + 2);
        let beside = first >= NARROWEST;
        let rest = WIDTH - COLUMN - 2;
        let lines = wrapped(about, if beside { first } else { rest }, rest);
        let mut column = text.chars().count();
        for (number, line) in lines.iter().enumerate() {
            let start = if number == 0 && beside { begins } else { COLUMN };
            if number > 0 || !beside {
                self.text.push('\n');
                column = 0;
            }
            self.text.push_str(&format!("{:width$}# {line}", "", width = start - column));
        }
        self.text.push('\n');
    }

    fn paragraphs(&mut self, text: &str) {
        for (number, paragraph) in text.lines().enumerate() {
            if number > 0 {
                self.text.push('\n');
            }
            for line in wrapped(paragraph, WIDTH - 2, WIDTH - 2) {
                self.text.push_str(&format!("# {line}\n"));
            }
        }
    }
}

/// Words in lines of at most so many characters; the first line may have another measure.
fn wrapped(text: &str, first: usize, rest: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split([' ', '\n']).filter(|word| !word.is_empty()) {
        let most = if lines.len() > 1 { rest } else { first };
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines.iter().map(|line| line.replace('\u{a0}', " ")).collect()
}

/// What is said of a key: its words, its range, when it takes effect.
fn about(key: &Key) -> String {
    let range = match key.kind {
        Kind::Number { least, most, .. } => Some(format!("{} to {}", digits(least), digits(most))),
        Kind::Size { least, most, .. } => {
            Some(format!("{} to {}", in_bytes(least), in_bytes(most)))
        }
        Kind::Share { least, most, .. } if (least, most) == (0.0, 100.0) => None,
        Kind::Decimal { least, .. } if least == f64::MIN => None,
        Kind::Share { least, most, .. } | Kind::Decimal { least, most, .. } => {
            Some(format!("{least} to {most}"))
        }
        _ => None,
    };
    // A range stays on one line.
    let range = range.map(|range| range.replace(' ', "\u{a0}"));
    let about = match (key.about, range) {
        (about, None) => about.to_string(),
        ("", Some(range)) => range,
        (about, Some(range)) => format!("{about}; {range}"),
    };
    match key.effect {
        Effect::AtOnce => about,
        Effect::NextStart if about.is_empty() => "Next start.".into(),
        Effect::NextStart => format!("{about}. Next start."),
    }
}

/// A default as TOML; none if there is none, or if it is that of a table.
fn default(key: &Key) -> Option<String> {
    match key.kind {
        Kind::Time(default) => default.map(|time| quoted(&in_words(time))),
        Kind::Wait(default) => Some(quoted(&in_words(default))),
        Kind::Idle(default) => default.map(|time| quoted(&in_words(time))),
        Kind::Number { default, .. } => default.map(digits_of_toml),
        Kind::Size { default, .. } => default.map(|bytes| quoted(&in_bytes(bytes))),
        Kind::Share { default, .. } => default.map(|share| share.to_string()),
        Kind::Decimal { default, .. } => default.map(|number| format!("{number:?}")),
        Kind::Boolean(default) => Some(default.to_string()),
        Kind::Word { known, has_default } => {
            known.first().filter(|_| has_default).map(|word| quoted(word))
        }
        Kind::Text(default) => default.map(quoted),
        Kind::Texts(default) => {
            let texts: Vec<String> = default.iter().map(|text| quoted(text)).collect();
            Some(format!("[{}]", texts.join(", ")))
        }
        Kind::Free("") => None,
        Kind::Free(default) => Some(default.to_string()),
        Kind::Web
        | Kind::Secret
        | Kind::Table(..)
        | Kind::Tables(_)
        | Kind::Named(_)
        | Kind::Short(..)
        | Kind::Fields => None,
    }
}

fn digits(number: u64) -> String {
    grouped(number, ",")
}

fn digits_of_toml(number: u64) -> String {
    grouped(number, "_")
}

/// From five digits on in groups of three.
fn grouped(number: u64, separator: &str) -> String {
    let text = number.to_string();
    if text.len() < 5 {
        return text;
    }
    let groups: Vec<&str> = text
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    groups.join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_what_is_declared() {
        let file = include_str!("../../conf/reference.toml");
        assert!(
            file == reference(),
            "conf/reference.toml is not what is declared; write it anew with\n\
             cargo run -- init --all --force conf/reference.toml"
        );
    }

    #[test]
    fn every_key_is_shown() {
        fn missing(path: &str, table: &Table, text: &str, found: &mut Vec<String>) {
            for key in table.keys {
                let path = format!("{path}.{}", key.name);
                let name = if key.name.contains('.') { quoted(key.name) } else { key.name.into() };
                let is_shown = match key.kind {
                    Kind::Table(table, _) | Kind::Tables(table) | Kind::Named(table) => {
                        missing(&path, table, text, found);
                        text.contains(&format!("{}]", key.name))
                            || text.contains(&format!(".{}.", key.name))
                            || text.contains(&format!("[{}.", key.name))
                            || text.contains(&format!(" {} = {{ ", key.name))
                            || text.contains(&format!(" {} = [{{ ", key.name))
                    }
                    _ => text.lines().any(|line| {
                        line.trim_start_matches("# ").starts_with(&format!("{name} = "))
                            || ["{ ", ", "]
                                .iter()
                                .any(|before| line.contains(&format!("{before}{name} = ")))
                    }),
                };
                if !is_shown {
                    found.push(path);
                }
            }
        }
        let mut found = Vec::new();
        missing("", &FILE, &reference(), &mut found);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn words_are_wrapped_and_numbers_grouped() {
        assert_eq!(wrapped("a bc def g hi", 4, 5), ["a bc", "def g", "hi"]);
        assert_eq!(["1_000_000", "50_000", "1024"], [1_000_000, 50_000, 1_024].map(digits_of_toml));
    }
}
