//! What a file says beyond the defaults, key by key as text; and what two files say of the same keys
//! in, lines for people out.
//!
//! Both walk the declared tables and not the values that were read from them, so that a key is told
//! as soon as it is declared. Texts are the effective values: a length of time is the same however
//! it is written, and a key that is set to its default says nothing.

use std::borrow::Cow;

use toml::de::{DeTable, DeValue};

use super::duration_or_zero;
use super::key::{Effect, Key, Kind, Table, Told, Without};
use super::section::size;
use crate::clock::in_words;

/// The longest text that a line tells whole, in characters.
const LONGEST: usize = 80;

/// What a table of the file says beyond its defaults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings(Vec<(Cow<'static, str>, Setting)>);

/// What is said of a key.
#[derive(Clone, Debug, PartialEq)]
enum Setting {
    /// Its value.
    Text(String),
    /// A table, which may say nothing beyond being there.
    Table(Settings),
    /// A list of tables.
    List(Vec<Settings>),
    /// `false` where a table could be.
    Off,
}

/// One key that differs.
pub(super) struct Difference {
    path: String,
    said: Said,
    pub needs_restart: bool,
}

/// What is said of a difference.
enum Said {
    /// Both values.
    Values(String, String),
    /// Where they cannot be shown.
    Words(String),
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.said {
            Said::Values(old, new) => write!(f, "{} {old} → {new}", self.path),
            Said::Words(words) => write!(f, "{} {words}", self.path),
        }
    }
}

static NOTHING: Settings = Settings(Vec::new());

impl Settings {
    /// What a checked table says.
    pub(super) fn of(declared: &Table, table: &DeTable<'_>) -> Settings {
        let told = declared.keys.iter().filter(|key| key.told == Told::Values);
        let said = |key: &Key| {
            Some(Cow::Borrowed(key.name)).zip(setting(key, table.get(key.name)?.get_ref()))
        };
        Settings(told.filter_map(said).collect())
    }

    /// What is said in a table of this name; nothing if it is not there.
    pub(super) fn table(&self, name: &str) -> &Settings {
        match self.find(name) {
            Some(Setting::Table(settings)) => settings,
            _ => &NOTHING,
        }
    }

    /// What is said in the table at this place of a list.
    pub(super) fn at(&self, name: &str, place: usize) -> &Settings {
        match self.find(name) {
            Some(Setting::List(list)) => list.get(place).unwrap_or(&NOTHING),
            _ => &NOTHING,
        }
    }

    /// Every key that differs, in the order of the reference.
    pub(super) fn differences(&self, new: &Settings, declared: &Table) -> Vec<Difference> {
        let mut found = Vec::new();
        compare(&mut found, "", declared, self, new);
        found
    }

    fn find(&self, name: &str) -> Option<&Setting> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, setting)| setting)
    }

    /// All of it in one line: `tcp true, fall 5`.
    fn words(&self, declared: &Table) -> String {
        let mut found = Vec::new();
        compare(&mut found, "", declared, &NOTHING, self);
        let one = |found: &Difference| match &found.said {
            Said::Values(_, now) | Said::Words(now) => format!("{} {now}", found.path),
        };
        found.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// What a key's value says, if it says more than the default does.
fn setting(key: &Key, value: &DeValue<'_>) -> Option<Setting> {
    let of_table = |table: &Table| match value {
        DeValue::Table(given) => Settings::of(table, given),
        _ => Settings::default(),
    };
    match key.kind {
        Kind::Table(table, without) => match value {
            DeValue::Boolean(false) if without == Without::DefaultsUnlessFalse => {
                Some(Setting::Off)
            }
            _ => {
                let settings = of_table(table);
                let says = without == Without::Off || !settings.0.is_empty();
                says.then_some(Setting::Table(settings))
            }
        },
        Kind::Tables(table) => {
            let list = value.as_array()?.iter();
            let one = |item: &toml::Spanned<DeValue<'_>>| match item.get_ref() {
                DeValue::Table(given) => Settings::of(table, given),
                _ => Settings::default(),
            };
            Some(Setting::List(list.map(one).collect()))
        }
        Kind::Named(table) => {
            let named = value.as_table()?.iter().map(|(name, value)| {
                let settings = value.get_ref().as_table().map(|given| Settings::of(table, given));
                let name = name.get_ref().to_string();
                (Cow::Owned(name), Setting::Table(settings.unwrap_or_default()))
            });
            Some(Setting::Table(Settings(named.collect())))
        }
        Kind::Fields => {
            let fields = value.as_table()?.iter().map(|(name, value)| {
                let name: Cow<'static, str> = name.get_ref().to_ascii_lowercase().into();
                (name, Setting::Text(plain(value.get_ref())))
            });
            let mut fields: Vec<_> = fields.collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            (!fields.is_empty()).then_some(Setting::Table(Settings(fields)))
        }
        Kind::Short(table, alone) => Some(Setting::Table(match value.as_str() {
            Some(text) => Settings(vec![(alone.into(), Setting::Text(text.to_string()))]),
            None => of_table(table),
        })),
        _ => {
            let text = effective(key, value);
            (Some(&text) != default(key).as_ref()).then_some(Setting::Text(text))
        }
    }
}

