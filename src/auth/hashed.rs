//! A password as a file keeps it: a text in, whether another one is the same out.
//!
//! Taken are hashes that cost whoever steals the file much for each guess: bcrypt, as `htpasswd -B` writes
//! it, and Argon2. The rest is refused when the file is read, and so is what would cost us too much: each
//! check takes one of two threads, and a hash is computed for whoever asks.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use base64::engine::{GeneralPurpose, general_purpose};
use subtle::ConstantTimeEq;

/// The dearest bcrypt taken: about a second for each check, and twice that for each one more.
const DEAREST: u32 = 14;

/// The most memory that a check may take, in KiB, and the most of it that all its passes may write.
const LARGEST: u32 = 256 * 1024;
const MOST_WRITTEN: u64 = 1024 * 1024;

/// The longest password that bcrypt looks at, in bytes, with the NUL behind it.
const BCRYPT_BYTES: usize = 72;

/// How bcrypt writes bytes: 16 of a salt leave bits over, and so do 23 of a hash.
const BCRYPT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::BCRYPT,
    general_purpose::NO_PAD.with_decode_allow_trailing_bits(true),
);

/// A password that cannot be read back.
#[derive(Clone, PartialEq, Eq)]
pub struct Hashed(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Bcrypt {
        cost: u32,
        salt: [u8; 16],
        hash: [u8; 23],
    },
    Argon2 {
        algorithm: Algorithm,
        version: Version,
        /// In KiB.
        memory: u32,
        passes: u32,
        lanes: u32,
        salt: Box<[u8]>,
        hash: Box<[u8]>,
    },
}

/// Why a text is no password of a file. The text itself is never shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHash {
    /// Of the old kinds.
    #[error("is hashed with {0}, which is guessed too fast: {INSTEAD}")]
    Weak(&'static str),
    /// No hash at all, or none that is known.
    #[error("is no hash that is known: {INSTEAD}")]
    Unknown,
    /// It begins like one.
    #[error("is no whole {0} hash: {INSTEAD}")]
    Broken(&'static str),
    /// It takes too long.
    #[error("has bcrypt's cost {0}, and a check would take seconds: at most {DEAREST}")]
    Dear(u32),
    /// It takes too much memory.
    #[error(
        "has an Argon2 of m={memory},t={passes}: at most m={LARGEST} (KiB), and m times t at most \
         {MOST_WRITTEN}"
    )]
    Large {
        /// In KiB.
        memory: u32,
        /// Over it.
        passes: u32,
    },
}

const INSTEAD: &str = "write it with `htpasswd -B`, or with Argon2";

impl Hashed {
    /// A password as `htpasswd` or a library for Argon2 writes it.
    pub fn of(text: &str) -> Result<Hashed, BadHash> {
        let kind = match text.strip_prefix('$').and_then(|rest| rest.split_once('$')) {
            Some(("2a" | "2b" | "2y", rest)) => bcrypt(rest)?,
            Some(("argon2id", rest)) => argon2(Algorithm::Argon2id, rest)?,
            Some(("argon2i", rest)) => argon2(Algorithm::Argon2i, rest)?,
            Some(("argon2d", rest)) => argon2(Algorithm::Argon2d, rest)?,
            Some(("apr1" | "1", _)) => return Err(BadHash::Weak("MD5")),
            Some(("5", _)) => return Err(BadHash::Weak("SHA-256 crypt")),
            Some(("6", _)) => return Err(BadHash::Weak("SHA-512 crypt")),
            _ if text.starts_with("{SHA}") || text.starts_with("{SSHA}") => {
                return Err(BadHash::Weak("SHA-1"));
            }
            _ if looks_like_crypt(text) => return Err(BadHash::Weak("crypt, or not at all")),
            _ => return Err(BadHash::Unknown),
        };
        Ok(Hashed(kind))
    }

    /// Whether a check of it costs so little that many can be made.
    #[cfg(any(test, fuzzing))]
    pub fn is_cheap(&self) -> bool {
        match &self.0 {
            Kind::Bcrypt { cost, .. } => *cost <= 4,
            Kind::Argon2 { memory, passes, .. } => u64::from(*memory) * u64::from(*passes) <= 64,
        }
    }

