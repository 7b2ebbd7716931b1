//! One copy of a request, ready to be sent: what the live request was sent as, and what came of it.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;

use super::{Answered, MirrorSettings, MirrorState};

/// One copy, ready to be sent.
#[derive(Debug)]
pub struct Copied {
    /// The service it was asked of.
    pub service: Arc<str>,
    /// How it is to be sent.
    pub settings: Arc<MirrorSettings>,
    /// Where it counts.
    pub state: Arc<MirrorState>,
    /// The id of the live request, and its own.
    pub request_id: String,
    /// All of it, marked.
    pub request: Request<Bytes>,
    /// What the client got, if that is known whole and to be compared.
    pub live: Option<Answered>,
}
