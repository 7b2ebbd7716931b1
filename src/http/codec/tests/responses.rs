use super::*;

use Malformed::*;

/// What becomes of a response whose connection stays open: its framing, its body and how much is
/// behind it; or the rule it breaks.
fn check(raw: &str, wanted: Result<Option<(Framing, &str, usize)>, Malformed>) {
    let seen = in_all_cuts(raw.as_bytes(), response);
    let seen = seen.map(|seen| {
        seen.map(|seen| (seen.framing, String::from_utf8_lossy(&seen.body).into_owned(), seen.rest))
    });
    let wanted = wanted.map(|is| is.map(|(framing, body, rest)| (framing, body.into(), rest)));
    assert_eq!(seen, wanted, "{raw:?}");
}

#[test]
fn status_lines() {
    for (line, wanted) in [
        ("HTTP/1.1 200 OK\r\n", Ok(200)),
        ("HTTP/1.1 200 \r\n", Ok(200)),
        ("HTTP/1.1 200\r\n", Ok(200)),
        ("HTTP/1.0 200 OK\r\n", Ok(200)),
        ("HTTP/1.2 200 OK\r\n", Ok(200)),
        ("HTTP/1.1 299 what ever: \"it\" is\r\n", Ok(299)),
        ("HTTP/1.1 404 Nichts für ungut\r\n", Ok(404)),
        ("HTTP/1.1 404 a\tb\r\n", Ok(404)),
        ("HTTP/1.1 204 No Content\r\n", Ok(204)),
        ("HTTP/1.1 304 Not Modified\r\n", Ok(304)),
        ("HTTP/1.1 599 x\r\n", Ok(599)),
        ("HTTP/1.1 999 x\r\n", Ok(999)),
        ("HTTP/1.1 099 x\r\n", Err(StatusLine)),
        ("HTTP/1.1 000 x\r\n", Err(StatusLine)),
        ("HTTP/1.1 20 OK\r\n", Err(StatusLine)),
        ("HTTP/1.1 2 OK\r\n", Err(StatusLine)),
        ("HTTP/1.1 2000 OK\r\n", Err(StatusLine)),
        ("HTTP/1.1 2o0 OK\r\n", Err(StatusLine)),
        ("HTTP/1.1 -20 OK\r\n", Err(StatusLine)),
        ("HTTP/1.1 +20 OK\r\n", Err(StatusLine)),
        ("HTTP/1.1  200 OK\r\n", Err(StatusLine)),
        ("HTTP/1.1\t200 OK\r\n", Err(StatusLine)),
        ("HTTP/1.1 200\tOK\r\n", Err(StatusLine)),
        ("HTTP/1.1 200OK\r\n", Err(StatusLine)),
        ("HTTP/1.1 OK 200\r\n", Err(StatusLine)),
        ("HTTP/1.1 \r\n200 OK\r\n", Err(StatusLine)),
        (" HTTP/1.1 200 OK\r\n", Err(StatusLine)),
        ("\r\nHTTP/1.1 200 OK\r\n", Err(StatusLine)),
        ("\nHTTP/1.1 200 OK\r\n", Err(StatusLine)),
        ("http/1.1 200 OK\r\n", Err(StatusLine)),
        ("HTTP/1.10 200 OK\r\n", Err(StatusLine)),
        ("HTTP/1,1 200 OK\r\n", Err(StatusLine)),
        ("HTTP/11 200 OKAY\r\n", Err(StatusLine)),
        ("HTTP/2.0 200 OK\r\n", Err(Version)),
        ("HTTP/0.9 200 OK\r\n", Err(Version)),
        ("HTTP/2 200 \r\n..", Err(StatusLine)),
        ("ICY 200 OK\r\n..", Err(StatusLine)),
        ("HTTPS/1.1 200 OK\r\n", Err(StatusLine)),
        ("<html></html>\r\n", Err(StatusLine)),
        ("GET / HTTP/1.1\r\n", Err(StatusLine)),
        ("HTTP/1.1 200 OK\n", Err(BareLineFeed)),
        ("HTTP/1.1 200\n", Err(StatusLine)),
        ("HTTP/1.1 200 OK\rX\n", Err(BareCarriageReturn)),
        ("HTTP/1.1 200 OK\r\r\n", Err(BareCarriageReturn)),
        ("HTTP/1.1 200 O\0K\r\n", Err(StatusLine)),
        ("HTTP/1.1 200 O\u{7f}\r\n", Err(StatusLine)),
        ("HTTP/1.1 200 O\u{1b}[m\r\n", Err(StatusLine)),
        ("\u{15}\u{3}\u{1}\0\u{2}\u{2}\u{16}......", Err(StatusLine)),
    ] {
        let raw = format!("{line}Content-Length: 0\r\n\r\n");
        let seen = in_all_cuts(raw.as_bytes(), response);
        let status = seen
            .map(|seen| String::from_utf8(seen.unwrap().first.0).unwrap().parse::<u16>().unwrap());
        assert_eq!(status, wanted, "{line:?}");
    }
}

