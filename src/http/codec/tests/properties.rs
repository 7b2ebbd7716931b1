//! What holds for any message.

use proptest::prelude::*;

use super::*;
use crate::http::codec::chunks::{CHUNK_END, LAST_CHUNK, write_size};
use crate::http::codec::write;

/// Bytes cut at these places, in any order and perhaps beyond the end.
fn cut<'b>(bytes: &'b [u8], places: &[usize]) -> Vec<&'b [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place % (bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect()
}

/// Messages that are right or nearly so: pieces of messages, some of them out of place.
fn nearly(first: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    const LINES: &[&str] = &[
        "Host: a\r\n",
        "Content-Length: 5\r\n",
        "content-length:0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "X-A:\t b \t\r\n",
        "Connection: close, x\r\n",
        "X: é\r\n",
        " folded\r\n",
        "A : b\r\n",
        "A: b\n",
        "A: \0\r\n",
        "\r\n",
        "\r",
        "\n",
        ":",
    ];
    const BEHIND: &[&str] = &[
        "",
        "hello",
        "5\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b\\\"\"\r\nhello\r\n00\r\nA: b\r\n\r\n",
        "1\r\na\r\n1\r\nb\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "5 \r\nhello",
        "ffffffffffffffff\r\n",
    ];
    let lines = proptest::collection::vec(prop_oneof![8 => 0..7usize, 1 => 0..LINES.len()], 0..5);
    let mend = proptest::option::weighted(0.3, (any::<usize>(), any::<u8>()));
    let whole = (0..first.len(), lines, 0..BEHIND.len(), mend);
    whole.prop_map(move |(nth, lines, behind, mend)| {
        let lines = lines.into_iter().map(|line| LINES[line]);
        let parts = [first[nth]].into_iter().chain(lines).chain(["\r\n", BEHIND[behind]]);
        let mut bytes: Vec<u8> = parts.collect::<String>().into_bytes();
        if let Some((place, byte)) = mend {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        bytes
    })
}

fn requests() -> impl Strategy<Value = Vec<u8>> {
    nearly(&[
        "GET / HTTP/1.1\r\n",
        "POST /a?b=c HTTP/1.1\r\n",
        "\r\nPUT http://a.b:80/c HTTP/1.0\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "GET /\u{e9}<\" HTTP/1.5\r\n",
        "GET / HTTP/2.0\r\n",
    ])
}

fn responses() -> impl Strategy<Value = Vec<u8>> {
    nearly(&[
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 204\r\n",
        "HTTP/1.0 404 not found\r\n",
        "HTTP/1.1 500 \r\n",
        "HTTP/1.1 304 x\r\n",
    ])
}

/// How httparse takes a head: bytes, fields; none if it does not take it.
fn httparse_request(raw: &[u8]) -> Option<(usize, Pairs)> {
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut request = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(length) = request.parse(raw).ok()? else { return None };
    let of = |field: &httparse::Header<'_>| (field.name.as_bytes().to_vec(), field.value.to_vec());
    Some((length, request.headers.iter().map(of).collect()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_request_is_the_same_however_it_is_cut(
        raw in requests(),
        places in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let whole = request(&[&raw]);
        prop_assert_eq!(request(&cut(&raw, &places)), whole.clone());
        let bytes: Vec<&[u8]> = raw.chunks(1).collect();
        prop_assert_eq!(request(&bytes), whole);
    }

    #[test]
    fn a_response_is_the_same_however_it_is_cut(
        raw in responses(),
        places in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let whole = response(&[&raw]);
        prop_assert_eq!(response(&cut(&raw, &places)), whole.clone());
        let bytes: Vec<&[u8]> = raw.chunks(1).collect();
        prop_assert_eq!(response(&bytes), whole);
    }

    /// What is accepted and written again is read as the same, and written as the same again.
    #[test]
    fn to_write_what_was_read_changes_nothing(raw in requests()) {
        let write = |raw: &[u8]| {
            let mut reader = RequestReader::default();
            let head = reader.read(raw, LIMITS).ok().flatten()?;
            let mut written = Vec::new();
            write::request_line(head.method.of(raw), head.target.of(raw), &mut written);
            for line in reader.lines().list() {
                write::field(line.name(raw), line.value(raw), &mut written);
            }
            written.extend_from_slice(write::HEAD_END);
            Some((written, fields(reader.lines(), raw), head.length))
        };
        let Some((written, said, length)) = write(&raw) else { return Ok(()) };
        let (again, still, _) = write(&written).expect("it was read before");
        prop_assert_eq!((&again, &still), (&written, &said));
        // As they came, too.
        let mut reader = RequestReader::default();
        let head = reader.read(&raw, LIMITS).unwrap().unwrap();
        let mut copied = Vec::new();
        write::lines(&raw, reader.lines().list(), |_| true, &mut copied);
        let first = reader.lines().list().first().map_or(length - 2, |line| line.whole().from);
        prop_assert_eq!(&copied[..], &raw[first..head.length - 2]);
    }

    /// Lines that are left out leave the others as they are.
    #[test]
    fn lines_that_do_not_go_on_leave_the_others(raw in requests(), kept in any::<u8>()) {
        let mut reader = RequestReader::default();
        let Ok(Some(_)) = reader.read(&raw, LIMITS) else { return Ok(()) };
        let list = reader.lines().list();
        let goes_on = |nth: usize| kept >> (nth % 8) & 1 == 1;
        let nth = |line: &super::super::lines::Line| list.iter().position(|one| one == line);
        let mut copied = Vec::new();
        write::lines(&raw, list, |line| nth(line).is_some_and(goes_on), &mut copied);
        let wanted = list.iter().enumerate().filter(|(nth, _)| goes_on(*nth));
        let wanted: Vec<u8> =
            wanted.flat_map(|(_, line)| line.whole().of(&raw).to_vec()).collect();
        prop_assert_eq!(copied, wanted);
    }

    #[test]
    fn a_body_comes_out_of_its_chunks_however_they_are_cut(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..8),
        places in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut raw = head.to_vec();
        for piece in &pieces {
            write_size(piece.len(), &mut raw);
            raw.extend_from_slice(piece);
            raw.extend_from_slice(CHUNK_END);
        }
        raw.extend_from_slice(LAST_CHUNK);
        raw.extend_from_slice(b"next");
        let seen = request(&cut(&raw, &places)).unwrap().unwrap();
        prop_assert_eq!((seen.body, seen.rest), (pieces.concat(), 4));
    }

    /// A parser that lets more through finds the same head in what we let through.
    #[test]
    fn what_is_let_through_means_the_same_to_another_parser(raw in requests()) {
        let mut reader = RequestReader::default();
        let Ok(Some(head)) = reader.read(&raw, LIMITS) else { return Ok(()) };
        let said = (head.length, fields(reader.lines(), &raw));
        // It takes neither such bytes in a target nor a later version.
        let is_plain = head.target.of(&raw).iter().all(|byte| byte.is_ascii_graphic())
            && !head.target.of(&raw).iter().any(|byte| b"<>\"".contains(byte))
            && raw[..said.0].windows(8).any(|word| word == b"HTTP/1.1" || word == b"HTTP/1.0");
        match httparse_request(&raw) {
            Some(other) => prop_assert_eq!(other, said),
            None => prop_assert!(!is_plain, "{}", String::from_utf8_lossy(&raw)),
        }
    }
}
