use super::*;
use http::HeaderMap;
use smallvec::SmallVec;

fn usual() -> Compression {
    Compression {
        codings: Coding::ALL.to_vec(),
        types: ["text/*", "application/json", "application/*+json"].map(String::from).to_vec(),
        least: 1_024,
    }
}

fn head(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(*name, HeaderValue::from_static(value));
    }
    map
}

fn chosen(status: u16, fields: &[(&'static str, &'static str)], length: Option<u64>) -> Choice {
    chosen_after(status, fields, length, &[])
}

fn chosen_after(
    status: u16,
    fields: &[(&'static str, &'static str)],
    length: Option<u64>,
    rules: &[Edit<'_>],
) -> Choice {
    let (head, asked) = (head(fields), HeaderMap::new());
    let leaving = Leaving { came: View::Map(&head), edits: rules };
    let accepted = || [&b"gzip, br"[..]].into_iter();
    usual().choose(status, &leaving, length, View::Map(&asked), accepted)
}

fn set(name: &'static str, value: &'static str) -> Edit<'static> {
    let value = HeaderValue::from_static(value);
    Edit::Set(HeaderName::from_static(name), Cow::Owned(value))
}

fn add(name: &'static str, value: &'static str) -> Edit<'static> {
    let value = HeaderValue::from_static(value);
    Edit::Add(HeaderName::from_static(name), Cow::Owned(value))
}

