//! Values from outside: texts with `${…}` in, the same with what the environment and files say out; and
//! what came from there, so that what shows the file can show it as it is written.
//!
//! It is done after parsing and inside texts only, once: what a value holds cannot become a key, a table
//! or another `${…}`, whatever is in it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::texts::Run;
use super::{Problem, Problems};

/// The variables of the process, as they were read.
#[derive(Clone, Default)]
pub struct Environment(Arc<BTreeMap<String, Option<String>>>);

/// What becomes of `${…}`.
#[derive(Clone, Debug, Default)]
pub enum Expansion {
    /// Nothing: it is a text that Pointsman has made.
    #[default]
    None,
    /// It is an error: somebody sends the text, who must not learn what is in the environment.
    Refused,
    /// What the environment and files say.
    Of(Environment),
}

/// What came from outside. Nobody sees the values: they may be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Taken(Arc<Values>);

#[derive(Default, PartialEq, Eq)]
struct Values {
    /// Whole texts that something of is from outside, each with how it is written.
    texts: BTreeMap<String, String>,
    /// What is from outside in them, each with how it is written.
    pieces: BTreeMap<String, String>,
    /// Where these texts are.
    places: Vec<Range<usize>>,
}

/// The shortest value that is looked for within words; a shorter one only between quotes.
const SHORTEST: usize = 4;

/// Words of values that everybody knows.
const KNOWN: [&str; 3] = ["http", "https", "unix"];

impl Environment {
    /// These variables. Those whose names are no text are left out; one whose value is none is an error
    /// where it is asked for.
    pub fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Environment {
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()))
        };
        Environment(Arc::new(variables.into_iter().filter_map(text).collect()))
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Environment(…)")
    }
}

impl std::fmt::Debug for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Taken(…)")
    }
}

/// Who reads what `${file:…}` names: a path as it is written in, its text or why there is none out.
pub type ReadSecret<'r> = &'r mut dyn FnMut(&str) -> Result<String, String>;

/// Fills in what texts ask for. Nothing is said twice of a text in which something cannot be had: its
/// place is among those that are told.
pub(super) fn expand<'t>(
    root: &mut DeTable<'t>,
    run: &Run<'_>,
    expansion: &Expansion,
    read: ReadSecret<'_>,
) -> (Taken, Unfilled) {
    let mut filling =
        Filling { run, expansion, read, values: Values::default(), unfilled: Unfilled::default() };
    if !matches!(expansion, Expansion::None) {
        let all = root.iter_mut().filter(|(key, _)| key.get_ref() != "include");
        all.for_each(|(_, value)| filling.value(value));
    }
    (Taken(Arc::new(filling.values)), filling.unfilled)
}

/// Texts that could not be filled in.
#[derive(Default)]
pub(super) struct Unfilled {
    pub problems: Vec<Problem>,
    places: Vec<Range<usize>>,
}

impl Unfilled {
    /// Whether a problem is one of a text that is not as it is meant.
    pub fn explains(&self, problem: &Problem) -> bool {
        let Some(span) = &problem.span else { return false };
        self.places.iter().any(|place| place.contains(&span.start))
    }
}

struct Filling<'r> {
    run: &'r Run<'r>,
    expansion: &'r Expansion,
    read: ReadSecret<'r>,
    values: Values,
    unfilled: Unfilled,
}

