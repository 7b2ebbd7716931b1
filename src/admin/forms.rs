//! What the words and numbers of a request may be, as JSON Schema: the document of the API in, the same
//! with patterns and bounds out.
//!
//! What a handler refuses for its form is said here as well, as far as JSON Schema can say it: that the
//! shares of a split sum to 100 it cannot. Where a form has many spellings, such as durations, what is
//! said is taken, and more than that. A client that keeps to the document is never refused for a form.

use serde_json::{Map, Value, json};

use super::alerts::{LONGEST_FINGERPRINT, MOST};
use super::explain::{LONGEST_TOKEN, MOST_FIELDS};
use crate::incident::{LONGEST_NAME, LONGEST_TEXT, LONGEST_TITLE, MOST_SERVICES};
use crate::logs::{self, Level, OURS, REST, ROOMS};
use crate::orders::MOST_DEPLOYED;
use crate::rollout::LONGEST_TAG;
use crate::upstream::MOST_LABELS;

/// The longest author and the longest reason, in characters: both are kept with what they were said
/// of, and shown in tables.
pub(super) const LONGEST_WORDS: usize = 1_024;

/// The longest message of a maintenance, in characters.
pub(super) const LONGEST_MESSAGE: usize = 4_096;

/// A hold's length: at most five minutes.
const HOLD: &str = "^(([1-9][0-9]{0,4}|[12][0-9]{5}|300000)ms|([1-9][0-9]?|[12][0-9]{2}|300)s|[1-5]m|\
                    [1-4]m ?([1-9]|[1-5][0-9])s)$";

/// A freeze's length: at most ninety days.
const FREEZE: &str = "^(([1-9][0-9]{0,8}|[1-6][0-9]{9}|7[0-6][0-9]{8}|77[0-6][0-9]{7}|\
                      777[0-5][0-9]{6}|7776000000)ms|[1-9][0-9]{0,5}s|[1-9][0-9]{0,4}m|[1-9][0-9]{0,2}h|\
                      ([1-9]|[1-8][0-9]|90)d|([1-9]|[1-8][0-9])d ?([1-9]|1[0-9]|2[0-3])h)$";

/// An override's length: at most a day.
const OVERRIDE: &str = "^(([1-9][0-9]{0,6}|[1-7][0-9]{7}|8[0-5][0-9]{6}|86[0-3][0-9]{5}|86400000)ms|\
                        [1-9][0-9]{0,3}s|[1-9][0-9]{0,2}m|\
                        ([1-9]|1[0-9]|2[0-4])h|([1-9]|1[0-9]|2[0-3])h ?([1-9]|[1-5][0-9])m|1d)$";

/// A length of a rollout's, which may be none.
const LENGTH: &str = "^(0|0s|[1-9][0-9]{0,5}ms|[1-9][0-9]{0,4}s|[1-9][0-9]{0,3}m|[1-9][0-9]?h|\
                      [1-9][0-9]{0,2}m ?([1-9]|[1-5][0-9])s|[1-9][0-9]?h ?([1-9]|[1-5][0-9])m)$";

/// More than white space.
const NOT_BLANK: &str =
    "[^\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";

/// A label: a name, `=`, and a text without control characters.
const LABEL: &str = "^[a-z][a-z0-9_]{0,62}=[^\\u0000-\\u001f\\u007f-\\u009f]{1,63}$";

/// Its name alone.
const LABEL_NAME: &str = "^[a-z][a-z0-9_]{0,62}$";

/// And its text.
const LABEL_TEXT: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]{1,63}$";

/// A whole URL.
const URL: &str = "^https?://[a-z0-9]{1,30}(\\.[a-z0-9]{1,30}){0,4}(/[0-9A-Za-z_~-]{0,30}){0,8}\
                   (\\?[0-9A-Za-z=&]{0,30})?$";

/// The value of a field: no control characters but tabs.
const VALUE: &str = "^[^\\u0000-\\u0008\\u000a-\\u001f\\u007f]*$";

/// An address of a client; those of IPv6 are taken too.
const IPV4: &str = "^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\\.){3}\
                    (25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])$";

/// A time of RFC 3339 since 1970.
const TIME: &str = "^(19[7-9][0-9]|20[0-9]{2})-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):\
                    [0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?Z$";

/// `*`, or a revision with or without quotes.
const CONDITION: &str = "^(\\*|\"[0-9]{1,19}\"|[0-9]{1,19})$";

/// What a rollout can be told.
const VERBS: [&str; 5] = ["pause", "resume", "step", "promote", "abort"];

