//! Who may come by a route: lists of networks and a client's address in, yes or no out.

use std::net::IpAddr;

use ipnet::IpNet;

/// Lists of networks. Whoever is on `deny` is kept out; if there is an `allow`, so is everybody who is
/// not on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Who is let in; empty for everybody.
    pub allow: Vec<IpNet>,
    /// Who is kept out.
    pub deny: Vec<IpNet>,
}

impl Access {
    /// Whether it keeps nobody out.
    pub fn is_open(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Whether a client at this address is let in. Of whom nobody knows one is on no list.
    pub fn admits(&self, client: Option<IpAddr>) -> bool {
        let client = client.map(|client| client.to_canonical());
        let is_on = |list: &[IpNet]| {
            client.is_some_and(|client| list.iter().any(|network| network.contains(&client)))
        };
        !is_on(&self.deny) && (self.allow.is_empty() || is_on(&self.allow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_denied_is_kept_out_and_who_is_not_allowed_too() {
        let nets =
            |list: &[&str]| list.iter().map(|net| net.parse().unwrap()).collect::<Vec<IpNet>>();
        let of = |allow: &[&str], deny: &[&str]| Access { allow: nets(allow), deny: nets(deny) };
        let admits = |access: &Access, client: &str| access.admits(client.parse().ok());
        let lists = of(&["10.0.0.0/8", "2001:db8::/32"], &["10.9.0.0/16"]);
        for (client, is_in) in [
            ("10.1.1.1", true),
            ("::ffff:10.1.1.1", true),
            ("10.9.1.1", false),
            ("192.0.2.1", false),
            ("2001:db8::1", true),
            ("nobody knows", false),
        ] {
            assert_eq!(admits(&lists, client), is_in, "{client}");
        }
        let deny = of(&[], &["10.9.0.0/16"]);
        assert!(!admits(&deny, "10.9.0.1") && admits(&deny, "10.8.0.1"));
        assert!(of(&[], &[]).is_open() && !deny.is_open());
    }
}
