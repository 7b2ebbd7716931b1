//! The tokens of the admin API: a file's text in, who brings one and what it may do out.
//!
//! A line is `name: token`, or, for one that may not do all, `name role=shift services=shop: token`.
//! In a token's place `certificate CN=name` stands for whoever shows a certificate of that subject. The
//! first line may be a token alone, which is named `admin`. What is not such a line is refused
//! with its number: a token that is silently not known locks somebody out, and one whose bounds are
//! silently not known lets somebody in.

mod bearer;
mod error;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use ipnet::IpNet;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::role::Role;
use super::server::network;
use super::suggest;

pub use bearer::Bearer;
pub use error::{BadLine, TokensError};

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
