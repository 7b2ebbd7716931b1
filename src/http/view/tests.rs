//! What rules make of a head does not depend on who has read it.

use std::time::Instant;

use http::{Method, Uri, Version};
use proptest::prelude::*;

use super::*;
use crate::http::admission::{self, Head, HeadLimits, OddNames, RequestTarget, Upload};
use crate::http::codec::Limits;
use crate::http::codec::request::RequestReader;
use crate::http::edits::{Edits, Text};
use crate::http::fields::Fields;
use crate::http::forwarded::{self, Peer, TrustedProxies};
use crate::http::response::{self, Additions};
use crate::http::streaming::Body;
use crate::http::{grpc, hop_by_hop, upgrade};

/// Names that rules are about, and some that they are not, as people write them.
fn names() -> impl Strategy<Value = String> {
    let known = (0..FieldId::ALL.len()).prop_map(|nth| FieldId::ALL[nth].name().to_string());
    let others = ["x-a", "accept-encoding", "grpc-status", "x_b", "date", "cache-control"];
    let name = prop_oneof![4 => known, 1 => (0..others.len()).prop_map(move |n| others[n].into())];
    (name, 0..3u8).prop_map(|(name, how): (String, u8)| match how {
        0 => name,
        1 => name.to_ascii_uppercase(),
        _ => name.split('-').map(capital).collect::<Vec<_>>().join("-"),
    })
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    first.to_ascii_uppercase() + rest
}

fn values() -> impl Strategy<Value = String> {
    const VALUES: [&str; 18] = [
        "",
        "5",
        "5, 5",
        "0",
        "chunked",
        "gzip, chunked",
        "close",
        "keep-alive, x-a",
        "x-request-id",
        "Upgrade",
        "websocket",
        "shop.test:80",
        "192.0.2.1, [2001:db8::1]:8",
        "https",
        "100-continue",
        "for=192.0.2.7;proto=https",
        "text/event-stream",
        "application/grpc",
    ];
    prop_oneof![6 => (0..VALUES.len()).prop_map(|n| VALUES[n].to_string()), 1 => "[ -~é]{0,12}"]
}

fn heads() -> impl Strategy<Value = String> {
    proptest::collection::vec((names(), values()), 0..12).prop_map(|fields| {
        let lines = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        format!("GET /a HTTP/1.1\r\n{}\r\n", lines.collect::<String>())
    })
}

/// A head that was read, as bytes and as a map.
fn both(raw: &str, check: impl Fn(View<'_>, View<'_>)) {
    let mut reader = RequestReader::default();
    let limits = Limits { bytes: 1 << 16, fields: 100 };
    reader.read(raw.as_bytes(), limits).unwrap().expect("it is whole");
    let flat = Flat::of_lines(raw.as_bytes(), reader.lines());
    let map = flat.to_map();
    check(View::Flat(flat), View::Map(&map));
}

fn all<'r>(values: impl Iterator<Item = &'r [u8]>) -> Vec<&'r [u8]> {
    values.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn fields_are_found_in_both(raw in heads(), asked in names()) {
        both(&raw, |flat, map| {
            assert_eq!((flat.len(), flat.is_empty()), (map.len(), map.is_empty()));
            let mut names = vec![HeaderName::from_bytes(asked.as_bytes()).unwrap()];
            names.extend(map.as_map().keys().cloned());
            for name in &names {
                assert_eq!(all(flat.all(name)), all(map.all(name)), "{name}");
                assert_eq!((flat.first(name), flat.has(name)), (map.first(name), map.has(name)));
            }
            for id in FieldId::ALL {
                assert_eq!(all(flat.all_of(id)), all(map.all_of(id)), "{id:?}");
                assert_eq!(flat.first_of(id), map.first_of(id), "{id:?}");
            }
            let seen = |view: View<'_>| {
                let lines = view.lines().map(|field| {
                    (field.id, field.name.to_ascii_lowercase(), field.value.to_vec())
                });
                let mut lines: Vec<_> = lines.collect();
                // A map keeps the lines of one name together.
                lines.sort_by(|one, other| one.1.cmp(&other.1));
                lines
            };
            assert_eq!(seen(flat), seen(map));
            assert_eq!(*flat.as_map(), *map.as_map());
        });
    }

    #[test]
    fn rules_for_requests_say_the_same_of_both(raw in heads(), is_trusted in any::<bool>()) {
        let uri = Uri::from_static("/a");
        let peer = Peer::new([192, 0, 2, 9].into(), "http", Instant::now());
        let networks = if is_trusted { vec!["192.0.2.0/24".parse().unwrap()] } else { Vec::new() };
        let trusted = TrustedProxies { networks, unix: false, strip: Vec::new() };
        let limits = HeadLimits { bytes: 1 << 16, target: 1 << 16, fields: 100, odd_names: OddNames::Refuse };
        both(&raw, |flat, map| {
            let said = |view| {
                let (method, version) = (&Method::GET, Version::HTTP_11);
                let target = RequestTarget::read(b"/a", &uri);
                let head = Head { method, target, version, view, raw: raw.as_bytes(), upload: Upload::Done };
                let accepted = admission::examine(&head, limits, None);
                let fields = Fields::new(view);
                let mut edits = Edits::default();
                forwarded::edit(&fields, &peer, &trusted, Some(Text::Host), &mut edits);
                (
                    accepted.map(|accepted| accepted.host.into_owned()),
                    forwarded::client(&fields, &peer, &trusted).address,
                    forwarded::is_https(&fields, &peer, &trusted),
                    format!("{:?}", edits.list()),
                    upgrade::is_asked(&fields, version),
                    hop_by_hop::nominates(view),
                )
            };
            assert_eq!(said(flat), said(map));
        });
    }

    #[test]
    fn rules_for_responses_say_the_same_of_both(raw in heads(), switches in any::<bool>()) {
        both(&raw, |flat, map| {
            let said = |view| {
                let id = HeaderValue::from_static("ours");
                let (route, hsts, limits) = (Vec::new(), None, &[][..]);
                let cookie = Some(&id);
                let (mark, pool) = (None, None);
                let add = Additions { id: b"ours", mark, cookie, hsts, pool, route, limits };
                let status = if switches { 101 } else { 200 };
                let edits = response::edits(view, status, add);
                // What goes is found in the order of the lines.
                let mut list: Vec<_> = edits.iter().map(|edit| format!("{edit:?}")).collect();
                list.sort();
                let grpc = grpc::GrpcStatus::read(view).map(grpc::GrpcStatus::code);
                (list, Body::of(view), grpc, upgrade::is_made(view))
            };
            assert_eq!(said(flat), said(map));
        });
    }
}
