//! A small shop: a version's name in, an address that answers with it out. A bad version fails a
//! share of its requests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time::sleep;

/// Says which version answered.
pub const VERSION: HeaderName = HeaderName::from_static("x-shop-version");

/// A version of the shop.
#[derive(Clone, Copy, Debug)]
pub struct Shop {
    /// Its name.
    pub version: &'static str,
    /// How long it takes to answer.
    pub takes: Duration,
    /// How many of a thousand requests fail, evenly spread.
    pub fails: u64,
}

/// Opens a shop.
pub async fn open(shop: Shop) -> std::io::Result<SocketAddr> {
    let asked = Arc::new(AtomicU64::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        // The demo's own process ends before it runs out of descriptors.
        while let Ok((stream, _)) = listener.accept().await {
            let asked = asked.clone();
            let answer = service_fn(move |request| {
                let number = asked.fetch_add(1, Ordering::Relaxed);
                answer(shop, number, request)
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
            // A proxy that closes a kept connection is no failure of the shop.
            tokio::spawn(async move { connection.await.unwrap_or_default() });
        }
    });
    Ok(address)
}

async fn answer(
    Shop { version, takes, fails }: Shop,
    number: u64,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    sleep(takes).await;
    if number * fails % 1_000 < fails {
        let mut response = Response::new(Full::new("The shop is on fire.\n".into()));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return Ok(response);
    }
    let page = format!("Welcome to the {version} shop. You asked for {}.\n", request.uri().path());
    let mut response = Response::new(Full::new(page.into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(VERSION, HeaderValue::from_static(version));
    Ok(response)
}
