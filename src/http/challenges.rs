//! What authorities of certificates are to find by plain HTTP (RFC 8555 section 8.3): a path in, what was
//! put there for one of our own orders out.
//!
//! A request for anything else costs a look at how its path begins. What is not ours goes the usual way, so
//! that a client of ACME behind us can have its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;

/// Where they look.
pub(super) const FOLDER: &str = "/.well-known/acme-challenge/";

/// The answers of orders that are under way.
#[derive(Debug, Default)]
pub struct Challenges(ArcSwapOption<BTreeMap<String, Bytes>>);

impl Challenges {
    /// Puts an answer there, under its token.
    pub fn put(&self, token: &str, answer: &str) {
        self.change(|all| {
            all.insert(token.to_string(), Bytes::copy_from_slice(answer.as_bytes()));
        });
    }

    /// Takes it away again.
    pub fn remove(&self, token: &str) {
        self.change(|all| drop(all.remove(token)));
    }

    fn change(&self, change: impl Fn(&mut BTreeMap<String, Bytes>)) {
        self.0.rcu(|before| {
            let mut all = before.as_deref().cloned().unwrap_or_default();
            change(&mut all);
            (!all.is_empty()).then(|| Arc::new(all))
        });
    }

    /// What is there, if anything is.
    pub fn answer(&self, path: &str) -> Option<Bytes> {
        let token = path.strip_prefix(FOLDER)?;
        let all = self.0.load();
        all.as_ref()?.get(token).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_there_is_found_until_it_is_taken_away() {
        let challenges = Challenges::default();
        let at = |token: &str| challenges.answer(&format!("{FOLDER}{token}"));
        assert_eq!(at("a"), None);
        challenges.put("a", "a.key");
        challenges.put("b", "b.key");
        assert_eq!(at("a").unwrap(), "a.key");
        assert_eq!((at("a/"), at(""), at("c")), (None, None, None));
        assert_eq!(challenges.answer("/a"), None);
        challenges.remove("a");
        assert_eq!((at("a"), at("b").unwrap()), (None, Bytes::from("b.key")));
        challenges.remove("b");
        challenges.remove("b");
        assert!(challenges.0.load().is_none(), "nothing is left to look through");
    }
}
