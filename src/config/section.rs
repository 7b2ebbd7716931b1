//! One table of the file: keys in, typed values out, every mistake noted on the way.
//!
//! serde stops at the first mistake; an operator wants all of them at once. So the tables are
//! walked here by hand: each `take` notes what is wrong and goes on, and [`Section::close`] names
//! the keys that nobody asked for, with the nearest one that exists.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Problem, Problems, duration, duration_or_zero};

/// The longest time-out: what is longer is a slip of the keyboard.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A value with the bytes it stands in.
pub(super) struct Found<T> {
    pub value: T,
    pub span: Range<usize>,
}

/// One table, while it is read.
pub(super) struct Section<'a> {
    /// The table's full name, for messages.
    name: String,
    table: &'a DeTable<'a>,
    /// Where the table stands.
    pub span: Range<usize>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub fn new(name: impl Into<String>, table: &'a DeTable<'a>, span: Range<usize>) -> Self {
        Section { name: name.into(), table, span, asked: Vec::new() }
    }

    /// The value of a key as it stands.
    pub fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.table.get(key)
    }

    /// The bytes of a key's value, or of the whole table if it is not there.
    pub fn place(&self, key: &str) -> Range<usize> {
        self.table.get(key).map_or(self.span.clone(), |value| value.span())
    }

    /// Whether a key is there.
    pub fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// A text that `read` makes a value of.
    pub fn text<T, E: Display>(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Found<T>> {
        let value = self.value(key)?;
        text_of(problems, key, value, read)
    }

    /// A list of texts, or one text alone.
    pub fn texts<T, E: Display>(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<Found<T>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        match value.get_ref().as_array() {
            Some(list) => {
                list.iter().filter_map(|item| text_of(problems, key, item, &read)).collect()
            }
            None => text_of(problems, key, value, &read).into_iter().collect(),
        }
    }

    /// A whole number in a range.
    pub fn number(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let value = self.value(key)?;
        let Some(integer) = value.get_ref().as_integer() else {
            problems.0.push(wrong_kind(key, value, "a whole number"));
            return None;
        };
        let digits = integer.as_str().replace('_', "");
        match u64::from_str_radix(&digits, integer.radix()) {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                let bounds = format!("from {} to {}", range.start(), range.end());
                let message = format!("`{key}` is out of range");
                problems.0.push(Problem::error(value.span(), message).label(bounds));
                None
            }
        }
    }

    /// A number of bytes: a whole number, or a text such as `64KiB`.
    pub fn bytes(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Integer(_) => return self.number(problems, key, range),
            DeValue::String(_) => {}
            _ => {
                problems.0.push(wrong_kind(key, value, "a size"));
                return None;
            }
        }
        let read = |text: &str| size(text).ok_or("expected a size such as `64KiB` or `1MiB`");
        let found = text_of(problems, key, value, read)?;
        if !range.contains(&found.value) {
            let message = format!("`{key}` is out of range");
            let bounds = format!("from {} to {} bytes", range.start(), range.end());
            problems.0.push(Problem::error(found.span, message).label(bounds));
            return None;
        }
        Some(found.value)
    }

    /// A length of time such as `500ms` or `1m 30s`, above zero and at most a day.
    pub fn duration(&mut self, problems: &mut Problems, key: &'static str) -> Option<Duration> {
        self.length(problems, key, |text| match duration(text) {
            Ok(length) if length > LONGEST => Err("a time-out lies within a day".to_string()),
            read => read.map_err(|error| error.to_string()),
        })
    }

    /// A length of time that is waited on purpose: from zero, such as `0s`, to a day.
    pub fn wait(&mut self, problems: &mut Problems, key: &'static str) -> Option<Duration> {
        self.length(problems, key, |text| match duration_or_zero(text) {
            Ok(length) if length > LONGEST => Err("a wait lies within a day".to_string()),
            read => read.map_err(|error| error.to_string()),
        })
    }

    fn length(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
        read: impl Fn(&str) -> Result<Duration, String>,
    ) -> Option<Duration> {
        if let Some(value) = self.value(key)
            && let Some(number) = value.get_ref().as_integer()
        {
            let problem = wrong_kind(key, value, "a text in quotes");
            problems.0.push(
                problem.help(format!("with a unit, such as \"{number}s\" or \"{number}ms\"")),
            );
            return None;
        }
        self.text(problems, key, read).map(|found| found.value)
    }

    /// A boolean.
    pub fn boolean(&mut self, problems: &mut Problems, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        if value.get_ref().as_bool().is_none() {
            problems.0.push(wrong_kind(key, value, "`true` or `false`"));
        }
        value.get_ref().as_bool()
    }

    /// A table of its own.
    pub fn section(&mut self, problems: &mut Problems, key: &'static str) -> Option<Section<'a>> {
        let name = self.join(key);
        section_of(problems, key, name, self.value(key)?)
    }

    /// A list of tables.
    pub fn sections(&mut self, problems: &mut Problems, key: &'static str) -> Vec<Section<'a>> {
        let name = self.join(key);
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(list) = value.get_ref().as_array() else {
            let help = format!("write `[[{name}]]` with two brackets: it is a list");
            problems.0.push(wrong_kind(key, value, "a list of tables").help(help));
            return Vec::new();
        };
        let one = |item| section_of(problems, key, name.clone(), item);
        list.iter().filter_map(one).collect()
    }

    /// The entries of a table whose keys are names the operator chose.
    pub fn entries(&self) -> impl Iterator<Item = (Found<&'a str>, &'a Spanned<DeValue<'a>>)> {
        self.table
            .iter()
            .map(|(key, value)| (Found { value: key.get_ref().as_ref(), span: key.span() }, value))
    }

    /// Names every key that nobody asked for.
    pub fn close(self, problems: &mut Problems) {
        for (key, _) in self.table.iter() {
            let given = key.get_ref();
            if self.asked.iter().any(|asked| asked == given) {
                continue;
            }
            let within =
                if self.name.is_empty() { String::new() } else { format!(" in `{}`", self.name) };
            let problem = Problem::error(key.span(), format!("unknown key `{given}`{within}"));
            problems.0.push(match nearest(given, self.asked.iter().copied()) {
                Some(known) => problem.label(format!("did you mean `{known}`?")),
                None => {
                    let known = self.asked.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>();
                    problem.label("no such key").help(format!("known here: {}", known.join(", ")))
                }
            });
        }
    }

    fn join(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_string() } else { format!("{}.{key}", self.name) }
    }
}