fn remove(name: &'static str) -> Edit<'static> {
    Edit::Remove(HeaderName::from_static(name))
}

#[test]
fn the_client_says_what_it_takes_and_the_service_what_it_likes() {
    let best = |lines: &[&str]| usual().best(lines.iter().map(|line| line.as_bytes()));
    for (lines, wanted) in [
        (&["gzip, deflate, br, zstd"][..], Some(Coding::Zstd)),
        (&["gzip, deflate, br"], Some(Coding::Brotli)),
        (&["GZIP"], Some(Coding::Gzip)),
        (&["x-gzip"], Some(Coding::Gzip)),
        (&["gzip;q=1.0, br;q=0.5, zstd; q=0"], Some(Coding::Gzip)),
        (&["gzip;q=0.5", "br;q=0.6"], Some(Coding::Brotli)),
        (&["*"], Some(Coding::Zstd)),
        (&["*;q=0, gzip"], Some(Coding::Gzip)),
        (&["zstd;q=0, *;q=0.1"], Some(Coding::Brotli)),
        (&["identity"], None),
        (&["identity;q=1, gzip;q=0.5"], None),
        (&["identity, *;q=0.1"], None),
        (&["br;q=0.2", "Identity;q=0.9"], None),
        (&["identity, gzip"], Some(Coding::Gzip)),
        (&["identity;q=0.5, gzip;q=0.5, br;q=0.4"], Some(Coding::Gzip)),
        (&["identity;q=0, *;q=0.1"], Some(Coding::Zstd)),
        (&["gzip;q=0"], None),
        (&["gzip;q=0.000, *;q=0"], None),
        (&[""], None),
        (&[], None),
    ] {
        assert_eq!(best(lines), wanted, "{lines:?}");
    }
}

#[test]
fn only_what_is_whole_large_enough_and_of_a_known_type_is_coded() {
    let html = ("content-type", "text/html; charset=utf-8");
    let coded = Choice::Code(Coding::Brotli);
    for (status, fields, length) in [
        (200, &[html][..], Some(1_024)),
        (200, &[html], None),
        (404, &[html], Some(5_000)),
        (200, &[("content-type", "Application/Problem+JSON")], None),
        (200, &[html, ("content-encoding", "identity")], None),
        (200, &[html, ("cache-control", "max-age=60")], None),
    ] {
        assert_eq!(chosen(status, fields, length), coded, "{status} {fields:?}");
    }
    for (status, fields, length) in [
        (200, &[html][..], Some(1_023)),
        (200, &[], None),
        (200, &[("content-type", "image/png")], None),
        (200, &[("content-type", "text/")], None),
        (200, &[("content-type", "application/grpc+json")], None),
        (200, &[("content-type", "Application/gRPC-Web+JSON; charset=utf-8")], None),
        (200, &[html, ("content-encoding", "gzip")], None),
        (200, &[html, ("cache-control", "public, no-transform")], None),
        (200, &[html, ("repr-digest", "sha-256=:x:")], None),
        (200, &[html, ("content-range", "bytes 0-9/10")], None),
        (206, &[html], None),
        (204, &[html], None),
        (101, &[html], None),
        (302, &[html], None),
    ] {
        assert_eq!(chosen(status, fields, length), Choice::AsIs, "{status} {fields:?}");
    }
}

#[test]
fn a_stream_is_coded_only_where_it_is_named() {
    let types = |types: &[&str]| {
        let types = types.iter().map(|kind| kind.to_string()).collect();
        Compression { types, ..usual() }
    };
    for kind in ["text/event-stream", "Text/Event-Stream; charset=utf-8"] {
        assert!(!usual().takes(kind.as_bytes()) && !types(&["text/*"]).takes(kind.as_bytes()));
        assert!(types(&["text/*", "text/event-stream"]).takes(kind.as_bytes()), "{kind}");
    }
    assert!(!types(&["application/*"]).takes(b"application/x-ndjson"));
    assert!(!types(&["application/*+json"]).takes(b"application/stream+json"));
}

#[test]
fn what_counts_is_what_leaves() {
    let html = ("content-type", "text/html");
    let image = ("content-type", "image/png");
    let kept = ("cache-control", "no-transform");
    let coded = Choice::Code(Coding::Brotli);
    for (fields, rule, wanted) in [
        (&[html][..], set("cache-control", "no-transform"), Choice::AsIs),
        (&[html], add("cache-control", "no-transform"), Choice::AsIs),
        (&[html, kept], set("cache-control", "max-age=1"), coded),
        (&[html, kept], remove("cache-control"), coded),
        (&[html, kept], add("cache-control", "max-age=1"), Choice::AsIs),
        (&[image], set("content-type", "text/html"), coded),
        (&[html], set("content-type", "image/png"), Choice::AsIs),
        (&[html, ("repr-digest", "x")], remove("repr-digest"), coded),
        (&[html], set("digest", "x"), Choice::AsIs),
        (&[html], set("content-encoding", "gzip"), Choice::AsIs),
        // It is coded all the same.
        (&[html, ("content-encoding", "gzip")], remove("content-encoding"), Choice::AsIs),
        // Whoever says something of codings has thought of them.
        (&[html], set("content-encoding", "identity"), Choice::AsIs),
        (&[html], remove("content-encoding"), Choice::AsIs),
        (&[html, ("content-encoding", "identity")], remove("content-encoding"), Choice::AsIs),
    ] {
        let chosen = chosen_after(200, fields, None, std::slice::from_ref(&rule));
        assert_eq!(chosen, wanted, "{fields:?} {rule:?}");
    }
}

#[test]
fn an_answer_without_a_body_tells_of_what_the_client_was_given() {
    let of = |fields: &[(&'static str, &'static str)], asked: &[(&'static str, &'static str)]| {
        let (head, asked) = (head(fields), head(asked));
        let leaving = Leaving { came: View::Map(&head), edits: &[] };
        let accepted = || [&b"gzip"[..]].into_iter();
        usual().choose(304, &leaving, None, View::Map(&asked), accepted)
    };
    let (tag, html) = (("etag", "\"x\""), ("content-type", "text/html"));
    let asked = |tags: &'static str| [("if-none-match", tags)];
    assert_eq!(of(&[tag], &asked("W/\"x\"")), Choice::StillCoded);
    assert_eq!(of(&[tag], &asked("\"y,\", W/\"x\"")), Choice::StillCoded);
    for tags in ["\"x\"", "*", "W/\"y\"", "\"x\", W/\"x\"", "w/\"x\"", "\"W/\"x\"\""] {
        assert_eq!(of(&[tag], &asked(tags)), Choice::AsIs, "{tags}");
        assert_eq!(of(&[tag, html], &asked(tags)), Choice::ForOthers, "{tags}");
    }
    assert_eq!(of(&[tag], &[]), Choice::AsIs);
    // What was weak before says nothing.
    assert_eq!(of(&[("etag", "W/\"x\"")], &asked("W/\"x\"")), Choice::AsIs);
    assert_eq!(of(&[tag, ("content-type", "image/png")], &[]), Choice::AsIs);
    let kept = ("cache-control", "no-transform");
    assert_eq!(of(&[tag, html, kept], &asked("W/\"x\"")), Choice::AsIs);
}

fn edits(choice: Choice, fields: &[(&'static str, &'static str)]) -> Vec<String> {
    edits_after(choice, fields, &[])
}

fn edits_after(
    choice: Choice,
    fields: &[(&'static str, &'static str)],
    rules: &[Edit<'_>],
) -> Vec<String> {
    let (head, mut list) = (head(fields), SmallVec::<[Edit<'_>; 4]>::new());
    choice.edit(&Leaving { came: View::Map(&head), edits: rules }, &mut list);
    let word = |edit: &Edit<'_>| match edit {
        Edit::Remove(name) => format!("-{name}"),
        Edit::Set(name, value) => format!("{name}={}", value.to_str().unwrap()),
        Edit::Add(name, value) => format!("+{name}={}", value.to_str().unwrap()),
        Edit::Id(id) => format!("+{id:?}"),
    };
    list.iter().map(word).collect()
}

#[test]
fn a_coded_answer_has_a_weak_tag_and_caches_know_what_it_depends_on() {
    let coded = Choice::Code(Coding::Gzip);
    assert_eq!(
        edits(coded, &[("etag", "\"x\""), ("vary", "origin")]),
        ["+vary=accept-encoding", "etag=W/\"x\"", "content-encoding=gzip", "-accept-ranges"]
    );
    let known = [("etag", "W/\"x\""), ("vary", "Origin, Accept-Encoding")];
    assert_eq!(edits(coded, &known), ["content-encoding=gzip", "-accept-ranges"]);
    assert_eq!(edits(coded, &[("vary", "*")])[0], "content-encoding=gzip");
    let still = edits(Choice::StillCoded, &[("etag", "\"x\"")]);
    assert_eq!(still, ["+vary=accept-encoding", "etag=W/\"x\""]);
    assert_eq!(edits(Choice::ForOthers, &[("etag", "\"x\"")]), ["+vary=accept-encoding"]);
    assert_eq!(edits(Choice::AsIs, &[("etag", "\"x\"")]), [""; 0]);
}

#[test]
fn what_a_route_says_stays_said() {
    let tag = ("etag", "\"x\"");
    let (vary, weak) = ("+vary=accept-encoding", "etag=W/\"x\"");
    for (rule, kept) in [
        (set("vary", "origin"), &[weak][..]),
        (remove("vary"), &[weak]),
        // One line more is beside others.
        (add("vary", "origin"), &[vary, weak]),
        (add("vary", "cookie, Accept-Encoding"), &[weak]),
        (set("etag", "\"own\""), &[vary]),
        (remove("etag"), &[vary]),
        (add("etag", "\"own\""), &[vary]),
    ] {
        let told = edits_after(Choice::Code(Coding::Gzip), &[tag], std::slice::from_ref(&rule));
        let wanted = [kept, &["content-encoding=gzip", "-accept-ranges"]].concat();
        assert_eq!(told, wanted, "{rule:?}");
    }
}
