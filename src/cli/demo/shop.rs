//! A small shop: a version's name in, an address that answers with it out.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time::sleep;

/// Says which version answered.
pub const VERSION: HeaderName = HeaderName::from_static("x-shop-version");

/// Opens a shop of this version that takes this long to answer.
pub async fn open(version: &'static str, takes: Duration) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        // The demo's own process ends before it runs out of descriptors.
        while let Ok((stream, _)) = listener.accept().await {
            let answer = service_fn(move |request| answer(version, takes, request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
            // A proxy that closes a kept connection is no failure of the shop.
            tokio::spawn(async move { connection.await.unwrap_or_default() });
        }
    });
    Ok(address)
}

async fn answer(
    version: &'static str,
    takes: Duration,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    sleep(takes).await;
    let page = format!("Welcome to the {version} shop. You asked for {}.\n", request.uri().path());
    let mut response = Response::new(Full::new(page.into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(VERSION, HeaderValue::from_static(version));
    Ok(response)
}
