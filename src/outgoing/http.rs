//! One HTTP/1.1 exchange on a connection of its own: a request in, what `read` makes of the answer
//! out.

use std::future::Future;
use std::io;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::dial::Stream;

/// The longest head of an answer, in bytes: nobody who is asked here has reason for a longer one.
const HEAD_LIMIT: usize = 64 * 1024;

/// Why an exchange failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The connection ended before the answer did.
    #[error("connection broken: {0}")]
    Broken(io::ErrorKind),
    /// What came is not HTTP, in the words of the library that read it.
    #[error("bad HTTP: {0}")]
    Bad(String),
}

/// Sends a request and hands its answer to `read`. One task moves the bytes and reads, so that an
/// exchange that is given up leaves nothing behind. Takes as long as it takes: the caller sets the
/// limit.
pub async fn exchange<B, T, E>(
    stream: Box<dyn Stream>,
    request: Request<B>,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, E>,
) -> Result<T, E>
where
    B: Body<Data = Bytes, Error = std::convert::Infallible> + Unpin + 'static,
    E: From<HttpError>,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_LIMIT);
    let begun = builder.handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = begun.map_err(HttpError::from)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(HttpError::from)?;
        read(response).await
    };
    beside(connection, answer).await
}

/// The result of `answer`, while `connection` moves its bytes.
pub async fn beside<T>(connection: impl Future, answer: impl Future<Output = T>) -> T {
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // The connection may end before its last bytes are taken; how it ended is told to
        // `answer` too.
        _ = connection => answer.await,
    }
}

/// The first bytes of a body, at most so many.
pub async fn start_of<B>(mut body: B, limit: usize) -> Result<Vec<u8>, HttpError>
where
    B: Body<Data = Bytes> + Unpin,
    HttpError: From<B::Error>,
{
    let mut start = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = limit - start.len();
        start.extend_from_slice(&data[..data.len().min(room)]);
        if start.len() == limit {
            break;
        }
    }
    Ok(start)
}

impl From<hyper::Error> for HttpError {
    fn from(error: hyper::Error) -> HttpError {
        if error.is_incomplete_message() {
            return HttpError::Broken(io::ErrorKind::UnexpectedEof);
        }
        let source = std::error::Error::source(&error);
        match source.and_then(|source| source.downcast_ref::<io::Error>()) {
            Some(io) => HttpError::Broken(io.kind()),
            None => HttpError::Bad(error.to_string()),
        }
    }
}

impl From<h2::Error> for HttpError {
    fn from(error: h2::Error) -> HttpError {
        match error.get_io() {
            Some(io) => HttpError::Broken(io.kind()),
            None => HttpError::Bad(error.to_string()),
        }
    }
}
