//! What must hold for any bytes: each target takes some and panics where it does not.

use std::time::Instant;

use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use pointsman::clock::{Clock, Draws};
use pointsman::config::Config;
use pointsman::http::admission::{self, Head, HeadLimits, OddNames, RequestTarget, Upload};
use pointsman::http::codec::body::{BodyReader, Event};
use pointsman::http::codec::framing;
use pointsman::http::codec::lines::Lines;
use pointsman::http::codec::request::RequestReader;
use pointsman::http::codec::response::ResponseReader;
use pointsman::http::codec::{Limits, write};
use pointsman::http::fields::Fields;
use pointsman::http::forwarded::{self, Peer, TrustedProxies};
use pointsman::http::trace_context::TraceContext;
use pointsman::http::view::{Flat, View};
use pointsman::http::{grpc, hop_by_hop, list, trailers};
use pointsman::route::Facts;
use pointsman::split::{Secret, Signer, Sticky, StickyKey};
use pointsman::store::Export;

/// A target.
pub type Target = fn(&[u8]);

/// All of them, by name.
pub const ALL: [(&str, Target); 9] = [
    ("config", config),
    ("request_head", request_head),
    ("response_head", response_head),
    ("chunks", chunks),
    ("exchange", exchange),
    ("forwarded", forwarded),
    ("trace", trace),
    ("cookies", cookies),
    ("export", export),
];

const LIMITS: Limits = Limits { bytes: 4_096, fields: 32 };

/// A config file is read, or told what is wrong with it; and what is told can be shown.
pub fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (Ok((_, problems)) | Err(problems)) = Config::parse(&text);
    let _ = problems.render(&text, "pointsman.toml", false);
}

/// The same bytes in the pieces that the first of them says.
fn pieces(bytes: &[u8]) -> (&[u8], impl Iterator<Item = &[u8]>) {
    let (step, rest) = bytes.split_first().map_or((1, bytes), |(step, rest)| (*step, rest));
    (rest, rest.chunks(usize::from(step).max(1)))
}

/// A request's head is the same however it is cut, and what is accepted is written as it was read.
pub fn request_head(bytes: &[u8]) {
    let (whole, cut) = pieces(bytes);
    let mut reader = RequestReader::default();
    let read = reader.read(whole, LIMITS);
    let (mut slow, mut come) = (RequestReader::default(), Vec::new());
    let mut slowly = Ok(None);
    for piece in cut {
        come.extend_from_slice(piece);
        slowly = slow.read(&come, LIMITS);
        if !matches!(slowly, Ok(None)) {
            break;
        }
    }
    if !whole.is_empty() {
        // What is behind a head may be in another piece; the head itself and its faults may not differ.
        assert_eq!(read.is_ok(), slowly.is_ok(), "{}", whole.escape_ascii());
        assert_eq!(read.as_ref().ok(), slowly.as_ref().ok(), "{}", whole.escape_ascii());
    }
    let Ok(Some(head)) = read else { return };
    let lines = reader.lines();
    let target = head.target.of(whole);
    let mut again = Vec::new();
    write::request_line(head.method.of(whole), target, &mut again);
    write::lines(whole, lines.list(), |_| true, &mut again);
    again.extend_from_slice(write::HEAD_END);
    let mut second = RequestReader::default();
    let once_more = second.read(&again, Limits { bytes: 8_192, ..LIMITS });
    let once_more = once_more.ok().flatten().expect("what was written can be read");
    assert_eq!(once_more.method.of(&again), head.method.of(whole));
    assert_eq!(once_more.target.of(&again), target);
    assert_eq!(fields(second.lines(), &again), fields(lines, whole));
    assert!(!target.iter().any(|byte| *byte <= b' ' || *byte == 0x7f));
}

fn fields(lines: &Lines, bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let both = lines.list().iter().map(|line| (line.name(bytes), line.value(bytes)));
    let both: Vec<_> = both.map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    for (name, value) in &both {
        assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic), "{name:?}");
        assert!(!value.iter().any(|byte| b"\r\n\0".contains(byte)), "{value:?}");
    }
    both
}

/// A response's head is the same however it is cut.
pub fn response_head(bytes: &[u8]) {
    let (whole, cut) = pieces(bytes);
    let mut reader = ResponseReader::default();
    let read = reader.read(whole, LIMITS);
    let (mut slow, mut come) = (ResponseReader::default(), Vec::new());
    for piece in cut {
        come.extend_from_slice(piece);
        let slowly = slow.read(&come, LIMITS);
        if matches!(slowly, Ok(None)) {
            continue;
        }
        assert_eq!(read.is_ok(), slowly.is_ok(), "{}", whole.escape_ascii());
        assert_eq!(read.as_ref().ok(), slowly.as_ref().ok(), "{}", whole.escape_ascii());
        break;
    }
    if let Ok(Some(head)) = read {
        assert!((100..1_000).contains(&head.status));
        fields(reader.lines(), whole);
    }
}

/// What a body in chunks holds, and what is behind it; nothing if it is none.
fn unchunked<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut reader = BodyReader::new(framing::Framing::Chunked);
    let (mut body, mut come, mut is_over) = (Vec::new(), Vec::new(), false);
    for piece in pieces {
        come.extend_from_slice(piece);
        while !is_over {
            let read = reader.read(&come).ok()?;
            if let Event::Piece(range) = &read.event {
                body.extend_from_slice(&come[range.clone()]);
            }
            come.drain(..read.used);
            match read.event {
                Event::Piece(_) => {}
                Event::Wanting => break,
                Event::End => is_over = true,
            }
        }
    }
    is_over.then_some((body, come))
}

