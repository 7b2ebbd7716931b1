//! Files that the file includes: which they are, and what all of them say together.
//!
//! Lists of tables are put together in the order in which the files are read. Everything else is said
//! once: which of two files held would depend on how they are called.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key::{Key, Kind};
use super::syntax::broken;
use super::texts::{Run, Text, Texts};
use super::{Problem, Problems};

/// How many files may be included.
pub const MOST_INCLUDED: usize = 256;

pub(super) const INCLUDE: Key =
    Key::of("include", Kind::Texts(&[])).option("\"conf.d/*.toml\"").about(
        "files that belong to this one, or a list; beside it; `*` and `?` in the last part only",
    );

/// Which files are included: a name, or a pattern of names, in one folder beside the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// As it is written.
    pub written: String,
    /// As seen from the file's folder; empty for that one.
    pub folder: String,
    /// May have `*` for any number of characters and `?` for one.
    pub name: String,
}

impl Include {
    pub(super) fn parse(text: &str) -> Result<Include, &'static str> {
        if text.contains("${") {
            return Err("nothing is filled in here: it is taken as it is written");
        }
        let (folder, name) = text.rsplit_once('/').unwrap_or(("", text));
        if text.starts_with('/') {
            return Err("files are included from beside this one: no whole path");
        }
        if name.is_empty() {
            return Err("expected a file, such as `conf.d/shop.toml` or `conf.d/*.toml`");
        }
        if folder.split('/').chain([name]).any(|part| part == "..") {
            return Err("files are included from beside this one or below: no `..`");
        }
        if folder.contains(['*', '?']) {
            return Err("`*` and `?` stand in the last part only");
        }
        Ok(Include { written: text.into(), folder: folder.into(), name: name.into() })
    }

    /// Whether it names one file, which must be there.
    pub fn is_one(&self) -> bool {
        !self.name.contains(['*', '?'])
    }

    /// Whether a file of its folder is meant. Hidden ones are not: editors write there first.
    pub fn admits(&self, name: &str) -> bool {
        let is_hidden = name.starts_with('.') && !self.name.starts_with('.');
        !is_hidden && matches(self.name.as_bytes(), name.as_bytes())
    }
}

/// Whether a name is one of a pattern.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut here, mut star) = (0, 0, None);
    while here < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, here));
                at += 1;
            }
            Some(&byte) if byte == name[here] || (byte == b'?' && is_begin(name[here])) => {
                at += 1;
                here += 1;
                // The rest of a character that `?` stands for.
                while byte == b'?' && name.get(here).is_some_and(|&byte| !is_begin(byte)) {
                    here += 1;
                }
            }
            _ => match star {
                Some((star_at, from)) => {
                    star = Some((star_at, from + 1));
                    (at, here) = (star_at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

/// Whether a character begins with this byte.
fn is_begin(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

/// What a file includes, each with its place. What is wrong with it is told when it is parsed.
pub fn includes(file: &Text) -> Vec<(Include, Range<usize>)> {
    if !file.text.contains("include") {
        return Vec::new();
    }
    let (root, _) = DeTable::parse_recoverable(&file.text);
    let Some(value) = root.get_ref().get("include") else { return Vec::new() };
    let one = |value: &Spanned<DeValue<'_>>| {
        Some((Include::parse(value.get_ref().as_str()?).ok()?, value.span()))
    };
    match value.get_ref() {
        DeValue::Array(list) => list.iter().filter_map(one).collect(),
        _ => one(value).into_iter().collect(),
    }
}

/// What the file and all that it includes say together.
pub(super) fn together<'t>(texts: &'t Texts, problems: &mut Problems) -> Spanned<DeTable<'t>> {
    let run = texts.run();
    let mut whole: Option<Spanned<DeTable<'t>>> = None;
    for (_, text, begins) in run.parts() {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mistakes = broken(text, &errors).into_iter().map(|problem| moved(problem, begins));
        problems.0.extend(mistakes);
        match &mut whole {
            None => whole = Some(root),
            Some(whole) => {
                let table = shifted_table(root.into_inner(), begins);
                if let Some(value) = table.get("include") {
                    let message = "a file that is included includes nothing itself";
                    let problem = Problem::error(value.span(), message);
                    problems.0.push(problem.help(format!("say it in {}", texts.main.path)));
                }
                let mut put = Put { run: &run, problems };
                put.table("", whole.get_mut(), table);
            }
        }
    }
    whole.unwrap_or_else(|| Spanned::new(0..0, DeTable::new()))
}

/// A problem of a text that begins here.
fn moved(mut problem: Problem, by: usize) -> Problem {
    let shift = |span: &mut Range<usize>| *span = span.start + by..span.end + by;
    problem.span.as_mut().into_iter().for_each(shift);
    problem.other.as_mut().into_iter().for_each(|(span, _)| shift(span));
    problem
}

/// Puts what a file says to what was said before.
struct Put<'r> {
    run: &'r Run<'r>,
    problems: &'r mut Problems,
}

