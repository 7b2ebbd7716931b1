//! A running process's admin API: a path and a body in, its answer out.

mod caller;
mod error;
mod lines;
mod token;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use self::caller::Caller;
use super::Reach;
use super::address::Way;
use super::secure::Secure;
use crate::admin::is_question;
use crate::admin::wire::{self, ConfigProblem};

pub use error::ApiError;

/// How long an answer may take: longer than an order waits for the disk, whose answer says what has
/// become of it.
const PATIENCE: Duration = Duration::from_secs(12);

/// The largest answer taken.
const LARGEST: usize = 64 * 1024 * 1024;

/// The way to one process.
pub struct Api<'a>(pub &'a Reach);

/// A request to be sent.
pub struct Call<'a> {
    method: Method,
    path: &'a str,
    body: Option<(&'static str, Bytes)>,
    patience: Duration,
    if_match: Option<u64>,
}

impl<'a> Call<'a> {
    /// Reads.
    pub fn get(path: &'a str) -> Call<'a> {
        Call { method: Method::GET, path, body: None, patience: PATIENCE, if_match: None }
    }

    /// Takes away.
    pub fn delete(path: &'a str) -> Call<'a> {
        Call { method: Method::DELETE, path, body: None, patience: PATIENCE, if_match: None }
    }

    /// Changes, with a JSON body.
    pub fn json(method: Method, path: &'a str, body: &impl Serialize) -> Call<'a> {
        // The wire types are plain structs with text keys, which always serialize.
        let body = serde_json::to_vec(body).unwrap_or_default();
        let body = Some(("application/json", body.into()));
        Call { method, path, body, patience: PATIENCE, if_match: None }
    }

    /// Sends a config's text, or nothing.
    pub fn config(path: &'a str, text: Option<String>) -> Call<'a> {
        let body = text.map(|text| ("application/toml", text.into()));
        Call { method: Method::POST, path, body, patience: PATIENCE, if_match: None }
    }

    /// Waits so long for the answer.
    pub fn within(mut self, patience: Duration) -> Call<'a> {
        self.patience = patience;
        self
    }

    /// Only if this is still the newest revision.
    pub fn if_match(mut self, revision: Option<u64>) -> Call<'a> {
        self.if_match = revision;
        self
    }

    /// The command that shows whether it is in force, if this orders something.
    fn look(&self) -> Option<String> {
        let path = self.path.split('?').next().unwrap_or_default();
        if is_question(&self.method, path) {
            return None;
        }
        let of_service = path.strip_prefix("/v1/services/").and_then(|rest| rest.split('/').next());
        Some(match (of_service, path) {
            (Some(service), _) => format!("pointsman status {service}"),
            (None, "/v1/logs") => "pointsman log-level".into(),
            (None, path) if path.starts_with("/v1/automation/") => "pointsman automation".into(),
            (None, _) if path.starts_with("/v1/incidents") => "pointsman incident list".into(),
            (None, _) if path.starts_with("/v1/flags/") => "pointsman flags".into(),
            (None, _) => "pointsman status".into(),
        })
    }
}

impl Api<'_> {
    /// Asks and reads the answer. What is in force and not on the disk yet is said on the standard error.
    pub async fn ask<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, ApiError> {
        let (answer, note) = self.ask_noted(call).await?;
        note.iter().for_each(|note| eprintln!("{note}"));
        Ok(answer)
    }

    /// As [`Api::ask`], for who says for itself what is not on the disk yet.
    pub async fn ask_noted<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
    ) -> Result<(T, Option<String>), ApiError> {
        let look = call.look();
        let unanswered = |error: String, look: String| ApiError::Unanswered {
            address: self.0.admin.to_string(),
            error,
            look,
        };
        let (status, body) = self.send(call).await?;
        if !status.is_success() {
            return Err(match (refused(status, &body), look) {
                // Who stands between has lost the answer.
                (Refusal::Bare, Some(look)) if status.is_server_error() => {
                    unanswered(status.to_string(), look)
                }
                (Refusal::Bare, _) => bare(status),
                (Refusal::Open(detail), _) => ApiError::Open { detail },
                (Refusal::Said(error), _) => error,
            });
        }
        let storing = serde_json::from_slice::<wire::Storing>(&body).unwrap_or_default();
        let note = storing.note.filter(|_| storing.stored == Some(false));
        let answer = self.read(&body).map_err(|error| match look {
            Some(look) => unanswered(format!("its answer cannot be read: {error}"), look),
            None => self.strange(error),
        })?;
        Ok((answer, note))
    }

