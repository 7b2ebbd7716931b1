//! What a browser or a proxy on this machine may be made to ask: the fields of a request in, whether it
//! comes from elsewhere out.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::Admin;
use super::problem::Problem;
use crate::http::claims;

/// Without a token, reaching the loopback address is the credential. A web page in a browser on this
/// machine can reach it too, so what browsers send is refused: names other than this machine's (DNS
/// rebinding) and requests on behalf of other sites. And so can whoever a proxy on this machine passes
/// on, our own public port too if an upstream leads here after all: all that we pass on says so.
pub(super) fn refuse_strangers(admin: &Admin, headers: &HeaderMap) -> Result<(), Problem> {
    if let Some(field) = trace_of_forwarding(headers) {
        let detail = format!(
            "`{field}` shows that a proxy passed this request on; without a token such requests are \
             refused: give [admin] a `token_file`"
        );
        return Err(Problem::new(StatusCode::FORBIDDEN, "forwarded", detail));
    }
    if is_from_elsewhere(headers) {
        return Err(foreign_origin());
    }
    if admin.is_local && !is_local_host(headers) {
        return Err(foreign_host());
    }
    Ok(())
}

pub(super) fn foreign_host() -> Problem {
    let detail = "without a token the API answers to localhost and loopback addresses only: \
                  ask 127.0.0.1, or give [admin] a `token_file`";
    Problem::new(StatusCode::FORBIDDEN, "foreign-host", detail)
}

pub(super) fn foreign_origin() -> Problem {
    let detail = "requests on behalf of other sites are refused: open the page at the admin address \
                  itself, or ask without `origin` and `sec-fetch-site`";
    Problem::new(StatusCode::FORBIDDEN, "foreign-origin", detail)
}

/// A field that only a proxy writes.
fn trace_of_forwarding(headers: &HeaderMap) -> Option<&HeaderName> {
    let is_trace =
        |name: &&HeaderName| **name == header::VIA || claims::is_claim(name.as_str().as_bytes());
    headers.keys().find(is_trace)
}

pub(super) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let cross = text(header::HeaderName::from_static("sec-fetch-site"))
        .is_some_and(|site| site != "same-origin" && site != "none");
    let host = text(header::HOST).unwrap_or_default();
    let foreign = text(header::ORIGIN)
        .is_some_and(|origin| origin.split_once("://").is_none_or(|(_, from)| from != host));
    cross || foreign
}

pub(super) fn is_local_host(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(authority) = host.to_str().unwrap_or("?").parse::<axum::http::uri::Authority>() else {
        return false;
    };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    let is_loopback = name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    name.eq_ignore_ascii_case("localhost") || is_loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_proxy_passes_on_is_recognised() {
        let of = |name: &'static str| {
            let name = HeaderName::from_static(name);
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static("1"))]);
            trace_of_forwarding(&headers).is_some()
        };
        for trace in ["forwarded", "via", "x-forwarded-for", "x-forwarded-proto", "x-real-ip"] {
            assert!(of(trace), "{trace}");
        }
        assert!(of("x-pointsman-mirror") && of("cf-connecting-ip"));
        assert!(!of("host") && !of("if-match") && !of("traceparent") && !of("user-agent"));
    }

    #[test]
    fn what_a_foreign_page_sends_is_recognised() {
        let headers = |fields: &[(&'static str, &'static str)]| -> HeaderMap {
            let field = |&(name, value)| {
                (header::HeaderName::from_static(name), HeaderValue::from_static(value))
            };
            fields.iter().map(field).collect()
        };
        let host = ("host", "127.0.0.1:9900");
        assert!(!is_from_elsewhere(&headers(&[host])));
        assert!(!is_from_elsewhere(&headers(&[host, ("origin", "http://127.0.0.1:9900")])));
        assert!(is_from_elsewhere(&headers(&[host, ("origin", "http://evil.test")])));
        assert!(is_from_elsewhere(&headers(&[host, ("origin", "null")])));
        assert!(is_from_elsewhere(&headers(&[host, ("sec-fetch-site", "cross-site")])));
        assert!(
            is_local_host(&headers(&[host])) && is_local_host(&headers(&[("host", "[::1]:1")]))
        );
        assert!(!is_local_host(&headers(&[("host", "evil.test:9900")])));
    }
}