impl Filling<'_> {
    fn value(&mut self, value: &mut Spanned<DeValue<'_>>) {
        let span = value.span();
        match value.get_mut() {
            DeValue::String(text) if text.contains("${") => {
                if let Some(filled) = self.text(text, &span) {
                    *text = Cow::Owned(filled);
                }
            }
            DeValue::Array(list) => list.iter_mut().for_each(|item| self.value(item)),
            DeValue::Table(table) => table.iter_mut().for_each(|(_, value)| self.value(value)),
            _ => {}
        }
    }

    fn text(&mut self, written: &str, span: &Range<usize>) -> Option<String> {
        let (mut filled, mut rest, mut is_taken) = (String::new(), written, false);
        let before = self.unfilled.problems.len();
        while let Some(at) = rest.find("${") {
            let (plain, asked) = rest.split_at(at);
            if let Some(plain) = plain.strip_suffix('$') {
                filled.push_str(plain);
                filled.push_str("${");
                rest = &asked[2..];
                continue;
            }
            filled.push_str(plain);
            let Some(end) = asked.find('}') else {
                let place = self.place("${", span);
                let problem = Problem::error(place, "this `${` is not closed");
                self.unfilled
                    .problems
                    .push(problem.help("a text with `${` in it is written `$${`"));
                break;
            };
            let whole = &asked[..=end];
            match self.piece(whole) {
                Ok(Piece { value, is_outside }) => {
                    if is_outside && !value.is_empty() {
                        self.values.pieces.insert(value.clone(), whole.to_string());
                    }
                    filled.push_str(&value);
                    is_taken = true;
                }
                Err(problem) => {
                    let span = Some(self.place(whole, span));
                    self.unfilled.problems.push(Problem { span, ..problem });
                }
            }
            rest = &asked[end + 1..];
        }
        if self.unfilled.problems.len() > before {
            self.unfilled.places.push(span.clone());
            return None;
        }
        filled.push_str(rest);
        if is_taken {
            self.values.places.push(span.clone());
            self.values.texts.entry(filled.clone()).or_insert_with(|| written.to_string());
        }
        Some(filled)
    }

    /// What stands for one `${…}`.
    fn piece(&mut self, whole: &str) -> Result<Piece, Problem> {
        let Expansion::Of(environment) = self.expansion else {
            let message = "a text that comes over the API takes nothing from outside";
            return Err(Problem::general(message).label("not filled in").help(
                "only the file on the disk and what it includes do: save it, then `pointsman diff` \
                 without a file; a text with `${` in it is written `$${`",
            ));
        };
        let asked = &whole[2..whole.len() - 1];
        if asked.contains("${") {
            return Err(Problem::general("one `${…}` within another is not known"));
        }
        let file = asked.strip_prefix("file:").filter(|path| !path.starts_with('-'));
        if let Some(path) = file {
            let read = (self.read)(path).map_err(Problem::general)?;
            return Ok(Piece { value: read, is_outside: true });
        }
        let (name, default) = match asked.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (asked, None),
        };
        let fits = |(at, byte): (usize, u8)| {
            byte == b'_' || byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit())
        };
        if name.is_empty() || !name.bytes().enumerate().all(fits) {
            let problem = Problem::general("this is no name of a variable");
            let problem = problem.label("expected `${NAME}`, `${NAME:-default}` or `${file:PATH}`");
            return Err(problem.help("a text with `${` in it is written `$${`"));
        }
        match (environment.0.get(name), default) {
            (Some(None), _) => Err(Problem::general(format!("what `{name}` holds is not UTF-8"))),
            (Some(Some(value)), None) => Ok(Piece { value: value.clone(), is_outside: true }),
            (Some(Some(value)), Some(_)) if !value.is_empty() => {
                Ok(Piece { value: value.clone(), is_outside: true })
            }
            (_, Some(default)) => Ok(Piece { value: default.to_string(), is_outside: false }),
            (None, None) => {
                let message = format!("`{name}` is not set in the environment");
                let help = format!("set it, or say what holds without it: `${{{name}:-…}}`");
                Err(Problem::general(message).label("not set").help(help))
            }
        }
    }

    /// Where something is in a text, or the whole text where escapes hide it.
    fn place(&self, wanted: &str, span: &Range<usize>) -> Range<usize> {
        let (_, text, begins) = self.run.at(span.start);
        let written = text.get(span.start - begins..span.end.saturating_sub(begins));
        match written.and_then(|written| written.find(wanted)) {
            Some(at) => span.start + at..span.start + at + wanted.len(),
            None => span.clone(),
        }
    }
}

/// What stands for one `${…}`.
struct Piece {
    value: String,
    /// Whether it is from outside, and not a default of the file.
    is_outside: bool,
}

impl Taken {
    /// What is said of values of the file, each as it is written there.
    pub fn within(&self, said: impl std::fmt::Display) -> String {
        // A short piece of one, such as a port, stands in many a value that nobody took from outside.
        self.mask(said.to_string(), 1)
    }

    /// Has a problem say nothing that came from outside.
    pub fn conceal(&self, problem: &mut Problem) {
        if self.0.texts.is_empty() {
            return;
        }
        let is_of_one = |span: &Range<usize>| self.0.places.contains(span);
        let is_here = problem.span.as_ref().is_some_and(is_of_one);
        for said in [&mut problem.message, &mut problem.label] {
            *said = self.mask(std::mem::take(said), SHORTEST);
            if is_here {
                // What is wrong with a value may quote half of it.
                *said = self.without_fragments(said);
            }
        }
        let others = problem.other.as_mut().map(|(_, said)| said);
        for said in problem.help.as_mut().into_iter().chain(others) {
            *said = self.mask(std::mem::take(said), SHORTEST);
        }
    }

    /// Whole values that are shorter than this are replaced only between quotes, as short pieces are.
    fn mask(&self, mut said: String, shortest: usize) -> String {
        for (values, shortest) in [(&self.0.texts, shortest), (&self.0.pieces, SHORTEST)] {
            let mut longest: Vec<_> = values.iter().collect();
            longest.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
            for (value, written) in longest {
                said = replaced(&said, value, written, shortest);
            }
        }
        said
    }

    /// Without words of what came from outside.
    fn without_fragments(&self, said: &str) -> String {
        let words =
            self.0.pieces.keys().flat_map(|value| value.split(|c: char| !c.is_alphanumeric()));
        let secret = words.filter(|word| word.len() >= SHORTEST && !KNOWN.contains(word));
        secret.fold(said.to_string(), |said, word| said.replace(word, "…"))
    }
}

/// A value in a sentence, replaced where it stands by itself.
fn replaced(said: &str, value: &str, written: &str, shortest: usize) -> String {
    if value.is_empty() || !said.contains(value) {
        return said.to_string();
    }
    let (mut made, mut rest) = (String::new(), said);
    while let Some(at) = rest.find(value) {
        let (before, after) = (&rest[..at], &rest[at + value.len()..]);
        let is_edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        let is_quote = |c: Option<char>| c.is_some_and(|c| matches!(c, '`' | '"' | '\''));
        let last = before.chars().next_back().or_else(|| made.chars().next_back());
        let next = after.chars().next();
        let is_alone = match value.len() < shortest {
            true => is_quote(last) && is_quote(next),
            false => is_edge(last) && is_edge(next),
        };
        made.push_str(before);
        made.push_str(if is_alone { written } else { value });
        rest = after;
    }
    made.push_str(rest);
    made
}

/// Adds what could not be filled in, in place of what follows from it.
pub(super) fn explain(unfilled: Unfilled, problems: &mut Problems) {
    problems.0.retain(|problem| !unfilled.explains(problem));
    problems.0.extend(unfilled.problems);
}

#[cfg(test)]
mod tests;
