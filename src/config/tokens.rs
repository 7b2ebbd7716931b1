//! The tokens of the admin API: a file's text in, who brings one and what it may do out.
//!
//! A line is `name: token`, or, for one that may not do all, `name role=shift services=shop: token`.
//! In a token's place `certificate CN=name` stands for whoever shows a certificate of that subject. The
//! first line may be a token alone, which is named `admin`. What is not such a line is refused
//! with its number: a token that is silently not known locks somebody out, and one whose bounds are
//! silently not known lets somebody in.

use std::collections::HashMap;
use std::sync::Arc;

use ipnet::IpNet;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::role::Role;
use super::server::network;
use super::suggest;

/// The shortest token taken: what is shorter can be guessed.
const SHORTEST: usize = 16;

/// The longest name of a token: it is shown in a column.
const LONGEST_NAME: usize = 63;

/// Who has the token of a first line without a name.
const ADMIN: &str = "admin";

/// What a line has in a token's place whose bearer shows a certificate, before its subject.
const CERTIFICATE: &str = "certificate ";

/// What a line may say between its name and its token.
const BOUNDS: [&str; 3] = ["role", "services", "networks"];

/// Who may ask. Tokens are kept as hashes: comparing those takes the same time for tokens of any
/// length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens(Arc<[Known]>);

#[derive(Debug, PartialEq, Eq)]
struct Known {
    bearer: Arc<Bearer>,
    proof: Proof,
}

/// What shows that somebody is who a line is about.
#[derive(Debug, PartialEq, Eq)]
enum Proof {
    /// A token with this hash.
    Token([u8; 32]),
    /// A certificate of this subject.
    Subject(Box<str>),
}

/// Whoever brings a token: its name, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// What is ordered with it is by this name.
    pub name: Arc<str>,
    /// Which operations it may ask for.
    pub role: Role,
    /// The services it is bound to; none if it is for all.
    pub services: Option<Arc<[Box<str>]>>,
    /// Where upstreams may be that it adds or removes, which [`Role::Deploy`] always says; none if
    /// nothing is said, as for roles that may do either anywhere or not at all.
    pub networks: Option<Arc<[IpNet]>>,
}

/// Why a text holds no tokens that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokensError {
    /// A line of it is no token.
    #[error("line {line}: {why}")]
    Line {
        /// From 1.
        line: usize,
        /// Why not.
        why: BadLine,
    },
    /// There is no token in it.
    #[error("it has no token: write one of at least {SHORTEST} characters")]
    Empty,
}

