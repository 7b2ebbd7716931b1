//! What an upstream is asked for in place of a path: the path as it was sent in, another out.

use std::borrow::Cow;

use crate::http::path::{behind, one_slash};

/// Another beginning for paths. Both prefixes are in the normal form and without a slash at their end; of
/// what a path begins with, another spelling is the same, and what follows goes on as it was spelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// What a path begins with, as whole segments.
    pub from: Box<str>,
    /// What it begins with instead.
    pub to: Box<str>,
}

impl Rewrite {
    /// The path to ask for; none for one that does not begin so, which goes on as it is.
    pub fn of<'p>(&self, path: &'p str) -> Option<Cow<'p, str>> {
        let rest = behind(path, &self.from)?;
        Some(match (self.to.is_empty(), rest.is_empty()) {
            (true, _) => one_slash(rest),
            (false, true) => self.to.to_string().into(),
            (false, false) => format!("{}{}", self.to, one_slash(rest)).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_taken_off_or_becomes_another_and_the_rest_stays_as_it_was() {
        let of = |from: &str, to: &str, path: &'static str| {
            let rewrite = Rewrite { from: from.into(), to: to.into() };
            rewrite.of(path).map(|path| path.into_owned())
        };
        let is = |path: &str| Some(path.to_string());
        assert_eq!(of("/api", "", "/api/v1"), is("/v1"));
        assert_eq!(of("/api", "", "/%61pi/%7ea%2f"), is("/%7ea%2f"));
        assert_eq!(of("/api", "", "/api"), is("/"));
        assert_eq!(of("/api", "", "/api//evil.test"), is("/evil.test"));
        assert_eq!(of("/api", "", "/apis"), None);
        assert_eq!(of("/old", "/new/x", "/old"), is("/new/x"));
        assert_eq!(of("/old", "/new/x", "/old/"), is("/new/x/"));
        assert_eq!(of("/old", "/new/x", "//old/a//b"), is("/new/x/a//b"));
        assert_eq!(of("", "/v2", "/a"), is("/v2/a"));
        assert_eq!(of("", "/v2", "*"), None);
    }
}
