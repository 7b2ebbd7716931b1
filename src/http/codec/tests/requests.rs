use super::*;

use Malformed::*;

/// What becomes of a request: its body, in which `_` is the next message; or the rule it breaks.
enum Wanted {
    /// It is understood: a body, and so many bytes behind it.
    Is(&'static str, usize),
    /// More has to come.
    More,
    Not(Malformed),
}

use Wanted::{Is, More, Not};

fn check(rows: &[(&str, Wanted)]) {
    for (raw, wanted) in rows {
        let seen = in_all_cuts(raw.as_bytes(), request);
        match (wanted, &seen) {
            (Is(body, rest), Ok(Some(seen))) => {
                assert_eq!((&*seen.body, seen.rest), (body.as_bytes(), *rest), "{raw:?}");
            }
            (More, Ok(None)) => {}
            (Not(rule), Err(broken)) => assert_eq!(broken, rule, "{raw:?}"),
            _ => panic!("{raw:?}: {seen:?}"),
        }
    }
}

/// A head with these lines behind `Host`, and what is behind the head.
fn with(lines: &str, behind: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n{behind}")
}

fn check_with(rows: &[(&str, &str, Wanted)]) {
    for (lines, behind, wanted) in rows {
        let raw = with(lines, behind);
        let wanted = match wanted {
            Is(body, rest) => Is(body, *rest),
            More => More,
            Not(rule) => Not(*rule),
        };
        check(&[(&raw, wanted)]);
    }
}

#[test]
fn request_lines() {
    let line = |line: &str| format!("{line}Host: a\r\n\r\n");
    for (first, wanted) in [
        ("GET / HTTP/1.1\r\n", None),
        ("GET / HTTP/1.0\r\n", None),
        ("GET / HTTP/1.2\r\n", None),
        ("GET / HTTP/1.9\r\n", None),
        ("get / HTTP/1.1\r\n", None),
        ("M-SEARCH * HTTP/1.1\r\n", Some(Target)),
        ("VERSION-CONTROL / HTTP/1.1\r\n", None),
        ("A!#$%&'*+-.^_`|~1 / HTTP/1.1\r\n", None),
        ("OPTIONS * HTTP/1.1\r\n", None),
        ("GET * HTTP/1.1\r\n", Some(Target)),
        ("OPTIONS ** HTTP/1.1\r\n", Some(Target)),
        ("OPTIONS *?a HTTP/1.1\r\n", Some(Target)),
        ("GET /a?b=\"<>`{}|^\\ HTTP/1.1\r\n", None),
        ("GET /ä HTTP/1.1\r\n", None),
        ("GET //a HTTP/1.1\r\n", None),
        ("GET /a//b HTTP/1.1\r\n", None),
        ("GET /?a?b HTTP/1.1\r\n", None),
        ("GET http://a/ HTTP/1.1\r\n", None),
        ("GET HTTP://a/ HTTP/1.1\r\n", None),
        ("GET https://a:8/b?c HTTP/1.1\r\n", None),
        ("GET http://a HTTP/1.1\r\n", None),
        ("GET http://a?b HTTP/1.1\r\n", None),
        ("GET http://[::1]:8/b HTTP/1.1\r\n", None),
        ("GET http:///b HTTP/1.1\r\n", Some(Target)),
        ("GET http://?b HTTP/1.1\r\n", Some(Target)),
        ("GET http:/a HTTP/1.1\r\n", Some(Target)),
        ("GET http: HTTP/1.1\r\n", Some(Target)),
        ("GET http://u@a/ HTTP/1.1\r\n", Some(Target)),
        ("GET http://u:p@a/ HTTP/1.1\r\n", Some(Target)),
        ("GET ftp://a/ HTTP/1.1\r\n", Some(Target)),
        ("GET ws://a/ HTTP/1.1\r\n", Some(Target)),
        ("GET a HTTP/1.1\r\n", Some(Target)),
        ("GET ?a HTTP/1.1\r\n", Some(Target)),
        ("GET ./a HTTP/1.1\r\n", Some(Target)),
        ("GET \\a HTTP/1.1\r\n", Some(Target)),
        ("GET a:80 HTTP/1.1\r\n", Some(Target)),
        ("GET /a#b HTTP/1.1\r\n", Some(Target)),
        ("GET /# HTTP/1.1\r\n", Some(Target)),
        ("GET #a HTTP/1.1\r\n", Some(Target)),
        ("CONNECT a:80 HTTP/1.1\r\n", Some(Connect)),
        ("CONNECT /a HTTP/1.1\r\n", Some(Connect)),
        ("CONNECT http://a/ HTTP/1.1\r\n", Some(Connect)),
        ("GET  / HTTP/1.1\r\n", Some(RequestLine)),
        ("GET /  HTTP/1.1\r\n", Some(RequestLine)),
        ("GET / HTTP/1.1 \r\n", Some(RequestLine)),
        ("GET / HTTP/1.1\t\r\n", Some(RequestLine)),
        (" GET / HTTP/1.1\r\n", Some(Method)),
        ("\tGET / HTTP/1.1\r\n", Some(Method)),
        ("GET\t/ HTTP/1.1\r\n", Some(RequestLine)),
        ("GET /\tHTTP/1.1\r\n", Some(Target)),
        ("GET /a b HTTP/1.1\r\n", Some(RequestLine)),
        ("GET\r\n", Some(RequestLine)),
        ("GET /\r\n", Some(RequestLine)),
        ("GET /\n", Some(RequestLine)),
        ("GET / HTTP/1.1\n", Some(BareLineFeed)),
        ("GET / HTTP/1.1\r", Some(BareCarriageReturn)),
        ("GET / HTTP/1.1\r\r\n", Some(BareCarriageReturn)),
        ("GET /\r HTTP/1.1\r\n", Some(RequestLine)),
        ("GET / HTTP/1.10\r\n", Some(RequestLine)),
        ("GET / HTTP/1.\r\n", Some(RequestLine)),
        ("GET / HTTP/1\r\n ", Some(RequestLine)),
        ("GET / HTTP/1,1\r\n", Some(RequestLine)),
        ("GET / HTTP/01.1\r\n", Some(RequestLine)),
        ("GET / HTTP /1.1\r\n", Some(RequestLine)),
        ("GET / http/1.1\r\n", Some(RequestLine)),
        ("GET / HTTPS/1.1\r\n", Some(RequestLine)),
        ("GET / HTTP/2.0\r\n", Some(Version)),
        ("GET / HTTP/0.9\r\n", Some(Version)),
        ("GET / HTTP/3.0\r\n", Some(Version)),
        ("GET / HTTP/9.9\r\n", Some(Version)),
        ("GET / HTTP/1.x\r\n", Some(RequestLine)),
        ("GET / ICY/1.1\r\n", Some(RequestLine)),
        ("GE(T / HTTP/1.1\r\n", Some(RequestLine)),
        ("GE:T / HTTP/1.1\r\n", Some(RequestLine)),
        ("\"GET\" / HTTP/1.1\r\n", Some(Method)),
        ("GÉT / HTTP/1.1\r\n", Some(RequestLine)),
        ("/ HTTP/1.1\r\n", Some(Method)),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Http2)),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 5 80\r\n", Some(ProxyHeader)),
        ("PROXY TCP6 2001:db8::1 2001:db8::2 5 80\r\n", Some(ProxyHeader)),
        ("PROXY UNKNOWN 1234567890\r\n", Some(ProxyHeader)),
        ("\r\n\r\n\0\r\nQUIT\n", Some(ProxyHeader)),
        ("\u{16}\u{3}\u{1}\u{2}\0", Some(Tls)),
        ("\r\nGET / HTTP/1.1\r\n", None),
        ("\r\n\r\nGET / HTTP/1.1\r\n", Some(RequestLine)),
        ("\r\n \r\nGET / HTTP/1.1\r\n", Some(Method)),
        ("\nGET / HTTP/1.1\r\n", Some(BareLineFeed)),
        ("\rGET / HTTP/1.1\r\n", Some(BareCarriageReturn)),
        ("\0GET / HTTP/1.1\r\n", Some(Method)),
        ("\u{feff}GET / HTTP/1.1\r\n", Some(Method)),
        ("{\"a\": 1}\r\n", Some(Method)),
        ("SSH-2.0-OpenSSH\r\n", Some(RequestLine)),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1\r\n", None),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n", Some(Method)),
    ] {
        let raw = line(first);
        check(&[(&raw, wanted.map_or(Is("", 0), Not))]);
    }
}