/// What is wrong with a line of a token file. The token itself is never shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// Neither `name: token` nor, in the first line, a token.
    #[error("expected `name: token`, with a space after the colon")]
    NoName,
    /// Not a name.
    #[error("a name has 1 to {LONGEST_NAME} letters, digits, `-`, `_` and `.`")]
    Name,
    /// It can be guessed.
    #[error("the token of `{0}` has fewer than {SHORTEST} characters")]
    Short(Arc<str>),
    /// No request could bring it.
    #[error("the token of `{0}` has a character that no header can carry")]
    Unspeakable(Arc<str>),
    /// Two lines name the same.
    #[error("`{name}` has a token in line {line} already")]
    SameName {
        /// The name.
        name: Arc<str>,
        /// The other line.
        line: usize,
    },
    /// Whoever brings it could be either.
    #[error("the token of `{name}` is that of `{other}`")]
    SameToken {
        /// The name of this line.
        name: Arc<str>,
        /// The name of an earlier line.
        other: Arc<str>,
    },
    /// It names no subject.
    #[error("`certificate` of `{0}` needs a subject, such as `certificate CN=name`")]
    NoSubject(Arc<str>),
    /// Whoever shows it could be either.
    #[error("the certificate of `{name}` is that of `{other}`")]
    SameSubject {
        /// The name of this line.
        name: Arc<str>,
        /// The name of an earlier line.
        other: Arc<str>,
    },
    /// A word behind the name that bounds nothing.
    #[error("`{word}` after the name `{name}` bounds nothing{instead}")]
    NoBound {
        /// The name of the line.
        name: Arc<str>,
        /// The word.
        word: String,
        /// What may be meant.
        instead: String,
    },
    /// The same is said twice.
    #[error("`{bound}=` is there twice for `{name}`: say it once")]
    Twice {
        /// The name of the line.
        name: Arc<str>,
        /// What.
        bound: &'static str,
    },
    /// There is no such role.
    #[error("`{role}` of `{name}` is no role{instead}")]
    NoRole {
        /// The name of the line.
        name: Arc<str>,
        /// What it says.
        role: String,
        /// What may be meant.
        instead: String,
    },
    /// Bounds that are given name nothing.
    #[error("`{bound}=` of `{name}` has an empty part; divide by commas, without spaces")]
    EmptyPart {
        /// The name of the line.
        name: Arc<str>,
        /// Which.
        bound: &'static str,
    },
    /// Not a network.
    #[error(
        "`{network}` of `{name}` is no network; expected an address or one such as `10.0.0.0/8`"
    )]
    NoNetwork {
        /// The name of the line.
        name: Arc<str>,
        /// What it says.
        network: String,
    },
    /// It could add upstreams anywhere.
    #[error(
        "`{0}` has `role=deploy`, which needs `networks=`, where its upstreams may be, such as \
         `networks=10.0.0.0/8`"
    )]
    Anywhere(Arc<str>),
    /// A bound of what it may not do at all.
    #[error("`networks=` of `{0}` bounds nothing: it is for `role=deploy`")]
    IdleNetworks(Arc<str>),
    /// A bound that it could lift.
    #[error("`services=` of `{0}` bounds nothing: `admin` may change the config, and so all")]
    BoundAdmin(Arc<str>),
    /// Alerts are not of a service.
    #[error("`services=` of `{0}` bounds nothing: it is for `read`, `shift` and `deploy`")]
    BoundAlerts(Arc<str>),
}

impl Bearer {
    /// One that may do all.
    fn unbound(name: Arc<str>) -> Bearer {
        Bearer { name, role: Role::Admin, services: None, networks: None }
    }

    /// Whether it may see and change what is of this service.
    pub fn is_for(&self, service: &str) -> bool {
        let bound = self.services.as_ref();
        bound.is_none_or(|services| services.iter().any(|name| **name == *service))
    }

    /// Whether it may add or remove an upstream at this address; none for what is not one yet, such
    /// as a name, which may lead anywhere.
    pub fn reaches(&self, address: Option<std::net::IpAddr>) -> bool {
        let Some(networks) = &self.networks else { return true };
        let inside = |ip: std::net::IpAddr| networks.iter().any(|network| network.contains(&ip));
        address.is_some_and(|ip| inside(ip.to_canonical()))
    }
}

impl Tokens {
    /// The tokens of a file, of which there is at least one.
    pub fn of(text: &str) -> Result<Tokens, TokensError> {
        match Tokens::parse(text) {
            Ok(tokens) if tokens.0.is_empty() => Err(TokensError::Empty),
            Ok(tokens) => Ok(tokens),
            Err((line, why)) => Err(TokensError::Line { line, why }),
        }
    }

    /// Reads lines; those that are blank or begin with `#` say nothing.
    fn parse(text: &str) -> Result<Tokens, (usize, BadLine)> {
        let mut known: Vec<Known> = Vec::new();
        let mut lines_of = HashMap::<Arc<str>, usize>::new();
        for (line, text) in text.lines().enumerate().map(|(at, text)| (at + 1, text.trim())) {
            // A token of a first line may begin with anything; one with spaces after `#` is a note.
            let is_note = text.starts_with('#') && (line > 1 || text.contains(' '));
            if text.is_empty() || is_note {
                continue;
            }
            let (bearer, token) = named(text, line == 1).map_err(|why| (line, why))?;
            let name = bearer.name.clone();
            let proof = proof(&name, token).map_err(|why| (line, why))?;
            if let Some(&line_of) = lines_of.get(&name) {
                return Err((line, BadLine::SameName { name, line: line_of }));
            }
            if let Some(other) = known.iter().find(|other| other.proof == proof) {
                let other = other.bearer.name.clone();
                let why = match proof {
                    Proof::Token(_) => BadLine::SameToken { name, other },
                    Proof::Subject(_) => BadLine::SameSubject { name, other },
                };
                return Err((line, why));
            }
            lines_of.insert(name, line);
            known.push(Known { bearer: Arc::new(bearer), proof });
        }
        Ok(Tokens(known.into()))
    }

