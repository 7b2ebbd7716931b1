//! A certificate as far as it matters here: its bytes in; whose it is, for which names and how long out.
//!
//! Whether it may be trusted is not asked here: that is the TLS library's, with all that belongs to it.

mod der;
mod names;
mod pair;
mod subject;

use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;

use der::{BOOLEAN, Element, Elements, INTEGER, OBJECT, OCTETS, SEQUENCE, TIME, UTC_TIME};

pub use names::Names;
pub use pair::{Authorities, Certificates, Pair, PrivateKey};

/// Names for which it is good (RFC 5280 section 4.2.1.6).
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// The names among them that are those of hosts, and the addresses.
const DNS_NAME: u8 = 0x82;
const ADDRESS: u8 = 0x87;

/// Who signed it (RFC 5280 section 4.2.1.1), and by which key.
const SIGNER: &[u8] = &[0x55, 0x1d, 0x23];
const SIGNERS_KEY: u8 = 0x80;

/// What is before the serial number, and what is behind the key.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Hosts, in lower case, `*.` in front of some, and addresses.
    pub names: Vec<String>,
    /// Whose it is, in one line of visible ASCII (RFC 4514). Perhaps empty.
    pub subject: String,
    /// From when it is good, in seconds since the epoch.
    pub from: u64,
    /// Until when.
    pub until: u64,
}

/// What should be a certificate and cannot be read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no X.509 certificate")]
pub struct Unreadable;

impl Certificate {
    /// What these bytes say (DER).
    pub fn read(der: &[u8]) -> Result<Certificate, Unreadable> {
        read(der).ok_or(Unreadable)
    }
}

/// What a certificate is known by to who signed it (RFC 9773 section 4.1): which key has signed it and its
/// number, as they are written there; none of one that does not say.
pub fn identity(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut parts = inside(der)?;
    let serial = parts.expect(INTEGER)?.content.to_vec();
    while let Some(part) = parts.next() {
        if part.tag == EXTENSIONS {
            let signer = extension(&part, SIGNER)??;
            let key = signer.inside().expect(SEQUENCE)?.inside().expect(SIGNERS_KEY)?;
            return Some((key.content.to_vec(), serial));
        }
    }
    None
}

/// The parts of a certificate, from its number on.
fn inside(der: &[u8]) -> Option<Elements<'_>> {
    let whole = Elements::of(der).expect(SEQUENCE)?;
    let mut parts = whole.inside().expect(SEQUENCE)?.inside();
    parts.take(VERSION);
    Some(parts)
}

/// The time of so many seconds since the epoch; of later ones than can be told, such as the
/// 9999-12-31 of certificates without an end (RFC 5280 section 4.1.2.5), the last that can.
pub fn time_of(seconds: u64) -> Timestamp {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.unwrap_or(Timestamp::MAX)
}

/// RFC 5280 section 4.1.
fn read(der: &[u8]) -> Option<Certificate> {
    let mut parts = inside(der)?;
    let (_serial, _algorithm, _issuer) = (parts.next()?, parts.expect(SEQUENCE)?, parts.next()?);
    let mut validity = parts.expect(SEQUENCE)?.inside();
    let (from, until) = (time(&validity.next()?)?, time(&validity.next()?)?);
    let subject = subject::text(&parts.expect(SEQUENCE)?)?;
    let _key = parts.expect(SEQUENCE)?;
    let mut names = Vec::new();
    while let Some(part) = parts.next() {
        if part.tag == EXTENSIONS {
            names = alternative_names(&part)?;
        }
    }
    Some(Certificate { names, subject, from, until })
}

/// What this extension holds; nothing if it is not there, and none of what cannot be read.
fn extension<'d>(extensions: &Element<'d>, kind: &[u8]) -> Option<Option<Element<'d>>> {
    let mut list = extensions.inside().expect(SEQUENCE)?.inside();
    while let Some(extension) = list.next() {
        let mut extension = extension.inside();
        if extension.expect(OBJECT)?.content == kind {
            extension.take(BOOLEAN);
            return Some(Some(extension.expect(OCTETS)?));
        }
    }
    Some(None)
}

fn alternative_names(extensions: &Element<'_>) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let Some(names) = extension(extensions, ALTERNATIVE_NAMES)? else { return Some(found) };
    let mut names = names.inside().expect(SEQUENCE)?.inside();
    while let Some(name) = names.next() {
        found.extend(match name.tag {
            DNS_NAME => std::str::from_utf8(name.content).ok().map(str::to_ascii_lowercase),
            ADDRESS => address(name.content).map(|address| address.to_string()),
            _ => None,
        });
    }
    Some(found)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Seconds since the epoch; 0 for what is before it.
fn time(element: &Element<'_>) -> Option<u64> {
    let digits = element.content.strip_suffix(b"Z")?;
    let (year, rest) = match element.tag {
        // Two digits stand for 1950 to 2049.
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year: i16 = number(year)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (number(year)?, rest)
        }
        _ => return None,
    };
    let (pairs, []) = rest.as_chunks::<2>() else { return None };
    let numbers: Vec<i8> = pairs.iter().map(|pair| number(pair)).collect::<Option<_>>()?;
    let [month, day, hour, minute, second] = numbers[..] else { return None };
    let time = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let since = time.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
    Some(u64::try_from(since.as_secs()).unwrap_or(0))
}

fn number<N: FromStr>(digits: &[u8]) -> Option<N> {
    let text = std::str::from_utf8(digits).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn when(tag: u8, text: &[u8]) -> Option<u64> {
        let bytes = [&[tag, text.len() as u8][..], text].concat();
        time(&Elements::of(&bytes).next().unwrap())
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(when(UTC_TIME, b"700101000000Z"), Some(0));
        assert_eq!(when(UTC_TIME, b"000229120000Z"), Some(951_825_600));
        assert_eq!(when(UTC_TIME, b"491231235959Z"), Some(2_524_607_999));
        assert_eq!(when(UTC_TIME, b"500101000000Z"), Some(0), "1950");
        assert_eq!(when(TIME, b"20500101000000Z"), Some(2_524_608_000));
        assert_eq!(when(TIME, b"99991231235959Z"), Some(253_402_300_799));
        for wrong in [
            &b"2050010100000Z"[..],
            b"20501301000000Z",
            b"20500001000000Z",
            b"20500231000000Z",
            b"20500101240000Z",
            b"20500101999999Z",
            b"20500101000000",
            b"+0500101000000Z",
        ] {
            assert_eq!(when(TIME, wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn every_cut_of_a_certificate_is_none() {
        let pem = include_str!("../outgoing/dial/test_server.pem");
        let lines: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        use base64::Engine;
        let der = base64::engine::general_purpose::STANDARD.decode(lines).unwrap();
        let certificate = Certificate::read(&der).unwrap();
        assert_eq!(certificate.names, ["shop.test", "127.0.0.1"]);
        assert!(certificate.from < certificate.until);
        for length in 0..der.len() {
            let _ = Certificate::read(&der[..length]);
        }
        assert_eq!(Certificate::read(&der[..der.len() / 2]), Err(Unreadable));
        for at in 0..der.len() {
            let mut other = der.clone();
            other[at] ^= 0xff;
            // Whatever it says, it says it without a panic.
            let _ = Certificate::read(&other);
        }
    }
}
