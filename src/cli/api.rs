//! A running process's admin API: a path and a body in, its answer out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

use super::Reach;
use super::secure::Secure;
use crate::admin::wire::{self, ConfigProblem};
use crate::server::clock;

/// How long an answer may take: longer than an order waits for the disk, whose answer says what has
/// become of it.
const PATIENCE: Duration = Duration::from_secs(12);

/// How long a process that was there may be away: longer than a stop with the usual settings and a
/// start take together.
const RESTART: Duration = Duration::from_secs(120);

/// How often it is looked for meanwhile.
const AGAIN: Duration = Duration::from_millis(500);

/// The largest answer taken.
const LARGEST: usize = 64 * 1024 * 1024;

/// Why there is no answer, or not the one wished for.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nobody there.
    #[error(
        "cannot reach the admin API at {address}: {error}\nis `pointsman run` up? name another address with --admin"
    )]
    Unreachable {
        /// The address tried.
        address: String,
        /// What went wrong.
        error: String,
    },
    /// It says no.
    #[error("{detail}")]
    Refused {
        /// The status code.
        status: StatusCode,
        /// Why.
        detail: String,
        /// What is wrong with a config.
        problems: Vec<ConfigProblem>,
    },
    /// The file with the token cannot be used.
    #[error("the token file {path}: {error}")]
    Token {
        /// The file.
        path: String,
        /// What is wrong with it.
        error: String,
    },
    /// A file of certificates or of a key cannot be used.
    #[error("{error}")]
    Files {
        /// What is wrong with which.
        error: String,
    },
    /// It says something else.
    #[error("{address} does not answer like an admin API: {error}")]
    Strange {
        /// The address asked.
        address: String,
        /// What is strange.
        error: String,
    },
}

impl ApiError {
    /// 69 unreachable, 5 refused by circumstances that can change, 2 makes no sense, 1 any other no.
    pub fn exit_code(&self) -> u8 {
        match self {
            ApiError::Unreachable { .. } => 69,
            ApiError::Refused {
                status: StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED,
                ..
            } => 5,
            ApiError::Refused {
                status: StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST,
                problems,
                ..
            } if problems.is_empty() => 2,
            ApiError::Token { .. } | ApiError::Files { .. } => 2,
            ApiError::Refused { .. } | ApiError::Strange { .. } => 1,
        }
    }
}

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
}

