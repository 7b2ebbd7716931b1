//! A request at the door: one whose route asks for more than an address in; let in, answered, or with what
//! has to be found out first, out.
//!
//! Between its lists and its limit on one side and everything else on the other, what is kept, lines, holds,
//! copies and switches of protocols: who is not let in takes nobody's place, and counts for no pool. Whoever
//! works on what is wanted (see [`Wanted`]) brings it back here. The time that takes is not its service's.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use super::phases::Admission;
use super::{Exchange, Incoming, edit_origin};
use crate::auth::{Asked, By, Claim, Credentials, Door, Found, Outcome, Question, Said, Word};
use crate::clock::Moment;
use crate::http::admission::Upload;
use crate::http::answer::Answer;
use crate::http::codec::write::{self, HEAD_END, WriteFields};
use crate::http::edits::{Edit, Edits, Text};
use crate::http::failure::Cause;
use crate::http::fields::FieldId;
use crate::http::form::Form;
use crate::http::path::normal;
use crate::route;

/// What a client without a good password is told that it needs (RFC 7617).
const BASIC: HeaderValue =
    HeaderValue::from_static("Basic realm=\"restricted\", charset=\"UTF-8\"");

/// A request that waits at the door. Dropping it ends it there.
#[derive(Debug)]
#[must_use]
pub struct AtDoor<'e, 'r> {
    exchange: &'e mut Exchange,
    incoming: Incoming<'r>,
    found: route::Found,
    door: Door,
    wanted: Wanted,
    since: Moment,
}

/// What has to be found out.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Whether a password is right, which takes long to compute.
    Password(Arc<Claim>),
    /// What a service says.
    Word(Arc<Question>),
}

/// How a claim has come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is right.
    Right,
    /// It is wrong.
    Wrong,
    /// It was not looked at: too many were wrong. Not before so long.
    Locked(Duration),
    /// It was not looked at: too many wait.
    Busy,
}

/// By which door a request was let in.
#[derive(Debug)]
pub(super) struct Entered {
    door: Door,
    /// What a service has told of it, for the upstream.
    pub copied: Vec<(HeaderName, HeaderValue)>,
}

impl<'e, 'r> AtDoor<'e, 'r> {
    /// What has to be found out.
    pub fn wanted(&self) -> Wanted {
        self.wanted.clone()
    }

    /// What reads the time as claims count it.
    pub fn moments(&self) -> impl Fn() -> Moment + Send + 'static {
        let (clock, origin) = (self.exchange.clock, self.exchange.snapshot.origin());
        move || Moment::since(origin, clock.now())
    }

    /// How much of its body has yet to come by now.
    pub fn note_upload(&mut self, upload: Upload) {
        self.incoming.head.upload = upload;
    }

    /// How its claim has come out.
    pub fn checked(self: Box<Self>, checked: Checked) -> Admission<'e, 'r> {
        match checked {
            Checked::Right => {
                self.count(By::Password, Outcome::Passed);
                self.let_in(Vec::new())
            }
            Checked::Wrong => {
                self.count(By::Password, Outcome::Refused);
                self.refuse(|exchange, incoming| exchange.ask_for_password(incoming))
            }
            Checked::Locked(left) => {
                self.refuse(|exchange, incoming| exchange.lock_out(incoming, left))
            }
            Checked::Busy => {
                self.count(By::Password, Outcome::Failed);
                self.refuse(|exchange, incoming| exchange.answer(Cause::AuthBusy, &incoming.fields))
            }
        }
    }

    /// What the service has said; none if it has said nothing in time, or nothing that is an answer.
    pub fn told(self: Box<Self>, said: Option<Said>) -> Admission<'e, 'r> {
        let Door::Asked(asked) = &self.door else { return self.checked(Checked::Wrong) };
        match said.map_or(Word::Nothing, |said| asked.ask.judge(said)) {
            Word::In(copied) => {
                self.count(By::Service, Outcome::Passed);
                self.let_in(copied)
            }
            Word::Out(said) => {
                self.count(By::Service, Outcome::Refused);
                self.refuse(|exchange, incoming| exchange.pass_refusal(incoming, said))
            }
            Word::Nothing => {
                self.count(By::Service, Outcome::Failed);
                self.refuse(|exchange, incoming| {
                    exchange.answer(Cause::AuthFailed, &incoming.fields)
                })
            }
        }
    }

    fn count(&self, by: By, outcome: Outcome) {
        self.exchange.snapshot.doors.outcomes().count(by, outcome);
    }

    fn let_in(self: Box<Self>, copied: Vec<(HeaderName, HeaderValue)>) -> Admission<'e, 'r> {
        let AtDoor { exchange, incoming, found, door, since, .. } = *self;
        let now = exchange.now();
        // Its time for a place and for attempts begins here.
        exchange.let_in = now;
        exchange.at_door += now.elapsed_since(since);
        exchange.entered = Some(Box::new(Entered { door, copied }));
        exchange.go_in(incoming, Some(found))
    }

    fn refuse(
        self: Box<Self>,
        answer: impl FnOnce(&mut Exchange, &Incoming<'_>) -> Answer,
    ) -> Admission<'e, 'r> {
        let AtDoor { exchange, incoming, .. } = *self;
        Admission::Answer(Box::new(answer(exchange, &incoming)))
    }
}

