//! Values that several sections have: names, shares, paths, header fields, times within times.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use toml::Spanned;
use toml::de::DeValue;

use super::section::{Found, Section, text_of, wrong_kind};
use super::{Problem, Problems};
use crate::clock::in_words;
use crate::split::BasisPoints;
use crate::upstream::{Label, LabelError, Labels, MOST_LABELS};

/// A name that can stand in a path, a label and a shell command.
pub(super) fn checked_name(
    problems: &mut Problems,
    name: &Found<&str>,
    what: &str,
) -> Option<Arc<str>> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if (1..=63).contains(&name.value.len()) && name.value.bytes().all(fits) {
        return Some(name.value.into());
    }
    let problem = Problem::error(name.span.clone(), format!("bad {what} name"));
    problems.0.push(problem.label("1 to 63 letters, digits, `-` and `_`"));
    None
}

/// What stands in the place of a service's name for requests that no route was for.
pub const UNMATCHED: &str = "_unmatched";

/// The same for requests that a route led elsewhere.
pub const REDIRECTED: &str = "_redirect";

/// The same for requests that a route answered.
pub const ANSWERED: &str = "_answer";

/// Whether a name stands in the place of a service's for requests that came to none; an empty one does.
pub fn is_of_no_service(name: &str) -> bool {
    name.is_empty() || [UNMATCHED, REDIRECTED, ANSWERED].contains(&name)
}

/// The name of a service: none by which requests of no service are counted.
pub(super) fn service_name(problems: &mut Problems, name: &Found<&str>) -> Option<Arc<str>> {
    if name.value.is_empty() || !is_of_no_service(name.value) {
        return checked_name(problems, name, "service");
    }
    let message = format!("`{}` is no name for a service", name.value);
    let problem = Problem::error(name.span.clone(), message);
    let problem = problem.label("metrics and logs count requests of no service so");
    problems.0.push(problem.help("give it another name"));
    None
}

/// A share as a number or a text.
pub(super) fn percent(value: &Spanned<DeValue<'_>>) -> Result<BasisPoints, String> {
    BasisPoints::from_percent(percentage(value)?).map_err(|error| error.to_string())
}

/// What is written of a percentage, which may be in quotes.
pub(super) fn percentage<'v>(value: &'v Spanned<DeValue<'_>>) -> Result<&'v str, String> {
    match value.get_ref() {
        DeValue::Integer(integer) if integer.radix() == 10 => Ok(integer.as_str()),
        DeValue::Float(float) => Ok(float.as_str()),
        DeValue::String(text) => Ok(text),
        other => Err(format!("expected a percentage, this is of type {}", other.type_str())),
    }
}

/// A file or a folder; whether it is there is the rim's to see.
pub(super) fn path(text: &str) -> Result<PathBuf, &'static str> {
    if text.is_empty() { Err("expected a path") } else { Ok(PathBuf::from(text)) }
}

pub(super) fn header_name(text: &str) -> Result<HeaderName, &'static str> {
    text.parse().map_err(|_| "not a header field name")
}

/// The header fields that a table has, in name order: each once, with values of visible ASCII; none that is
/// `ours`, for it follows from what is sent.
pub(super) fn headers(
    section: Section<'_>,
    problems: &mut Problems,
    ours: impl Fn(&HeaderName) -> bool,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut fields: Vec<(Found<HeaderName>, HeaderValue)> = Vec::new();
    for (key, value) in section.entries() {
        let name = match header_name(key.value) {
            Ok(name) => name,
            Err(error) => {
                problems.0.push(Problem::error(key.span, error));
                continue;
            }
        };
        if ours(&name) {
            let message = format!("`{name}` cannot be set: Pointsman writes it itself");
            problems.0.push(Problem::error(key.span, message));
            continue;
        }
        if let Some((first, _)) = fields.iter().find(|(other, _)| other.value == name) {
            let problem = Problem::error(key.span, format!("`{name}` is given twice"));
            problems.0.push(problem.label("the second").other(first.span.clone(), "the first"));
            continue;
        }
        let read = |text: &str| {
            let value = HeaderValue::from_str(text).ok().filter(|_| text.is_ascii());
            value.ok_or("expected visible ASCII characters and spaces")
        };
        if let Some(value) = text_of(problems, key.value, value, read) {
            fields.push((Found { value: name, span: key.span }, value.value));
        }
    }
    let mut fields: Vec<_> = fields.into_iter().map(|(name, value)| (name.value, value)).collect();
    fields.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
    fields
}

/// Warns of a time that ought to be within another. The key that was written is to blame; one that
/// has its default is named.
pub(super) fn warn_if_above(
    section: &Section<'_>,
    problems: &mut Problems,
    (key, length): (&str, Duration),
    (bound, most): (&str, Duration),
) {
    if length > most {
        let (length, most) = (in_words(length), in_words(most));
        let message = format!("`{key}` is {length}, longer than `{bound}`, which is {most}");
        let (written, other) = match section.has(key) {
            true => (key, bound),
            false => (bound, key),
        };
        let problem = Problem::error(section.place(written), message).warning();
        problems.0.push(match section.has(other) {
            true => problem.other(section.place(other), "the other one"),
            false => problem.help(format!("`{other}` has its default; set it too")),
        });
    }
}

/// What is said in the table `labels` of a section: at most [`MOST_LABELS`].
pub(super) fn labels(section: &mut Section<'_>, problems: &mut Problems) -> Labels {
    let Some(value) = section.value("labels") else { return Labels::default() };
    let Some(table) = value.get_ref().as_table() else {
        let problem = wrong_kind("labels", value, "a table");
        problems.0.push(problem.help("for example `labels = { zone = \"a\" }`"));
        return Labels::default();
    };
    if table.len() > MOST_LABELS {
        let message = format!("{} labels are too many", table.len());
        problems.0.push(Problem::error(value.span(), message).label("at most 8"));
    }
    let one = |(name, text): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        let given = text.get_ref().as_str().ok_or(LabelError::Text);
        match given.and_then(|given| Label::new(name.get_ref(), given)) {
            Ok(label) => Some(label),
            Err(error) => {
                let span = if error == LabelError::Name { name.span() } else { text.span() };
                let message = format!("bad label `{}`", name.get_ref());
                problems.0.push(Problem::error(span, message).label(error.to_string()));
                None
            }
        }
    };
    table.iter().filter_map(one).collect()
}
