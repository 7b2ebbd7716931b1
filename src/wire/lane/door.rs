//! What has to be found out of a request before it is let in: a password checked, or a service asked.
//!
//! A hash is made to take long, so it is computed beside the threads that move requests, two at a time, with
//! a line before them that has a bound, and a smaller one for each client. A question goes by a connection
//! such as requests have, most often a kept one; nothing of it is shown to anybody before all of it is known.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::super::places::Places;
use super::super::socket::Socket;
use super::Lane;
use super::buffer::Buffer;
use super::client::Client;
use super::kept::Kept;
use crate::auth::{Begun, Claim, LONGEST_ANSWER, Question, Said};
use crate::clock::{Clock, Moment};
use crate::exchange::phases::Admission;
use crate::exchange::{AtDoor, Checked, Wanted};
use crate::http::admission::Upload;
use crate::http::codec::Limits;
use crate::http::codec::body::{BodyReader, Event};
use crate::http::codec::framing::{self, Framing};
use crate::http::codec::response::{ResponseHead, ResponseReader};
use crate::http::failure::Cause;
use crate::http::hop_by_hop;
use crate::http::view::{Flat, View};

/// Passwords that are checked at once.
const AT_ONCE: usize = 2;

/// Those that wait, in all and of one client, and for how long: at a twentieth of a second each, a full line
/// is done in that time.
const LONGEST_LINE: usize = 64;
const LONGEST_OF_CLIENT: u32 = 16;
const PATIENCE: Duration = Duration::from_secs(10);

/// Kept connections that a question tries before it makes one of its own: one may have been closed.
const KEPT_TRIED: usize = 2;

/// How much of an answer's head is taken.
const HEAD: Limits = Limits { bytes: LONGEST_ANSWER, fields: 200 };

/// Where passwords are checked.
#[derive(Debug)]
pub(super) struct Checks {
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    places: Arc<Places>,
}

impl Default for Checks {
    fn default() -> Checks {
        let (turns, waiting, places) =
            (Arc::new(Semaphore::new(AT_ONCE)), 0.into(), Arc::default());
        Checks { turns, waiting, places }
    }
}

