//! Who may ask: a request's credentials and origin in, pass or a problem out.

use std::path::PathBuf;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Admin;
use super::problem::Problem;
use crate::config::Config;
use crate::control::Source;

/// The shortest token taken: what is shorter can be guessed.
const SHORTEST: usize = 16;

/// The hash of the token: comparing hashes takes the same time for tokens of any length.
#[derive(Clone)]
pub struct Token([u8; 32]);

/// Why a token file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("cannot read the admin token file {path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// Its first line is too short.
    #[error("the first line of {0} must hold a token of at least {SHORTEST} characters")]
    Short(String),
}

impl Token {
    fn new(text: &str) -> Token {
        Token(Sha256::digest(text.as_bytes()).into())
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let scheme_and_token = given.and_then(|given| given.split_once(' '));
        scheme_and_token.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case("bearer")
                && bool::from(Token::new(token.trim()).0.ct_eq(&self.0))
        })
    }
}

/// The token that a config asks for. A relative path starts at the config's own folder.
pub fn token(config: &Config, source: &Source) -> Result<Option<Token>, TokenError> {
    let Some(file) = &config.admin.token_file else { return Ok(None) };
    let folder = source.path().and_then(|path| path.parent());
    let path: PathBuf = folder.map_or_else(|| file.clone(), |folder| folder.join(file));
    let name = path.display().to_string();
    let text = std::fs::read_to_string(&path)
        .map_err(|error| TokenError::Read { path: name.clone(), error })?;
    match text.lines().next().map(str::trim) {
        Some(token) if token.len() >= SHORTEST => Ok(Some(Token::new(token))),
        _ => Err(TokenError::Short(name)),
    }
}

/// Lets a request through, or says why not.
pub async fn check(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    match refuse(&admin, request.headers(), request.uri().path()) {
        Some(problem) => {
            let is_unauthorized = problem.status == StatusCode::UNAUTHORIZED.as_u16();
            let mut response = problem.into_response();
            if is_unauthorized {
                let scheme = HeaderValue::from_static("Bearer");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            }
            response
        }
        None => next.run(request).await,
    }
}

fn refuse(admin: &Admin, headers: &HeaderMap, path: &str) -> Option<Problem> {
    // Probes come without credentials and learn nothing but yes or no.
    if matches!(path, "/livez" | "/readyz") {
        return None;
    }
    match &admin.token {
        Some(token) if token.admits(headers) => None,
        Some(_) => {
            let detail = match headers.contains_key(header::AUTHORIZATION) {
                true => "this is not the token of this API",
                false => {
                    "this API needs `Authorization: Bearer TOKEN` (`--token` or POINTSMAN_TOKEN on the command line)"
                }
            };
            Some(Problem::new(StatusCode::UNAUTHORIZED, "no-token", detail))
        }
        // Without a token, reaching the loopback address is the credential. A web page in a
        // browser on this machine can reach it too, so what browsers send is refused: names
        // other than this machine's (DNS rebinding) and requests on behalf of other sites.
        None if is_from_elsewhere(headers) => {
            let detail = "requests on behalf of other sites are refused";
            Some(Problem::new(StatusCode::FORBIDDEN, "foreign-origin", detail))
        }
        None if admin.is_local && !is_local_host(headers) => {
            let detail = "without a token the API answers to localhost and loopback addresses only";
            Some(Problem::new(StatusCode::FORBIDDEN, "foreign-host", detail))
        }
        None => None,
    }
}

fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let cross = text(header::HeaderName::from_static("sec-fetch-site"))
        .is_some_and(|site| site != "same-origin" && site != "none");
    let host = text(header::HOST).unwrap_or_default();
    let foreign = text(header::ORIGIN)
        .is_some_and(|origin| origin.split_once("://").is_none_or(|(_, from)| from != host));
    cross || foreign
}

fn is_local_host(headers: &HeaderMap) -> bool {
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
    fn only_the_whole_token_passes() {
        let token = Token::new("correct-horse-battery");
        let admits = |value: &str| {
            let value = HeaderValue::from_str(value).unwrap();
            token.admits(&HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
        };
        assert!(admits("Bearer correct-horse-battery"));
        assert!(admits("bearer  correct-horse-battery "));
        for bad in ["Bearer correct-horse-batter", "Bearer ", "correct-horse-battery", "Basic x"] {
            assert!(!admits(bad), "{bad}");
        }
        assert!(!token.admits(&HeaderMap::new()));
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