impl Exchange {
    /// Whether a route asks its clients for more than an address, and this one has not shown it yet.
    pub(super) fn is_at_door(&self, found: &route::Found) -> bool {
        let asks = self.snapshot.actions(found).is_some_and(|actions| actions.auth.is_some());
        asks && !self.has_entered(found)
    }

    /// Whether it was let in by the very same door.
    fn has_entered(&self, found: &route::Found) -> bool {
        let entered = self.entered.as_ref().zip(self.snapshot.door(found));
        entered.is_some_and(|(entered, door)| entered.door.is_same(door))
    }

    /// What becomes of a request whose route asks for more than an address.
    pub(super) fn come_to_door<'e, 'r>(
        &'e mut self,
        incoming: Incoming<'r>,
        found: route::Found,
    ) -> Admission<'e, 'r> {
        self.entered = None;
        let Some(door) = self.snapshot.door(&found).cloned() else {
            // Its file has not been read.
            let answer = self.answer(Cause::AuthFailed, &incoming.fields);
            return Admission::Answer(Box::new(answer));
        };
        let since = self.now();
        let wanted = match &door {
            Door::Asked(asked) => Wanted::Word(Arc::new(self.question(asked, &incoming))),
            Door::Passwords(passwords) => {
                let Some(credentials) = Credentials::of(incoming.fields.view) else {
                    let answer = self.ask_for_password(&incoming);
                    return Admission::Answer(Box::new(answer));
                };
                match passwords.look(credentials, incoming.client, since) {
                    Found::Right => {
                        let copied = Vec::new();
                        self.entered = Some(Box::new(Entered { door, copied }));
                        return self.go_in(incoming, Some(found));
                    }
                    Found::Locked(left) => {
                        let answer = self.lock_out(&incoming, left);
                        return Admission::Answer(Box::new(answer));
                    }
                    Found::Unknown(claim) => Wanted::Password(claim),
                }
            }
        };
        let exchange = self;
        Admission::Door(Box::new(AtDoor { exchange, incoming, found, door, wanted, since }))
    }

    fn ask_for_password(&mut self, incoming: &Incoming<'_>) -> Answer {
        let mut answer = self.answer(Cause::Unauthorized, &incoming.fields);
        answer.fields.push((WWW_AUTHENTICATE, BASIC));
        answer
    }

    fn lock_out(&mut self, incoming: &Incoming<'_>, left: Duration) -> Answer {
        let mut answer = self.answer(Cause::LockedOut, &incoming.fields);
        let seconds = left.as_secs_f64().ceil().max(1.0) as u64;
        answer.fields.push((RETRY_AFTER, HeaderValue::from(seconds)));
        answer
    }