/// A place in the line; given back on drop.
struct Place<'c>(&'c AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Checks {
    /// How a claim comes out. Given up, it leaves the line; what is being computed goes on, and counts.
    async fn check(&self, claim: Arc<Claim>, now: impl Fn() -> Moment + Send + 'static) -> Checked {
        let place = Place(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= LONGEST_LINE {
            return Checked::Busy;
        }
        let of_client = claim.network().map(|network| self.places.take(network, LONGEST_OF_CLIENT));
        if of_client.as_ref().is_some_and(Option::is_none) {
            return Checked::Busy;
        }
        // Nobody closes it.
        let Ok(turn) = self.turns.clone().acquire_owned().await else { return Checked::Busy };
        let taken = match claim.begin(now()) {
            Begun::Right => return Checked::Right,
            Begun::Locked(left) => return Checked::Locked(left),
            Begun::Check(taken) => taken,
        };
        let checked = tokio::task::spawn_blocking(move || {
            let is_right = claim.is_right();
            claim.end(taken, is_right, now());
            drop(turn);
            is_right
        });
        let checked = checked.await;
        drop((place, of_client));
        match checked {
            Ok(true) => Checked::Right,
            Ok(false) => Checked::Wrong,
            // A panic has been reported by itself.
            Err(_) => Checked::Busy,
        }
    }
}

/// Finds out what is wanted of a request at the door, and listens to its client meanwhile; none if that
/// has left. `to_come` says how much of its body has yet to come.
pub(super) async fn find_out<'e, 'r>(
    lane: &Lane,
    client: &mut Client,
    mut door: Box<AtDoor<'e, 'r>>,
    to_come: impl Fn(&Client) -> Upload,
) -> Option<Admission<'e, 'r>> {
    match door.wanted() {
        Wanted::Password(claim) => {
            let checking = lane.checks.check(claim, door.moments());
            let checked = match client.unless_left(PATIENCE, checking).await {
                Ok(checked) => checked,
                Err(Cause::ClientGone) => return None,
                Err(_) => Checked::Busy,
            };
            door.note_upload(to_come(client));
            Some(door.checked(checked))
        }
        Wanted::Word(question) => {
            let asking = ask(&lane.kept, lane.clock, &question);
            let said = match client.unless_left(question.within, asking).await {
                Ok(said) => said,
                Err(Cause::ClientGone) => return None,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            if let Err(error) = &said {
                tracing::debug!(%error, "nobody says who may come in");
            }
            door.note_upload(to_come(client));
            Some(door.told(said.ok()))
        }
    }
}

/// Asks a service, of its addresses the first of which anything of an answer comes.
async fn ask(connections: &Kept, clock: Clock, question: &Question) -> io::Result<Said> {
    let (targets, begun) = (&question.targets, clock.now());
    let mut failure = io::ErrorKind::AddrNotAvailable.into();
    for nth in 0..targets.len() {
        let target = &targets[question.from.wrapping_add(nth) % targets.len()];
        let (mut tried, mut answered) = (0, None);
        while tried < KEPT_TRIED
            && answered.is_none()
            && let Some(socket) = connections.take(target, clock.now())
        {
            tried += 1;
            match Talk::on(socket).ask(&question.head).await {
                // It was closed before anything of an answer came.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
                said => answered = Some(said),
            }
        }
        let said = match answered {
            Some(said) => said,
            None => {
                let spent = clock.now().saturating_duration_since(begun);
                // An address that takes a connection to nowhere leaves time for those behind it.
                let share = question.within.saturating_sub(spent) / (targets.len() - nth) as u32;
                let connected = timeout(share, Socket::connect(target)).await;
                match connected.unwrap_or_else(|late| Err(late.into())) {
                    Ok(socket) => Talk::on(socket).ask(&question.head).await,
                    Err(error) => {
                        failure = error;
                        continue;
                    }
                }
            }
        };
        let (said, kept) = match said {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                failure = error;
                continue;
            }
            said => said?,
        };
        if let Some(socket) = kept {
            connections.keep(target, socket, clock.now(), KEPT_FOR);
        }
        return Ok(said);
    }
    Err(failure)
}

/// How long a connection to a service is kept for the next question.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// One question on a connection.
struct Talk {
    socket: Socket,
    inbox: Buffer,
}

impl Talk {
    fn on(socket: Socket) -> Talk {
        Talk { socket, inbox: Buffer::default() }
    }

    /// The answer to this, and the connection if it can carry another. `NotConnected` if the connection was
    /// over before anything came.
    async fn ask(mut self, head: &[u8]) -> io::Result<(Said, Option<Socket>)> {
        let over = |_| io::Error::from(io::ErrorKind::NotConnected);
        self.write(head).await.map_err(over)?;
        let mut reader = ResponseReader::default();
        let head = loop {
            reader.begin();
            let head = self.head(&mut reader).await?;
            match head.status {
                // A switch that nobody asked for is no answer.
                101 => return Err(bad()),
                100..200 => self.inbox.skip(head.length),
                _ => break head,
            }
        };
        let bytes = &self.inbox.bytes()[..head.length];
        let framing = framing::of_response(reader.lines(), bytes, head.version, head.status, false);
        let framing = framing.map_err(|_| bad())?;
        let view = View::Flat(Flat::of_lines(bytes, reader.lines()));
        let fields = view.as_map().into_owned();
        let goes_on = head.version == http::Version::HTTP_11
            && framing != Framing::UntilClose
            && !hop_by_hop::says(view, b"close");
        self.inbox.skip(head.length);
        let body = self.body(framing).await?;
        let kept = (goes_on && self.inbox.is_empty()).then_some(self.socket);
        Ok((Said { status: head.status, fields, body }, kept))
    }

    async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        poll_fn(|cx| {
            while !bytes.is_empty() {
                let taken = ready!(self.socket.poll_write(cx, [bytes, &[], &[]], false))?;
                bytes = &bytes[taken..];
            }
            self.socket.poll_flush(cx, &mut 0)
        })
        .await
    }

