//! The cookie by which we recognise clients that bring nothing else: draws in, an id and its
//! `Set-Cookie` out; a cookie's value in, the id out if it is one of ours.
//!
//! A value is an id and a tag of it. Nobody without the secret can make a tag, so that a client
//! cannot look for an id whose cohort it likes; it can only ask for new ones. The tag's key comes
//! from the secret by a way of its own: what is learnt of tags says nothing of cohorts.

use std::fmt;
use std::hash::Hasher;

use http::header::HeaderValue;
use sha2::{Digest, Sha256};
use siphasher::sip::SipHasher24;
use subtle::ConstantTimeEq;

use super::Secret;
use crate::clock::Draws;

/// What the cookie is called unless a service says otherwise.
pub const COOKIE_NAME: &str = "pointsman_cohort";

/// How long a client keeps it, in seconds: seven days.
const MAX_AGE: u32 = 604_800;

/// Separates this use of the secret from all others.
const LABEL: &[u8] = b"pointsman own cookie\0";

/// The letters of 16 bytes and of 8 bytes, six bits each.
const ID: usize = 22;
const TAG: usize = 11;

/// Who a client is by our own cookie: 16 drawn bytes, as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieId([u8; ID]);

/// Tells our own cookies from others.
#[derive(Clone, Copy)]
pub struct Signer(SipHasher24);

impl CookieId {
    /// A new one.
    pub fn draw(draws: &mut Draws) -> CookieId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&draws.bits().to_le_bytes());
        bytes[8..].copy_from_slice(&draws.bits().to_le_bytes());
        CookieId(base64url(&bytes))
    }

    /// As it is written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Signer {
    /// The one of all who share this secret.
    pub fn of(secret: Secret) -> Signer {
        let digest = Sha256::new().chain_update(LABEL).chain_update(secret.0).finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        Signer(SipHasher24::new_with_key(&key))
    }

    /// The id in a cookie's value, if we have made it.
    pub fn read(&self, value: &[u8]) -> Option<CookieId> {
        let (id, tag) = value.split_at_checked(ID)?;
        let id = CookieId(id.try_into().ok()?);
        let is_ours = tag.strip_prefix(b".")?.ct_eq(&self.tag(&id));
        bool::from(is_ours).then_some(id)
    }

    /// The value of the `Set-Cookie` that gives a client this id; `is_secure` if it came by TLS.
    pub fn set_cookie(&self, name: &str, id: &CookieId, is_secure: bool) -> Option<HeaderValue> {
        let tag = self.tag(id);
        let (id, tag) = (std::str::from_utf8(&id.0).ok()?, std::str::from_utf8(&tag).ok()?);
        let secure = if is_secure { "; Secure" } else { "" };
        let value =
            format!("{name}={id}.{tag}; Path=/; Max-Age={MAX_AGE}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::try_from(value).ok()
    }

    fn tag(&self, id: &CookieId) -> [u8; TAG] {
        let mut hasher = self.0;
        hasher.write(&id.0);
        base64url(&hasher.finish().to_be_bytes())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}

/// The first `N` letters of these bytes in base64url (RFC 4648 section 5), without padding.
fn base64url<const N: usize>(bytes: &[u8]) -> [u8; N] {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let byte = |at: usize| u16::from(bytes.get(at).copied().unwrap_or(0));
    std::array::from_fn(|nth| {
        let (at, within) = (nth * 6 / 8, nth * 6 % 8);
        let pair = byte(at) << 8 | byte(at + 1);
        LETTERS[usize::from(pair >> (10 - within) & 63)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(signer: &Signer, id: &CookieId) -> String {
        let field = signer.set_cookie("c", id, false).unwrap();
        let field = field.to_str().unwrap();
        field.strip_prefix("c=").unwrap().split(';').next().unwrap().to_string()
    }

    #[test]
    fn letters_are_those_of_the_standard() {
        assert_eq!(&base64url::<8>(b"foobar"), b"Zm9vYmFy");
        assert_eq!(&base64url::<7>(b"fooba"), b"Zm9vYmE");
        assert_eq!(&base64url::<6>(b"foob"), b"Zm9vYg");
        assert_eq!(&base64url::<4>(&[0xfb, 0xff, 0xfe]), b"-__-");
    }

    #[test]
    fn what_was_set_is_read_and_nothing_else() {
        let signer = Signer::of(Secret([1; 16]));
        let id = CookieId::draw(&mut Draws::seeded(1));
        let ours = value(&signer, &id);
        assert_eq!((ours.len(), signer.read(ours.as_bytes())), (34, Some(id)));
        for at in 0..ours.len() {
            let mut forged = ours.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(signer.read(&forged), None, "letter {at}");
        }
        for cut in [&ours[..33], &ours[1..], &ours[..22], "", "x"] {
            assert_eq!(signer.read(cut.as_bytes()), None, "{cut}");
        }
        assert_eq!(signer.read(format!("{ours}A").as_bytes()), None);
        assert_eq!(Signer::of(Secret([2; 16])).read(ours.as_bytes()), None);
    }

    #[test]
    fn a_cookie_lasts_a_week_and_is_out_of_scripts_reach() {
        let signer = Signer::of(Secret([1; 16]));
        let id = CookieId::draw(&mut Draws::seeded(1));
        let field = |is_secure| {
            let field = signer.set_cookie("who", &id, is_secure).unwrap();
            field.to_str().unwrap().split_once("; ").unwrap().1.to_string()
        };
        assert_eq!(field(false), "Path=/; Max-Age=604800; HttpOnly; SameSite=Lax");
        assert_eq!(field(true), "Path=/; Max-Age=604800; HttpOnly; SameSite=Lax; Secure");
    }
}