    /// As [`Api::ask`], of an order: what was not done is said where that is certain.
    pub async fn order<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        not_done: impl FnOnce() -> String,
    ) -> anyhow::Result<T> {
        self.ask(call).await.map_err(|error| error.unless_done(not_done))
    }

    /// Whether it takes requests, which it tells everybody.
    pub async fn is_ready(&self) -> Result<bool, ApiError> {
        let (status, body) = self.send(Call::get("/readyz")).await?;
        match status {
            StatusCode::OK => Ok(true),
            StatusCode::SERVICE_UNAVAILABLE => Ok(false),
            _ => Err(match refused(status, &body) {
                Refusal::Said(error) => error,
                Refusal::Open(detail) => ApiError::Open { detail },
                Refusal::Bare => bare(status),
            }),
        }
    }

    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> serde_json::Result<T> {
        // Of thousands of services it is a matter of megabytes, which are not taken apart twice.
        if self.0.json || !may_hold_obeyed(body) {
            return serde_json::from_slice(body);
        }
        serde_json::from_value(self.shown(serde_json::from_slice(body)?))
    }

    /// What is to be read by people, without what a terminal would obey: others have written the
    /// names, authors and reasons in it. Programs get it as it is, which JSON can carry.
    fn shown(&self, mut answer: Value) -> Value {
        if !self.0.json {
            make_plain(&mut answer);
        }
        answer
    }

    /// All services that whoever asks may see.
    pub async fn services(&self) -> Result<Vec<wire::Service>, ApiError> {
        self.ask(Call::get("/v1/services")).await
    }

    async fn send(&self, call: Call<'_>) -> Result<(StatusCode, Bytes), ApiError> {
        let caller = self.caller()?;
        let (patience, look) = (call.patience, call.look());
        // Of what was sent it is not known what has become of it until it is answered.
        let is_sent = AtomicBool::new(false);
        let sent = async {
            let response = caller.exchange(call, &is_sent).await?;
            let status = response.status();
            let body = http_body_util::Limited::new(response.into_body(), LARGEST).collect().await;
            // As what it is, which a box would hide.
            let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
                Ok(error) => anyhow::Error::new(*error),
                Err(error) => anyhow::Error::from_boxed(error),
            })?;
            Ok((status, body.to_bytes()))
        };
        let address = &self.0.admin;
        let unreachable =
            |error: String| ApiError::Unreachable { address: address.to_string(), error };
        let unanswered = |error: String, look: String| ApiError::Unanswered {
            address: address.to_string(),
            error,
            look,
        };
        let answered = timeout(patience, sent).await;
        let look = look.filter(|_| is_sent.load(Ordering::Relaxed));
        let late = || format!("no answer within {} s", patience.as_secs());
        match (answered, look) {
            (Ok(Ok(answer)), _) => Ok(answer),
            (Ok(Err(error)), Some(look)) => Err(unanswered(format!("{error:#}"), look)),
            (Err(_), Some(look)) => Err(unanswered(late(), look)),
            (Ok(Err(error)), None) if is_gone(&error) => Err(unreachable(format!("{error:#}"))),
            (Ok(Err(error)), None) => Err(self.strange(error)),
            (Err(_), None) => Err(unreachable(late())),
        }
    }

    /// How it is reached, and who asks.
    fn caller(&self) -> Result<Caller<'_>, ApiError> {
        let address = &self.0.admin;
        let token = token::given(self.0)?;
        let has_files = self.0.ca.is_some() || self.0.cert.is_some() || self.0.key.is_some();
        if has_files && matches!(address.way, Way::Http(_)) {
            // A token would go out for anybody to read.
            let error = format!(
                "`--ca`, `--cert` and `--key` are for HTTPS, and the admin address is `{address}`: \
                 write `https://NAME:PORT`"
            );
            return Err(ApiError::Files { error });
        }
        let is_secure = matches!(address.way, Way::Https(_));
        let secure = is_secure.then(|| Secure::of(self.0)).transpose();
        let secure = secure.map_err(|error| ApiError::Files { error: format!("{error:#}") })?;
        Ok(Caller { address, token, secure })
    }

    fn strange(&self, error: impl std::fmt::Display) -> ApiError {
        ApiError::Strange { address: self.0.admin.to_string(), error: error.to_string() }
    }
}

