//! The one HTTP client for what Pointsman asks of others by itself: a request in, its answer out,
//! within a time and up to a size.
//!
//! hyper-util's client over connections of our own dialer, one for each request: calls are rare,
//! and a kept connection is most often gone when it is wanted. Redirects are not followed: what is
//! signed for one place is nobody else's business. A proxy that the environment names is not used.
//! Names are left to the system's resolver, since nobody's request waits for these calls.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::legacy::{self, Builder};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::timeout;
use tower_service::Service;

use super::dial::{DialError, Dialer, Speaks, Stream};
use super::http::{HEAD_LIMIT, HttpError, start_of};
use crate::upstream::DialAddress;

/// Addresses of one name that are tried: each gets its part of the time.
const ADDRESSES: usize = 4;

/// How receivers recognise calls in their logs.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("pointsman/", env!("CARGO_PKG_VERSION")));

/// Makes calls.
#[derive(Clone, Default)]
pub struct Client {
    dialer: Arc<Dialer>,
}

/// One call.
pub struct Call {
    /// With a whole address: `http` or `https`, a host and a path. Fields that it lacks and every
    /// call has are added.
    pub request: Request<Full<Bytes>>,
    /// Who is to answer.
    pub whom: Whom,
    /// For all of it.
    pub within: Duration,
    /// How many bytes of the answer's body are wanted.
    pub wanted: usize,
}

/// Who is to answer a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Whom the request's address names.
    Named,
    /// This one, whatever the request's address says.
    At(DialAddress),
}

/// What was answered.
#[derive(Debug)]
pub struct Fetched {
    /// Any.
    pub status: StatusCode,
    /// Its fields.
    pub fields: HeaderMap,
    /// The wanted bytes, or fewer if there are no more; else why the body broke off.
    pub body: Result<Vec<u8>, HttpError>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CallError {
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

impl Client {
    /// A client that trusts whom this dialer trusts.
    pub fn with(dialer: Dialer) -> Client {
        Client { dialer: Arc::new(dialer) }
    }

    /// Makes a call. Given up while under way, it leaves no connection behind.
    pub async fn send(&self, call: Call) -> Result<Fetched, CallError> {
        let Call { mut request, whom, within, wanted } = call;
        let fields = request.headers_mut();
        fields.entry(CONNECTION).or_insert(HeaderValue::from_static("close"));
        fields.entry(USER_AGENT).or_insert(AGENT);
        fields.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let way = Way { dialer: self.dialer.clone(), whom, within };
        let client = Builder::new(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .http1_max_buf_size(HEAD_LIMIT)
            .build(way);
        let answer = async {
            let (head, body) = client.request(request).await?.into_parts();
            let body = start_of(body, wanted).await;
            Ok(Fetched { status: head.status, fields: head.headers, body })
        };
        timeout(within, answer).await.unwrap_or(Err(CallError::TimedOut(within)))
    }
}

/// How hyper-util's client comes to a connection.
#[derive(Clone)]
struct Way {
    dialer: Arc<Dialer>,
    whom: Whom,
    within: Duration,
}

impl Way {
    async fn connect(&self, url: &Uri) -> Result<Box<dyn Stream>, CallError> {
        let (host, is_tls) = (url.host().unwrap_or_default(), url.scheme_str() == Some("https"));
        match &self.whom {
            Whom::At(target) => Ok(self.dial(target, host, is_tls).await?),
            Whom::Named => {
                let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
                self.first(&look_up(host, port).await?, host, is_tls).await
            }
        }
    }

    /// A connection to the first of these addresses that takes one.
    async fn first(
        &self,
        sockets: &[SocketAddr],
        host: &str,
        is_tls: bool,
    ) -> Result<Box<dyn Stream>, CallError> {
        // An address that swallows packets must not take the time of the next one.
        let part = self.within / sockets.len().max(1) as u32;
        let mut failure = CallError::LookUp { host: host.into(), why: "no address".into() };
        for socket in sockets {
            let target = DialAddress::Socket(*socket);
            match timeout(part, self.dial(&target, host, is_tls)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = error.into(),
                Err(_) => failure = CallError::TimedOut(part),
            }
        }
        Err(failure)
    }

    async fn dial(
        &self,
        target: &DialAddress,
        host: &str,
        is_tls: bool,
    ) -> Result<Box<dyn Stream>, DialError> {
        match is_tls {
            true => self.dialer.connect_tls(target, host, Speaks::Http1).await,
            false => self.dialer.connect(target).await,
        }
    }
}

impl Service<Uri> for Way {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = CallError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, CallError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let way = self.clone();
        Box::pin(async move { way.connect(&url).await.map(TokioIo::new) })
    }
}

impl Connection for Box<dyn Stream> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, CallError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let failed = |error: io::Error| CallError::LookUp { host: host.into(), why: error.to_string() };
    let found = tokio::net::lookup_host((host, port)).await.map_err(failed)?;
    Ok(found.take(ADDRESSES).collect())
}

impl From<legacy::Error> for CallError {
    /// What the way there said comes back as it was; the rest is hyper's.
    fn from(error: legacy::Error) -> CallError {
        let cause = error.source();
        if let Some(failure) = cause.and_then(|cause| cause.downcast_ref::<CallError>()) {
            return failure.clone();
        }
        match cause.and_then(|cause| cause.downcast_ref::<hyper::Error>()) {
            Some(cause) => HttpError::from(cause).into(),
            None => HttpError::Bad(error.to_string()).into(),
        }
    }
}

#[cfg(test)]
mod tests;