    /// Whether it is this one. Takes as long as it was made to, a twentieth of a second and more.
    pub fn is(&self, password: &[u8]) -> bool {
        match &self.0 {
            Kind::Bcrypt { cost, salt, hash } => {
                let mut key = password[..password.len().min(BCRYPT_BYTES)].to_vec();
                if key.len() < BCRYPT_BYTES {
                    key.push(0);
                }
                let found = bcrypt::bcrypt(*cost, *salt, &key);
                bool::from(found[..hash.len()].ct_eq(hash))
            }
            Kind::Argon2 { algorithm, version, memory, passes, lanes, salt, hash } => {
                // They were looked at when it was read.
                let params = Params::new(*memory, *passes, *lanes, Some(hash.len()));
                let Ok(params) = params else { return false };
                let mut blocks = vec![Block::default(); params.block_count()];
                let mut found = vec![0; hash.len()];
                let hasher = Argon2::new(*algorithm, *version, params);
                let done =
                    hasher.hash_password_into_with_memory(password, salt, &mut found, &mut blocks);
                done.is_ok() && bool::from(found.ct_eq(hash))
            }
        }
    }
}

impl fmt::Debug for Hashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hashed(…)")
    }
}

/// `05$`, a salt of 22 letters and a hash of 31.
fn bcrypt(rest: &str) -> Result<Kind, BadHash> {
    let broken = BadHash::Broken("bcrypt");
    let (cost, rest) = rest.split_once('$').ok_or(broken)?;
    let is_number = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
    let cost = cost.parse::<u32>().ok().filter(|cost| is_number && (4..=31).contains(cost));
    let cost = cost.ok_or(broken)?;
    let (salt, hash) = rest.split_at_checked(22).ok_or(broken)?;
    let salt = BCRYPT.decode(salt).ok().and_then(|salt| salt.try_into().ok()).ok_or(broken)?;
    let hash = BCRYPT.decode(hash).ok().and_then(|hash| hash.try_into().ok()).ok_or(broken)?;
    match cost > DEAREST {
        true => Err(BadHash::Dear(cost)),
        false => Ok(Kind::Bcrypt { cost, salt, hash }),
    }
}

/// `v=19$m=19456,t=2,p=1`, a salt and a hash, in the order in which all libraries write them.
fn argon2(algorithm: Algorithm, rest: &str) -> Result<Kind, BadHash> {
    let broken = BadHash::Broken("Argon2");
    // The first version did not say that it was.
    let (version, rest) = match rest.split_once('$').filter(|(first, _)| first.starts_with("v=")) {
        Some(("v=19", rest)) => (Version::V0x13, rest),
        Some(("v=16", rest)) => (Version::V0x10, rest),
        Some(_) => return Err(broken),
        None => (Version::V0x10, rest),
    };
    let mut parts = rest.split('$');
    let (Some(costs), Some(salt), Some(hash), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(broken);
    };
    let mut costs = costs.split(',');
    let mut cost = |name: &str| {
        let digits = costs.next()?.strip_prefix(name)?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u32>().ok().filter(|_| is_number)
    };
    let (memory, passes, lanes) = (cost("m="), cost("t="), cost("p="));
    let memory = memory.ok_or(broken)?;
    let (passes, lanes) = passes.zip(lanes).filter(|_| costs.next().is_none()).ok_or(broken)?;
    if memory > LARGEST || u64::from(memory) * u64::from(passes) > MOST_WRITTEN {
        return Err(BadHash::Large { memory, passes });
    }
    let bytes = |text: &str, least, most| {
        let bytes = STANDARD_NO_PAD.decode(text).ok()?;
        (least..=most).contains(&bytes.len()).then(|| bytes.into_boxed_slice())
    };
    let salt = bytes(salt, 8, 64).ok_or(broken)?;
    // What is shorter is met by chance.
    let hash = bytes(hash, 16, 128).ok_or(broken)?;
    Params::new(memory, passes, lanes, Some(hash.len())).map_err(|_| broken)?;
    Ok(Kind::Argon2 { algorithm, version, memory, passes, lanes, salt, hash })
}

