//! One call of somebody outside: an address and a JSON body in, a status and its first words out.
//!
//! Made by the HTTP client that all calls share; what is added here is who calls, signed if there
//! is a key, and what is kept of an answer for people.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::signature::sign;
use crate::clock::Clock;
use crate::config::{SigningKey, SigningKeys};
use crate::files::read_key;
use crate::outgoing::client::{self, CallError, Client, Whom};
use crate::rollout::{NoAnswer, answered};

/// How much of an answer is read: it is looked at for one line.
const BODY_LIMIT: usize = 64 * 1024;

/// How much is read of what is asked for its content.
const ANSWER_LIMIT: usize = 1024 * 1024;

/// The longest line taken from an answer, in characters.
const LINE_LIMIT: usize = 200;

/// Makes calls.
pub struct Caller {
    /// Makes all of them.
    pub(super) client: Client,
    clock: Clock,
    /// How many descriptors the commands of hooks may have open; none for as many as we.
    pub(super) descriptors: Option<u64>,
}

/// One call.
pub struct Call<'a> {
    /// `http` or `https`, with a host.
    pub url: &'a Uri,
    /// The same for a call that is made again, so that receivers can tell.
    pub id: &'a str,
    /// JSON.
    pub body: Bytes,
    /// Fields besides those that each call has.
    pub fields: &'a [(HeaderName, HeaderValue)],
    /// A file that holds the key of the signature; none for no signature.
    pub secret_file: Option<&'a Path>,
    /// Those of the config in force.
    pub keys: &'a SigningKeys,
    /// For all of it.
    pub timeout: Duration,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Any.
    pub status: StatusCode,
    /// The first line of the body that has words, cut.
    pub line: String,
    /// How long not to call again, if the answer says so in seconds.
    pub retry_after: Option<Duration>,
}

impl Caller {
    /// A caller that trusts the system's certificates.
    pub fn new(clock: Clock) -> Caller {
        Caller { client: Client::default(), clock, descriptors: None }
    }

    /// The same, whose commands may have so many descriptors open. Ours is raised as far as it goes,
    /// which programs that walk over all of them, or use `select`, do not bear.
    pub fn with_descriptors(self, soft: Option<u64>) -> Caller {
        Caller { descriptors: soft, ..self }
    }

    /// The time it signs with.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Posts JSON.
    pub async fn post(&self, call: &Call<'_>) -> Result<Reply, NoAnswer> {
        let (reply, _) = self.post_whole(call).await?;
        Ok(reply)
    }

    /// Posts JSON; the answer's body too.
    pub async fn post_whole(&self, call: &Call<'_>) -> Result<(Reply, Vec<u8>), NoAnswer> {
        let post = async {
            let request = self.request(call).await?;
            let answer = self.client.send(client::Call {
                request,
                whom: Whom::Named,
                within: call.timeout,
                wanted: BODY_LIMIT,
            });
            let answer = answer.await?;
            // The status counts as soon as it is there: a body that breaks off takes nothing of it
            // back.
            let body = answer.body.unwrap_or_default();
            let line = first_line(&body);
            let retry_after = answer.fields.get(RETRY_AFTER);
            let seconds = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
            let retry_after = seconds.map(Duration::from_secs);
            Ok((Reply { status: answer.status, line, retry_after }, body))
        };
        // Reading the key takes of the time too.
        timeout(call.timeout, post).await.unwrap_or(Err(NoAnswer::TimedOut(call.timeout)))
    }

    /// Gets the JSON at an address: the status and the first megabyte.
    pub async fn get(&self, url: Uri, within: Duration) -> Result<(StatusCode, Vec<u8>), NoAnswer> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = url;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        let call = client::Call { request, whom: Whom::Named, within, wanted: ANSWER_LIMIT };
        let answer = self.client.send(call).await?;
        Ok((answer.status, answer.body.map_err(CallError::from)?))
    }

    async fn request(&self, call: &Call<'_>) -> Result<Request<Full<Bytes>>, NoAnswer> {
        let text = |text: &str| {
            HeaderValue::from_str(text).map_err(|error| NoAnswer::NotSent(error.to_string()))
        };
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = call.url.clone();
        let headers = request.headers_mut();
        call.fields.iter().for_each(|(name, value)| {
            headers.append(name.clone(), value.clone());
        });
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let now = self.clock.unix_seconds() as u64;
        headers.insert(HeaderName::from_static("webhook-id"), text(call.id)?);
        headers.insert(HeaderName::from_static("webhook-timestamp"), now.into());
        if let Some(file) = call.secret_file {
            let key = key(file, call.keys).await?;
            let signature = sign(&key, call.id, now, &call.body);
            headers.insert(HeaderName::from_static("webhook-signature"), text(&signature)?);
        }
        Ok(request)
    }
}

/// The key of a file, as the config in force has it. A rollout outlives the config that it began
/// with: a file that is not named any more is read for the call, which is never made unsigned.
async fn key(file: &Path, keys: &SigningKeys) -> Result<SigningKey, NoAnswer> {
    if let Some(key) = keys.of(file) {
        return Ok(key.clone());
    }
    let path = file.to_path_buf();
    let read = spawn_blocking(move || read_key(&path).map_err(|error| error.to_string()));
    read.await.unwrap_or_else(|error| Err(error.to_string())).map_err(NoAnswer::NotSent)
}

/// The first line that has words, without control characters, which a terminal would obey.
pub fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    clean(line)
}

/// At most two hundred characters of a line, none of them a control character.
pub fn clean(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).take(LINE_LIMIT).collect()
}

/// An address as it is shown: without path and query, which chat systems make a secret of.
pub fn shown(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or_default();
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let rest = if url.path_and_query().is_none_or(|path| path == "/") { "" } else { "/…" };
    format!("{scheme}://{authority}{rest}")
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&answered(self.status, &self.line))
    }
}

impl From<CallError> for NoAnswer {
    fn from(error: CallError) -> NoAnswer {
        match error {
            CallError::LookUp { .. } | CallError::Dial(_) => {
                NoAnswer::Unreachable(error.to_string())
            }
            CallError::Http(error) => NoAnswer::Broken(error.to_string()),
            CallError::TimedOut(within) => NoAnswer::TimedOut(within),
        }
    }
}

#[cfg(test)]
mod tests;