/// A body in chunks is the same however it is cut, and as long as it says.
pub fn chunks(bytes: &[u8]) {
    let (whole, cut) = pieces(bytes);
    assert_eq!(unchunked(std::iter::once(whole)), unchunked(cut), "{}", whole.escape_ascii());
}

/// Requests behind one another are taken apart at the same places however they are cut.
pub fn exchange(bytes: &[u8]) {
    let (whole, cut) = pieces(bytes);
    let at_once = requests(std::iter::once(whole));
    let slowly = requests(cut);
    assert_eq!(at_once, slowly, "{}", whole.escape_ascii());
}

/// The lengths of the whole requests that come so, until one is refused.
fn requests<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> Vec<(usize, usize)> {
    let (mut found, mut come) = (Vec::new(), Vec::new());
    let mut under_way: Option<(usize, BodyReader, usize)> = None;
    let mut reader = RequestReader::default();
    for piece in pieces {
        come.extend_from_slice(piece);
        loop {
            if let Some((head, body, length)) = &mut under_way {
                let Ok(read) = body.read(&come) else { return found };
                if let Event::Piece(range) = &read.event {
                    *length += range.len();
                }
                come.drain(..read.used);
                match read.event {
                    Event::Piece(_) => continue,
                    Event::Wanting => break,
                    Event::End => {
                        found.push((*head, *length));
                        under_way = None;
                        reader.begin();
                    }
                }
            }
            match reader.read(&come, LIMITS) {
                Ok(Some(head)) => {
                    let lines = reader.lines();
                    let Ok(framing) = framing::of_request(lines, &come, head.version) else {
                        return found;
                    };
                    under_way = Some((head.length, BodyReader::new(framing), 0));
                    come.drain(..head.length);
                }
                Ok(None) => break,
                Err(_) => return found,
            }
        }
    }
    found
}

/// Fields from lines of `name: value`, as far as they are any.
fn map(bytes: &[u8]) -> HeaderMap {
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = http::HeaderName::from_bytes(&line[..colon]).ok()?;
        Some((name, HeaderValue::from_bytes(&line[colon + 1..]).ok()?))
    });
    let mut map = HeaderMap::new();
    lines.take(100).for_each(|(name, value)| {
        map.append(name, value);
    });
    map
}

/// Whatever fields say, who asks is the peer unless the peer is believed, and what is let in has one host.
pub fn forwarded(bytes: &[u8]) {
    let map = map(bytes);
    let fields = Fields::new(&map);
    let address = [192, 0, 2, 1].into();
    let peer = Peer::new(address, "http", Instant::now());
    let nobody = TrustedProxies::default();
    assert_eq!(forwarded::client(&fields, &peer, &nobody).address, Some(address));
    let all = TrustedProxies {
        networks: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
        ..nobody
    };
    let _ = forwarded::client(&fields, &peer, &all);
    let _ = forwarded::is_https(&fields, &peer, &all);
    let _ = (
        trailers::are_taken(&fields),
        grpc::timeout(&fields),
        hop_by_hop::nominates((&map).into()),
    );
    let uri = Uri::from_static("/a");
    let head = Head {
        method: &Method::GET,
        target: RequestTarget::read(b"/a", &uri),
        version: Version::HTTP_11,
        view: View::Map(&map),
        raw: b"",
        upload: Upload::Done,
    };
    let limits =
        HeadLimits { bytes: 4_096, target: 2_048, fields: 64, odd_names: OddNames::Refuse };
    if let Ok(accepted) = admission::examine(&head, limits, None) {
        assert!(!accepted.host.bytes().any(|byte| byte.is_ascii_uppercase() || byte <= b' '));
        assert_eq!(map.get_all(http::header::HOST).iter().count(), 1);
    }
}

fn draws() -> Draws {
    let wall = std::time::SystemTime::now;
    Clock { now: Instant::now, wall, draw: || 7 }.draws()
}

/// A trace that is continued or begun has a valid `traceparent`.
pub fn trace(bytes: &[u8]) {
    let map = map(bytes);
    let context = TraceContext::continue_or_start(&Fields::new(&map), &mut draws());
    let parent = context.traceparent();
    let parts: Vec<&str> = std::str::from_utf8(&parent).unwrap().split('-').collect();
    assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2]);
    assert!(parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit())));
    assert!(parts[1].bytes().any(|byte| byte != b'0') && parts[2].bytes().any(|byte| byte != b'0'));
    assert!(context.state.is_none_or(|state| state.len() <= 8_192));
}

/// Nobody is recognised by a cookie of ours that we have not made.
pub fn cookies(bytes: &[u8]) {
    let mut map = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(10) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            map.append(http::header::COOKIE, value);
        }
    }
    let facts = Facts {
        path_and_query: "",
        tester: None,
        is_doubtful: false,
        method: &Method::GET,
        host: "a",
        path: "/",
        fields: Fields::new(&map),
        client: None,
    };
    let signer = Signer::of(Secret([7; 16]));
    let own = Sticky { keys: vec![StickyKey::OwnCookie("c".into())] };
    assert!(own.recognise(&facts, &signer).client().is_none(), "{map:?}");
    let named = Sticky { keys: vec![StickyKey::Cookie("c".into())] };
    let _ = named.recognise(&facts, &signer);
    let flat = View::Flat(Flat::NONE);
    assert!(flat.is_empty());
    list::members(bytes).for_each(|member| {
        let _ = list::directive(member);
    });
}

/// An export is a store or is told what is wrong with it.
pub fn export(bytes: &[u8]) {
    if let Ok(export) = serde_json::from_slice::<Export>(bytes) {
        let _ = export.state().map_err(|error| error.to_string());
    }
}
