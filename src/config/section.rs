//! One table of the file while it is read: the names of declared keys in, typed values out, every
//! mistake noted on the way.
//!
//! serde stops at the first mistake; an operator wants all of them at once. So the tables are
//! walked here by hand: each reading notes what is wrong and goes on with the default, and
//! [`Section::close`] names the keys that are not declared, with the nearest one that is.

mod scalars;

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key::{Kind, Table};
use super::suggestion::nearest;
use super::{Problem, Problems};

pub(super) use scalars::{size, text_of};

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

    fn find(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table?.get(key)
    }

    /// The bytes of a key's value, or of the whole table if it is not there.
    pub fn place(&self, key: &str) -> Range<usize> {
        self.find(key).map_or(self.span.clone(), |value| value.span())
    }

    /// Whether a key is there.
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
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

    /// Refuses a list that is there and has nothing in it, where that would silently mean something
    /// else.
    pub fn no_empty_list(&self, problems: &mut Problems, key: &str, message: &str, help: &str) {
        let value = self.find(key);
        if let Some(value) =
            value.filter(|value| value.get_ref().as_array().is_some_and(|list| list.is_empty()))
        {
            let problem = Problem::error(value.span(), format!("`{key}` is empty: {message}"));
            problems.0.push(problem.help(help));
        }
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

    /// Names every key that is not declared. Those that are gone were taken out before.
    pub fn close(self, problems: &mut Problems) {
        // What is wrong may have ended the reading early.
        let is_read = self.asked.count_ones() as usize == self.declared.keys.len();
        debug_assert!(is_read || !problems.0.is_empty(), "keys of `{}` never read", self.name);
        let Some(table) = self.table else { return };
        for key in table.keys() {
            let given = key.get_ref().as_ref();
            if self.declared.key(given).is_none() {
                problems.0.push(self.unknown(given, key.span()));
            }
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

    fn misdeclared<T: Default>(&self, key: &str) -> T {
        debug_assert!(false, "`{key}` of `{}` is declared as something else", self.name);
        T::default()
    }

    fn join(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_string() } else { format!("{}.{key}", self.name) }
    }
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

pub(super) fn wrong_kind(key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) -> Problem {
    let kind = value.get_ref().type_str();
    let article = if kind.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
    Problem::error(value.span(), format!("`{key}` must be {wanted}"))
        .label(format!("this is {article} {kind}"))
}
