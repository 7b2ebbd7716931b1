//! One call of somebody outside: an address and a JSON body in, a status and its first words out.
//!
//! On a connection of its own, within a time for all of it. Redirects are not followed: what is
//! signed for one place is nobody else's business. Names are left to the system's resolver; calls
//! are rare and wait for nobody's request.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, HeaderName, RETRY_AFTER, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::signature::{SecretError, read_key, sign};
use crate::clock::Clock;
use crate::outgoing::dial::{DialError, Dialer, Speaks, Stream};
use crate::outgoing::http::{HttpError, exchange, start_of};
use crate::rollout::{NoAnswer, answered};
use crate::upstream::Target;

/// How much of an answer is read: it is looked at for one line.
const BODY_LIMIT: usize = 64 * 1024;

/// How much is read of what is asked for its content.
const ANSWER_LIMIT: usize = 1024 * 1024;

/// The longest line taken from an answer, in characters.
const LINE_LIMIT: usize = 200;

/// Addresses of one name that are tried: each gets its part of the time.
const ADDRESSES: usize = 4;

/// How receivers recognise calls in their logs.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("pointsman/", env!("CARGO_PKG_VERSION")));

/// Makes calls.
pub struct Caller {
    dialer: Dialer,
    clock: Clock,
}

/// One call.
pub struct Call<'a> {
    /// `http` or `https`, with a host.
    pub url: &'a Uri,
    /// The same for a call that is made again, so that receivers can tell.
    pub id: &'a str,
    /// JSON.
    pub body: Bytes,
    /// A file that holds the key of the signature; none for no signature.
    pub secret_file: Option<&'a Path>,
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

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CallError {
    /// It cannot be signed, so it was not made.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The name has no address.
    #[error("cannot look up `{host}`: {why}")]
    LookUp {
        /// The name.
        host: String,
        /// In the resolver's words.
        why: String,
    },
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// No answer that could be read.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The whole answer did not come in this time.
    #[error("timed out after {0:?}")]
    TimedOut(Duration),
}

impl Caller {
    /// A caller that trusts the system's certificates.
    pub fn new(clock: Clock) -> Caller {
        Caller { dialer: Dialer::default(), clock }
    }

    /// A caller that trusts those of this dialer.
    #[cfg(test)]
    pub fn with(dialer: Dialer, clock: Clock) -> Caller {
        Caller { dialer, clock }
    }

    /// The time it signs with.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Posts JSON.
    pub async fn post(&self, call: &Call<'_>) -> Result<Reply, CallError> {
        let post = async {
            let request = self.request(call).await?;
            let stream = self.dial(call.url, call.timeout).await?;
            exchange(stream, request, async |response| Ok(read(response).await)).await
        };
        timeout(call.timeout, post).await.unwrap_or(Err(CallError::TimedOut(call.timeout)))
    }

    /// Gets what is at an address: the status and the first megabyte.
    pub async fn get(
        &self,
        url: &Uri,
        within: Duration,
    ) -> Result<(StatusCode, Vec<u8>), CallError> {
        let get = async {
            let mut request = Request::new(Full::new(Bytes::new()));
            let path = url.path_and_query().cloned();
            *request.uri_mut() = path.unwrap_or(PathAndQuery::from_static("/")).into();
            let headers = request.headers_mut();
            let authority = url.authority().map_or("", |authority| authority.as_str());
            let host = HeaderValue::from_str(authority);
            headers.insert(HOST, host.map_err(|error| HttpError::Bad(error.to_string()))?);
            headers.insert(USER_AGENT, AGENT);
            headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
            let stream = self.dial(url, within).await?;
            exchange(stream, request, async |response: Response<Incoming>| {
                let (head, body) = response.into_parts();
                Ok((head.status, start_of(body, ANSWER_LIMIT).await?))
            })
            .await
        };
        timeout(within, get).await.unwrap_or(Err(CallError::TimedOut(within)))
    }

    async fn request(&self, call: &Call<'_>) -> Result<Request<Full<Bytes>>, CallError> {
        let text = |text: &str| {
            HeaderValue::from_str(text).map_err(|error| HttpError::Bad(error.to_string()))
        };
        let authority = call.url.authority().map_or("", |authority| authority.as_str());
        let path = call.url.path_and_query().cloned();
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.unwrap_or(PathAndQuery::from_static("/")).into();
        let headers = request.headers_mut();
        headers.insert(HOST, text(authority)?);
        headers.insert(USER_AGENT, AGENT);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let now = self.clock.unix_seconds() as u64;
        headers.insert(HeaderName::from_static("webhook-id"), text(call.id)?);
        headers.insert(HeaderName::from_static("webhook-timestamp"), now.into());
        if let Some(file) = call.secret_file {
            let signature = sign(&read_key(file).await?, call.id, now, &call.body);
            headers.insert(HeaderName::from_static("webhook-signature"), text(&signature)?);
        }
        Ok(request)
    }

    /// A connection to the first of its addresses that takes one.
    async fn dial(&self, url: &Uri, whole: Duration) -> Result<Box<dyn Stream>, CallError> {
        let (host, is_tls) = (url.host().unwrap_or_default(), url.scheme_str() == Some("https"));
        let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let sockets = look_up(host, port).await?;
        // An address that swallows packets must not take the time of the next one.
        let part = whole / sockets.len().max(1) as u32;
        let mut failure = CallError::LookUp { host: host.into(), why: "no address".into() };
        for socket in sockets {
            let target = Target::Socket(socket);
            let dialled = async {
                match is_tls {
                    true => self.dialer.connect_tls(&target, host, Speaks::Http1).await,
                    false => self.dialer.connect(&target).await,
                }
            };
            match timeout(part, dialled).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = error.into(),
                Err(_) => failure = CallError::TimedOut(part),
            }
        }
        Err(failure)
    }
}

async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, CallError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let found = tokio::net::lookup_host((host, port)).await;
    let failed =
        |error: std::io::Error| CallError::LookUp { host: host.into(), why: error.to_string() };
    Ok(found.map_err(failed)?.take(ADDRESSES).collect())
}

/// The status counts as soon as it is there: a body that breaks off takes nothing of it back.
async fn read(response: Response<Incoming>) -> Reply {
    let (head, body) = response.into_parts();
    let body = start_of(body, BODY_LIMIT).await.unwrap_or_default();
    let seconds = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let retry_after = seconds.map(Duration::from_secs);
    Reply { status: head.status, line: first_line(&body), retry_after }
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
            CallError::Secret(error) => NoAnswer::NotSent(error.to_string()),
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
