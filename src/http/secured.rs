//! What a connection by TLS says of its requests: who the client has shown to be, and for which hosts
//! that counts.

use std::sync::Arc;

use http::HeaderValue;

use crate::certificate::Names;

/// Whom upstreams are told a client is, by the certificate that it has shown. Only we may say it.
pub const CLIENT_SUBJECT: &str = "x-client-cert-subject";

/// Of one connection.
#[derive(Clone, Debug, Default)]
pub struct Secured {
    /// The subject of the client's certificate, if it has shown one that was asked for.
    pub subject: Option<HeaderValue>,
    /// For which hosts it was asked as it was; none if that is the same for all.
    pub scope: Option<(Arc<Scopes>, usize)>,
}

/// Which hosts ask clients for which certificates, where they differ.
#[derive(Clone, Debug, Default)]
pub struct Scopes {
    /// By host, whose certificates are asked for, as a number.
    pub names: Names<usize>,
    /// The same for hosts that no certificate names; none if they get no connection.
    pub default: Option<usize>,
}

impl Secured {
    /// Whether a request for this host may come by the connection. One that was made under another name
    /// has not shown what that host asks for (RFC 9110 section 15.5.20).
    pub fn covers(&self, host: &str) -> bool {
        let Some((scopes, own)) = &self.scope else { return true };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        scopes.names.find(bare).copied().or(scopes.default) == Some(*own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_carries_requests_for_hosts_that_ask_for_the_same() {
        let mut scopes = Scopes::default();
        scopes.names.entry("pay.test", || 1);
        scopes.names.entry("*.pay.test", || 1);
        scopes.names.entry("shop.test", || 0);
        let covers = |scopes: &Scopes, own, host: &str| {
            let scope = Some((Arc::new(scopes.clone()), own));
            Secured { subject: None, scope }.covers(host)
        };
        assert!(covers(&scopes, 1, "pay.test") && covers(&scopes, 1, "a.pay.test"));
        assert!(!covers(&scopes, 1, "shop.test") && !covers(&scopes, 0, "pay.test"));
        assert!(!covers(&scopes, 0, "unknown.test"), "nobody gets a connection for it");
        scopes.default = Some(0);
        assert!(covers(&scopes, 0, "unknown.test") && !covers(&scopes, 1, "unknown.test"));
        assert!(Secured::default().covers("any.test"));
    }
}