/// Adds the forms of all fields and parameters.
pub(super) fn complete(document: &mut Value) {
    let schemas = document["components"]["schemas"].as_object_mut();
    for (name, schema) in schemas.into_iter().flatten() {
        // What is asked for is strict, answers may grow.
        if schema["additionalProperties"] == Value::Bool(false) {
            said_by(schema["properties"].as_object_mut());
        }
        for (field, form) in fields(name) {
            extend(&mut schema["properties"][field], form);
        }
        whole(name, schema);
    }
    bound_numbers(document);
}

/// Adds the forms of a parameter.
pub(super) fn parameter(parameter: &mut Value) {
    let form = match parameter["name"].as_str() {
        Some("If-Match") => json!({"type": "string", "pattern": CONDITION}),
        Some("verb") => json!({"enum": VERBS}),
        Some("author" | "reason") => json!({"maxLength": LONGEST_WORDS}),
        _ => return,
    };
    extend(&mut parameter["schema"], form);
}

/// Who says it and why.
fn said_by(properties: Option<&mut Map<String, Value>>) {
    let Some(properties) = properties else { return };
    for (field, property) in properties {
        if field == "author" || field == "reason" {
            extend(property, json!({"maxLength": LONGEST_WORDS}));
        }
    }
}

/// What those may be that say how a rollout goes.
fn pace() -> Vec<(&'static str, Value)> {
    let steps = json!({"minItems": 1, "items": {
        "type": "number", "minimum": 0, "maximum": 100, "multipleOf": 0.01
    }});
    let length = || json!({"pattern": LENGTH});
    vec![("steps", steps), ("hold", length()), ("watch", length())]
}

/// What the fields of a schema may be.
fn fields(schema: &str) -> Vec<(&'static str, Value)> {
    let share = || json!({"minimum": 0, "maximum": 100, "multipleOf": 0.01});
    match schema {
        "PutSplit" => {
            vec![(
                "weights",
                json!({"minProperties": 1, "additionalProperties": {
                    "type": "number", "minimum": 0, "maximum": 100, "multipleOf": 0.01
                }}),
            )]
        }
        "PutFlag" => vec![("percent", share())],
        "StartRollout" => pace(),
        "Deploy" => {
            let to = json!({"minItems": 1, "maxItems": MOST_DEPLOYED, "uniqueItems": true, "items": {
                "type": "string", "pattern": address(), "maxLength": LONGEST_ADDRESS
            }});
            [("to", to), ("tag", json!({"pattern": tag()}))].into_iter().chain(pace()).collect()
        }
        "PutMode" => vec![
            ("for", json!({"pattern": HOLD})),
            ("message", json!({"maxLength": LONGEST_MESSAGE})),
        ],
        "PutFreeze" => vec![
            ("for", json!({"pattern": FREEZE})),
            ("reason", json!({"type": "string", "pattern": NOT_BLANK})),
        ],
        "FreezeOverride" => vec![
            ("for", json!({"pattern": OVERRIDE})),
            ("reason", json!({"type": "string", "pattern": NOT_BLANK})),
        ],
        "TestNotice" => {
            let severities = ["low", "medium", "high", "critical"];
            vec![(
                "severity",
                json!({"enum": severities.map(Value::from).into_iter().chain([Value::Null]).collect::<Vec<_>>()}),
            )]
        }
        "PostIncident" => vec![
            ("title", json!({"pattern": NOT_BLANK, "maxLength": LONGEST_TITLE})),
            ("services", json!({"maxItems": MOST_SERVICES})),
            ("commander", json!({"pattern": NOT_BLANK, "maxLength": LONGEST_NAME})),
            ("channel", json!({"pattern": NOT_BLANK, "maxLength": LONGEST_NAME})),
            ("next", json!({"pattern": OVERRIDE})),
        ],
        "PostIncidentText" => {
            vec![("text", json!({"pattern": NOT_BLANK, "maxLength": LONGEST_TEXT}))]
        }
        "PostIncidentUpdate" => vec![
            ("text", json!({"pattern": NOT_BLANK, "maxLength": LONGEST_TEXT})),
            ("commander", json!({"pattern": NOT_BLANK, "maxLength": LONGEST_NAME})),
            ("channel", json!({"pattern": NOT_BLANK, "maxLength": LONGEST_NAME})),
            ("next", json!({"pattern": OVERRIDE})),
        ],
        "PostAlerts" => {
            vec![("version", json!({"enum": ["4"]})), ("alerts", json!({"maxItems": MOST}))]
        }
        "PostAlert" => vec![
            ("startsAt", json!({"pattern": TIME})),
            ("fingerprint", json!({"pattern": NOT_BLANK, "maxLength": LONGEST_FINGERPRINT})),
        ],
        "PutLogLevels" => vec![("levels", levels())],
        "Explain" => vec![
            ("url", json!({"pattern": URL})),
            ("method", json!({"pattern": token()})),
            ("fields", json!({"maxItems": MOST_FIELDS})),
            ("client", json!({"pattern": IPV4})),
        ],
        "ExplainWith" => vec![("request", json!({"properties": {"at": {"type": "null"}}}))],
        "ExplainField" => {
            vec![("name", json!({"pattern": token()})), ("value", json!({"pattern": VALUE}))]
        }
        "PutLabelledState" => vec![("label", json!({"pattern": LABEL}))],
        "PostUpstream" => {
            vec![
                ("address", json!({"pattern": address(), "maxLength": LONGEST_ADDRESS})),
                (
                    "labels",
                    json!({
                        "maxProperties": MOST_LABELS,
                        "propertyNames": {"pattern": LABEL_NAME},
                        "additionalProperties": {"type": "string", "pattern": LABEL_TEXT},
                    }),
                ),
            ]
        }
        _ => Vec::new(),
    }
}

