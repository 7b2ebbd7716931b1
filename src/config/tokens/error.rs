//! What is wrong with a file of tokens. The tokens themselves are never shown.

use std::sync::Arc;

use super::{LONGEST_NAME, SHORTEST};

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
