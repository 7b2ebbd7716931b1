//! The file as a JSON Schema: the declared tables in, a document by which editors complete and check out.
//!
//! Draft 7, which is what editors of TOML know. It says what a table may hold and of which type and range
//! each value is; what keys have to do with each other only `check` finds. A text may be filled in from
//! outside, so a pattern lets `${…}` pass.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::key::{Effect, Key, Kind, Shape, Table, Without};
use super::read::FILE;
use super::settings::in_bytes;
use crate::clock::in_words;

/// A number with a unit, or several.
const LENGTH: &str = r"^\s*(\+?[0-9].*[A-Za-zµ]|[Pp][0-9A-Za-z.]+)\s*$|\$\{";
const IDLE: &str = r"^\s*(\+?[0-9].*[A-Za-zµ]|[Pp][0-9A-Za-z.]+|never)\s*$|\$\{";
const SIZE: &str = r"^[0-9]+\s*([KMG]i)?B$|\$\{";
const PERCENT: &str = r"^\s*[0-9]+(\.[0-9]+)?\s*%?\s*$|\$\{";
const STATUS: &str = r"^\s*[1-5][0-9][0-9]\s*(-\s*[1-5][0-9][0-9]\s*)?$|\$\{";

/// Names that an operator chooses.
const NAME: &str = "^[A-Za-z0-9_-]{1,63}$";

/// The schema of a whole file.
pub fn schema() -> Value {
    let mut schema = Schema::default();
    let file = schema.object(&FILE);
    let definitions: Map<String, Value> = schema.tables.into_values().collect();
    let mut whole = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "The config file of Pointsman",
    });
    if let (Value::Object(whole), Value::Object(file)) = (&mut whole, file) {
        whole.extend(file);
        whole.insert("definitions".into(), definitions.into());
    }
    whole
}

/// The tables that were met, by where they are declared.
#[derive(Default)]
struct Schema {
    tables: BTreeMap<usize, (String, Value)>,
    path: Vec<&'static str>,
}

impl Schema {
    /// A table of declared keys.
    fn object(&mut self, table: &'static Table) -> Value {
        let keys = table.keys.iter().map(|key| (key.name.to_string(), self.key(key)));
        let keys: Map<String, Value> = keys.collect();
        let mut object = json!({
            "type": "object",
            "properties": keys,
            "additionalProperties": false,
        });
        if !table.about.is_empty() {
            object["description"] = plain(table.about).into();
        }
        object
    }

    /// The same where it is said once, whoever has it.
    fn table(&mut self, table: &'static Table) -> Value {
        let at = std::ptr::from_ref(table).addr();
        if !self.tables.contains_key(&at) {
            let name = self.path.join(".");
            self.tables.insert(at, (name, Value::Null));
            let object = self.object(table);
            if let Some((_, made)) = self.tables.get_mut(&at) {
                *made = object;
            }
        }
        let name = self.tables.get(&at).map_or("", |(name, _)| name);
        json!({ "$ref": format!("#/definitions/{name}") })
    }

    fn key(&mut self, key: &'static Key) -> Value {
        self.path.push(key.name);
        let mut value = match key.shape {
            Shape::OfKind => self.kind(key.kind),
            shape => self.shape(shape),
        };
        self.path.pop();
        let about = about(key);
        if !about.is_empty() {
            // Beside a reference nothing counts.
            if value.get("$ref").is_some() {
                value = json!({ "allOf": [value] });
            }
            value["description"] = about.into();
        }
        if let Some(default) = default(key.kind) {
            value["default"] = default;
        }
        value
    }