#[test]
fn a_head_that_is_not_whole_is_waited_for() {
    let raw = "\r\nPOST http://a/b HTTP/1.1\r\nHost: a\r\nX:\t b \r\nContent-Length: 3\r\n\r\nabc";
    for length in 0..raw.len() {
        assert_eq!(request(&[&raw.as_bytes()[..length]]), Ok(None), "{length}");
    }
    check(&[(raw, Is("abc", 0))]);
}

#[test]
fn forms_say_where_host_and_path_are() {
    let form = |target: &str| {
        let raw = format!("OPTIONS {target} HTTP/1.1\r\n\r\n");
        let seen = in_all_cuts(raw.as_bytes(), request).unwrap().unwrap();
        match seen.form.unwrap() {
            Form::Path => ("path".to_string(), String::new()),
            Form::Server => ("server".to_string(), String::new()),
            Form::Whole { authority, path } => {
                let text = |span: crate::http::codec::Span| {
                    String::from_utf8(span.of(raw.as_bytes()).to_vec()).unwrap()
                };
                (text(authority), text(path))
            }
        }
    };
    let whole = |host: &str, path: &str| (host.to_string(), path.to_string());
    assert_eq!(form("/a?b"), whole("path", ""));
    assert_eq!(form("*"), whole("server", ""));
    assert_eq!(form("http://a.b:8/c?d"), whole("a.b:8", "/c?d"));
    assert_eq!(form("hTTps://a"), whole("a", ""));
    assert_eq!(form("http://a?b/c"), whole("a", "?b/c"));
    assert_eq!(form("http://[::1]/"), whole("[::1]", "/"));
}