/// What holds of several fields together.
fn whole(name: &str, schema: &mut Value) {
    match name {
        "PutFlag" => {
            schema["oneOf"] = json!([
                {"required": ["percent"],
                    "properties": {"percent": {"type": "number"}, "back": {"const": false}}},
                {"required": ["back"],
                    "properties": {"percent": {"type": "null"}, "back": {"const": true}}},
            ]);
        }
        "PutFreeze" | "FreezeOverride" => schema["required"] = json!(["reason"]),
        "StartRollout" | "Deploy" => {
            schema["anyOf"] = json!([
                {"properties": {"override_freeze": {"const": false}}},
                {"required": ["reason"],
                    "properties": {"reason": {"type": "string", "pattern": NOT_BLANK}}},
            ]);
        }
        _ => {}
    }
}

/// The longest address that is described, in bytes: a host name of 253, `:` and a port of one digit.
const LONGEST_ADDRESS: usize = 255;

/// Levels by target. Only of our own rooms all may be said.
fn levels() -> Value {
    let names = |levels: &[Level]| levels.iter().map(|level| level.name()).collect::<Vec<_>>();
    let all = names(&Level::ALL);
    let modules = "(::[0-9A-Za-z_]{1,30}){0,2}$";
    let ours = format!("^({OURS}|{}){modules}", ROOMS.join("|"));
    let with_default = |mut levels: Vec<&'static str>| {
        levels.push(REST);
        json!({"type": "string", "enum": levels})
    };
    let others = Level::ALL.into_iter().filter(|level| *level != Level::Trace);
    json!({
        "maxProperties": logs::MOST,
        "propertyNames": {"pattern": format!("^[0-9A-Za-z_]{{1,30}}{modules}")},
        "properties": {REST: {"type": "string", "enum": all}},
        "patternProperties": {ours: with_default(all.clone())},
        "additionalProperties": with_default(names(&others.collect::<Vec<_>>())),
    })
}

/// A method, or the name of a field: a token (RFC 9110 section 5.6.2).
fn token() -> String {
    format!("^[!#$%&'*+.^_`|~0-9A-Za-z-]{{1,{LONGEST_TOKEN}}}$")
}

/// A tag: printable, without spaces.
fn tag() -> String {
    format!("^[!-~]{{1,{LONGEST_TAG}}}$")
}

/// `ip:port`, `host:port`, `srv:name` or `unix:/path`.
fn address() -> String {
    let byte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
    let group = "[0-9A-Fa-f]{1,4}";
    let port =
        "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
    let label = "[0-9A-Za-z_-]{1,63}";
    // Not digits alone, which would be a mistyped IP address.
    let last = "[0-9]{0,31}[A-Za-z_-][0-9A-Za-z_-]{0,31}";
    let v4 = format!("({byte}\\.){{3}}{byte}");
    let v6 = format!("\\[(({group}:){{7}}{group}|({group}:){{1,6}}:{group}|::({group})?)\\]");
    format!(
        "^(({v4}|{v6}|({label}\\.){{0,9}}{last}):{port}|srv:({label}\\.){{1,9}}{last}|\
         unix:/[!-~]{{0,106}})$"
    )
}