    fn kind(&mut self, kind: Kind) -> Value {
        match kind {
            Kind::Time(_) | Kind::Wait(_) => text_like(LENGTH),
            Kind::Idle(_) => text_like(IDLE),
            Kind::Number { least, most, .. } => within(least, most),
            Kind::Size { least, most, .. } => any([within(least, most), text_like(SIZE)]),
            Kind::Share { least, most, .. } => any([
                json!({"type": "number", "minimum": least, "maximum": most}),
                text_like(PERCENT),
            ]),
            Kind::Decimal { least: f64::MIN, .. } => json!({"type": "number"}),
            Kind::Decimal { least, most, .. } => {
                json!({"type": "number", "minimum": least, "maximum": most})
            }
            Kind::Boolean(_) => json!({"type": "boolean"}),
            Kind::Word { known, .. } => any([json!({"enum": known}), text_like(r"\$\{")]),
            Kind::Text(_) | Kind::Web | Kind::Secret => text(),
            Kind::Texts(_) => one_or_many(text()),
            Kind::Free(_) => json!({}),
            Kind::Table(table, Without::DefaultsUnlessFalse) => {
                any([json!({"const": false}), self.table(table)])
            }
            Kind::Table(table, _) => self.table(table),
            Kind::Tables(table) => json!({"type": "array", "items": self.table(table)}),
            Kind::Named(table) => json!({
                "type": "object",
                "propertyNames": {"pattern": NAME},
                "additionalProperties": self.table(table),
            }),
            Kind::Short(table, _) => any([text(), self.table(table)]),
            Kind::Fields => json!({"type": "object", "additionalProperties": text()}),
        }
    }

    fn shape(&mut self, shape: Shape) -> Value {
        let share =
            || any([json!({"type": "number", "minimum": 0, "maximum": 100}), text_like(PERCENT)]);
        let status =
            || any([json!({"type": "integer", "minimum": 100, "maximum": 599}), text_like(STATUS)]);
        let flag = || json!({"type": "boolean"});
        let named = |value: Value| json!({"type": "object", "additionalProperties": value});
        match shape {
            Shape::OfKind => json!({}),
            Shape::Shares => named(share()),
            Shape::Steps => json!({"type": "array", "items": share()}),
            Shape::Statuses => one_or_many(status()),
            Shape::Texts => one_or_many(text()),
            Shape::NamedTexts => named(text()),
            Shape::Conditions => named(any([text(), json!({"const": true})])),
            Shape::FlagOrText => any([flag(), text()]),
            Shape::FlagOrTable(table) => any([flag(), self.table(table)]),
            Shape::TextsOrTables(table) => {
                json!({"type": "array", "items": any([text(), self.table(table)])})
            }
        }
    }
}

fn text() -> Value {
    json!({"type": "string"})
}

fn text_like(pattern: &str) -> Value {
    json!({"type": "string", "pattern": pattern})
}

fn within(least: u64, most: u64) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most})
}

fn any<const N: usize>(these: [Value; N]) -> Value {
    json!({"anyOf": these.to_vec()})
}

fn one_or_many(one: Value) -> Value {
    any([one.clone(), json!({"type": "array", "items": one})])
}

/// Without what keeps words of the reference together.
fn plain(text: &str) -> String {
    text.replace('\u{a0}', " ")
}

/// What is said of a key.
fn about(key: &Key) -> String {
    let about = plain(key.about);
    match key.effect {
        Effect::AtOnce => about,
        Effect::NextStart if about.is_empty() => "Takes effect at the next start.".into(),
        Effect::NextStart => format!("{about}. Takes effect at the next start."),
    }
}

