//! Whom a certificate names: its subject in, one line of text out that cannot be taken for another's
//! (RFC 4514).

use std::borrow::Cow;
use std::fmt::Write;

use super::der::{Element, Elements, OBJECT, SEQUENCE, SET};

/// The kinds of parts that have names: those of RFC 4514 and two that others name too.
const NAMED: [(&[u8], &str); 11] = [
    (&[0x55, 0x04, 0x03], "CN"),
    (&[0x55, 0x04, 0x07], "L"),
    (&[0x55, 0x04, 0x08], "ST"),
    (&[0x55, 0x04, 0x0a], "O"),
    (&[0x55, 0x04, 0x0b], "OU"),
    (&[0x55, 0x04, 0x06], "C"),
    (&[0x55, 0x04, 0x09], "STREET"),
    (&[0x55, 0x04, 0x05], "serialNumber"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19], "DC"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01], "UID"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01], "emailAddress"),
];

/// The subject in one line, the most special part first; none of what is no name.
pub(super) fn text(name: &Element<'_>) -> Option<String> {
    let (mut parts, mut sets) = (Vec::new(), name.inside());
    while let Some(set) = sets.next() {
        if set.tag != SET {
            return None;
        }
        let (mut part, mut pairs) = (String::new(), set.inside());
        while let Some(pair) = pairs.next() {
            if pair.tag != SEQUENCE {
                return None;
            }
            if !part.is_empty() {
                part.push('+');
            }
            push_pair(&mut part, pair.inside())?;
        }
        parts.push(part);
    }
    parts.reverse();
    Some(parts.join(","))
}

fn push_pair(into: &mut String, mut pair: Elements<'_>) -> Option<()> {
    let (kind, value) = (pair.expect(OBJECT)?.content, pair.next()?);
    let name = NAMED.iter().find(|(known, _)| *known == kind).map(|(_, name)| *name);
    match name {
        Some(name) => into.push_str(name),
        None => push_object(into, kind),
    }
    into.push('=');
    match (name, text_of(&value)) {
        (Some(_), Some(text)) => push_escaped(into, &text),
        _ => {
            into.push('#');
            push_hex(into, value.whole);
        }
    }
    Some(())
}

/// Numbers with dots between them.
fn push_object(into: &mut String, object: &[u8]) {
    let (mut number, mut is_first) = (0u64, true);
    for byte in object {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        // Writing into a string does not fail.
        let _ = match std::mem::take(&mut is_first) {
            true => write!(into, "{}.{}", (number / 40).min(2), number - 40 * (number / 40).min(2)),
            false => write!(into, ".{number}"),
        };
        number = 0;
    }
}

/// A text in any of the forms that certificates have.
fn text_of<'d>(value: &Element<'d>) -> Option<Cow<'d, str>> {
    match value.tag {
        // UTF-8, digits, printable, ASCII.
        0x0c | 0x12 | 0x13 | 0x16 => std::str::from_utf8(value.content).ok().map(Cow::Borrowed),
        // Latin-1, as everybody reads it.
        0x14 => Some(value.content.iter().map(|byte| char::from(*byte)).collect()),
        // Two bytes a character.
        0x1e => {
            let (pairs, []) = value.content.as_chunks::<2>() else { return None };
            let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
            char::decode_utf16(units).collect::<Result<String, _>>().ok().map(Cow::Owned)
        }
        _ => None,
    }
}

/// Only visible ASCII, so that it can be a field's value, and nothing that has a meaning.
fn push_escaped(into: &mut String, text: &str) {
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' | b'=' => {
                into.push('\\');
                into.push(char::from(byte));
            }
            b'#' | b' ' if at == 0 => {
                into.push('\\');
                into.push(char::from(byte));
            }
            b' ' if at == last => into.push_str("\\ "),
            b' '..=b'~' => into.push(char::from(byte)),
            byte => {
                into.push('\\');
                push_hex(into, &[byte]);
            }
        }
    }
}

fn push_hex(into: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing into a string does not fail.
        let _ = write!(into, "{byte:02X}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, content.len() as u8][..], content].concat()
    }

    /// The subject of these parts, each alone in its set.
    fn of(parts: &[(&[u8], u8, &[u8])]) -> String {
        let set = |(kind, tag, value): &(&[u8], u8, &[u8])| {
            let pair = [wrap(OBJECT, kind), wrap(*tag, value)].concat();
            wrap(SET, &wrap(SEQUENCE, &pair))
        };
        let name = wrap(SEQUENCE, &parts.iter().flat_map(set).collect::<Vec<_>>());
        text(&Elements::of(&name).next().unwrap()).unwrap()
    }

    const CN: &[u8] = &[0x55, 0x04, 0x03];
    const O: &[u8] = &[0x55, 0x04, 0x0a];

    #[test]
    fn no_name_can_be_written_so_that_it_reads_like_another() {
        let one = of(&[(O, 0x0c, b"Acme, Inc."), (CN, 0x0c, b"a+b \"c\" <d>; e=f\\")]);
        assert_eq!(one, r#"CN=a\+b \"c\" \<d\>\; e\=f\\,O=Acme\, Inc."#);
        assert_eq!(of(&[(CN, 0x0c, b"admin,O=root")]), r"CN=admin\,O\=root");
        assert_eq!(of(&[(CN, 0x0c, b" #x ")]), r"CN=\ #x\ ");
        assert_eq!(of(&[(CN, 0x0c, b"#x\r\ny\0")]), r"CN=\#x\0D\0Ay\00");
        assert_eq!(of(&[(CN, 0x0c, "Zoë".as_bytes())]), r"CN=Zo\C3\AB");
        assert_eq!(of(&[(CN, 0x14, b"Zo\xeb")]), r"CN=Zo\C3\AB");
        assert_eq!(of(&[(CN, 0x1e, b"\0a\0b")]), "CN=ab");
        assert_eq!(of(&[(CN, 0x0c, b"\xff")]), "CN=#0C01FF", "what is no text");
        assert_eq!(of(&[(&[0x2a, 0x03, 0x81, 0x01], 0x0c, b"x")]), "1.2.3.129=#0C0178");
        assert_eq!(of(&[]), "");
    }
}