/// A value in the one form that all ways of writing it share.
fn effective(key: &Key, value: &DeValue<'_>) -> String {
    let text = plain(value);
    let whole = |value: &DeValue<'_>| {
        let integer = value.as_integer()?;
        u64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
    };
    let found = match key.kind {
        Kind::Time(_) | Kind::Wait(_) | Kind::Idle(_) => duration_or_zero(&text).ok().map(in_words),
        Kind::Number { unit, .. } => whole(value).map(|number| format!("{number}{unit}")),
        Kind::Size { .. } => whole(value).or_else(|| size(&text)).map(in_bytes),
        Kind::Share { .. } => text.trim().trim_end_matches('%').trim().parse().ok().map(in_percent),
        Kind::Decimal { .. } => {
            text.replace('_', "").parse().ok().map(|number: f64| number.to_string())
        }
        _ => None,
    };
    found.unwrap_or(text)
}

/// The effective value of a key that is not there; none if it has no default.
pub(super) fn default(key: &Key) -> Option<String> {
    match key.kind {
        Kind::Time(default) => default.map(in_words),
        Kind::Wait(default) => Some(in_words(default)),
        Kind::Idle(default) => default.map(in_words),
        Kind::Number { default, unit, .. } => default.map(|number| format!("{number}{unit}")),
        Kind::Size { default, .. } => default.map(in_bytes),
        Kind::Share { default, .. } => default.map(in_percent),
        Kind::Decimal { default, .. } => default.map(|number| number.to_string()),
        Kind::Boolean(default) => Some(default.to_string()),
        Kind::Word { known, has_default } => {
            known.first().filter(|_| has_default).map(ToString::to_string)
        }
        Kind::Text(default) => default.map(str::to_string),
        Kind::Texts(default) => Some(default.join(",")),
        Kind::Free("") => None,
        Kind::Free(default) => DeValue::parse(default).ok().map(|value| plain(value.get_ref())),
        Kind::Web
        | Kind::Secret
        | Kind::Table(..)
        | Kind::Tables(_)
        | Kind::Named(_)
        | Kind::Short(..)
        | Kind::Fields => None,
    }
}

fn compare(
    found: &mut Vec<Difference>,
    path: &str,
    declared: &Table,
    old: &Settings,
    new: &Settings,
) {
    for key in declared.keys.iter().filter(|key| key.told == Told::Values) {
        let (before, after) = (old.find(key.name), new.find(key.name));
        if before == after {
            continue;
        }
        let path = join(path, key.name);
        let needs_restart = key.effect == Effect::NextStart;
        let one = |path: String, said| Difference { path, said, needs_restart };
        let values = |old: &str, new: &str| Said::Values(old.into(), new.into());
        let (of_old, of_new) = (old.table(key.name), new.table(key.name));
        match key.kind {
            Kind::Table(table, without) => {
                let is_on = |setting: Option<&Setting>| match without {
                    Without::Defaults => true,
                    Without::Off => setting.is_some(),
                    Without::DefaultsUnlessFalse => setting != Some(&Setting::Off),
                };
                match (is_on(before), is_on(after)) {
                    (false, true) => found.push(one(path, values("off", &on(of_new, table)))),
                    (_, false) => found.push(one(path, values("on", "off"))),
                    (true, true) => compare(found, &path, table, of_old, of_new),
                }
            }
            Kind::Short(table, _) => match (before, after) {
                (None, _) => found.push(one(path, values("none", &of_new.words(table)))),
                (_, None) => found.push(one(path, values(&of_old.words(table), "none"))),
                _ => compare(found, &path, table, of_old, of_new),
            },
            Kind::Tables(table) => {
                let length = |setting: Option<&Setting>| match setting {
                    Some(Setting::List(list)) => list.len(),
                    _ => 0,
                };
                let (was, is) = (length(before), length(after));
                for place in 0..was.max(is) {
                    let path = format!("{path}[{}]", place + 1);
                    let (of_old, of_new) = (old.at(key.name, place), new.at(key.name, place));
                    match (place < was, place < is) {
                        (false, _) => found.push(one(path, values("none", &of_new.words(table)))),
                        (_, false) => found.push(one(path, values(&of_old.words(table), "none"))),
                        _ => compare(found, &path, table, of_old, of_new),
                    }
                }
            }
            Kind::Fields => {
                let names = of_old.0.iter().chain(&of_new.0).map(|(name, _)| name);
                for name in names.collect::<std::collections::BTreeSet<_>>() {
                    let path = join(&path, name);
                    match (of_old.find(name), of_new.find(name)) {
                        (before, after) if before == after => {}
                        (None, _) => found.push(one(path, values("none", "set"))),
                        (_, None) => found.push(one(path, values("set", "none"))),
                        _ => found.push(one(path, Said::Words("has another value".into()))),
                    }
                }
            }
            Kind::Web => found.push(one(path, web(before, after))),
            Kind::Secret => found.push(match (before, after) {
                (None, _) => one(path, values("none", "set")),
                (_, None) => one(path, values("set", "none")),
                _ => one(path, Said::Words("has another value".into())),
            }),
            _ => {
                let (before, after) = (told(key, before), told(key, after));
                match before == after {
                    true => found.push(one(path, Said::Words("is another text".into()))),
                    false => found.push(one(path, Said::Values(before, after))),
                }
            }
        }
    }
}

