//! The copy that is made of a request while it is served: what its upstream is sent and answers in,
//! a [`Copied`] out once it is over.
//!
//! The copy goes out after the answer, so that it competes with nothing of its own request, and has
//! all that its answer is compared with. A request without a copy costs one look at an option.

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Method, Request, Uri};

use super::Exchange;
use super::phases::Sent;
use crate::http::admission::Head;
use crate::http::fields::{FieldId, Fields};
use crate::http::view::{View, text};
use crate::mirror::Copied;
use crate::mirror::{Answered, MARK, MARKED};
use crate::snapshot::Mirror;

/// Fields that concern the connection or the framing of the live request; the copy has its own.
const OWN: [HeaderName; 7] =
    [CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// A copy in the making.
#[derive(Debug)]
pub(super) struct Mirroring {
    mirror: Mirror,
    head: Option<(Method, Uri, HeaderMap)>,
    /// None once it is too long.
    body: Option<Vec<u8>>,
    has_whole_body: bool,
    live: Option<Answered>,
}

impl Exchange {
    /// Decides whether a request that is to be forwarded is copied.
    pub(super) fn prepare_to_mirror(&mut self, head: &Head<'_>, fields: &Fields<'_>) {
        let Some(decision) = self.decision else { return };
        let service = &self.snapshot.services[decision.service];
        let Some(mirror) = &service.mirror else { return };
        let settings = &mirror.settings;
        let length = |digits: &[u8]| text(digits)?.parse::<usize>().ok();
        let is_short = |digits| length(digits).is_some_and(|length| length <= settings.body_limit);
        let may_be = decision.pool != mirror.pool
            && settings.methods.contains(head.method)
            // Other bytes may not have survived being read as a target.
            && head.target.bytes.is_ascii()
            && !self.asks_websocket
            // Whoever marked it: a mirror that leads back to us must end, and we are no proxy of ours.
            && !fields.has(FieldId::MirrorMark)
            && fields.first(FieldId::ContentLength).is_none_or(is_short);
        if may_be && settings.chooses(self.draws.bits()) {
            let mirror = mirror.clone();
            self.mirroring = Some(Box::new(Mirroring {
                mirror,
                head: None,
                body: Some(Vec::new()),
                has_whole_body: false,
                live: None,
            }));
        }
    }

    /// The head that an upstream is sent; its body follows from the beginning, also when the
    /// request is tried again.
    pub(super) fn copy_head(&mut self, sent: &Sent<'_>) {
        let Some(mirroring) = &mut self.mirroring else { return };
        let target = sent.path_and_query.parse().ok();
        mirroring.head = target.map(|target| (sent.method.clone(), target, marked(sent.view)));
        mirroring.body = Some(Vec::new());
        mirroring.has_whole_body = false;
    }

    /// A piece of the request's body, and its end.
    pub(super) fn copy_body(&mut self, piece: Option<&[u8]>, is_end: bool) {
        let Some(mirroring) = &mut self.mirroring else { return };
        let limit = mirroring.mirror.settings.body_limit;
        if let (Some(body), Some(piece)) = (&mut mirroring.body, piece) {
            // Copied: what a lane hands over may be a slice of a larger buffer.
            match body.len() + piece.len() <= limit {
                true => body.extend_from_slice(piece),
                false => mirroring.body = None,
            }
        }
        mirroring.has_whole_body |= is_end;
    }

    /// Hears the head of the response that goes to the client.
    pub(super) fn begin_to_compare(&mut self, status: u16, view: View<'_>) {
        let Some(mirroring) = &mut self.mirroring else { return };
        let by = mirroring.mirror.settings.compare.as_ref();
        mirroring.live = by.map(|by| Answered::begin(status, view, by));
    }

    /// Hears a piece of the response's body.
    pub(super) fn compare_piece(&mut self, piece: &[u8]) {
        if let Some(live) = self.mirroring.as_mut().and_then(|mirroring| mirroring.live.as_mut()) {
            live.push(piece);
        }
    }

    /// The copy of a request that is over; none if there is to be none, or its own pool took the
    /// request in the end.
    pub(super) fn take_copy(&mut self) -> Option<Copied> {
        let Mirroring { mirror, head, body, has_whole_body, live } = *self.mirroring.take()?;
        let decision = self.decision.filter(|decision| decision.pool != mirror.pool)?;
        let (method, uri, headers) = head?;
        let mut request = Request::new(Bytes::from(body.filter(|_| has_whole_body)?));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Some(Copied {
            service: self.snapshot.services[decision.service].name.clone(),
            settings: mirror.settings,
            state: mirror.state,
            request_id: self.request_id.text().to_string(),
            request,
            // What was cut off is not what the upstream meant to answer.
            live: live.filter(|_| self.cause.is_none()),
        })
    }
}

fn marked(view: View<'_>) -> HeaderMap {
    let mut headers = view.as_map().into_owned();
    for name in OWN {
        headers.remove(name);
    }
    headers.insert(MARK, MARKED);
    headers
}
