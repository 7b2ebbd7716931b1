//! Every value of the reference is edited, and every key that it shows in a comment is set: a
//! difference must be told each time, with words for what it was and what it becomes.
//!
//! The file is edited as text, as an operator does: nothing here knows which keys there are.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::*;
use crate::config::{AdminPlace, Environment, Expansion, Texts};

/// What a value may be changed to: the first one that the file allows is taken.
const TEXTS: [&str; 46] = [
    "gzip",
    "text/css",
    "ignore",
    "1.3",
    "combined",
    "tls-alpn-01",
    "https://other.test/x",
    "other@example.com",
    "at-once",
    "7s",
    "7m",
    "/other",
    "other",
    "black",
    "h2",
    "127.0.0.1:7777",
    "unix:/run/other.sock",
    "http://other.test/x",
    "/usr/bin/other",
    "10.1.0.0/16",
    "10.1.0.1",
    "x-other",
    "OPTIONS",
    "PUT",
    "slack",
    "high",
    "blue-green",
    "requests",
    "promote",
    "1KiB",
    "1MiB",
    "98%",
    "7d",
    "round-robin",
    "204",
    "4xx",
    "sum(up)",
    "pass",
    "share",
    "v1",
    "all",
    "normal",
    "br",
    "canary",
    "pool",
    "abort-rollout",
];
const LISTS: [&str; 4] = ["[\"10.1.0.0/16\"]", "[503]", "[\"other\"]", "[]"];

fn reference() -> String {
    // A hook that runs a command is refused otherwise, and routes need somewhere else to lead to, as rules
    // need others to wait for and to tell.
    let text = include_str!("../../../conf/reference.toml")
        .replace("allow_commands = false", "allow_commands = true ");
    let rule = |name: &str| {
        format!(
            "[automation.{name}]\nservice = \"shop\"\nwhen = {{ down = 1 }}\nthen = \"notify\"\n"
        )
    };
    let (grow, other) = (rule("grow"), rule("other"));
    format!(
        "{text}\n[services.other.pools.only]\nupstreams = [\"a:1\"]\n[[notify]]\nurl = \"http://other/\"\n\
         {grow}{other}"
    )
}

fn parse(text: &str) -> Option<Config> {
    Config::parse(text).ok().map(|(config, _)| config)
}

fn with(text: &str, place: &Range<usize>, value: &str) -> String {
    format!("{}{value}{}", &text[..place.start], &text[place.end..])
}

/// The places of all values below this one that are no tables, with their paths.
fn leaves(path: &str, value: &Spanned<DeValue<'_>>, found: &mut Vec<(String, Range<usize>)>) {
    match value.get_ref() {
        DeValue::Table(table) => below(path, table, found),
        DeValue::Array(list) if !list.is_empty() => {
            list.iter().for_each(|item| leaves(path, item, found));
        }
        _ => found.push((path.to_string(), value.span())),
    }
}

fn below(path: &str, table: &DeTable<'_>, found: &mut Vec<(String, Range<usize>)>) {
    for (key, value) in table {
        let path = format!("{path}.{}", key.get_ref());
        match key.get_ref().as_ref() {
            // Shares hang together.
            "split" => found.push((path, value.span())),
            _ => leaves(path.trim_start_matches('.'), value, found),
        }
    }
}

fn candidates(written: &str) -> Vec<String> {
    let number = written.replace('_', "").parse::<f64>();
    match (written, number) {
        ("true", _) => vec!["false".into()],
        ("false", _) => vec!["true".into()],
        (_, Ok(number)) => {
            [1.0, -1.0, 0.25, -0.5, 100.0].map(|by| (number + by).to_string()).to_vec()
        }
        (text, _) if text.starts_with('[') => LISTS.map(str::to_string).to_vec(),
        (text, _) if text.starts_with('{') => vec!["{ blue = 90, green = 10 }".into()],
        _ => TEXTS.iter().map(|text| format!("\"{text}\"")).collect(),
    }
}

/// What is wrong with the lines that tell of a difference, if anything.
fn mistake(old: &str, new: &str) -> Option<String> {
    let (old, new) = (parse(old)?, parse(new)?);
    let lines: Vec<String> =
        diff(&old, &new, &Live::default()).iter().map(ToString::to_string).collect();
    match lines.iter().find(|line| line.contains(" changed")) {
        _ if lines.is_empty() => Some("no difference".into()),
        line => line.cloned(),
    }
}

/// What is wrong with how edits within these bytes are told.
fn edited(text: &str, within: &Range<usize>) -> Vec<String> {
    let (root, _) = DeTable::parse_recoverable(text);
    let mut sites = Vec::new();
    below("", root.get_ref(), &mut sites);
    let sites = sites.into_iter().filter(|(_, at)| within.contains(&at.start));
    let told = |(path, at): (String, Range<usize>)| {
        let written = &text[at.clone()];
        let edits = candidates(written).into_iter().filter(|value| value != written);
        let new = edits.map(|value| with(text, &at, &value)).find(|new| parse(new).is_some());
        match new {
            // It is there or not, which is told.
            None if written == "true" => None,
            // Which is not in every build.
            None if path == "traces.protocol" && !cfg!(feature = "traces-grpc") => None,
            None => Some(format!("{path}: no edit of {written} is allowed")),
            Some(new) => mistake(text, &new).map(|mistake| format!("{path}: {mistake}")),
        }
    };
    sites.filter_map(told).collect()
}