/// Whether nobody is there, or is no more: who is killed while it is asked closes the connection before
/// its answer, or within it.
fn is_gone(error: &anyhow::Error) -> bool {
    let is_io = |cause: &(dyn std::error::Error + 'static)| cause.is::<std::io::Error>();
    error.is::<std::io::Error>()
        || error.downcast_ref::<hyper::Error>().is_some_and(|error| {
            let is_cut = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
            is_cut || std::error::Error::source(error).is_some_and(is_io)
        })
}

/// What an answer that is no success says.
enum Refusal {
    /// Why, as the admin API says it.
    Said(ApiError),
    /// That it does not know yet what becomes of the order.
    Open(String),
    /// Nothing that the admin API would say.
    Bare,
}

fn refused(status: StatusCode, body: &[u8]) -> Refusal {
    #[derive(serde::Deserialize)]
    struct Problem {
        #[serde(rename = "type", default)]
        kind: String,
        detail: String,
        #[serde(default)]
        problems: Vec<ConfigProblem>,
    }
    match serde_json::from_slice(body) {
        Ok(Problem { kind, detail, .. }) if kind == "unknown" => Refusal::Open(plain(&detail)),
        Ok(Problem { detail, problems, .. }) => {
            Refusal::Said(ApiError::Refused { status, detail: plain(&detail), problems })
        }
        Err(_) => Refusal::Bare,
    }
}

fn bare(status: StatusCode) -> ApiError {
    ApiError::Refused { status, detail: status.to_string(), problems: Vec::new() }
}

fn make_plain(value: &mut Value) {
    match value {
        Value::String(text) if text.contains(is_obeyed) => *text = plain(text),
        Value::Array(values) => values.iter_mut().for_each(make_plain),
        Value::Object(fields) => fields.values_mut().for_each(make_plain),
        _ => {}
    }
}

/// A text whose control characters are seen and not obeyed; lines stay lines.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if is_obeyed(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Whether a terminal would do something for it: controls, and those that turn the direction of
/// writing, by which a text can be shown as another (Unicode TR 36).
fn is_obeyed(c: char) -> bool {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && c != '\n' && c != '\t') || turns
}

/// Whether a JSON text may hold any of that: it comes behind a backslash, as DEL, or in more bytes than
/// one.
fn may_hold_obeyed(json: &[u8]) -> bool {
    json.iter().any(|b| matches!(b, b'\\' | 0x7f..))
}

/// A text as one segment of a path.
pub fn segment(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    let one = |b: u8| if plain(b) { (b as char).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_seen_instead() {
        let mut value =
            serde_json::json!({"a": ["\u{1b}[2Jgone\u{9b}1m\u{202e}txt.exe", "two\nlines"]});
        make_plain(&mut value);
        let shown = "\u{fffd}[2Jgone\u{fffd}1m\u{fffd}txt.exe";
        assert_eq!(value, serde_json::json!({"a": [shown, "two\nlines"]}));
    }

    #[test]
    fn json_that_may_hold_what_a_terminal_obeys_is_known_by_its_bytes() {
        for c in (0..=0x9f).chain(0x2020..0x2070).filter_map(char::from_u32) {
            let json = serde_json::to_vec(&c.to_string()).unwrap();
            assert!(!is_obeyed(c) || may_hold_obeyed(&json), "{c:?}");
        }
        assert!(!may_hold_obeyed(br#"{"name": "shop", "weight": 10.5}"#));
    }

    #[test]
    fn an_order_is_known_from_a_question_and_says_where_to_look() {
        let look = |method: Method, path| Call::json(method, path, &()).look();
        let status = |of: &str| Some(format!("pointsman status{of}"));
        assert_eq!(look(Method::PUT, "/v1/services/shop/split"), status(" shop"));
        assert_eq!(look(Method::DELETE, "/v1/services/shop/freeze"), status(" shop"));
        assert_eq!(look(Method::POST, "/v1/config/reload?author=a"), status(""));
        assert_eq!(look(Method::PUT, "/v1/flags/new"), Some("pointsman flags".into()));
        assert_eq!(look(Method::POST, "/v1/explain"), None);
        for asks in ["/v1/config/check", "/v1/config/diff", "/v1/config/explain"] {
            assert_eq!(look(Method::POST, asks), None, "{asks}");
        }
        assert_eq!(Call::get("/v1/services/shop").look(), None);
    }
}