/// `512B`, `64KiB`, `1MiB` or `2GiB` in bytes.
fn size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit.trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// A value that is to be a table.
pub(super) fn section_of<'a>(
    problems: &mut Problems,
    key: &str,
    name: String,
    value: &'a Spanned<DeValue<'a>>,
) -> Option<Section<'a>> {
    let table = value.get_ref().as_table();
    if table.is_none() {
        problems.0.push(wrong_kind(key, value, "a table"));
    }
    table.map(|table| Section::new(name, table, value.span()))
}

/// A value that is to be a text, which `read` makes a value of.
pub(super) fn text_of<T, E: Display>(
    problems: &mut Problems,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    read: impl Fn(&str) -> Result<T, E>,
) -> Option<Found<T>> {
    let Some(text) = value.get_ref().as_str() else {
        problems.0.push(wrong_kind(key, value, "a text in quotes"));
        return None;
    };
    match read(text) {
        Ok(read) => Some(Found { value: read, span: value.span() }),
        Err(error) => {
            let message = format!("bad value for `{key}`");
            problems.0.push(Problem::error(value.span(), message).label(error.to_string()));
            None
        }
    }
}

pub(super) fn wrong_kind(key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) -> Problem {
    let kind = value.get_ref().type_str();
    let article = if kind.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
    Problem::error(value.span(), format!("`{key}` must be {wanted}"))
        .label(format!("this is {article} {kind}"))
}

/// What there is instead of an unknown name, for the end of a message: nothing if there is nothing.
pub fn suggest<'k>(given: &str, known: impl Iterator<Item = &'k str> + Clone) -> String {
    // Whoever has hundreds of upstreams wants to read the end of the message too.
    const LISTED: usize = 10;
    let all = known.clone().count();
    let names: Vec<String> = known.clone().take(LISTED).map(|name| format!("`{name}`")).collect();
    let verb = if all == 1 { "is" } else { "are" };
    let more = match all.saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match nearest(given, known) {
        _ if all == 0 => String::new(),
        Some(near) => format!("; there {verb} {}{more}; did you mean `{near}`?", names.join(", ")),
        None => format!("; there {verb} {}{more}", names.join(", ")),
    }
}

/// The known word nearest to a mistyped one, if any is near.
pub(super) fn nearest<'k>(given: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let near = known.map(|word| (strsim::damerau_levenshtein(given, word), word));
    let (distance, word) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= (given.len().max(word.len()) / 3).max(1)).then_some(word)
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let names = ["api", "shop"];
        let suggest = |given: &str, names: &[&str]| super::suggest(given, names.iter().copied());
        assert_eq!(suggest("shp", &names), "; there are `api`, `shop`; did you mean `shop`?");
        assert_eq!(suggest("billing", &names), "; there are `api`, `shop`");
        assert_eq!(suggest("x", &["shop"]), "; there is `shop`");
        assert_eq!(suggest("shop", &[]), "");
        let many = suggest("zzz", &["shop"; 12]);
        assert!(many.ends_with("`shop` and 2 more"), "{many}");
    }
}