/// The file with lines of it set that were a comment; another line or table is taken out where the
/// two cannot stand together.
fn shown(text: &str, block: Range<usize>) -> Option<(String, Range<usize>)> {
    let lines: Vec<&str> = text[block.clone()].lines().collect();
    let keys: Option<Vec<&str>> = lines.iter().map(|line| line.strip_prefix("# ")).collect();
    let keys = keys?.join("\n");
    let set = with(text, &block, &keys);
    let place = block.start..block.start + keys.len();
    if parse(&set).is_some() {
        return Some((set, place));
    }
    let without = |other: Range<usize>| {
        let mut text = set.clone();
        // A comment of the same length, so that places stay.
        for line in lines_of(&set[other.clone()]).filter(|line| !line.is_empty()) {
            let start = other.start + line.start;
            text.replace_range(start..start + 1, "#");
        }
        parse(&text).map(|_| text)
    };
    let apart = |other: &Range<usize>| other.end <= place.start || other.start >= place.end;
    let lines = lines_of(&set).filter(|line| set[line.clone()].contains(" = "));
    let mut others = lines.chain(tables_of(&set)).filter(apart);
    others.find_map(without).map(|set| (set, place))
}

fn lines_of(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    text.split('\n').map(move |line| {
        let place = start..start + line.len();
        start = place.end + 1;
        place
    })
}

/// From each header to the next empty line.
fn tables_of(text: &str) -> impl Iterator<Item = Range<usize>> {
    let headers = lines_of(text).filter(|line| text[line.clone()].starts_with('['));
    headers.map(|line| {
        line.start..text[line.start..].find("\n\n").map_or(text.len(), |at| line.start + at)
    })
}

/// What stands in comments and could be set: a key, or a whole table.
fn comments(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut is_table = false;
    for place in lines_of(text) {
        let line = text[place.clone()].strip_prefix("# ").unwrap_or_default();
        let key = line.split_once(" = ").map(|(key, _)| key.trim_matches('"'));
        let is_word =
            |key: &str| key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.".contains(&b));
        match (line.starts_with('['), key.is_some_and(is_word)) {
            (true, _) => {
                found.push(place);
                is_table = true;
            }
            (_, true) if is_table => {
                let header = found.pop().map_or(place.start, |header| header.start);
                found.push(header..place.end);
            }
            (_, true) => found.push(place),
            (_, false) => is_table = false,
        }
    }
    found
}

#[test]
fn an_edit_of_any_key_of_the_reference_is_told() {
    let text = reference();
    assert!(parse(&text).is_some());
    let mut wrong = edited(&text, &(0..text.len()));
    let blocks = comments(&text);
    assert!(blocks.len() > 20, "{blocks:?}");
    for block in blocks {
        let Some((set, place)) = shown(&text, block.clone()) else {
            wrong.push(format!("`{}` cannot be set", &text[block]));
            continue;
        };
        wrong.extend(mistake(&text, &set).map(|mistake| format!("{}: {mistake}", &text[block])));
        wrong.extend(edited(&set, &place));
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The same with one text out of the environment.
fn filled(text: &str, value: &str) -> Option<Config> {
    let variable = [("OUTSIDE".into(), value.into())];
    let expansion = Expansion::Of(Environment::of(variable));
    let texts = Texts::of("t", text);
    let parsed =
        Config::parse_texts(&texts, &AdminPlace::File, &expansion, &mut |_| Err(String::new()));
    parsed.ok().map(|parsed| parsed.config)
}

#[test]
fn what_is_from_outside_is_told_as_it_is_written() {
    let text = reference();
    let old = parse(&text).unwrap();
    let (root, _) = DeTable::parse_recoverable(&text);
    let mut sites = Vec::new();
    below("", root.get_ref(), &mut sites);
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for (path, at) in sites.into_iter().filter(|(_, at)| text[at.clone()].starts_with('"')) {
        // Names are keys of the file elsewhere.
        if path.ends_with("service") || path.ends_with("services") {
            continue;
        }
        let asks = with(&text, &at, "\"${OUTSIDE}\"");
        // What the reference has nowhere, so that it comes from outside if it is told.
        let values = TEXTS.iter().filter(|value| !text.contains(*value));
        let Some((value, new)) =
            values.into_iter().find_map(|value| Some((value, filled(&asks, value)?)))
        else {
            continue;
        };
        tried += 1;
        for line in
            diff(&old, &new, &Live::default()).iter().chain(&diff(&new, &old, &Live::default()))
        {
            if line.to_string().contains(value) {
                wrong.push(format!("{path}: {line}"));
            }
        }
    }
    assert!(tried > 60, "{tried}");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