    async fn head(&mut self, reader: &mut ResponseReader) -> io::Result<ResponseHead> {
        poll_fn(|cx| {
            loop {
                match reader.read(self.inbox.bytes(), HEAD) {
                    Ok(Some(head)) => return Poll::Ready(Ok(head)),
                    Ok(None) => {}
                    Err(_) => return Poll::Ready(Err(bad())),
                }
                let was_silent = self.inbox.is_empty();
                let read = ready!(self.fill(cx));
                if !matches!(read, Ok(1..)) {
                    let cut = io::ErrorKind::UnexpectedEof;
                    let kind = if was_silent { io::ErrorKind::NotConnected } else { cut };
                    return Poll::Ready(Err(kind.into()));
                }
            }
        })
        .await
    }

    /// All of a body; one that is longer than it may be is no answer.
    async fn body(&mut self, framing: Framing) -> io::Result<Bytes> {
        let (mut reader, mut body) = (BodyReader::new(framing).of_response(), Vec::new());
        poll_fn(|cx| {
            loop {
                let read = reader.read(self.inbox.bytes()).map_err(|_| bad())?;
                match read.event {
                    Event::End => {
                        self.inbox.skip(read.used);
                        return Poll::Ready(Ok(()));
                    }
                    Event::Piece(range) => {
                        if body.len() + range.len() > LONGEST_ANSWER {
                            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
                        }
                        body.extend_from_slice(&self.inbox.bytes()[range]);
                        self.inbox.skip(read.used);
                    }
                    Event::Wanting => {
                        self.inbox.skip(read.used);
                        if ready!(self.fill(cx))? == 0 {
                            return Poll::Ready(reader.close().map_err(|_| bad()));
                        }
                    }
                }
            }
        })
        .await?;
        Ok(body.into())
    }

    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.inbox.poll_fill(&mut self.socket, cx)
    }
}

