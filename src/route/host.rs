//! A host a route asks for: text in, an exact name or a wildcard out.

use std::fmt;

/// An exact host or all hosts below one, in lower case and without a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host: a name or an address; an IPv6 address in brackets.
    Exact(String),
    /// Every host that ends in a dot and this name, whatever the number of labels before it.
    Below(String),
}

/// Why a text is not a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing there.
    #[error("a host must not be empty")]
    Empty,
    /// A port or a scheme belongs to the listener.
    #[error("a host is a name without scheme, port or path")]
    NotAName,
    /// A star anywhere but as the whole first label.
    #[error("a wildcard is `*.` before a name")]
    Wildcard,
}

impl HostPattern {
    /// Reads `shop.example.com`, `*.example.com`, `192.0.2.1` or `[2001:db8::1]`.
    pub fn parse(text: &str) -> Result<HostPattern, HostError> {
        let host = text.to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        if host.is_empty() {
            return Err(HostError::Empty);
        }
        if let Some(name) = host.strip_prefix("*.") {
            return match is_name(name) {
                true => Ok(HostPattern::Below(name.to_string())),
                false => Err(HostError::Wildcard),
            };
        }
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let is_v6 = bracketed.is_some_and(|h| h.parse::<std::net::Ipv6Addr>().is_ok());
        match (is_name(host) || is_v6, host.contains('*')) {
            (true, _) => Ok(HostPattern::Exact(host.to_string())),
            (false, true) => Err(HostError::Wildcard),
            (false, false) => Err(HostError::NotAName),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(name) => f.write_str(name),
            HostPattern::Below(name) => write!(f, "*.{name}"),
        }
    }
}

/// Labels of letters, digits, hyphens and underscores between single dots.
fn is_name(text: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_in_lower_case() {
        let exact = |name: &str| Ok(HostPattern::Exact(name.into()));
        assert_eq!(HostPattern::parse("Shop.Example.COM."), exact("shop.example.com"));
        assert_eq!(HostPattern::parse("[2001:DB8::1]"), exact("[2001:db8::1]"));
        assert_eq!(HostPattern::parse("*.shop.test"), Ok(HostPattern::Below("shop.test".into())));
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        let cases = [
            ("", HostError::Empty),
            ("http://shop.test", HostError::NotAName),
            ("shop.test:80", HostError::NotAName),
            ("shop..test", HostError::NotAName),
            ("*", HostError::Wildcard),
            ("*.", HostError::Wildcard),
            ("a.*.test", HostError::Wildcard),
        ];
        for (text, error) in cases {
            assert_eq!(HostPattern::parse(text), Err(error), "{text}");
        }
    }
}