/// Thirteen letters of `crypt`, which a plain password may be too.
fn looks_like_crypt(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    text.len() == 13 && text.bytes().all(is_letter)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// `secret` at the least cost, made by libcrypt.
    pub const BCRYPTED: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

    #[test]
    fn what_the_field_uses_is_read_and_only_the_same_password_is_right() {
        // From libcrypt, the tests of jBCrypt and those of Argon2's reference program.
        for (text, password) in [
            (BCRYPTED, &b"secret"[..]),
            ("$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe", b"a"),
            ("$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.", b""),
            (
                "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
                b"password",
            ),
            (
                "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
                b"password",
            ),
        ] {
            let hashed = Hashed::of(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(hashed.is(password), "{text}");
            for other in [&b"b"[..], b"passwore", b"password ", b"a\xc3\xa4"] {
                assert!(!hashed.is(other), "{text} {other:?}");
            }
            assert_eq!(format!("{hashed:?}"), "Hashed(…)");
        }
    }

    #[test]
    fn what_is_guessed_fast_costs_too_much_or_is_none_is_refused() {
        use BadHash::*;
        let salted = "$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        let argon2 = |costs: &str| format!("$argon2id$v=19${costs}{salted}");
        let bcrypt = |cost: &str| {
            format!("$2y${cost}$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe")
        };
        for (text, why) in [
            ("$apr1$x$yyyyyyyyyyyyyyyyyyyyyy".to_string(), Weak("MD5")),
            ("$1$x$yyyyyyyyyyyyyyyyyyyyyy".into(), Weak("MD5")),
            ("{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=".into(), Weak("SHA-1")),
            ("$6$x$y".into(), Weak("SHA-512 crypt")),
            ("$5$x$y".into(), Weak("SHA-256 crypt")),
            ("rqXexS6ZhobKA".into(), Weak("crypt, or not at all")),
            ("password1".into(), Unknown),
            (String::new(), Unknown),
            ("$2x$05$x".into(), Unknown),
            ("$2y$05$short".into(), Broken("bcrypt")),
            (bcrypt("5"), Broken("bcrypt")),
            (bcrypt("+5"), Broken("bcrypt")),
            (bcrypt("03"), Broken("bcrypt")),
            (bcrypt("32"), Broken("bcrypt")),
            (bcrypt("15"), Dear(15)),
            (format!("{}x", bcrypt("05")), Broken("bcrypt")),
            (argon2("m=256,t=2"), Broken("Argon2")),
            (argon2("t=2,m=256,p=1"), Broken("Argon2")),
            (argon2("m=256,t=2,p=1,keyid=1"), Broken("Argon2")),
            (argon2("m=1,t=2,p=1"), Broken("Argon2")),
            (argon2("m=256,t=0,p=1"), Broken("Argon2")),
            (argon2("m=+256,t=2,p=1"), Broken("Argon2")),
            (argon2("m=262145,t=1,p=1"), Large { memory: 262_145, passes: 1 }),
            (argon2("m=65536,t=17,p=1"), Large { memory: 65_536, passes: 17 }),
            ("$argon2id$v=18$m=256,t=2,p=1$x$y".into(), Broken("Argon2")),
            ("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$c2hvcnQ".into(), Broken("Argon2")),
        ] {
            assert_eq!(Hashed::of(&text), Err(why), "{text}");
        }
        let said = BadHash::Weak("MD5").to_string();
        assert!(said.contains("MD5") && said.contains("htpasswd -B"), "{said}");
    }

    #[test]
    fn bcrypt_looks_at_72_bytes_as_it_does_elsewhere() {
        let hashed = Hashed::of(BCRYPTED).unwrap();
        let Kind::Bcrypt { cost, salt, .. } = hashed.0 else { panic!() };
        let long = [b'x'; 80];
        let hash = bcrypt::bcrypt(cost, salt, &long[..72])[..23].try_into().unwrap();
        let hashed = Hashed(Kind::Bcrypt { cost, salt, hash });
        assert!(hashed.is(&long) && hashed.is(&long[..72]) && !hashed.is(&long[..71]));
    }
}