#[test]
fn field_lines() {
    for (lines, wanted) in [
        ("A: b\r\n", None),
        ("A:b\r\n", None),
        ("A:\t b\t \r\n", None),
        ("A:\r\n", None),
        ("A: \r\n", None),
        ("A: b c\r\n", None),
        ("A: b\tc\r\n", None),
        ("A: \"b\"\r\n", None),
        ("A: é\r\n", None),
        ("A: b: c\r\n", None),
        ("A: b;c=d,e\r\n", None),
        ("A.b_c!: d\r\n", None),
        ("1: d\r\n", None),
        (": b\r\n", Some(FieldName)),
        (":\r\n", Some(FieldName)),
        ("A : b\r\n", Some(SpaceBeforeColon)),
        ("A\t: b\r\n", Some(SpaceBeforeColon)),
        ("A b: c\r\n", Some(SpaceBeforeColon)),
        (" A: b\r\n", Some(Fold)),
        ("\tA: b\r\n", Some(Fold)),
        ("A: b\r\n c\r\n", Some(Fold)),
        ("A: b\r\n\tc\r\n", Some(Fold)),
        ("A: b\r\n \r\n", Some(Fold)),
        ("A\r\n", Some(FieldName)),
        ("A\r\n: b\r\n", Some(FieldName)),
        ("A\n: b\r\n", Some(FieldName)),
        ("A(b): c\r\n", Some(FieldName)),
        ("A/b: c\r\n", Some(FieldName)),
        ("A@b: c\r\n", Some(FieldName)),
        ("A,B: c\r\n", Some(FieldName)),
        ("A[b]: c\r\n", Some(FieldName)),
        ("Content\rLength: 5\r\n", Some(FieldName)),
        ("Transfer\rEncoding: chunked\r\n", Some(FieldName)),
        ("Content-Length\x7f: 5\r\n", Some(FieldName)),
        ("A{b}: c\r\n", Some(FieldName)),
        ("A=b: c\r\n", Some(FieldName)),
        ("A\"b: c\r\n", Some(FieldName)),
        ("A\\b: c\r\n", Some(FieldName)),
        ("A;b: c\r\n", Some(FieldName)),
        ("A?b: c\r\n", Some(FieldName)),
        ("A<b: c\r\n", Some(FieldName)),
        ("É: c\r\n", Some(FieldName)),
        ("A\0: c\r\n", Some(FieldName)),
        ("A: b\0\r\n", Some(FieldValue)),
        ("A: \u{1}\r\n", Some(FieldValue)),
        ("A: b\u{8}\r\n", Some(FieldValue)),
        ("A: b\u{b}c\r\n", Some(FieldValue)),
        ("A: b\u{c}\r\n", Some(FieldValue)),
        ("A: b\u{1b}[0m\r\n", Some(FieldValue)),
        ("A: b\u{7f}\r\n", Some(FieldValue)),
        ("A: b\rc\r\n", Some(BareCarriageReturn)),
        ("A: b\r\r\n", Some(BareCarriageReturn)),
        ("A: b\r", Some(BareCarriageReturn)),
        ("A: b\nC: d\r\n", Some(BareLineFeed)),
        ("A: b\n", Some(BareLineFeed)),
        ("A:\n", Some(BareLineFeed)),
        ("\n", Some(BareLineFeed)),
        ("A: b\r\n\n", Some(BareLineFeed)),
        ("A: b\r\n\rX", Some(BareCarriageReturn)),
        ("a: 1\r\na: 2\r\na: 3\r\na: 4\r\na: 5\r\na: 6\r\na: 7\r\n", None),
        ("a: 1\r\na: 2\r\na: 3\r\na: 4\r\na: 5\r\na: 6\r\na: 7\r\na: 8\r\n", Some(TooManyFields)),
    ] {
        check_with(&[(lines, "", wanted.map_or(Is("", 0), Not))]);
    }
}