impl<'t> Put<'_> {
    fn table(&mut self, path: &str, base: &mut DeTable<'t>, more: DeTable<'t>) {
        for (key, value) in more {
            let path = match path {
                "" => key.get_ref().to_string(),
                path => format!("{path}.{}", key.get_ref()),
            };
            let Some((known, before)) = base.remove_entry(&key) else {
                base.insert(key, value);
                continue;
            };
            let (was, is) = (self.form(&before), self.form(&value));
            let put = match (was, is) {
                // It stands where it is declared, and not where something of it is.
                (Form::Within, Form::Within | Form::Header)
                | (Form::Header, Form::Within)
                | (Form::List, Form::List) => {
                    if is == Form::Header {
                        value.span()
                    } else {
                        before.span()
                    }
                }
                _ => {
                    let place = if is == Form::Header { value.span() } else { key.span() };
                    let other = if was == Form::Header { before.span() } else { known.span() };
                    let problem = Problem::error(place, format!("`{path}` is said twice"));
                    let problem = problem.label("here again").other(other, "the first");
                    self.problems.0.push(problem.help("take one of them out"));
                    base.insert(known, before);
                    continue;
                }
            };
            let both = match (before.into_inner(), value.into_inner()) {
                (DeValue::Table(mut base), DeValue::Table(more)) => {
                    self.table(&path, &mut base, more);
                    DeValue::Table(base)
                }
                (DeValue::Array(base), DeValue::Array(more)) => {
                    DeValue::Array(base.into_iter().chain(more).collect())
                }
                (before, _) => before,
            };
            base.insert(known, Spanned::new(put, both));
        }
    }

    /// How a value is written, which is found where it begins.
    fn form(&self, value: &Spanned<DeValue<'_>>) -> Form {
        let at = value.span().start;
        let (_, text, begins) = self.run.at(at);
        let is = |mark: &str| text.get(at - begins..).is_some_and(|rest| rest.starts_with(mark));
        match value.get_ref() {
            DeValue::Array(_) if is("[[") => Form::List,
            DeValue::Table(_) if is("[") => Form::Header,
            DeValue::Table(_) if !is("{") => Form::Within,
            _ => Form::Value,
        }
    }
}

/// How a value is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `[a.b]`.
    Header,
    /// Only by what is in it: `a` in `[a.b]` and in `a.b = 1`.
    Within,
    /// `[[a]]`.
    List,
    /// Anything that stands behind a `=`.
    Value,
}

fn shifted_table(table: DeTable<'_>, by: usize) -> DeTable<'_> {
    let mut made = DeTable::new();
    for (key, value) in table {
        let span = key.span();
        let key = Spanned::new(span.start + by..span.end + by, key.into_inner());
        made.insert(key, shifted(value, by));
    }
    made
}

fn shifted(value: Spanned<DeValue<'_>>, by: usize) -> Spanned<DeValue<'_>> {
    let span = value.span();
    let value = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(shifted_table(table, by)),
        DeValue::Array(list) => {
            DeValue::Array(list.into_iter().map(|item| shifted(item, by)).collect())
        }
        other => other,
    };
    Spanned::new(span.start + by..span.end + by, value)
}

#[cfg(test)]
mod tests;
