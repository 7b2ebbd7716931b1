//! Where the admin API is, as a command is told it: a text in; the way there out.
//!
//! Not what the config calls an address: that is where a socket is bound, this may be a name, and says
//! whether HTTPS is spoken there.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// What is expected, for who has given something else.
const EXPECTED: &str = "expected IP:PORT, such as 127.0.0.1:9900, https://NAME:PORT, or unix:/PATH";

/// Where the admin API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AdminAddress {
    /// As it was given.
    text: String,
    /// The way there.
    pub way: Way,
}

/// A way to the admin API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A Unix socket, by its path.
    Unix(PathBuf),
    /// `NAME:PORT`, where HTTP is spoken.
    Http(String),
    /// `NAME:PORT`, where HTTPS is spoken.
    Https(String),
}

impl AdminAddress {
    /// Reads `IP:PORT` or `NAME:PORT`, either behind `http://` or `https://`, or `unix:/PATH`.
    ///
    /// # Errors
    ///
    /// What is expected instead.
    pub fn parse(text: &str) -> Result<AdminAddress, &'static str> {
        let way = match text.strip_prefix("unix:") {
            Some("") => return Err(EXPECTED),
            Some(path) => Way::Unix(path.into()),
            None => match text.strip_prefix("https://") {
                Some(rest) => Way::Https(with_port(rest)?),
                None => Way::Http(with_port(text.strip_prefix("http://").unwrap_or(text))?),
            },
        };
        Ok(AdminAddress { text: text.to_string(), way })
    }

    /// Whether the proxy there is on this machine.
    pub fn is_here(&self) -> bool {
        let (Way::Http(bare) | Way::Https(bare)) = &self.way else { return true };
        let host = bare.rsplit_once(':').map_or(&**bare, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// A name with a port, and nothing behind it but the slash that browsers write.
fn with_port(text: &str) -> Result<String, &'static str> {
    let bare = text.trim_end_matches('/');
    let (host, port) = bare.rsplit_once(':').ok_or(EXPECTED)?;
    let is_address = !host.is_empty() && port.parse::<u16>().is_ok();
    if is_address { Ok(bare.to_string()) } else { Err(EXPECTED) }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> AdminAddress {
        AdminAddress::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn an_address_says_the_way_and_is_shown_as_it_was_given() {
        for (text, way) in [
            ("127.0.0.1:9900", Way::Http("127.0.0.1:9900".into())),
            ("http://edge:9900/", Way::Http("edge:9900".into())),
            ("https://edge.example.com:443/", Way::Https("edge.example.com:443".into())),
            ("https://[::1]:9900", Way::Https("[::1]:9900".into())),
            ("unix:/run/pointsman.sock", Way::Unix("/run/pointsman.sock".into())),
        ] {
            assert_eq!(address(text).way, way, "{text}");
            assert_eq!(address(text).to_string(), text);
        }
    }

    #[test]
    fn what_leads_nowhere_is_no_address() {
        for text in ["", "edge", ":9900", "edge:port", "edge:99000", "https://edge", "unix:"] {
            assert_eq!(AdminAddress::parse(text), Err(EXPECTED), "{text}");
        }
    }

    #[test]
    fn a_proxy_is_here_at_loopback_and_at_a_socket() {
        for here in ["127.0.0.1:9900", "https://localhost:9900/", "[::1]:9900", "unix:/run/p.sock"]
        {
            assert!(address(here).is_here(), "{here}");
        }
        for there in ["10.0.0.1:9900", "https://edge.example.com:9900"] {
            assert!(!address(there).is_here(), "{there}");
        }
    }
}