#[test]
fn framings() {
    let of = |status: &str, lines: &str, behind: &str| {
        format!("HTTP/1.1 {status} x\r\n{lines}\r\n{behind}")
    };
    let length = |length| Framing::Length(length);
    let whole = |framing, body, rest| Ok(Some((framing, body, rest)));
    for (status, lines, behind, wanted) in [
        ("200", "Content-Length: 3\r\n", "abc", whole(length(3), "abc", 0)),
        ("200", "Content-Length: 3\r\n", "abcHTTP", whole(length(3), "abc", 4)),
        ("200", "Content-Length: 0\r\n", "abc", whole(length(0), "", 3)),
        ("200", "Content-Length: 4\r\n", "abc", Ok(None)),
        ("200", "", "abc", whole(Framing::UntilClose, "abc", 0)),
        ("200", "", "", whole(Framing::UntilClose, "", 0)),
        ("500", "", "abc", whole(Framing::UntilClose, "abc", 0)),
        ("304", "", "abc", whole(Framing::Empty, "", 3)),
        ("304", "Content-Length: 3\r\n", "", whole(Framing::Empty, "", 0)),
        ("204", "", "abc", whole(Framing::Empty, "", 3)),
        ("204", "Content-Length: 3\r\n", "abc", whole(Framing::Empty, "", 3)),
        ("100", "", "HTTP", whole(Framing::Empty, "", 4)),
        ("103", "Link: x\r\n", "HTTP", whole(Framing::Empty, "", 4)),
        ("101", "Upgrade: websocket\r\n", "data", whole(Framing::Empty, "", 4)),
        ("205", "", "abc", whole(Framing::UntilClose, "abc", 0)),
        ("200", "Content-Length: 3, 3\r\n", "abc", Err(ContentLength)),
        ("200", "Content-Length: 3\r\nContent-Length: 3\r\n", "abc", Err(ContentLength)),
        ("200", "Content-Length: 3\r\nContent-Length: 4\r\n", "abc", Err(ContentLength)),
        ("200", "Content-Length: -1\r\n", "abc", Err(ContentLength)),
        ("200", "Content-Length: \r\n", "abc", Err(ContentLength)),
        ("200", "Content-Length: 3 abc\r\n", "abc", Err(ContentLength)),
        ("200", "Content-Length: 0003\r\n", "abc", whole(length(3), "abc", 0)),
        ("204", "Content-Length: x\r\n", "", Err(ContentLength)),
        ("200", "Transfer-Encoding: gzip\r\n", "", Err(TransferEncoding)),
        ("200", "Transfer-Encoding: gzip, chunked\r\n", "", Err(TransferEncoding)),
        ("200", "Transfer-Encoding: identity\r\n", "abc", Err(TransferEncoding)),
        ("200", "Transfer-Encoding: chunked, chunked\r\n", "", Err(TransferEncoding)),
        ("200", "Transfer-Encoding: \r\n", "", Err(TransferEncoding)),
        ("204", "Transfer-Encoding: gzip\r\n", "", Err(TransferEncoding)),
        ("200", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "", Err(TwoFramings)),
        ("200", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "", Err(TwoFramings)),
        ("304", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "", Err(TwoFramings)),
        ("200", "Transfer-Encoding : chunked\r\n", "", Err(SpaceBeforeColon)),
        ("200", "A: b\r\n c\r\n", "", Err(Fold)),
        ("200", "A: b\nC: d\r\n", "", Err(BareLineFeed)),
        ("200", "A: b\rC: d\r\n", "", Err(BareCarriageReturn)),
        ("200", "A: \0\r\n", "", Err(FieldValue)),
        ("200", "A\r\n", "", Err(FieldName)),
        ("200", "A b: c\r\n", "", Err(SpaceBeforeColon)),
        ("200", ": c\r\n", "", Err(FieldName)),
        ("200", &"A: b\r\n".repeat(9), "", Err(TooManyFields)),
        ("200", &format!("A: {}\r\n", "b".repeat(1_024)), "", Err(TooLong)),
    ] {
        check(&of(status, lines, behind), wanted);
    }
    let old = "HTTP/1.0 200 x\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(old, Err(TransferEncoding));
    check("HTTP/1.0 200 x\r\n\r\nabc", whole(Framing::UntilClose, "abc", 0));
}

