//! What goes by names of hosts: some of them with a `*.` in front in, what a host is to get out.

use std::collections::HashMap;

/// Something for each of many names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names<T> {
    exact: HashMap<String, T>,
    /// By what is behind the `*.`.
    wild: HashMap<String, T>,
}

impl<T> Default for Names<T> {
    fn default() -> Names<T> {
        Names { exact: HashMap::new(), wild: HashMap::new() }
    }
}

impl<T> Names<T> {
    /// What is there for a name as a certificate has it; `new` if there is nothing yet.
    pub fn entry(&mut self, name: &str, new: impl FnOnce() -> T) -> &mut T {
        match name.strip_prefix("*.") {
            Some(rest) => self.wild.entry(rest.to_string()).or_insert_with(new),
            None => self.exact.entry(name.to_string()).or_insert_with(new),
        }
    }

    /// What is there for a host: by its own name, else by one in which a star stands for its first label
    /// (RFC 6125 section 6.4.3). In lower case, and without a dot at its end.
    pub fn find(&self, host: &str) -> Option<&T> {
        let by_star = || host.split_once('.').and_then(|(_, rest)| self.wild.get(rest));
        self.exact.get(host).or_else(by_star)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_its_own_prevails_and_a_star_stands_for_one_label() {
        let mut names = Names::default();
        for name in ["shop.test", "*.shop.test", "pay.shop.test", "127.0.0.1"] {
            names.entry(name, || name);
        }
        let cases = [
            ("shop.test", Some("shop.test")),
            ("pay.shop.test", Some("pay.shop.test")),
            ("a.shop.test", Some("*.shop.test")),
            ("a.b.shop.test", None),
            ("shop.test.evil", None),
            ("127.0.0.1", Some("127.0.0.1")),
            ("test", None),
            ("", None),
        ];
        for (host, found) in cases {
            assert_eq!(names.find(host).copied(), found, "{host}");
        }
    }
}
