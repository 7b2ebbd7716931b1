//! A path a route asks for: text in, an exact path or a prefix of whole segments out.

use std::fmt;

use crate::http::path::normal;

/// An exact path, or everything below one, in the [normal form](crate::http::path).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// This path.
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
    /// A prefix covers what is below it anyway.
    #[error("a prefix covers all below it: leave out the `*`")]
    Star,
    /// A path has no wildcards.
    #[error("a path has no wildcards; `path_prefix` takes all below a path")]
    Wildcard,
    /// A query or fragment is not part of a path.
    #[error("a path has no query, fragment, space or control character")]
    NotAPath,
}

impl PathPattern {
    /// A path to be met exactly.
    pub fn exact(text: &str) -> Result<PathPattern, PathError> {
        check(text)?;
        match has_star(text) {
            true => Err(PathError::Wildcard),
            false => Ok(PathPattern::Exact(normal(text).into_owned())),
        }
    }

    /// A path to be met with all below it.
    pub fn prefix(text: &str) -> Result<PathPattern, PathError> {
        check(text)?;
        match (has_star(text.trim_end_matches('*')), has_star(text)) {
            (true, _) => Err(PathError::Wildcard),
            (false, true) => Err(PathError::Star),
            (false, false) => {
                Ok(PathPattern::Prefix(normal(text).trim_end_matches('/').to_string()))
            }
        }
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

/// Whether a segment is one or two stars, or begins or ends with one, as patterns elsewhere do: what
/// comes to us as `/*` in earnest is nobody's.
fn has_star(text: &str) -> bool {
    text.split('/').any(|segment| segment.starts_with('*') || segment.ends_with('*'))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_are_refused_in_words_that_help() {
        let cases = [
            ("/api", None),
            ("/a*b", None),
            ("/api/*", Some(PathError::Star)),
            ("/api/**", Some(PathError::Star)),
            ("/api*", Some(PathError::Star)),
            ("/*/api", Some(PathError::Wildcard)),
            ("/*/api/*", Some(PathError::Wildcard)),
            ("api/*", Some(PathError::NoSlash)),
        ];
        for (text, error) in cases {
            assert_eq!(PathPattern::prefix(text).err(), error, "{text}");
        }
        assert_eq!(PathPattern::exact("/api/*"), Err(PathError::Wildcard));
        assert!(PathPattern::exact("/a*b").is_ok());
    }
}
