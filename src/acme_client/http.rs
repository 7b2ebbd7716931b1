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
            let fetched = way.client.send(call).await.map_err(other)?;
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
    use super::*;

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
