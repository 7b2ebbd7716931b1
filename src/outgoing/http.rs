//! Parts of an HTTP exchange that all who ask share: a body in, its start out; a library's error
//! in, a cause out.

use std::io;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;

/// The longest head of an answer, in bytes: nobody who is asked here has reason for a longer one.
pub const HEAD_LIMIT: usize = 64 * 1024;

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

/// The first bytes of a body, at most so many.
pub async fn start_of<B>(mut body: B, limit: usize) -> Result<Vec<u8>, HttpError>
where
    B: Body<Data = Bytes> + Unpin,
    HttpError: From<B::Error>,
{
    let mut start = Vec::new();
    while start.len() < limit {
        let Some(frame) = body.frame().await else { break };
        let Ok(data) = frame?.into_data() else { continue };
        let room = limit - start.len();
        start.extend_from_slice(&data[..data.len().min(room)]);
    }
    Ok(start)
}

impl From<&hyper::Error> for HttpError {
    fn from(error: &hyper::Error) -> HttpError {
        if error.is_incomplete_message() {
            return HttpError::Broken(io::ErrorKind::UnexpectedEof);
        }
        let source = std::error::Error::source(error);
        match source.and_then(|source| source.downcast_ref::<io::Error>()) {
            Some(io) => HttpError::Broken(io.kind()),
            // The connection was closed before the request went out.
            None if error.is_canceled() || error.is_closed() => {
                HttpError::Broken(io::ErrorKind::UnexpectedEof)
            }
            None => HttpError::Bad(error.to_string()),
        }
    }
}

impl From<hyper::Error> for HttpError {
    fn from(error: hyper::Error) -> HttpError {
        HttpError::from(&error)
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
