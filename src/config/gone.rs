//! Keys that there were: a table as it is written in; the same with their values where they belong
//! now, and what to say of each, out.
//!
//! Done before anything is read, so that whoever reads a table knows nothing of what it had once.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::key::{Gone, Instead, Kind, Table};
use super::settings::written;
use super::{Problem, Problems};

/// The version that reads the file.
pub(super) const VERSION: (u16, u16) =
    (digits(env!("CARGO_PKG_VERSION_MAJOR")), digits(env!("CARGO_PKG_VERSION_MINOR")));

const fn digits(text: &str) -> u16 {
    let (mut number, mut place) = (0, 0);
    while place < text.len() {
        number = number * 10 + (text.as_bytes()[place] - b'0') as u16;
        place += 1;
    }
    number
}

/// A value that is on its way to its new place.
struct Moved<'a> {
    gone: &'static Gone,
    new: &'static str,
    /// The tables that lead to it.
    tables: Vec<&'static str>,
    last: &'static str,
    key: Spanned<DeString<'a>>,
    value: Spanned<DeValue<'a>>,
}

/// Takes what is gone out of a table and of all within it: a warning in the version that dropped a
/// key, an error from then on.
pub(super) fn take_over(
    declared: &'static Table,
    table: &mut DeTable<'_>,
    problems: &mut Problems,
) {
    let mut moved = Vec::new();
    take_out(declared, &[], table, &mut moved, problems);
    for one in moved {
        problems.0.push(one.put(table));
    }
}

/// Takes out what is gone of a table, which these tables lead to, and of those within it.
fn take_out<'a>(
    declared: &'static Table,
    within: &[&'static str],
    table: &mut DeTable<'a>,
    moved: &mut Vec<Moved<'a>>,
    problems: &mut Problems,
) {
    for gone in declared.gone {
        let Some((key, value)) = table.remove_entry(gone.name) else { continue };
        match gone.instead {
            Instead::Nothing(words) => {
                let problem = Problem::error(key.span(), format!("`{}` is gone", gone.name));
                let problem = problem.label(gone.since_words());
                problems.0.push(gone.told(problem.help(format!("take it out: {words}"))));
            }
            Instead::Key(new) => {
                let (tables, last) = match new.rsplit_once('.') {
                    Some((tables, last)) => (tables.split('.').collect(), last),
                    None => (within.to_vec(), new),
                };
                moved.push(Moved { gone, new, tables, last, key, value });
            }
        }
    }
    for key in declared.keys {
        let Some(value) = table.get_mut(key.name) else { continue };
        match (key.kind, value.get_mut()) {
            (Kind::Table(inner, _) | Kind::Short(inner, _), DeValue::Table(table)) => {
                let within: Vec<_> = within.iter().copied().chain([key.name]).collect();
                take_out(inner, &within, table, moved, problems);
            }
            (Kind::Tables(inner), DeValue::Array(list)) => {
                let tables = list.iter_mut().map(Spanned::get_mut);
                tables.for_each(|value| each(inner, value, problems));
            }
            (Kind::Named(inner), DeValue::Table(named)) => {
                let tables = named.iter_mut().map(|(_, value)| value.get_mut());
                tables.for_each(|value| each(inner, value, problems));
            }
            _ => {}
        }
    }
}

fn each(declared: &'static Table, value: &mut DeValue<'_>, problems: &mut Problems) {
    if let DeValue::Table(table) = value {
        take_over(declared, table, problems);
    }
}

impl<'a> Moved<'a> {
    /// Puts it where it belongs, unless something is there; what to say of it.
    fn put(self, base: &mut DeTable<'a>) -> Problem {
        let Moved { gone, new, tables, last, key, value } = self;
        let (name, span) = (gone.name, key.span());
        let mut at = base;
        for table in tables {
            let made = || Spanned::new(value.span(), DeValue::Table(DeTable::new()));
            let key = Spanned::new(span.clone(), DeString::from(table));
            let found = at.entry(key).or_insert_with(made);
            let place = found.span();
            match found.get_mut() {
                DeValue::Table(table) => at = table,
                // Such as `false` for what is off: two things are said of one.
                _ => return both(gone, new, span, place),
            }
        }
        if let Some(there) = at.get(last) {
            return both(gone, new, span, there.span());
        }
        let problem = Problem::error(span.clone(), format!("`{name}` is called `{new}` now"));
        let help = format!("write `{new} = {}`", written(value.get_ref()));
        at.insert(Spanned::new(span, DeString::from(last)), value);
        gone.told(problem.label(gone.since_words()).help(help))
    }
}

/// Both are there, of which only one can hold: an error in any version.
fn both(gone: &Gone, new: &str, old: Range<usize>, there: Range<usize>) -> Problem {
    let since = gone.since_words();
    let problem = Problem::error(old, format!("`{}` is `{new}` {since}", gone.name));
    problem.label("take this one out").other(there, "which is here too")
}

impl Gone {
    fn since_words(&self) -> String {
        format!("since {}.{}", self.since.0, self.since.1)
    }

    fn told(&self, problem: Problem) -> Problem {
        if self.since == VERSION { problem.warning() } else { problem }
    }
}

#[cfg(test)]
mod tests;
