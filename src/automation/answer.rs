//! The addresses that whoever a rule calls has answered with: bytes in, addresses or what is wrong out.
//!
//! Either JSON, `{"upstreams": ["10.0.0.5:8080"]}` or the list alone, or lines with an address each. Only
//! an address with a port counts: what a name leads to is not known here, and may be another later.

use std::net::SocketAddr;

use ipnet::IpNet;

/// What whoever was called has answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its first line that has words.
    pub line: String,
    /// What it names to be added.
    pub upstreams: Vec<Offered>,
}

/// An address that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Which.
    pub address: SocketAddr,
    /// Whether it is an address of this machine.
    pub is_here: bool,
}

/// Addresses that one answer may name.
pub const MOST_ADDRESSES: usize = 64;

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// It is no JSON of the form that is asked for.
    #[error("its answer is not {{\"upstreams\": [\"10.0.0.5:8080\"]}}: {0}")]
    Form(String),
    /// It names more than are taken.
    #[error("its answer names more than {MOST_ADDRESSES} addresses")]
    TooMany,
    /// One of its texts is no address.
    #[error("its answer has `{0}`, which is no address with a port, such as 10.0.0.5:8080")]
    Address(String),
    /// One of them is elsewhere.
    #[error("its answer has `{0}`, which is in none of the rule's `networks`")]
    Elsewhere(SocketAddr),
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Form {
    Table { upstreams: Vec<String> },
    List(Vec<String>),
}

/// The addresses of an answer, each once, if all of them are within these networks.
///
/// # Errors
///
/// If it is of no such form, or names what may not be added: then nothing of it counts.
pub fn addresses(answer: &[u8], networks: &[IpNet]) -> Result<Vec<SocketAddr>, BadAnswer> {
    let text = String::from_utf8_lossy(answer);
    let text = text.trim();
    // An address of IPv6 begins as a list does.
    let first = text.split_whitespace().next().unwrap_or_default();
    let is_json = text.starts_with(['{', '[']) && first.parse::<SocketAddr>().is_err();
    let texts: Vec<String> = match is_json {
        true => match serde_json::from_str(text) {
            Ok(Form::Table { upstreams } | Form::List(upstreams)) => upstreams,
            Err(error) => return Err(BadAnswer::Form(error.to_string())),
        },
        false => text.split_whitespace().map(str::to_string).collect(),
    };
    if texts.len() > MOST_ADDRESSES {
        return Err(BadAnswer::TooMany);
    }
    let mut found = Vec::with_capacity(texts.len());
    for text in texts {
        let address: SocketAddr = match text.parse() {
            Ok(address) => address,
            Err(_) => return Err(BadAnswer::Address(plain(&text))),
        };
        let ip = address.ip().to_canonical();
        if address.port() == 0 || ip.is_unspecified() || ip.is_multicast() {
            return Err(BadAnswer::Address(plain(&text)));
        }
        let address = SocketAddr::new(ip, address.port());
        if !networks.iter().any(|network| network.contains(&ip)) {
            return Err(BadAnswer::Elsewhere(address));
        }
        if !found.contains(&address) {
            found.push(address);
        }
    }
    Ok(found)
}

/// A text of somebody else, short and without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> Result<Vec<String>, BadAnswer> {
        let networks = ["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let found = addresses(answer.as_bytes(), &networks)?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn each_form_is_read() {
        let both = ["10.0.0.5:80", "[2001:db8::1]:81"];
        for answer in [
            "{\"upstreams\": [\"10.0.0.5:80\", \"[2001:db8::1]:81\"], \"more\": 1}",
            "[\"10.0.0.5:80\",\"[2001:db8::1]:81\"]",
            "10.0.0.5:80\n[2001:db8::1]:81\n",
            " 10.0.0.5:80 10.0.0.5:80 [2001:db8::1]:81",
            "[\"[::ffff:10.0.0.5]:80\", \"[2001:db8::1]:81\"]",
        ] {
            assert_eq!(read(answer).unwrap(), both, "{answer}");
        }
        assert_eq!(read("[2001:db8::1]:81\n").unwrap(), both[1..]);
        assert_eq!(read("").unwrap(), Vec::<String>::new());
        assert_eq!(read("{\"upstreams\":[]}").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_may_not_be_added_is_named() {
        let elsewhere = |text: &str| BadAnswer::Elsewhere(text.parse().unwrap());
        assert_eq!(read("10.0.0.5:80 192.0.2.1:80"), Err(elsewhere("192.0.2.1:80")));
        assert_eq!(read("127.0.0.1:80"), Err(elsewhere("127.0.0.1:80")));
        for bad in ["db.example.com:80", "10.0.0.5", "10.0.0.5:0", "unix:/run/x", "0.0.0.0:80"] {
            assert_eq!(read(bad), Err(BadAnswer::Address(bad.into())), "{bad}");
        }
        assert_eq!(read("\u{1b}[2Jx"), Err(BadAnswer::Address("[2Jx".into())));
        assert!(matches!(read("{\"upstreams\": 5}"), Err(BadAnswer::Form(_))));
        assert!(matches!(read("{"), Err(BadAnswer::Form(_))));
        let many = "10.0.0.5:80 ".repeat(MOST_ADDRESSES + 1);
        assert_eq!(read(&many), Err(BadAnswer::TooMany));
    }
}