    /// Whose token this is. Every token is compared, so that the time it takes says nothing of
    /// which one was nearly it.
    pub fn bearer(&self, token: &str) -> Option<&Arc<Bearer>> {
        let hash = hash_of(token);
        let mut found = None;
        for known in &*self.0 {
            if let Proof::Token(own) = &known.proof
                && bool::from(own.ct_eq(&hash))
            {
                found = Some(&known.bearer);
            }
        }
        found
    }

    /// Whether this one was found in them, and not in those that were read before.
    pub fn has(&self, bearer: &Arc<Bearer>) -> bool {
        self.0.iter().any(|known| Arc::ptr_eq(&known.bearer, bearer))
    }

    /// Who shows a certificate of this subject.
    pub fn shown(&self, subject: &str) -> Option<&Arc<Bearer>> {
        let is_its =
            |known: &&Known| matches!(&known.proof, Proof::Subject(own) if **own == *subject);
        self.0.iter().find(is_its).map(|known| &known.bearer)
    }
}

/// What is asked of the bearer of this name.
fn proof(name: &Arc<str>, text: &str) -> Result<Proof, BadLine> {
    if let Some(subject) = text.strip_prefix(CERTIFICATE) {
        let subject = subject.trim();
        return match subject.split_once('=') {
            Some((kind, value)) if !kind.is_empty() && !value.is_empty() => {
                Ok(Proof::Subject(subject.into()))
            }
            _ => Err(BadLine::NoSubject(name.clone())),
        };
    }
    if text.len() < SHORTEST {
        return Err(BadLine::Short(name.clone()));
    }
    match text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        true => Ok(Proof::Token(hash_of(text))),
        false => Err(BadLine::Unspeakable(name.clone())),
    }
}

/// Bearer and token of a line.
fn named(text: &str, is_first: bool) -> Result<(Bearer, &str), BadLine> {
    // The name ends at the first space or colon; a token alone may have both, but no such beginning.
    let name = text.split([' ', '\t', ':']).next().unwrap_or_default();
    let after = &text[name.len()..];
    let divided = match after.strip_prefix(':') {
        Some(token) => token.starts_with([' ', '\t']).then_some(("", token)),
        None => [": ", ":\t"]
            .iter()
            .filter_map(|end| after.split_once(end))
            .min_by_key(|(b, _)| b.len()),
    };
    let Some((bounds, token)) = divided else {
        let alone = || Bearer::unbound(ADMIN.into());
        return if is_first { Ok((alone(), text)) } else { Err(BadLine::NoName) };
    };
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let is_bound = |word: &str| word.contains('=');
    let is_name = (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(fits);
    // Words that follow without a `=` were meant as part of the name.
    if !is_name || bounds.split_whitespace().next().is_some_and(|word| !is_bound(word)) {
        return Err(BadLine::Name);
    }
    Ok((bound(name.into(), bounds)?, token.trim()))
}

/// A bearer with the bounds behind its name: `role=shift services=shop,web networks=10.0.0.0/8`.
fn bound(name: Arc<str>, bounds: &str) -> Result<Bearer, BadLine> {
    let mut said = HashMap::<&'static str, &str>::new();
    for word in bounds.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let Some(&bound) = BOUNDS.iter().find(|bound| **bound == key) else {
            let (word, instead) = (word.to_string(), suggest(key, BOUNDS.into_iter()));
            return Err(BadLine::NoBound { name, word, instead });
        };
        if said.insert(bound, value).is_some() {
            return Err(BadLine::Twice { name, bound });
        }
    }
    let parts = |bound: &'static str| match said.get(bound) {
        Some(text) if text.split(',').any(str::is_empty) => {
            Err(BadLine::EmptyPart { name: name.clone(), bound })
        }
        found => Ok(found.map(|text| text.split(','))),
    };
    let role = match said.get("role") {
        None => Role::Admin,
        Some(text) => text.parse().map_err(|()| {
            let known = Role::ALL.iter().map(|role| role.name());
            let (name, instead) = (name.clone(), suggest(text, known));
            BadLine::NoRole { name, role: text.to_string(), instead }
        })?,
    };
    let services: Option<Arc<[Box<str>]>> =
        parts("services")?.map(|parts| parts.map(Box::from).collect());
    let read = |text: &str| {
        let error = || BadLine::NoNetwork { name: name.clone(), network: text.to_string() };
        network(text).map_err(|_| error())
    };
    let networks: Option<Arc<[IpNet]>> =
        parts("networks")?.map(|parts| parts.map(read).collect()).transpose()?;
    match role {
        Role::Admin if services.is_some() => Err(BadLine::BoundAdmin(name)),
        Role::Alerts if services.is_some() => Err(BadLine::BoundAlerts(name)),
        Role::Deploy if networks.is_none() => Err(BadLine::Anywhere(name)),
        Role::Deploy => Ok(Bearer { name, role, services, networks }),
        _ if networks.is_some() => Err(BadLine::IdleNetworks(name)),
        _ => Ok(Bearer { name, role, services, networks }),
    }
}