impl Api<'_> {
    /// Asks and reads the answer.
    pub async fn ask<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, ApiError> {
        let (status, body) = self.send(call).await?;
        if !status.is_success() {
            return Err(refused(status, &body));
        }
        if let Ok(wire::Storing { stored: Some(false), note: Some(note) }) =
            serde_json::from_slice(&body)
        {
            eprintln!("{note}");
        }
        self.read(&body).map_err(|error| self.strange(error))
    }

    /// Whether it takes requests, which it tells everybody.
    pub async fn is_ready(&self) -> Result<bool, ApiError> {
        let (status, body) = self.send(Call::get("/readyz")).await?;
        match status {
            StatusCode::OK => Ok(true),
            StatusCode::SERVICE_UNAVAILABLE => Ok(false),
            _ => Err(refused(status, &body)),
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

    /// Reads, and goes on trying for a while when nobody is there: the process may be starting again.
    /// For what goes on by itself meanwhile.
    pub async fn get_again<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        let clock = clock::system();
        let until = clock.now() + RESTART;
        let mut is_away = false;
        loop {
            match self.ask(Call::get(path)).await {
                Err(ApiError::Unreachable { error, .. }) if clock.now() < until => {
                    if !std::mem::replace(&mut is_away, true) {
                        let (admin, length) = (&self.0.admin, RESTART.as_secs());
                        eprintln!(
                            "{admin} cannot be reached ({error}); trying again for {length} s"
                        );
                    }
                    sleep(AGAIN).await;
                }
                answer => {
                    if is_away && !matches!(answer, Err(ApiError::Unreachable { .. })) {
                        eprintln!("{} is there again", self.0.admin);
                    }
                    return answer;
                }
            }
        }
    }

    async fn send(&self, call: Call<'_>) -> Result<(StatusCode, Bytes), ApiError> {
        let address = &self.0.admin;
        let token = match (&self.0.token, &self.0.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(file)) => Some(token_in(file)?),
            (None, None) => None,
        };
        let is_secure = address.starts_with("https://");
        let has_files = self.0.ca.is_some() || self.0.cert.is_some() || self.0.key.is_some();
        if has_files && !is_secure && !address.starts_with("unix:") {
            // A token would go out for anybody to read.
            let error = format!(
                "`--ca`, `--cert` and `--key` are for HTTPS, and the admin address is `{address}`: \
                 write `https://NAME:PORT`"
            );
            return Err(ApiError::Files { error });
        }
        let secure = is_secure.then(|| Secure::of(self.0)).transpose();
        let secure = secure.map_err(|error| ApiError::Files { error: format!("{error:#}") })?;
        let (token, patience) = (token.as_deref(), call.patience);
        let sent = async {
            match address.strip_prefix("unix:") {
                Some(path) => {
                    let path = PathBuf::from(path);
                    self.exchange(UnixStream::connect(path).await?, "localhost", token, call).await
                }
                None => match address.strip_prefix("https://") {
                    Some(bare) => {
                        let (bare, secure) = (bare.trim_end_matches('/'), secure.as_ref());
                        let secure = secure.context("there is nothing to speak HTTPS with")?;
                        self.exchange(secure.connect(bare).await?, bare, token, call).await
                    }
                    None => {
                        let bare = address.strip_prefix("http://").unwrap_or(address);
                        let bare = bare.trim_end_matches('/');
                        self.exchange(TcpStream::connect(bare).await?, bare, token, call).await
                    }
                },
            }
        };
        let unreachable = |error: String| ApiError::Unreachable { address: address.clone(), error };
        match timeout(patience, sent).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if is_gone(&error) => Err(unreachable(format!("{error:#}"))),
            Ok(Err(error)) => Err(self.strange(error)),
            Err(_) => Err(unreachable(format!("no answer within {} s", patience.as_secs()))),
        }
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        host: &str,
        token: Option<&str>,
        call: Call<'_>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::builder().method(call.method).uri(call.path);
        request = request.header(header::HOST, host);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(revision) = call.if_match {
            request = request.header(header::IF_MATCH, format!("\"{revision}\""));
        }
        if let Some((kind, _)) = &call.body {
            request = request.header(header::CONTENT_TYPE, *kind);
        }
        let body = Full::new(call.body.map(|(_, body)| body).unwrap_or_default());
        let response = sender.send_request(request.body(body)?).await?;
        let status = response.status();
        let body = http_body_util::Limited::new(response.into_body(), LARGEST).collect().await;
        // As what it is, which a box would hide.
        let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => anyhow::Error::new(*error),
            Err(error) => anyhow::Error::from_boxed(error),
        })?;
        Ok((status, body.to_bytes()))
    }

    fn strange(&self, error: impl std::fmt::Display) -> ApiError {
        ApiError::Strange { address: self.0.admin.clone(), error: error.to_string() }
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

fn refused(status: StatusCode, body: &[u8]) -> ApiError {
    #[derive(serde::Deserialize)]
    struct Problem {
        detail: String,
        #[serde(default)]
        problems: Vec<ConfigProblem>,
    }
    match serde_json::from_slice(body) {
        Ok(Problem { detail, problems }) => {
            ApiError::Refused { status, detail: plain(&detail), problems }
        }
        Err(_) => ApiError::Refused { status, detail: format!("{status}"), problems: Vec::new() },
    }
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

/// The token in the first line of a file that has one.
fn token_in(path: &Path) -> Result<String, ApiError> {
    let failed = |error: String| ApiError::Token { path: path.display().to_string(), error };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let token = line.rsplit_once(": ").map_or(line, |(_, token)| token).trim();
    match token.is_empty() || token.contains(|c: char| !c.is_ascii_graphic()) {
        true => Err(failed("its first line is no token".into())),
        false => Ok(token.to_string()),
    }
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
    fn a_token_is_the_first_line_alone_or_behind_its_name() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("token");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            token_in(&file).map_err(|error| error.exit_code())
        };
        assert_eq!(read("0123456789abcdef\n"), Ok("0123456789abcdef".into()));
        assert_eq!(read("\nci: 0123456789abcdef\nann: x"), Ok("0123456789abcdef".into()));
        assert_eq!((read(""), read("two words\n")), (Err(2), Err(2)));
        assert!(token_in(&folder.path().join("none")).unwrap_err().to_string().contains("none"));
    }
}
