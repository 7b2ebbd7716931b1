//! The tokens of the admin API: a file's text in, the name of whoever brings one out.
//!
//! A line is `name: token`. The first line may be a token alone, which is named `admin`. What is not
//! such a line is refused with its number: a token that is silently not known locks somebody out.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The shortest token taken: what is shorter can be guessed.
const SHORTEST: usize = 16;

/// The longest name of a token: it is shown in a column.
const LONGEST_NAME: usize = 63;

/// Who has the token of a first line without a name.
const ADMIN: &str = "admin";

/// Who may ask. Tokens are kept as hashes: comparing those takes the same time for tokens of any
/// length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens(Arc<[Known]>);

#[derive(Debug, PartialEq, Eq)]
struct Known {
    name: Arc<str>,
    hash: [u8; 32],
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
            let (name, token) = named(text, line == 1).map_err(|why| (line, why))?;
            if token.len() < SHORTEST {
                return Err((line, BadLine::Short(name)));
            }
            if !token.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
                return Err((line, BadLine::Unspeakable(name)));
            }
            if let Some(&line_of) = lines_of.get(&name) {
                return Err((line, BadLine::SameName { name, line: line_of }));
            }
            let hash = hash_of(token);
            if let Some(other) = known.iter().find(|other| other.hash == hash) {
                let other = other.name.clone();
                return Err((line, BadLine::SameToken { name, other }));
            }
            lines_of.insert(name.clone(), line);
            known.push(Known { name, hash });
        }
        Ok(Tokens(known.into()))
    }

    /// Whose token this is. Every token is compared, so that the time it takes says nothing of
    /// which one was nearly it.
    pub fn name(&self, token: &str) -> Option<&Arc<str>> {
        let hash = hash_of(token);
        let mut found = None;
        for known in &*self.0 {
            if bool::from(known.hash.ct_eq(&hash)) {
                found = Some(&known.name);
            }
        }
        found
    }
}

/// Name and token of a line.
fn named(text: &str, is_first: bool) -> Result<(Arc<str>, &str), BadLine> {
    match text.split_once(':') {
        Some((name, token)) if token.starts_with([' ', '\t']) => {
            let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
            let is_name = (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(fits);
            if is_name { Ok((name.into(), token.trim())) } else { Err(BadLine::Name) }
        }
        _ if is_first => Ok((ADMIN.into(), text)),
        _ => Err(BadLine::NoName),
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

    fn bad(text: &str) -> String {
        let (line, why) = Tokens::parse(text).unwrap_err();
        format!("{line}: {why}")
    }

    #[test]
    fn each_token_has_a_name() {
        let text = format!("# who\n\nci: {A}\n ann.b:\t{B} \n");
        let tokens = Tokens::parse(&text).unwrap();
        assert_eq!(tokens.name(A).map(|name| &**name), Some("ci"));
        assert_eq!(tokens.name(B).map(|name| &**name), Some("ann.b"));
        for other in ["correct-horse-batter", "ci", "", &format!("ci: {A}"), &A.to_uppercase()] {
            assert_eq!(tokens.name(other), None, "{other}");
        }
    }

    #[test]
    fn a_first_line_may_be_a_token_alone() {
        for token in [A, "#0123456789abcdef", "with:colons:of:its:own", "correct horse battery"] {
            let tokens = Tokens::parse(&format!("{token}\n# a note\nci: {B}\n")).unwrap();
            assert_eq!(tokens.name(token).map(|name| &**name), Some("admin"), "{token}");
            assert_eq!(tokens.name(B).map(|name| &**name), Some("ci"));
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
                "ci: correct-horse-bättery",
                "1: the token of `ci` has a character that no header can carry",
            ),
        ];
        for (text, said) in cases {
            assert_eq!(bad(&text.replace("{A}", A).replace("{B}", B)), said, "{text}");
        }
    }
}