fn hash_of(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "correct-horse-battery";
    const B: &str = "0123456789abcdef";

    fn name<'t>(tokens: &'t Tokens, token: &str) -> Option<&'t str> {
        tokens.bearer(token).map(|bearer| &*bearer.name)
    }

    fn bad(text: &str) -> String {
        let (line, why) = Tokens::parse(text).unwrap_err();
        format!("{line}: {why}")
    }

    #[test]
    fn each_token_has_a_name() {
        let text = format!("# who\n\nci: {A}\n ann.b:\t{B} \n");
        let tokens = Tokens::parse(&text).unwrap();
        assert_eq!(name(&tokens, A), Some("ci"));
        assert_eq!(name(&tokens, B), Some("ann.b"));
        for other in ["correct-horse-batter", "ci", "", &format!("ci: {A}"), &A.to_uppercase()] {
            assert_eq!(name(&tokens, other), None, "{other}");
        }
    }

    #[test]
    fn a_first_line_may_be_a_token_alone() {
        for token in [A, "#0123456789abcdef", "with:colons:of:its:own", "correct horse battery"] {
            let tokens = Tokens::parse(&format!("{token}\n# a note\nci: {B}\n")).unwrap();
            assert_eq!(name(&tokens, token), Some("admin"), "{token}");
            assert_eq!(name(&tokens, B), Some("ci"));
        }
        assert!(Tokens::parse(" \n# nothing\n").unwrap().0.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let cases = [
            ("short", "1: the token of `admin` has fewer than 16 characters"),
            ("ci: short", "1: the token of `ci` has fewer than 16 characters"),
            ("{A}\n{B}", "2: expected `name: token`, with a space after the colon"),
            ("{A}\nci:{B}", "2: expected `name: token`, with a space after the colon"),
            ("{A}\n\nthe ci: {B}", "3: a name has 1 to 63 letters, digits, `-`, `_` and `.`"),
            ("ci: {A}\nci: {B}", "2: `ci` has a token in line 1 already"),
            ("{A}\nadmin: {B}", "2: `admin` has a token in line 1 already"),
            ("ci: {A}\nann: {A}", "2: the token of `ann` is that of `ci`"),
            (
                "ci rolle=read: {A}",
                "1: `rolle=read` after the name `ci` bounds nothing; there are `role`, `services`, `networks`; did you mean `role`?",
            ),
            (
                "ci role=reed: {A}",
                "1: `reed` of `ci` is no role; there are `read`, `shift`, `deploy`, `alerts`, `admin`; did you mean `read`?",
            ),
            (
                "ci role=: {A}",
                "1: `` of `ci` is no role; there are `read`, `shift`, `deploy`, `alerts`, `admin`",
            ),
            ("ci role=read role=read: {A}", "1: `role=` is there twice for `ci`: say it once"),
            (
                "ci role=read services=: {A}",
                "1: `services=` of `ci` has an empty part; divide by commas, without spaces",
            ),
            (
                "ci role=read services=a b: {A}",
                "1: `b` after the name `ci` bounds nothing; there are `role`, `services`, `networks`",
            ),
            (
                "{B}\nci role=deploy: {A}",
                "2: `ci` has `role=deploy`, which needs `networks=`, where its upstreams may be, such as `networks=10.0.0.0/8`",
            ),
            (
                "ci role=deploy networks=10/8: {A}",
                "1: `10/8` of `ci` is no network; expected an address or one such as `10.0.0.0/8`",
            ),
            (
                "ci role=shift networks=10.0.0.0/8: {A}",
                "1: `networks=` of `ci` bounds nothing: it is for `role=deploy`",
            ),
            (
                "ci services=shop: {A}",
                "1: `services=` of `ci` bounds nothing: `admin` may change the config, and so all",
            ),
            (
                "ci role=alerts services=shop: {A}",
                "1: `services=` of `ci` bounds nothing: it is for `read`, `shift` and `deploy`",
            ),
            (
                "ci: certificate ann",
                "1: `certificate` of `ci` needs a subject, such as `certificate CN=name`",
            ),
            (
                "ci: certificate CN=a\nann: certificate  CN=a ",
                "2: the certificate of `ann` is that of `ci`",
            ),
            ("ci role=read: short", "1: the token of `ci` has fewer than 16 characters"),
            (
                "ci: correct-horse-bättery",
                "1: the token of `ci` has a character that no header can carry",
            ),
        ];
        for (text, said) in cases {
            assert_eq!(bad(&text.replace("{A}", A).replace("{B}", B)), said, "{text}");
        }
    }

    #[test]
    fn a_certificate_may_stand_in_a_tokens_place() {
        let text = format!("ci: {A}\nann role=shift services=shop: certificate CN=ann,O=Shop: 1\n");
        let tokens = Tokens::parse(&text).unwrap();
        let ann = tokens.shown("CN=ann,O=Shop: 1").unwrap();
        assert_eq!((&*ann.name, ann.role, ann.is_for("web")), ("ann", Role::Shift, false));
        for other in ["CN=ann", "cn=ann,O=Shop: 1", "", A] {
            assert_eq!(tokens.shown(other), None, "{other}");
        }
        // It is nobody's token.
        assert_eq!(name(&tokens, "certificate CN=ann,O=Shop: 1"), None);
        assert_eq!(name(&tokens, "CN=ann,O=Shop: 1"), None);
    }

    #[test]
    fn a_token_may_have_a_role_services_and_networks() {
        let text = format!(
            "ops: {A}\nci role=deploy services=shop,web networks=10.0.0.0/8,fd00::/8:\t{B}\n\
             eye role=read: spaces in it: and colons\n"
        );
        let tokens = Tokens::parse(&text).unwrap();
        let bearer = |token: &str| &**tokens.bearer(token).unwrap();
        assert_eq!(*bearer(A), Bearer::unbound("ops".into()));
        assert_eq!(bearer("spaces in it: and colons").role, Role::Read);
        let ci = bearer(B);
        assert_eq!((ci.role, &*ci.name), (Role::Deploy, "ci"));
        assert!(ci.is_for("shop") && ci.is_for("web") && !ci.is_for("sho") && !ci.is_for(""));
        let reaches = |ip: &str| ci.reaches(Some(ip.parse().unwrap()));
        assert!(reaches("10.1.2.3") && reaches("::ffff:10.1.2.3") && reaches("fd00::1"));
        assert!(!reaches("127.0.0.1") && !reaches("::ffff:127.0.0.1") && !reaches("fe80::1"));
        assert!(!ci.reaches(None) && bearer(A).reaches(None));
    }
}