#[test]
fn chunks() {
    let whole = |body, rest| Ok(Some((Framing::Chunked, body, rest)));
    for (behind, wanted) in [
        ("3\r\nabc\r\n0\r\n\r\n", whole("abc", 0)),
        ("3\r\nabc\r\n0\r\n\r\nHTTP", whole("abc", 4)),
        ("3;a=b\r\nabc\r\n0;c\r\n\r\n", whole("abc", 0)),
        ("3\r\nabc\r\n0\r\nA: b\r\n\r\n", whole("abc", 0)),
        ("3\r\nabc\r\n0\r\nA: b\r\n\r", Ok(None)),
        ("3\r\nabc", Ok(None)),
        ("", Ok(None)),
        ("3  \r\nabc\r\n0 \t\r\n\r\n", whole("abc", 0)),
        ("3 ;a\r\nabc\r\n0\r\n\r\n", whole("abc", 0)),
        ("3\t\r\nabc \r\n", Err(ChunkEnd)),
        ("3 \nabc\r\n", Err(ChunkExtension)),
        ("3 3\r\nabc\r\n", Err(ChunkExtension)),
        (" 3\r\nabc\r\n", Err(ChunkSize)),
        ("3;a \r\nabc\r\n", Err(ChunkExtension)),
        ("3;a=b \r\nabc\r\n", Err(ChunkExtension)),
        ("\r\nabc", Err(ChunkSize)),
        ("abc\r\n", Ok(None)),
        ("xyz", Err(ChunkSize)),
        ("3\nabc\n0\n\n", Err(ChunkSize)),
        ("3\r\nabcd\r\n", Err(ChunkEnd)),
        ("0\r\nA b\r\n\r\n", Err(Trailers)),
    ] {
        check(&format!("HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n{behind}"), wanted);
    }
}

#[test]
fn blanks_behind_a_size_are_bounded_as_extensions_are() {
    let head = "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let of = |blanks: usize| format!("{head}3{}\r\nabc\r\n0\r\n\r\n", " ".repeat(blanks));
    check(&of(200), Ok(Some((Framing::Chunked, "abc", 0))));
    check(&of(300), Err(ChunkExtension));
}

#[test]
fn an_answer_to_a_head_has_no_body_whatever_it_says() {
    let raw = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n";
    let mut reader = ResponseReader::default();
    let head = reader.read(raw, LIMITS).unwrap().unwrap();
    let of = |is_to_head| {
        framing::of_response(reader.lines(), raw, head.version, head.status, is_to_head)
    };
    assert_eq!((of(true), of(false)), (Ok(Framing::Empty), Ok(Framing::Length(7))));
}

#[test]
fn a_stream_that_ends_too_early_is_told_from_one_that_is_over() {
    let close = |framing, bytes: &[u8]| {
        let mut body = BodyReader::new(framing);
        let mut at = 0;
        loop {
            let read = body.read(&bytes[at..]).unwrap();
            at += read.used;
            if !matches!(read.event, Event::Piece(_)) {
                return body.close();
            }
        }
    };
    assert_eq!(close(Framing::Empty, b""), Ok(()));
    assert_eq!(close(Framing::Length(3), b"abc"), Ok(()));
    assert_eq!(close(Framing::Length(3), b"ab"), Err(CutOff));
    assert_eq!(close(Framing::UntilClose, b"ab"), Ok(()));
    assert_eq!(close(Framing::Chunked, b"1\r\na\r\n0\r\n\r\n"), Ok(()));
    for cut in [&b""[..], b"1", b"1\r\na", b"1\r\na\r\n", b"1\r\na\r\n0\r\n", b"0\r\nA: b\r\n"] {
        assert_eq!(close(Framing::Chunked, cut), Err(CutOff), "{cut:?}");
    }
}