#[test]
fn framings() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    check_with(&[
        ("", "", Is("", 0)),
        ("", "abc", Is("", 3)),
        ("Content-Length: 0\r\n", "abc", Is("", 3)),
        ("Content-Length: 3\r\n", "abc", Is("abc", 0)),
        ("content-LENGTH:3\r\n", "abcGET", Is("abc", 3)),
        ("Content-Length: 003\r\n", "abc", Is("abc", 0)),
        ("Content-Length: 4\r\n", "abc", More),
        ("Content-Length: 9999999999999999999\r\n", "abc", More),
        ("Content-Length: 99999999999999999999\r\n", "abc", Not(ContentLength)),
        ("Content-Length: 18446744073709551616\r\n", "", Not(ContentLength)),
        ("Content-Length:\r\n", "", Not(ContentLength)),
        ("Content-Length: +3\r\n", "abc", Not(ContentLength)),
        ("Content-Length: -3\r\n", "abc", Not(ContentLength)),
        ("Content-Length: 0x3\r\n", "abc", Not(ContentLength)),
        ("Content-Length: 3.0\r\n", "abc", Not(ContentLength)),
        ("Content-Length: 3 3\r\n", "abc", Not(ContentLength)),
        ("Content-Length: 3,3\r\n", "abc", Not(ContentLength)),
        ("Content-Length: 3, 4\r\n", "abc", Not(ContentLength)),
        ("Content-Length: ,3\r\n", "abc", Not(ContentLength)),
        ("Content-Length: 3,\r\n", "abc", Not(ContentLength)),
        ("Content-Length: 3;\r\n", "abc", Not(ContentLength)),
        ("Content-Length: \"3\"\r\n", "abc", Not(ContentLength)),
        ("Content-Length: ３\r\n", "abc", Not(ContentLength)),
        ("Content-Length: 3\r\nContent-Length: 3\r\n", "abc", Not(ContentLength)),
        ("Content-Length: 3\r\nContent-Length: 4\r\n", "abc", Not(ContentLength)),
        ("Content-Length: 3\r\ncontent-length: 0\r\n", "abc", Not(ContentLength)),
        ("Content-Length: 0\r\nContent-Length: 3\r\n", "abc", Not(ContentLength)),
        ("Content_Length: 3\r\n", "abc", Is("", 3)),
        ("Content-Length1: 3\r\n", "abc", Is("", 3)),
        ("X-Content-Length: 3\r\n", "abc", Is("", 3)),
        ("Transfer-Encoding: CHUNKED\r\n", "0\r\n\r\n", Is("", 0)),
        ("transfer-encoding:chunked\r\n", "0\r\n\r\n", Is("", 0)),
        ("Transfer-Encoding: gzip, chunked\r\n", "", Not(TransferEncoding)),
        ("Transfer-Encoding: chunked, chunked\r\n", "", Not(TransferEncoding)),
        ("Transfer-Encoding: chunked, gzip\r\n", "", Not(TransferEncoding)),
        ("Transfer-Encoding: chunked,\r\n", "", Not(TransferEncoding)),
        ("Transfer-Encoding: ,chunked\r\n", "", Not(TransferEncoding)),
        ("Transfer-Encoding: chunked;a=b\r\n", "", Not(TransferEncoding)),
        ("Transfer-Encoding: \"chunked\"\r\n", "", Not(TransferEncoding)),
        ("Transfer-Encoding: xchunked\r\n", "", Not(TransferEncoding)),
        ("Transfer-Encoding: chunkedx\r\n", "", Not(TransferEncoding)),
        ("Transfer-Encoding: chun\tked\r\n", "", Not(TransferEncoding)),
        ("Transfer-Encoding: \u{b}chunked\r\n", "", Not(FieldValue)),
        ("Transfer-Encoding: identity\r\n", "", Not(TransferEncoding)),
        ("Transfer-Encoding: identity, chunked\r\n", "", Not(TransferEncoding)),
        ("Transfer-Encoding:\r\n", "", Not(TransferEncoding)),
        ("Transfer-Encoding: gzip\r\n", "", Not(TransferEncoding)),
        ("Transfer-Encoding: cow\r\n", "", Not(TransferEncoding)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "", Not(TransferEncoding)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n", "", Not(TransferEncoding)),
        (
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
            "",
            Not(TransferEncoding),
        ),
        ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n", Not(TwoFramings)),
        ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "abc", Not(TwoFramings)),
        ("Content-Length: x\r\nTransfer-Encoding: chunked\r\n", "", Not(ContentLength)),
        ("Content-Length: 3\r\nTransfer-Encoding: gzip\r\n", "abc", Not(TransferEncoding)),
        ("Transfer_Encoding: chunked\r\n", "abc", Is("", 3)),
        ("Transfer-Encoding : chunked\r\n", "", Not(SpaceBeforeColon)),
        ("Transfer-Encoding\r\n : chunked\r\n", "", Not(FieldName)),
        ("X: y\r\n Transfer-Encoding: chunked\r\n", "", Not(Fold)),
        ("Transfer-Encoding:\r\n chunked\r\n", "", Not(Fold)),
        (chunked, "3\r\nabc\r\n0\r\n\r\n", Is("abc", 0)),
    ]);
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    check(&[(old, Not(TransferEncoding))]);
    check(&[("POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\nab", Is("a", 1))]);
    check(&[("GET / HTTP/1.0\r\n\r\n", Is("", 0))]);
    check(&[("POST / HTTP/1.2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Is("", 0))]);
}

#[test]
fn chunks() {
    let rows = [
        ("0\r\n\r\n", Is("", 0)),
        ("000\r\n\r\n", Is("", 0)),
        ("0\r\n\r\nGET /", Is("", 5)),
        ("3\r\nabc\r\n0\r\n\r\n", Is("abc", 0)),
        ("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", Is("abc", 0)),
        ("A\r\n0123456789\r\n0\r\n\r\n", Is("0123456789", 0)),
        ("a\r\n0123456789\r\n0\r\n\r\n", Is("0123456789", 0)),
        ("0000000000000003\r\nabc\r\n0\r\n\r\n", Is("abc", 0)),
        ("00000000000000003\r\nabc\r\n0\r\n\r\n", Not(ChunkSize)),
        ("3\r\nabc\r\n", More),
        ("3\r\nabc\r\n0\r\n", More),
        ("ffffffffffffffff\r\na", More),
        ("10000000000000000\r\n", Not(ChunkSize)),
        ("\r\n3\r\nabc\r\n0\r\n\r\n", Not(ChunkSize)),
        ("\r\n", Not(ChunkSize)),
        (";a\r\n", Not(ChunkSize)),
        (" 3\r\nabc\r\n0\r\n\r\n", Not(ChunkSize)),
        ("+3\r\nabc\r\n0\r\n\r\n", Not(ChunkSize)),
        ("-3\r\nabc\r\n0\r\n\r\n", Not(ChunkSize)),
        ("0x3\r\nabc\r\n0\r\n\r\n", Not(ChunkSize)),
        ("3h\r\nabc\r\n0\r\n\r\n", Not(ChunkSize)),
        ("3_0\r\nabc\r\n0\r\n\r\n", Not(ChunkSize)),
        ("g\r\n", Not(ChunkSize)),
        ("3.\r\nabc\r\n0\r\n\r\n", Not(ChunkSize)),
        ("3,\r\nabc\r\n0\r\n\r\n", Not(ChunkSize)),
        ("3\nabc\r\n0\r\n\r\n", Not(ChunkSize)),
        ("3\rXabc\r\n0\r\n\r\n", Not(ChunkSize)),
        ("3\r\r\nabc\r\n0\r\n\r\n", Not(ChunkSize)),
        ("3\0\r\nabc\r\n0\r\n\r\n", Not(ChunkSize)),
        ("3 \r\nabc\r\n0\r\n\r\n", Not(ChunkExtension)),
        ("3\t\r\nabc\r\n0\r\n\r\n", Not(ChunkExtension)),
        ("3\r\nabc0\r\n\r\n", Not(ChunkEnd)),
        ("3\r\nabcd\r\n0\r\n\r\n", Not(ChunkEnd)),
        ("3\r\nab\r\n0\r\n\r\n", Not(ChunkEnd)),
        ("3\r\nabc\n0\r\n\r\n", Not(ChunkEnd)),
        ("3\r\nabc\r0\r\n\r\n", Not(ChunkEnd)),
        ("3\r\nabc\rX\n0\r\n\r\n", Not(ChunkEnd)),
        ("3\r\nabc \r\n0\r\n\r\n", Not(ChunkEnd)),
        ("3\r\nabc\r\n\r\n", Not(ChunkSize)),
        ("3\r\nabc\r\n0\n\r\n", Not(ChunkSize)),
        ("3\r\nabc\r\n0\r\n\n", Not(Trailers)),
        ("3;a\r\nabc\r\n0\r\n\r\n", Is("abc", 0)),
        ("3;a;b\r\nabc\r\n0\r\n\r\n", Is("abc", 0)),
        ("3;a=b\r\nabc\r\n0;c=d\r\n\r\n", Is("abc", 0)),
        ("3;a=\"b\"\r\nabc\r\n0\r\n\r\n", Is("abc", 0)),
        ("3;a=\"b c;d\\\"e\"\r\nabc\r\n0\r\n\r\n", Is("abc", 0)),
        ("3;a=\"\"\r\nabc\r\n0\r\n\r\n", Is("abc", 0)),
        ("3 ; a = b ;c\r\nabc\r\n0\r\n\r\n", Is("abc", 0)),
        ("3;a=\"b\";c\r\nabc\r\n0\r\n\r\n", Is("abc", 0)),
        ("3;\r\nabc\r\n0\r\n\r\n", Not(ChunkExtension)),
        ("3;;a\r\nabc\r\n0\r\n\r\n", Not(ChunkExtension)),
        ("3;a;\r\nabc\r\n0\r\n\r\n", Not(ChunkExtension)),
        ("3;=b\r\nabc\r\n0\r\n\r\n", Not(ChunkExtension)),
        ("3;a=\r\nabc\r\n0\r\n\r\n", Not(ChunkExtension)),
        ("3;a==b\r\nabc\r\n0\r\n\r\n", Not(ChunkExtension)),
        ("3;a=b c\r\nabc\r\n0\r\n\r\n", Not(ChunkExtension)),
        ("3;a b\r\nabc\r\n0\r\n\r\n", Not(ChunkExtension)),
        ("3;a \r\nabc\r\n0\r\n\r\n", Not(ChunkExtension)),
        ("3;a=b \r\nabc\r\n0\r\n\r\n", Not(ChunkExtension)),
        ("3;a=\"b\r\nabc\r\n0\r\n\r\n", Not(ChunkExtension)),
        ("3;a=\"b\"c\r\nabc\r\n0\r\n\r\n", Not(ChunkExtension)),
        ("3;a=\"\\\r\n\"\r\nabc\r\n0\r\n\r\n", Not(ChunkExtension)),
        ("3;a=(b)\r\nabc\r\n0\r\n\r\n", Not(ChunkExtension)),
        ("3;a\nabc\r\n0\r\n\r\n", Not(ChunkExtension)),
        ("3;a\rb\r\nabc\r\n0\r\n\r\n", Not(ChunkSize)),
        ("3;a=\"\0\"\r\nabc\r\n0\r\n\r\n", Not(ChunkExtension)),
        ("3;a=\"\u{7f}\"\r\nabc\r\n0\r\n\r\n", Not(ChunkExtension)),
        ("3a;b\n0\r\n\r\n", Not(ChunkExtension)),
        ("0\r\nA: b\r\n\r\nrest", Is("", 4)),
        ("0\r\nA: b\r\nC: d\r\n\r\n", Is("", 0)),
        ("0\r\nA: b\r\n", More),
        ("0\r\nA : b\r\n\r\n", Not(Trailers)),
        ("0\r\nA: b\n\r\n", Not(Trailers)),
        ("0\r\nA: b\r\n c\r\n\r\n", Not(Trailers)),
        ("0\r\n: b\r\n\r\n", Not(Trailers)),
        ("0\r\nA\r\n\r\n", Not(Trailers)),
        ("0\r\nGET / HTTP/1.1\r\n\r\n", Not(Trailers)),
        ("0\r\nA: \0\r\n\r\n", Not(Trailers)),
    ];
    for (behind, wanted) in rows {
        check_with(&[("Transfer-Encoding: chunked\r\n", behind, wanted)]);
    }
}

#[test]
fn trailers_are_counted_and_bounded() {
    let of = |behind: &str| {
        let raw = with("Transfer-Encoding: chunked\r\n", behind);
        request(&[raw.as_bytes()]).map(|seen| seen.map(|seen| (seen.trailers, seen.rest)))
    };
    assert_eq!(of("0\r\nA: b\r\nC: d\r\n\r\nx"), Ok(Some((2, 1))));
    assert_eq!(of(&format!("0\r\n{}\r\n", "A: b\r\n".repeat(32))), Ok(Some((32, 0))));
    assert_eq!(of(&format!("0\r\n{}\r\n", "A: b\r\n".repeat(33))), Err(Trailers));
    let long = |bytes: usize| format!("0\r\nA: {}\r\n\r\n", "b".repeat(bytes - 7));
    assert_eq!(of(&long(8 * 1024)), Ok(Some((1, 0))));
    assert_eq!(of(&long(8 * 1024 + 1)), Err(Trailers));
}

#[test]
fn extensions_are_bounded_in_a_line_and_in_a_body() {
    let of = |behind: &str| {
        let raw = with("Transfer-Encoding: chunked\r\n", behind);
        request(&[raw.as_bytes()]).map(|seen| seen.map(|seen| seen.body.len()))
    };
    let line = |length: usize| format!("1;{}\r\na\r\n", "x".repeat(length));
    // The carriage return is the last byte that is looked at as an extension's.
    assert_eq!(of(&(line(255) + "0\r\n\r\n")), Ok(Some(1)));
    assert_eq!(of(&(line(256) + "0\r\n\r\n")), Err(ChunkExtension));
    assert_eq!(of(&(line(255).repeat(64) + "0\r\n\r\n")), Ok(Some(64)));
    assert_eq!(of(&(line(255).repeat(65) + "0\r\n\r\n")), Err(ChunkExtension));
}

#[test]
fn a_head_has_as_many_bytes_as_it_may_and_not_one_more() {
    let raw = |bytes: usize| {
        let head = with("A: \r\n", "").len();
        with(&format!("A: {}\r\n", "b".repeat(bytes - head)), "")
    };
    check(&[(&raw(LIMITS.bytes), Is("", 0)), (&raw(LIMITS.bytes + 1), Not(TooLong))]);
    // What comes behind a head does not count.
    let with_body = raw(LIMITS.bytes) + &"x".repeat(50);
    check(&[(&with_body, Is("", 50))]);
    check(&[
        (&"G".repeat(33), Not(Method)),
        (&format!("GET /{}", "a".repeat(1_020)), Not(TooLong)),
    ]);
}

#[test]
fn each_byte_is_let_in_where_it_may_be_and_nowhere_else() {
    let read = |before: &str, byte: u8, behind: &str| {
        let raw = [before.as_bytes(), &[byte], behind.as_bytes()].concat();
        in_all_cuts(&raw, request).map(|seen| seen.is_some())
    };
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    for byte in 0..=u8::MAX {
        let method = read("G", byte, "T / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(method == Ok(true), is_tchar(byte), "method: {byte:#x}");
        let target = read("GET /", byte, "a HTTP/1.1\r\nHost: a\r\n\r\n");
        let is_target = byte > 0x20 && byte != 0x7f && byte != b'#';
        assert_eq!(target == Ok(true), is_target, "target: {byte:#x}");
        let name = read("GET / HTTP/1.1\r\nA", byte, "b: c\r\n\r\n");
        let is_name = is_tchar(byte) || byte == b':';
        assert_eq!(name == Ok(true), is_name, "name: {byte:#x}");
        let value = read("GET / HTTP/1.1\r\nA: b", byte, "c\r\n\r\n");
        let is_value = byte == b'\t' || (byte >= 0x20 && byte != 0x7f);
        assert_eq!(value == Ok(true), is_value, "value: {byte:#x}");
    }
}