/// What holds without a key, if that is a value.
fn default(kind: Kind) -> Option<Value> {
    let words = |time: Duration| Value::from(in_words(time));
    match kind {
        Kind::Time(default) => default.map(words),
        Kind::Wait(default) => Some(words(default)),
        Kind::Idle(default) => default.map(words),
        Kind::Number { default, .. } => default.map(Value::from),
        Kind::Size { default, .. } => default.map(|bytes| in_bytes(bytes).into()),
        Kind::Share { default, .. } => default.map(Value::from),
        Kind::Decimal { default, .. } => default.map(Value::from),
        Kind::Boolean(default) => Some(default.into()),
        Kind::Word { known, has_default } => {
            known.first().filter(|_| has_default).map(|word| (*word).into())
        }
        Kind::Text(default) => default.map(Value::from),
        Kind::Texts(default) => Some(default.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schema that a place of a file is checked by; a name may have dots in it.
    fn at<'s>(schema: &'s Value, path: &str) -> &'s Value {
        let mut at = schema;
        for name in path.split('/') {
            at = resolved(schema, at);
            at = match at.get("properties").and_then(|keys| keys.get(name)) {
                Some(key) => key,
                None => at.get("additionalProperties").or(at.get("items")).unwrap(),
            };
        }
        at
    }

    fn resolved<'s>(schema: &'s Value, mut at: &'s Value) -> &'s Value {
        loop {
            let all = at.get("allOf").and_then(|all| all.get(0));
            let any = || at.get("anyOf")?.as_array()?.iter().find(|one| one.get("$ref").is_some());
            let items = || at.get("items").filter(|_| at["type"] == "array");
            match (at.get("$ref"), all.or_else(any).or_else(items)) {
                (Some(name), _) => {
                    at = schema.pointer(name.as_str().unwrap().trim_start_matches('#')).unwrap();
                }
                (None, Some(inner)) => at = inner,
                (None, None) => return at,
            }
        }
    }

    /// Calls with each key that is declared, by its path.
    fn each(path: &str, table: &'static Table, call: &mut impl FnMut(&str, &'static Key)) {
        for key in table.keys {
            let path =
                if path.is_empty() { key.name.into() } else { format!("{path}/{}", key.name) };
            call(&path, key);
            match key.kind {
                Kind::Table(inner, _) | Kind::Tables(inner) | Kind::Short(inner, _) => {
                    each(&path, inner, call);
                }
                Kind::Named(inner) => each(&format!("{path}/x"), inner, call),
                _ => {}
            }
        }
    }

    #[test]
    fn each_declared_key_is_in_it_with_what_is_said_of_it() {
        let schema = schema();
        let mut count = 0;
        each("", &FILE, &mut |path, key| {
            count += 1;
            let found = at(&schema, path);
            assert!(found.is_object(), "{path}");
            assert_ne!(found, &json!({}), "{path}: nothing is said of what it may be");
            if !key.about.is_empty() {
                let said = found["description"].as_str().unwrap_or_default();
                assert!(said.starts_with(&plain(key.about)), "{path}: {said}");
            }
        });
        assert!(count > 250, "{count}");
    }

    #[test]
    fn types_ranges_words_and_defaults_are_those_of_the_declaration() {
        let schema = schema();
        let at = |path| at(&schema, path);
        assert_eq!(
            at("server/workers"),
            &json!({
                "type": "integer", "minimum": 1, "maximum": 1024,
                "description": "threads that move requests; default: one per core. Takes effect at the next start.",
            })
        );
        assert_eq!(at("services/x/timeouts/connect")["default"], "1s");
        assert_eq!(at("services/x/rollout/strategy")["anyOf"][0]["enum"][1], "blue-green");
        assert_eq!(at("services/x/breaker")["anyOf"][0], json!({"const": false}));
        let pool = resolved(&schema, at("services/x/pools/x"));
        assert_eq!(pool["additionalProperties"], false);
        assert_eq!(
            at("routes/headers")["additionalProperties"]["anyOf"][1],
            json!({"const": true})
        );
    }

    #[test]
    fn what_is_gone_is_not_in_it() {
        fn gone(schema: &Value, path: &str, table: &'static Table) -> usize {
            let mut count = 0;
            for old in table.gone {
                let keys = &resolved(schema, at(schema, path))["properties"];
                assert!(keys.get(old.name).is_none(), "{path}.{}", old.name);
                count += 1;
            }
            for key in table.keys {
                let path =
                    if path.is_empty() { key.name.into() } else { format!("{path}/{}", key.name) };
                count += match key.kind {
                    Kind::Table(inner, _) | Kind::Tables(inner) | Kind::Short(inner, _) => {
                        gone(schema, &path, inner)
                    }
                    Kind::Named(inner) => gone(schema, &format!("{path}/x"), inner),
                    _ => 0,
                };
            }
            count
        }
        gone(&schema(), "", &FILE);
    }
}
