//! What is shown to all who watch the same thing: rows by key, once a second in; lines of JSON out, whole
//! or what is different from the line before.
//!
//! A line is written once, however many read it. Who is bound to services gets one that is put together
//! from the same rows.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::Serialize;

use super::plots::Plots;

/// Rows by key, each as it travels.
pub(super) type Rows = BTreeMap<Arc<str>, Bytes>;

/// What one look has found.
#[derive(Debug)]
pub(super) struct Tick {
    /// Counts up by one.
    pub number: u64,
    /// When that was, as Unix time in seconds.
    pub at: f64,
    /// Counts up with every change that took effect.
    pub generation: u64,
    /// The last event's number.
    pub last_event: u64,
    /// All there is.
    pub rows: Rows,
    /// Keys of rows that are not as they were.
    changed: Vec<Arc<str>>,
    /// Keys of rows that are not there any more.
    gone: Vec<Arc<str>>,
    /// What happened since: of which service, and as it travels.
    pub events: Vec<(String, Bytes)>,
    /// What is plotted of it, if anything.
    plots: Option<Plots>,
    written: [OnceLock<Bytes>; 2],
}

/// How much of it a line has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All there is.
    Whole,
    /// What is different from the line before.
    Changes,
}

/// What a look finds beside the rows.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub at: f64,
    pub generation: u64,
    pub last_event: u64,
    pub events: Vec<(String, Bytes)>,
    pub plots: Option<Plots>,
}

/// A row as it travels; nothing for what cannot be written, which none of ours is.
pub(super) fn row<T: Serialize + ?Sized>(value: &T) -> Bytes {
    serde_json::to_vec(value).map(Bytes::from).unwrap_or_default()
}

impl Tick {
    /// What is found now, after what was found before.
    pub fn after(before: Option<&Tick>, rows: Rows, found: Found) -> Tick {
        let nothing = Rows::new();
        let old = before.map_or(&nothing, |tick| &tick.rows);
        let is_new = |(key, row): &(&Arc<str>, &Bytes)| old.get(*key) != Some(*row);
        let changed = rows.iter().filter(is_new).map(|(key, _)| key.clone()).collect();
        let gone = old.keys().filter(|key| !rows.contains_key(*key)).cloned().collect();
        let Found { at, generation, last_event, events, plots } = found;
        let number = before.map_or(1, |tick| tick.number + 1);
        let written = [OnceLock::new(), OnceLock::new()];
        Tick { number, at, generation, last_event, rows, changed, gone, events, plots, written }
    }

    /// The line for who is told everything, written once.
    pub fn line(&self, extent: Extent) -> Bytes {
        let everything = |_: &str| true;
        self.written[extent as usize].get_or_init(|| self.write(extent, everything)).clone()
    }

    /// The line for who is told of some services alone.
    pub fn line_for(&self, extent: Extent, sees: impl Fn(&str) -> bool) -> Bytes {
        self.write(extent, sees)
    }

    /// A row of all services is for who is told of that service, the config's state for who is told of
    /// all, which `""` stands for, and any other for everybody who may watch this at all.
    fn write(&self, extent: Extent, sees: impl Fn(&str) -> bool) -> Bytes {
        let may = |key: &str| match key.strip_prefix("service/") {
            Some(service) => sees(service),
            None => key != "config" || sees(""),
        };
        let is_whole = extent == Extent::Whole;
        let keys: Vec<&Arc<str>> = match extent {
            Extent::Whole => self.rows.keys().collect(),
            Extent::Changes => self.changed.iter().collect(),
        };
        let mut line = format!(
            "{{\"tick\":{},\"at\":{},\"generation\":{},\"last_event\":{},\"whole\":{is_whole},\"rows\":{{",
            self.number,
            serde_json::Number::from_f64(self.at).unwrap_or(0.into()),
            self.generation,
            self.last_event
        )
        .into_bytes();
        let rows = keys.into_iter().filter(|key| may(key));
        let rows = rows.filter_map(|key| Some((key, self.rows.get(key)?)));
        for (nth, (key, row)) in rows.filter(|(_, row)| !row.is_empty()).enumerate() {
            line.extend_from_slice(if nth > 0 { b"," } else { b"" });
            line.extend_from_slice(&self::row(&**key));
            line.push(b':');
            line.extend_from_slice(row);
        }
        line.extend_from_slice(b"},\"gone\":[");
        let gone = self.gone.iter().filter(|key| !is_whole && may(key));
        for (nth, key) in gone.enumerate() {
            line.extend_from_slice(if nth > 0 { b"," } else { b"" });
            line.extend_from_slice(&self::row(&**key));
        }
        line.extend_from_slice(b"],\"events\":[");
        let events = self.events.iter().filter(|(service, _)| !is_whole && sees(service));
        for (nth, (_, event)) in events.enumerate() {
            line.extend_from_slice(if nth > 0 { b"," } else { b"" });
            line.extend_from_slice(event);
        }
        line.push(b']');
        if let Some(plots) = &self.plots {
            line.extend_from_slice(plots.members(extent).as_bytes());
        }
        line.extend_from_slice(b"}\n");
        line.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn tick(before: Option<&Tick>, rows: &[(&str, Value)]) -> Tick {
        let rows = rows.iter().map(|(key, value)| ((*key).into(), row(value))).collect();
        let events = vec![("web".to_string(), row(&json!({"number": 7})))];
        let found = Found { at: 1.5, last_event: 7, events, ..Found::default() };
        Tick::after(before, rows, found)
    }

    fn read(line: &[u8]) -> Value {
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(line).unwrap()
    }

    #[test]
    fn a_line_says_what_is_different_and_a_whole_one_all_there_is() {
        let first = tick(None, &[("service/a", json!(1)), ("service/b", json!(2))]);
        let rows = [("service/a", json!(1)), ("service/c\"\n", json!(3)), ("config", json!("c"))];
        let second = tick(Some(&first), &rows);
        let changes = read(&second.line(Extent::Changes));
        assert_eq!(changes["rows"], json!({"service/c\"\n": 3, "config": "c"}));
        assert_eq!((&changes["gone"], &changes["tick"]), (&json!(["service/b"]), &json!(2)));
        assert_eq!(changes["events"], json!([{"number": 7}]));
        let whole = read(&second.line(Extent::Whole));
        assert_eq!(whole["rows"], json!({"config": "c", "service/a": 1, "service/c\"\n": 3}));
        assert_eq!((&whole["gone"], &whole["events"]), (&json!([]), &json!([])));
        assert_eq!((&whole["whole"], &whole["at"]), (&json!(true), &json!(1.5)));
    }

    #[test]
    fn who_is_bound_is_told_of_its_own_alone() {
        let rows = [("service/a", json!(1)), ("service/b", json!(2)), ("config", json!("c"))];
        let first = tick(None, &rows);
        let line = read(&first.line_for(Extent::Whole, |service| service == "b"));
        assert_eq!(line["rows"], json!({"service/b": 2}));
        let second = tick(Some(&first), &[("config", json!("d"))]);
        let line = read(&second.line_for(Extent::Changes, |service| service == "b"));
        let told = (&line["rows"], &line["gone"], &line["events"]);
        assert_eq!(told, (&json!({}), &json!(["service/b"]), &json!([])));
    }

    #[test]
    fn a_line_is_written_once_however_many_read_it() {
        let tick = tick(None, &[("service/a", json!(1))]);
        let lines = [tick.line(Extent::Whole), tick.line(Extent::Whole)];
        assert_eq!(lines[0].as_ptr(), lines[1].as_ptr());
    }
}
