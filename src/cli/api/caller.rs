//! How the admin API is reached: an address and who asks in, the head of an answer out.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use http::{Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::Call;
use crate::cli::address::{AdminAddress, Way};
use crate::cli::secure::Secure;

/// An address, what speaks HTTPS to it where that is asked for, and the token that goes with each request.
pub(super) struct Caller<'a> {
    /// As `--admin` says it.
    pub address: &'a AdminAddress,
    /// What is sent to prove who asks.
    pub token: Option<String>,
    /// What speaks HTTPS; none for what is plain.
    pub secure: Option<Secure>,
}

/// A connection of any kind.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Caller<'_> {
    /// Sends a request on a connection of its own; `is_sent` says whether any of it may have arrived.
    ///
    /// # Errors
    ///
    /// Those of the connection, as what they are.
    pub async fn exchange(
        &self,
        call: Call<'_>,
        is_sent: &AtomicBool,
    ) -> anyhow::Result<Response<Incoming>> {
        let (stream, host) = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::builder().method(call.method).uri(call.path);
        request = request.header(header::HOST, host);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(revision) = call.if_match {
            request = request.header(header::IF_MATCH, format!("\"{revision}\""));
        }
        if let Some((kind, _)) = &call.body {
            request = request.header(header::CONTENT_TYPE, *kind);
        }
        let body = Full::new(call.body.map(|(_, body)| body).unwrap_or_default());
        let request = request.body(body)?;
        is_sent.store(true, Ordering::Relaxed);
        let response = sender.try_send_request(request).await.map_err(|mut failed| {
            // Who gets it back has not given it to anybody.
            is_sent.store(failed.take_message().is_none(), Ordering::Relaxed);
            failed.into_error()
        })?;
        Ok(response)
    }

    /// A connection, and the host that it is to.
    async fn connect(&self) -> anyhow::Result<(Box<dyn Stream>, &str)> {
        Ok(match &self.address.way {
            Way::Unix(path) => (Box::new(UnixStream::connect(path).await?), "localhost"),
            Way::Https(bare) => {
                let secure = self.secure.as_ref();
                let secure = secure.context("there is nothing to speak HTTPS with")?;
                (Box::new(secure.connect(bare).await?), bare)
            }
            Way::Http(bare) => (Box::new(TcpStream::connect(bare).await?), bare),
        })
    }
}
