//! One table of the file while it is read: the names of declared keys in, typed values out, every
//! mistake noted on the way.
//!
//! serde stops at the first mistake; an operator wants all of them at once. So the tables are
//! walked here by hand: each reading notes what is wrong and goes on with the default, and
//! [`Section::close`] names the keys that are not declared, with the nearest one that is.

use std::fmt::Display;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key::{Gone, Instead, Kind, Table};
use super::settings::written;
use super::values::percent;
use super::{Problem, Problems, duration, duration_or_zero};
use crate::split::BasisPoints;

/// The longest time-out: what is longer is a slip of the keyboard.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

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

/// For a table whose keys are names that the operator chose.
static NO_KEYS: Table = Table::new("", &[]);

/// A value with the bytes it stands in.
pub(super) struct Found<T> {
    pub value: T,
    pub span: Range<usize>,
}

/// One table, while it is read.
pub(super) struct Section<'a> {
    /// The table's full name, for messages.
    name: String,
    declared: &'static Table,
    /// None if it is not there: all its keys have their defaults then.
    table: Option<&'a DeTable<'a>>,
    /// Where the table stands, or the one that it would stand in.
    pub span: Range<usize>,
    /// The declared keys that were asked for, a bit each.
    asked: u64,
}

impl<'a> Section<'a> {
    pub fn new(
        name: impl Into<String>,
        declared: &'static Table,
        table: Option<&'a DeTable<'a>>,
        span: Range<usize>,
    ) -> Self {
        Section { name: name.into(), declared, table, span, asked: 0 }
    }

    /// What is declared of a key. Asking for one that is not is a mistake of the reader, which each
    /// test that reads the table finds.
    fn kind(&mut self, key: &str) -> Kind {
        match self.declared.keys.iter().position(|declared| declared.name == key) {
            Some(place) => {
                self.asked |= 1 << place;
                self.declared.keys[place].kind
            }
            None => {
                debug_assert!(false, "`{key}` is not declared in `{}`", self.name);
                Kind::Free("")
            }
        }
    }