/// What is on now, with what was said of it.
fn on(settings: &Settings, declared: &Table) -> String {
    match settings.words(declared) {
        words if words.is_empty() => "on".into(),
        words => format!("on: {words}"),
    }
}

/// Where calls go to: paths may be secrets.
fn web(before: Option<&Setting>, after: Option<&Setting>) -> Said {
    let host = |setting: Option<&Setting>| match setting {
        // Of a socket, up to the path that is asked for behind it.
        Some(Setting::Text(url)) if url.starts_with("unix:") => {
            url.split(":/").take(2).collect::<Vec<_>>().join(":/")
        }
        Some(Setting::Text(url)) => {
            let from = url.find("://").map_or(0, |at| at + 3);
            let to = url[from..].find(['/', '?']).map_or(url.len(), |at| from + at);
            url[..to].to_string()
        }
        _ => "none".to_string(),
    };
    match (host(before), host(after)) {
        (before, after) if before == after => Said::Words(format!("is another address at {after}")),
        (before, after) => Said::Values(before, after),
    }
}

/// A value as a line tells it.
fn told(key: &Key, setting: Option<&Setting>) -> String {
    let text = match setting {
        Some(Setting::Text(text)) => Some(text.clone()),
        _ => default(key),
    };
    match text {
        None => key.absent.into(),
        Some(text) if text.is_empty() => "none".into(),
        Some(text) if text.chars().any(|c| c.is_control() || c == '"') => cut(&format!("{text:?}")),
        Some(text) => cut(&text),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// A value without quotes and brackets.
fn plain(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.as_str().replace('_', ""),
        DeValue::Float(number) => number.as_str().replace('_', ""),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(value) => value.to_string(),
        DeValue::Array(list) => {
            list.iter().map(|item| plain(item.get_ref())).collect::<Vec<_>>().join(",")
        }
        DeValue::Table(table) => {
            let pair =
                |(key, value): (&toml::Spanned<Cow<'_, str>>, &toml::Spanned<DeValue<'_>>)| {
                    format!("{}={}", key.get_ref(), plain(value.get_ref()))
                };
            table.iter().map(pair).collect::<Vec<_>>().join(",")
        }
    }
}

/// A value as TOML.
pub(super) fn written(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Array(list) => {
            let items: Vec<_> = list.iter().map(|item| written(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(table) => {
            let pair =
                |(key, value): (&toml::Spanned<Cow<'_, str>>, &toml::Spanned<DeValue<'_>>)| {
                    format!("{} = {}", key.get_ref(), written(value.get_ref()))
                };
            format!("{{ {} }}", table.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        other => plain(other),
    }
}

/// A text in quotes, as TOML reads it.
pub(super) fn quoted(text: &str) -> String {
    match text.contains(|c: char| c.is_control()) {
        true => format!("{text:?}"),
        false => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

fn in_percent(share: f64) -> String {
    format!("{share} %")
}

/// A number of bytes in the largest unit that holds it whole.
pub(super) fn in_bytes(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_string() } else { format!("{path}.{key}") }
}