/// Whole numbers have as many digits as they are read with, which neither `int64` nor a `usize` without
/// a format says.
fn bound_numbers(document: &mut Value) {
    match document {
        Value::Object(fields) => {
            let kind = fields.get("type");
            let is_whole = kind.is_some_and(|kind| match kind.as_array() {
                Some(kinds) => kinds.iter().any(|kind| kind == "integer"),
                None => kind == "integer",
            });
            let is_narrow = fields.get("format").is_some_and(|format| format == "int32");
            if is_whole && !is_narrow && !fields.contains_key("maximum") {
                fields.insert("maximum".into(), json!(u64::MAX));
                // That ends sooner.
                fields.remove("format");
            }
            fields.values_mut().for_each(bound_numbers);
        }
        Value::Array(list) => list.iter_mut().for_each(bound_numbers),
        _ => {}
    }
}

fn extend(schema: &mut Value, form: Value) {
    if let (Value::Object(schema), Value::Object(form)) = (schema, form) {
        schema.extend(form);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use proptest::string::string_regex;

    use super::*;
    use crate::admin::description::whole as document;
    use crate::config::duration;
    use crate::upstream::{Address, Label};

    /// Texts that a pattern describes.
    fn texts(pattern: &str) -> impl Strategy<Value = String> {
        let bare = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')).unwrap();
        string_regex(bare).unwrap()
    }

    fn is_within(text: &str, longest: Duration) -> bool {
        duration(text).is_ok_and(|length| length <= longest)
    }

    proptest! {
        #[test]
        fn what_is_described_is_taken(
            hold in texts(HOLD),
            freeze in texts(FREEZE),
            lifted in texts(OVERRIDE),
            length in texts(LENGTH),
            label in texts(LABEL),
            address in texts(&address()),
            url in texts(URL),
            client in texts(IPV4),
            token in texts(&token()),
            value in texts(VALUE),
        ) {
            use axum::http::{HeaderName, HeaderValue, Method};
            prop_assert!(Method::from_bytes(token.as_bytes()).is_ok(), "{token}");
            prop_assert!(HeaderName::from_bytes(token.as_bytes()).is_ok(), "{token}");
            prop_assert!(HeaderValue::from_str(&value).is_ok(), "{value:?}");
            let url = url.parse::<axum::http::Uri>();
            prop_assert!(url.as_ref().is_ok_and(|url| url.authority().is_some()), "{url:?}");
            prop_assert!(client.parse::<std::net::IpAddr>().is_ok(), "{client}");
            const DAY: Duration = Duration::from_secs(24 * 60 * 60);
            prop_assert!(is_within(&hold, Duration::from_secs(300)), "{hold}");
            prop_assert!(is_within(&freeze, 90 * DAY), "{freeze}");
            prop_assert!(is_within(&lifted, DAY), "{lifted}");
            prop_assert!(matches!(&*length, "0" | "0s") || duration(&length).is_ok(), "{length}");
            prop_assert!(label.parse::<Label>().is_ok(), "{label:?}");
            let is_short = address.len() <= LONGEST_ADDRESS;
            prop_assert!(!is_short || address.parse::<Address>().is_ok(), "{address}");
        }
    }

    #[test]
    fn what_is_not_described_of_a_field_is_refused() {
        use axum::http::{HeaderName, HeaderValue, Method};
        for byte in 0..=127_u8 {
            let text = char::from(byte).to_string();
            let is_token = matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')
                || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(Method::from_bytes(&[byte]).is_ok(), is_token, "{text:?}");
            assert_eq!(HeaderName::from_bytes(&[byte]).is_ok(), is_token, "{text:?}");
            let is_value = byte == b'\t' || (32..127).contains(&byte);
            assert_eq!(HeaderValue::from_str(&text).is_ok(), is_value, "{text:?}");
        }
    }

    #[test]
    fn every_form_is_of_a_field_that_there_is() {
        let document = document(&crate::admin::api().1);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for (name, schema) in schemas {
            let properties = schema["properties"].as_object().into_iter().flatten();
            for (field, property) in properties {
                assert!(property.is_object(), "{name}.{field}");
            }
        }
        let named =
            ["PutSplit", "PutFlag", "StartRollout", "PutMode", "PutFreeze", "FreezeOverride"];
        for name in
            named.into_iter().chain(["PutLabelledState", "PostUpstream", "Explain", "ExplainField"])
        {
            assert!(schemas.contains_key(name) && !fields(name).is_empty(), "{name}");
        }
        assert_eq!(schemas["Rollback"]["properties"]["reason"]["maxLength"], LONGEST_WORDS);
        assert!(schemas["Problem"]["properties"]["detail"]["maxLength"].is_null());
        assert_eq!(schemas["PutFreeze"]["required"], json!(["reason"]));
    }
}
