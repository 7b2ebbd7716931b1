//! What a request brings for `basic`: its fields in, a name and a password out (RFC 7617).

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http::header::AUTHORIZATION;

use super::users::LONGEST_NAME;
use crate::http::view::View;

/// The longest password that is looked at, in bytes.
const LONGEST_PASSWORD: usize = 1024;

/// Clients write the padding, or do not.
const CODED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Both, and a colon between.
    pair: Box<[u8]>,
    colon: usize,
}

impl Credentials {
    /// Those that a request brings; none if there are none that could be anybody's, or several.
    pub fn of(fields: View<'_>) -> Option<Credentials> {
        let mut lines = fields.all(&AUTHORIZATION);
        let line = lines.next().filter(|_| lines.next().is_none())?;
        let (scheme, coded) = line.split_at_checked(b"basic".len())?;
        if !scheme.eq_ignore_ascii_case(b"basic") || !coded.starts_with(b" ") {
            return None;
        }
        let coded = coded.trim_ascii();
        if coded.len() > (LONGEST_NAME + 1 + LONGEST_PASSWORD) * 4 / 3 + 4 {
            return None;
        }
        let pair = CODED.decode(coded).ok()?;
        let colon = pair.iter().position(|byte| *byte == b':')?;
        let fits = (1..=LONGEST_NAME).contains(&colon)
            && pair.len() - colon - 1 <= LONGEST_PASSWORD
            && !pair.iter().any(u8::is_ascii_control);
        fits.then(|| Credentials { pair: pair.into(), colon })
    }

    /// The name.
    pub fn user(&self) -> &[u8] {
        &self.pair[..self.colon]
    }

    /// The password.
    pub fn password(&self) -> &[u8] {
        &self.pair[self.colon + 1..]
    }

    /// Both: as no name has a colon, no other pair reads so.
    pub(super) fn pair(&self) -> &[u8] {
        &self.pair
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use http::HeaderMap;

    use super::*;

    fn of(lines: &[&str]) -> Option<(String, String)> {
        let fields: HeaderMap =
            lines.iter().map(|line| (AUTHORIZATION, line.parse().unwrap())).collect();
        let found = Credentials::of(View::Map(&fields))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some((text(found.user()), text(found.password())))
    }

    fn basic(pair: &[u8]) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    #[test]
    fn a_name_ends_at_the_first_colon() {
        let found = |name: &str, password: &str| Some((name.to_string(), password.to_string()));
        // The example of RFC 7617 section 2.
        assert_eq!(of(&["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="]), found("Aladdin", "open sesame"));
        assert_eq!(of(&["basic   QWxhZGRpbjpvcGVuIHNlc2FtZQ"]), found("Aladdin", "open sesame"));
        assert_eq!(of(&[&basic(b"a:b:c")]), found("a", "b:c"));
        assert_eq!(of(&[&basic(b"a:")]), found("a", ""));
        assert_eq!(of(&[&basic("Zoë:£".as_bytes())]), found("Zoë", "£"));
        let (name, password) = ("n".repeat(255), "p".repeat(1024));
        let longest = basic(format!("{name}:{password}").as_bytes());
        assert_eq!(of(&[&longest]), found(&name, &password));
    }

    #[test]
    fn what_could_be_nobodys_is_none() {
        let good = basic(b"a:b");
        let pairs: [&[u8]; 8] =
            [b"ab", b":b", b"", b"a:b\n", b"a:\0b", b"a\x7f:b", &[b'n'; 300], &[b'p'; 9_000]];
        for pair in pairs {
            assert_eq!(of(&[&basic(pair)]), None, "{pair:?}");
        }
        let long = [&b"a:"[..], &[b'p'; 1025]].concat();
        let name = [&[b'n'; 256][..], b":p"].concat();
        assert_eq!((of(&[&basic(&long)]), of(&[&basic(&name)])), (None, None));
        for lines in [
            &[][..],
            &[&*good, &good],
            &["Bearer abc"],
            &["Basic"],
            &["Basic "],
            &["Basicabc"],
            &["Basic !!!"],
            &["Basic YTpi YTpi"],
            &["Digest username=\"a\""],
        ] {
            assert_eq!(of(lines), None, "{lines:?}");
        }
    }
}