    /// A service's refusal as the client gets it. A call of gRPC is told in its own way.
    fn pass_refusal(&mut self, incoming: &Incoming<'_>, said: Said) -> Answer {
        let is_known = said.status == 403;
        let cause = if is_known { Cause::NotLetIn } else { Cause::Unauthorized };
        let mut answer = self.answer(cause, &incoming.fields);
        self.cause = Some(Cause::NotLetIn);
        self.stands_for = Some(said.status);
        if Form::wanted(&incoming.fields) != Form::Grpc {
            let id = (FieldId::RequestId.name().clone(), self.request_id().clone());
            let fields = said.fields.iter().map(|(name, value)| (name.clone(), value.clone()));
            answer.fields = fields.chain([id]).collect();
            (answer.status, answer.body) = (said.status, said.body);
        }
        answer
    }

    /// What a service is asked about a request.
    fn question(&mut self, asked: &Asked, incoming: &Incoming<'_>) -> Question {
        let ask = &asked.ask;
        let trusted = &self.snapshot.config.server.trusted_proxies;
        let mut edits = Edits::default();
        // As the upstream would hear it, and without what its client may not say.
        edit_origin(incoming, trusted, &mut edits);
        let mut head = Vec::with_capacity(512);
        write::request_line(b"GET", ask.target.as_bytes(), &mut head);
        head.field(b"host", ask.authority.as_bytes());
        head.field(b"x-forwarded-method", incoming.head.method.as_str().as_bytes());
        head.field(b"x-forwarded-uri", place(incoming.head.target.path_and_query).as_bytes());
        for id in [FieldId::ForwardedProto, FieldId::ForwardedHost, FieldId::ForwardedFor] {
            if let Some(value) = spoken(id, incoming, &edits) {
                head.known(id, &value);
            }
        }
        head.known(FieldId::RequestId, self.request_id.bytes());
        let is_gone = |name: &[u8]| {
            edits.list().iter().any(|edit| match edit {
                Edit::RemoveNamed(gone) => gone.as_str().as_bytes().eq_ignore_ascii_case(name),
                Edit::Remove(gone) => gone.name().as_str().as_bytes().eq_ignore_ascii_case(name),
                _ => false,
            })
        };
        let is_sent = |name: &[u8]| {
            let mut names = ask.send.iter();
            names.any(|sent| sent.as_str().as_bytes().eq_ignore_ascii_case(name)) && !is_gone(name)
        };
        for line in incoming.fields.view.lines().filter(|line| is_sent(line.name)) {
            head.field(line.name, line.value);
        }
        head.extend_from_slice(HEAD_END);
        let from = self.draws.bits() as usize;
        Question { head, targets: asked.targets.clone(), from, within: ask.timeout }
    }
}

/// What a request asks for, with its path in the one form and nothing but visible characters.
fn place(path_and_query: &str) -> String {
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    };
    let mut place = normal(path).into_owned();
    if let Some(query) = query {
        place.push('?');
        for byte in query.bytes() {
            match byte {
                b'!'..=b'~' => place.push(char::from(byte)),
                byte => place.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    place
}

/// What an upstream is told in this field.
fn spoken<'a>(id: FieldId, incoming: &'a Incoming<'_>, edits: &'a Edits) -> Option<Cow<'a, [u8]>> {
    let Incoming { peer, fields, .. } = incoming;
    for edit in edits.list().iter().rev() {
        let text = match edit {
            Edit::Set(known, text) if *known == id => text,
            Edit::Remove(known) if *known == id => return None,
            _ => continue,
        };
        return match text {
            Text::Peer => peer.field.as_ref().map(HeaderValue::as_bytes),
            Text::Scheme => Some(peer.scheme.as_bytes()),
            Text::Host => fields.first(FieldId::Host),
            Text::Own(value) => Some(value.as_bytes()),
            Text::RequestId | Text::Trace(_) => None,
        }
        .map(Cow::Borrowed);
    }
    // What a trusted proxy has said stays.
    let lines: Vec<&[u8]> = fields.all(id).collect();
    (!lines.is_empty()).then(|| Cow::Owned(lines.join(&b", "[..])))
}

#[cfg(test)]
mod tests;
