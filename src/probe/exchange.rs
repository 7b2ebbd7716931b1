//! One HTTP/1.1 exchange of a probe on the connection that it has dialled: a request in, what
//! `read` makes of the answer out.

use std::convert::Infallible;
use std::future::Future;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::failure::ProbeFailure;
use crate::outgoing::dial::Stream;
use crate::outgoing::http::{HEAD_LIMIT, HttpError};

/// Sends a request and hands its answer to `read`. One task moves the bytes and reads, so that a
/// probe that is given up leaves nothing behind. Takes as long as it takes: the caller sets the
/// limit.
pub async fn exchange<B, T>(
    stream: Box<dyn Stream>,
    request: Request<B>,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, ProbeFailure>,
) -> Result<T, ProbeFailure>
where
    B: Body<Data = Bytes, Error = Infallible> + Unpin + 'static,
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