/// What came is no answer.
fn bad() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::Waker;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use http::HeaderMap;
    use http::header::AUTHORIZATION;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::auth::{Credentials, Found, Passwords, Users};
    use crate::upstream::{DialAddress, TlsTarget, TlsTerms, Trust};

    type Checking<'c> = Pin<Box<dyn Future<Output = Checked> + 'c>>;

    /// Whether `secret` is the password of this user, whom one client claims to be.
    fn claim(passwords: &Arc<Passwords>, user: &str, client: &str) -> Arc<Claim> {
        let line = format!("Basic {}", STANDARD.encode(format!("{user}:secret")));
        let fields = HeaderMap::from_iter([(AUTHORIZATION, line.parse().unwrap())]);
        let credentials = Credentials::of(View::Map(&fields)).unwrap();
        match passwords.look(credentials, client.parse().ok(), Moment::default()) {
            Found::Unknown(claim) => claim,
            other => panic!("{other:?}"),
        }
    }

    fn poll(checking: &mut Checking<'_>) -> Option<Checked> {
        match checking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(checked) => Some(checked),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn the_line_before_two_that_are_checked_has_a_bound_for_all_and_one_for_each_client() {
        let ann = "ann:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
        let users = Arc::new(Users::of(ann).unwrap());
        let passwords = Arc::new(Passwords::of(users, [7; 16], None));
        let checks = Checks::default();
        let begin = |user: &str, client: &str| -> Checking<'_> {
            Box::pin(checks.check(claim(&passwords, user, client), Moment::default))
        };
        // Both turns are taken.
        let taken = checks.turns.clone().acquire_many_owned(AT_ONCE as u32).await.unwrap();
        let mut line = Vec::new();
        let mut stand = |user: &str, client: &str| {
            let mut checking = begin(user, client);
            let told = poll(&mut checking);
            line.extend(told.is_none().then_some(checking));
            told
        };
        for nth in 0..LONGEST_OF_CLIENT {
            assert_eq!(stand(&format!("u{nth}"), "192.0.2.1"), None);
        }
        assert_eq!(stand("ann", "192.0.2.1"), Some(Checked::Busy));
        assert_eq!(stand("ann", "192.0.2.2"), None, "another one has its own");
        // Many networks of one customer are one client.
        for nth in 0..LONGEST_OF_CLIENT {
            assert_eq!(stand(&format!("u{nth}"), &format!("2001:db8:1:{nth}::1")), None);
        }
        assert_eq!(stand("ann", "2001:db8:1:ff::1"), Some(Checked::Busy));
        for nth in 0..LONGEST_LINE - 2 * LONGEST_OF_CLIENT as usize - 1 {
            assert_eq!(stand("nobody", &format!("198.51.100.{nth}")), None);
        }
        assert_eq!(stand("ann", "203.0.113.1"), Some(Checked::Busy));
        // Who leaves makes room.
        drop(line.remove(0));
        let mut last = begin("ann", "203.0.113.1");
        assert_eq!(poll(&mut last), None);
        drop(taken);
        let mut told = Vec::new();
        for checking in line {
            told.push(checking.await);
        }
        told.push(last.await);
        let count = |wanted| told.iter().filter(|told| **told == wanted).count();
        assert_eq!((told.len(), count(Checked::Right), count(Checked::Wrong)), (64, 2, 62));
        assert_eq!(checks.waiting.load(Ordering::Relaxed), 0);
        assert_eq!(checks.turns.available_permits(), AT_ONCE);
    }

    #[tokio::test]
    async fn what_is_computed_counts_though_nobody_waits_for_it() {
        let ann = "ann:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
        let users = Arc::new(Users::of(ann).unwrap());
        let passwords = Arc::new(Passwords::of(users, [7; 16], None));
        let checks = Checks::default();
        for nth in 0..10 {
            let guess = claim(&passwords, "nobody", "192.0.2.1");
            let mut checking: Checking<'_> = Box::pin(checks.check(guess, Moment::default));
            // Its turn comes at once, and it leaves.
            let told = poll(&mut checking);
            assert!(told.is_none_or(|told| told == Checked::Wrong), "{nth}");
            drop(checking);
            // Who comes next has to wait for it.
            drop(checks.turns.clone().acquire_many_owned(AT_ONCE as u32).await.unwrap());
        }
        let line = format!("Basic {}", STANDARD.encode("nobody:secret")).parse().unwrap();
        let fields = HeaderMap::from_iter([(AUTHORIZATION, line)]);
        let credentials = Credentials::of(View::Map(&fields)).unwrap();
        let client = "192.0.2.1".parse().ok();
        let found = passwords.look(credentials, client, Moment::default());
        assert!(matches!(found, Found::Locked(_)), "{found:?}");
        assert_eq!(checks.waiting.load(Ordering::Relaxed), 0);
    }

    /// Asks at these addresses in this order, what comes of it.
    async fn asked(targets: Vec<DialAddress>) -> io::Result<u16> {
        let (now, wall) = (std::time::Instant::now, || std::time::SystemTime::UNIX_EPOCH);
        let (kept, clock) = (Kept::new(1, 9), Clock { now, wall, draw: || 0 });
        let head = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec();
        let within = Duration::from_millis(600);
        let question = Question { head, targets: targets.into(), from: 0, within };
        let asking = ask(&kept, clock, &question);
        let said = timeout(Duration::from_secs(30), asking).await.expect("it ends");
        said.map(|said| said.status)
    }

    /// Says this to each question, and closes.
    async fn says(answer: &'static str) -> DialAddress {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let _ = socket.read(&mut [0; 1024]).await;
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        DialAddress::Socket(address)
    }

    #[tokio::test]
    async fn an_address_that_hangs_or_leaves_without_a_word_hides_no_other() {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // Takes connections and never says a word of TLS.
        let hangs = DialAddress::Tls(Arc::new(TlsTarget {
            below: DialAddress::Socket(nobody.local_addr().unwrap()),
            name: "a".into(),
            http2: false,
            terms: Arc::new(TlsTerms::new(Trust::Anybody, None)),
        }));
        let leaves = says("").await;
        let lets_in = says("HTTP/1.1 204 No Content\r\n\r\n").await;
        let breaks_off = says("HTTP/1.1 20").await;
        for before in [vec![&hangs], vec![&leaves], vec![&leaves, &hangs, &leaves]] {
            let targets = before.into_iter().chain([&lets_in]).cloned().collect();
            assert_eq!(asked(targets).await.unwrap(), 204);
        }
        let failed = asked(vec![hangs.clone(), hangs]).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        // Who has begun to answer is believed to be the one who knows.
        let failed = asked(vec![breaks_off, lets_in]).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::UnexpectedEof);
    }
}
