//! A path a route asks for: text in, an exact path or a prefix of whole segments out.

use std::fmt;

/// An exact path, or everything below one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// This path, byte by byte.
    Exact(String),
    /// This path and all below it. Whole segments only: `/api` covers `/api` and `/api/v1`, not
    /// `/apis`. Kept without its closing slash, so that the root is the empty text.
    Prefix(String),
}

/// Why a text is not a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Does not begin with a slash.
    #[error("a path begins with `/`")]
    NoSlash,
    /// A query or fragment is not part of a path.
    #[error("a path has no query, fragment, space or control character")]
    NotAPath,
}

impl PathPattern {
    /// A path to be met exactly.
    pub fn exact(text: &str) -> Result<PathPattern, PathError> {
        check(text).map(|()| PathPattern::Exact(text.to_string()))
    }

    /// A path to be met with all below it.
    pub fn prefix(text: &str) -> Result<PathPattern, PathError> {
        check(text).map(|()| PathPattern::Prefix(text.trim_end_matches('/').to_string()))
    }

    /// Everything.
    pub fn any() -> PathPattern {
        PathPattern::Prefix(String::new())
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathPattern::Exact(path) => f.write_str(path),
            PathPattern::Prefix(path) => write!(f, "{path}/*"),
        }
    }
}

fn check(text: &str) -> Result<(), PathError> {
    if !text.starts_with('/') {
        return Err(PathError::NoSlash);
    }
    match text.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'?' || b == b'#') {
        true => Err(PathError::NotAPath),
        false => Ok(()),
    }
}
