//! How the client of ACME comes to its authority: a request in, its answer out, by the one client for what
//! Pointsman asks of others.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use jiff::fmt::rfc2822;
use tokio_rustls::rustls::RootCertStore;

use crate::certificate::Authorities;
use crate::outgoing::client::{Call, Client, Whom};
use crate::outgoing::dial::Dialer;

/// For one request: an authority signs while we wait.
const WITHIN: Duration = Duration::from_secs(30);

/// More than the longest chain of certificates.
const LONGEST: usize = 256 * 1024;

/// For how long an authority can ask to be left alone.
const LONGEST_WAIT: u64 = 7 * 24 * 60 * 60;

/// The way to one authority.
#[derive(Clone)]
pub(super) struct Way {
    client: Client,
    /// For how long it has asked not to be asked again, with its last refusal.
    asked_to_wait: Arc<Mutex<Option<Duration>>>,
}

impl Way {
    /// To whom these vouch for; none for whom the system trusts.
    pub fn trusting(authorities: Option<&Authorities>) -> Way {
        let client = authorities.map(|authorities| {
            let mut roots = RootCertStore::empty();
            // They have been read as such.
            roots.add_parsable_certificates(authorities.0.iter().map(|der| der[..].into()));
            Client::with(Dialer::trusting(roots))
        });
        Way { client: client.unwrap_or_default(), asked_to_wait: Arc::default() }
    }

    /// For how long it has asked not to be asked again, if it has since this was asked last.
    pub fn asked_to_wait(&self) -> Option<Duration> {
        self.asked_to_wait.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl HttpClient for Way {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let way = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let request = Request::from_parts(head, Full::new(body));
            let call = Call { request, whom: Whom::Named, within: WITHIN, wanted: LONGEST };
            let other = |error| Error::Other(Box::new(error));
            let mut fetched = way.client.send(call).await.map_err(other)?;
            bound(&mut fetched.fields);
            if fetched.status.is_client_error() || fetched.status.is_server_error() {
                let wait = wait(&fetched.fields);
                *way.asked_to_wait.lock().unwrap_or_else(PoisonError::into_inner) = wait;
            }
            let body = fetched.body.map_err(|error| Error::Other(Box::new(error)))?;
            let mut response = Response::new(Full::new(Bytes::from(body)));
            (*response.status_mut(), *response.headers_mut()) = (fetched.status, fetched.fields);
            Ok(BytesResponse::from(response))
        })
    }
}

/// Has nobody ask to be left alone for longer than there are times to tell: instant-acme 0.8.5 adds what is
/// asked for to the time it is, and panics.
fn bound(fields: &mut HeaderMap) {
    let asked = fields.get(RETRY_AFTER).and_then(|asked| asked.to_str().ok());
    let seconds = asked.and_then(|asked| asked.trim().parse::<u64>().ok());
    if seconds.is_some_and(|seconds| seconds > LONGEST_WAIT) {
        fields.insert(RETRY_AFTER, LONGEST_WAIT.into());
    }
}

/// How long somebody asks to be left alone (RFC 9110 section 10.2.3): of a date the time from when it was
/// written, so that whose clock is wrong does not matter.
fn wait(fields: &HeaderMap) -> Option<Duration> {
    let text = |name| fields.get(name)?.to_str().ok().map(str::trim);
    let asked = text(RETRY_AFTER)?;
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text| rfc2822::parse(text).ok().map(|zoned| zoned.timestamp());
    let length = date(asked)?.duration_since(date(text(DATE)?)?);
    Some(Duration::try_from(length).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers a request with this `retry-after`.
    async fn asks_to_wait(after: &str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = format!("HTTP/1.1 503 X\r\ncontent-length: 0\r\nretry-after: {after}\r\n\r\n");
        tokio::spawn(async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                tcp.read_buf(&mut request).await.unwrap();
            }
            tcp.write_all(answer.as_bytes()).await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn nobody_asks_to_be_left_alone_for_longer_than_there_are_times() {
        let most = u64::MAX.to_string();
        for (after, told) in [(&*most, "604800"), (" 604801", "604800"), ("90000", "90000")] {
            let address = asks_to_wait(after).await;
            let request = Request::get(format!("http://{address}/")).body(BodyWrapper::default());
            let answer = Way::trusting(None).request(request.unwrap()).await.unwrap();
            assert_eq!(answer.parts.headers[RETRY_AFTER], told, "{after}");
        }
    }

    #[test]
    fn how_long_to_wait_is_a_number_or_a_date() {
        let of = |after: &str| {
            let mut fields = HeaderMap::new();
            fields.insert(RETRY_AFTER, after.parse().unwrap());
            fields.insert(DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
            wait(&fields).map(|wait| wait.as_secs())
        };
        assert_eq!(of("120"), Some(120));
        assert_eq!(of("Sun, 06 Nov 1994 09:49:37 GMT"), Some(3_600));
        assert_eq!(of("Sun, 06 Nov 1994 07:49:37 GMT"), Some(0));
        assert_eq!(of("soon"), None);
        assert_eq!(wait(&HeaderMap::new()), None);
    }
}