    /// The value of a key as it stands.
    pub fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.kind(key);
        self.find(key)
    }

    /// The value of a key, which may still be written under its old name.
    fn find(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        let table = self.table?;
        let old = |gone: &&Gone| matches!(gone.instead, Instead::Key(new) if new == key);
        let renamed =
            || self.declared.gone.iter().filter(old).find_map(|gone| table.get(gone.name));
        table.get(key).or_else(renamed)
    }

    /// The bytes of a key's value, or of the whole table if it is not there.
    pub fn place(&self, key: &str) -> Range<usize> {
        self.find(key).map_or(self.span.clone(), |value| value.span())
    }

    /// Whether a key is there.
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// A text that `read` makes a value of: the default, if one is declared, of a key that is not
    /// there; none where it is wrong.
    pub fn text<T, E: Display>(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Found<T>> {
        let kind = self.kind(key);
        match (self.find(key), kind) {
            (Some(value), _) => text_of(problems, key, value, read),
            (None, Kind::Text(Some(default))) => {
                let value = read(default).ok();
                debug_assert!(value.is_some(), "the default of `{key}` cannot be read");
                value.map(|value| Found { value, span: self.span.clone() })
            }
            (None, _) => None,
        }
    }

    /// One of the words that are declared, as what it means.
    pub fn word<T>(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
        means: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let Kind::Word { known, has_default } = self.kind(key) else {
            debug_assert!(false, "`{key}` is declared as no word");
            return None;
        };
        let Some(value) = self.find(key) else {
            return known.first().filter(|_| has_default).and_then(|default| means(default));
        };
        let read = |text: &str| match known.contains(&text).then(|| means(text)).flatten() {
            Some(meaning) => Ok(meaning),
            None => Err(match nearest(text, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known are {}", known.join(", ")),
            }),
        };
        text_of(problems, key, value, read).map(|found| found.value)
    }

    /// A list of texts, or one text alone; the declared default if the key is not there.
    pub fn texts<T, E: Display>(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<Found<T>> {
        let kind = self.kind(key);
        let Some(value) = self.find(key) else {
            let Kind::Texts(default) = kind else { return Vec::new() };
            let found = default.iter().filter_map(|text| read(text).ok());
            return found.map(|value| Found { value, span: self.span.clone() }).collect();
        };
        match value.get_ref().as_array() {
            Some(list) => {
                list.iter().filter_map(|item| text_of(problems, key, item, &read)).collect()
            }
            None => text_of(problems, key, value, &read).into_iter().collect(),
        }
    }

    /// A whole number with a default.
    pub fn number<N: TryFrom<u64> + Default>(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
    ) -> N {
        let written = self.number_if_given(problems, key);
        let default = match self.kind(key) {
            Kind::Number { default: Some(default), .. } | Kind::Size { default, .. } => default,
            _ => self.misdeclared(key),
        };
        written.or_else(|| N::try_from(default).ok()).unwrap_or_default()
    }

    /// A whole number, or a number of bytes.
    pub fn number_if_given<N: TryFrom<u64>>(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
    ) -> Option<N> {
        let kind = self.kind(key);
        let value = self.find(key)?;
        let (least, most, unit) = match kind {
            Kind::Number { least, most, .. } => (least, most, ""),
            Kind::Size { least, most, .. } => (least, most, " bytes"),
            _ => self.misdeclared(key),
        };
        let number = match (value.get_ref(), kind) {
            (DeValue::Integer(_), _) => whole(value),
            (DeValue::String(_), Kind::Size { .. }) => {
                let read =
                    |text: &str| size(text).ok_or("expected a size such as `64KiB` or `1MiB`");
                Some(text_of(problems, key, value, read)?.value)
            }
            (_, Kind::Size { .. }) => {
                problems.0.push(wrong_kind(key, value, "a size"));
                return None;
            }
            _ => {
                problems.0.push(wrong_kind(key, value, "a whole number"));
                return None;
            }
        };
        let fits = number.filter(|number| (least..=most).contains(number));
        let fits = fits.and_then(|number| N::try_from(number).ok());
        if fits.is_none() {
            let message = format!("`{key}` is out of range");
            let bounds = format!("from {least} to {most}{unit}");
            problems.0.push(Problem::error(value.span(), message).label(bounds));
        }
        fits
    }

    /// A length of time with a default.
    pub fn time(&mut self, problems: &mut Problems, key: &'static str) -> Duration {
        let written = self.time_if_given(problems, key);
        let default = match self.kind(key) {
            Kind::Time(Some(default)) | Kind::Wait(default) => default,
            _ => self.misdeclared(key),
        };
        written.unwrap_or(default)
    }

    /// A length of time such as `500ms` or `1m 30s`.
    pub fn time_if_given(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
    ) -> Option<Duration> {
        let kind = self.kind(key);
        let value = self.find(key)?;
        if let Some(number) = value.get_ref().as_integer() {
            let problem = wrong_kind(key, value, "a text in quotes");
            let help = format!("with a unit, such as \"{number}s\" or \"{number}ms\"");
            problems.0.push(problem.help(help));
            return None;
        }
        let read = |text: &str| {
            let (length, what) = match kind {
                Kind::Wait(_) => (duration_or_zero(text), "a wait"),
                _ => (duration(text), "a time-out"),
            };
            match length {
                Ok(length) if length > LONGEST => Err(format!("{what} lies within a day")),
                read => read.map_err(|error| error.to_string()),
            }
        };
        text_of(problems, key, value, read).map(|found| found.value)
    }

    /// Percent with two decimals.
    pub fn share(&mut self, problems: &mut Problems, key: &'static str) -> BasisPoints {
        let kind = self.kind(key);
        let (least, most, default) = match kind {
            Kind::Share { least, most, default } => (least, most, default.unwrap_or_default()),
            _ => self.misdeclared(key),
        };
        let default = BasisPoints::new((default * 100.0).round() as u16).unwrap_or_default();
        let Some(value) = self.find(key) else { return default };
        let mistake = match percent(value) {
            Ok(share) if (least..=most).contains(&share.percent()) => return share,
            Ok(_) => format!("from {least} to {most} %"),
            Err(error) => error,
        };
        let problem = Problem::error(value.span(), format!("bad value for `{key}`"));
        problems.0.push(problem.label(mistake));
        default
    }

    /// A number with a fraction; none where it is wrong.
    pub fn decimal(&mut self, problems: &mut Problems, key: &'static str) -> Option<f64> {
        let (least, most, default) = match self.kind(key) {
            Kind::Decimal { least, most, default } => (least, most, default),
            _ => self.misdeclared(key),
        };
        let Some(value) = self.find(key) else { return default };
        let text = match value.get_ref() {
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
            DeValue::Float(float) => float.as_str(),
            _ => {
                problems.0.push(wrong_kind(key, value, "a number"));
                return default;
            }
        };
        match text.replace('_', "").parse() {
            Ok(number) if (least..=most).contains(&number) => Some(number),
            _ => {
                let bounds = match least == f64::MIN {
                    true => "expected a finite number".to_string(),
                    false => format!("from {least} to {most}"),
                };
                let message = format!("`{key}` is out of range");
                problems.0.push(Problem::error(value.span(), message).label(bounds));
                default
            }
        }
    }

    /// A boolean.
    pub fn boolean(&mut self, problems: &mut Problems, key: &'static str) -> bool {
        let default = match self.kind(key) {
            Kind::Boolean(default) => default,
            _ => self.misdeclared(key),
        };
        let Some(value) = self.find(key) else { return default };
        if value.get_ref().as_bool().is_none() {
            problems.0.push(wrong_kind(key, value, "`true` or `false`"));
        }
        value.get_ref().as_bool().unwrap_or(default)
    }

    /// A table whose defaults hold without it.
    pub fn table(&mut self, problems: &mut Problems, key: &'static str) -> Section<'a> {
        let without = Section::new(self.join(key), self.table_of(key), None, self.span.clone());
        self.table_if_given(problems, key).unwrap_or(without)
    }

    /// A table of its own.
    pub fn table_if_given(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
    ) -> Option<Section<'a>> {
        let (name, declared) = (self.join(key), self.table_of(key));
        section_of(problems, key, name, declared, self.find(key)?)
    }

    /// A table, or `false` for none; the defaults if the key is not there.
    pub fn table_unless_false(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
    ) -> Option<Section<'a>> {
        match self.find(key).map(|value| (value, value.get_ref())) {
            Some((_, DeValue::Boolean(false))) => {
                self.kind(key);
                None
            }
            None | Some((_, DeValue::Table(_))) => Some(self.table(problems, key)),
            Some((value, _)) => {
                self.kind(key);
                problems.0.push(wrong_kind(key, value, "a table, or `false`"));
                None
            }
        }
    }

    /// A list of tables.
    pub fn tables(&mut self, problems: &mut Problems, key: &'static str) -> Vec<Section<'a>> {
        let (name, declared) = (self.join(key), self.table_of(key));
        let Some(value) = self.find(key) else { return Vec::new() };
        let Some(list) = value.get_ref().as_array() else {
            let help = format!("write `[[{name}]]` with two brackets: it is a list");
            problems.0.push(wrong_kind(key, value, "a list of tables").help(help));
            return Vec::new();
        };
        let one = |item| section_of(problems, key, name.clone(), declared, item);
        list.iter().filter_map(one).collect()
    }

    /// Tables under names that the operator chose; none for one that is no table.
    pub fn named(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
    ) -> Option<Vec<(Found<&'a str>, Option<Section<'a>>)>> {
        let declared = self.table_of(key);
        let section = self.table_if_given(problems, key)?;
        let one = |(name, value): (Found<&'a str>, _)| {
            let full = format!("{key}.{}", name.value);
            let section = section_of(problems, name.value, full, declared, value);
            (name, section)
        };
        Some(section.entries().map(one).collect())
    }

    /// What a table is declared as that this key holds, one or many of them.
    pub fn table_of(&mut self, key: &str) -> &'static Table {
        match self.kind(key) {
            Kind::Table(table, _) | Kind::Tables(table) | Kind::Named(table) => table,
            Kind::Short(table, _) => table,
            _ => &NO_KEYS,
        }
    }

    /// The entries of a table whose keys are names the operator chose.
    pub fn entries(
        &self,
    ) -> impl Iterator<Item = (Found<&'a str>, &'a Spanned<DeValue<'a>>)> + use<'a> {
        let entries = self.table.into_iter().flat_map(|table| table.iter());
        entries
            .map(|(key, value)| (Found { value: key.get_ref().as_ref(), span: key.span() }, value))
    }

    /// Names every key that is not declared, and what to write for those that are gone.
    pub fn close(self, problems: &mut Problems) {
        // What is wrong may have ended the reading early.
        let is_read = self.asked.count_ones() as usize == self.declared.keys.len();
        debug_assert!(is_read || !problems.0.is_empty(), "keys of `{}` never read", self.name);
        let Some(table) = self.table else { return };
        for (key, value) in table.iter() {
            let given = key.get_ref().as_ref();
            if self.declared.key(given).is_some() {
                continue;
            }
            let gone = self.declared.gone.iter().find(|gone| gone.name == given);
            problems.0.push(match gone {
                Some(gone) => self.gone(gone, table, key, value),
                None => self.unknown(given, key.span()),
            });
        }
    }

    fn unknown(&self, given: &str, span: Range<usize>) -> Problem {
        let within =
            if self.name.is_empty() { String::new() } else { format!(" in `{}`", self.name) };
        let problem = Problem::error(span, format!("unknown key `{given}`{within}"));
        let known = || self.declared.keys.iter().map(|key| key.name);
        match nearest(given, known()) {
            Some(known) => problem.label(format!("did you mean `{known}`?")),
            None => {
                let known = known().map(|key| format!("`{key}`")).collect::<Vec<_>>();
                problem.label("no such key").help(format!("known here: {}", known.join(", ")))
            }
        }
    }

    /// A key that is gone: a warning in the version that dropped it, an error from then on.
    fn gone(
        &self,
        gone: &Gone,
        table: &DeTable<'_>,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Problem {
        let (name, since) = (gone.name, format!("{}.{}", gone.since.0, gone.since.1));
        let problem = match gone.instead {
            Instead::Key(new) if table.contains_key(new) => {
                let problem =
                    Problem::error(key.span(), format!("`{name}` is `{new}` since {since}"));
                let both = problem.label("take this one out");
                return both.other(self.place(new), "which is here too");
            }
            Instead::Key(new) => {
                let problem = Problem::error(key.span(), format!("`{name}` is called `{new}` now"));
                let written = written(value.get_ref());
                problem.label(format!("since {since}")).help(format!("write `{new} = {written}`"))
            }
            Instead::Nothing(words) => {
                let problem = Problem::error(key.span(), format!("`{name}` is gone"));
                problem.label(format!("since {since}")).help(format!("take it out: {words}"))
            }
        };
        if gone.since == VERSION { problem.warning() } else { problem }
    }

    fn misdeclared<T: Default>(&self, key: &str) -> T {
        debug_assert!(false, "`{key}` of `{}` is declared as something else", self.name);
        T::default()
    }

    fn join(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_string() } else { format!("{}.{key}", self.name) }
    }
}

/// A whole number that is not below zero.
fn whole(value: &Spanned<DeValue<'_>>) -> Option<u64> {
    let integer = value.get_ref().as_integer()?;
    u64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
}

/// `512B`, `64KiB`, `1MiB` or `2GiB` in bytes.
pub(super) fn size(text: &str) -> Option<u64> {
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
    declared: &'static Table,
    value: &'a Spanned<DeValue<'a>>,
) -> Option<Section<'a>> {
    let table = value.get_ref().as_table();
    if table.is_none() {
        problems.0.push(wrong_kind(key, value, "a table"));
    }
    table.map(|table| Section::new(name, declared, Some(table), value.span()))
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
    use super::*;
    use crate::config::key::{number, texts};
    use crate::config::settings::Settings;

    static MADE_UP: Table = Table {
        about: "",
        keys: &[number("waiting", (1, 9), 3), texts("names", &[])],
        gone: &[
            Gone { name: "queue", since: VERSION, instead: Instead::Key("waiting") },
            Gone { name: "line", since: (0, 0), instead: Instead::Key("waiting") },
            Gone { name: "fast", since: VERSION, instead: Instead::Nothing("it always is") },
            Gone { name: "slow", since: (0, 0), instead: Instead::Nothing("it never is") },
        ],
    };

    /// What is read of a made-up table, and what is said of it.
    fn read(text: &str) -> (u32, Settings, String) {
        let root = DeTable::parse(text).unwrap();
        let mut problems = Problems::default();
        let mut section = Section::new("a", &MADE_UP, Some(root.get_ref()), 0..0);
        let waiting = section.number(&mut problems, "waiting");
        section.texts(&mut problems, "names", |text| Ok::<_, &str>(text.to_string()));
        section.close(&mut problems);
        (waiting, Settings::of(&MADE_UP, root.get_ref()), problems.render(text, "f", false))
    }

    #[test]
    fn a_renamed_key_is_taken_with_a_warning_and_then_refused() {
        let (waiting, settings, said) = read("names = []\nqueue = 5\n");
        assert_eq!((waiting, settings), (5, read("waiting = 5").1));
        for part in [
            "warning: `queue` is called `waiting` now",
            "f:2:1",
            "^^^^^ since",
            "write `waiting = 5`",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let (.., said) = read("line = 5\n");
        assert!(said.contains("error: `line` is called `waiting` now"), "{said}");
        assert!(said.contains("write `waiting = 5`"), "{said}");
        let (waiting, _, said) = read("queue = 5\nwaiting = 6\n");
        assert!(waiting == 6 && said.contains("error: `queue` is `waiting` since"), "{said}");
        // Its value is looked at as that of its successor.
        let (.., said) = read("queue = 10\n");
        assert!(said.contains("`waiting` is out of range"), "{said}");
    }

    #[test]
    fn a_removed_key_is_passed_over_with_a_warning_and_then_refused() {
        let (waiting, settings, said) = read("fast = true\n");
        assert_eq!((waiting, settings), (3, read("").1));
        for part in ["warning: `fast` is gone", "f:1:1", "take it out: it always is"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let (.., said) = read("slow = true\n");
        assert!(said.contains("error: `slow` is gone"), "{said}");
    }

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
