//! Fields in which a proxy tells a server who a client is, how it came and what it asked for: a name
//! in, whether it is one out.
//!
//! A server behind a proxy believes them, so from a peer that is no proxy of ours they go no further.
//! Those that we write anew ourselves are `http/forwarded.rs`'s; these are the ones of other products.
//! The list is that of `docs/security.md`.

use super::secured::CLIENT_SUBJECT;

/// What any field is that begins so. Of each family all are a proxy's.
const FAMILIES: [&str; 17] = [
    "x-forwarded-",
    // nginx's ingress and auth_request.
    "x-original-",
    // Who a single sign-on found, as oauth2-proxy, Grafana, AWS, Google's IAP and Azure write it.
    "x-auth-request-",
    "x-webauth-",
    "x-amzn-oidc-",
    "x-goog-authenticated-user-",
    "x-ms-client-principal",
    // Certificates of clients.
    "x-client-cert",
    "client-cert",
    "x-ssl-client-",
    "ssl-client-",
    "x-amzn-mtls-",
    // Envoy strips its own at its edge too.
    "x-envoy-",
    "cf-connecting-ip",
    "cf-access-authenticated-user-",
    "x-authentik-",
    "tailscale-user-",
];

/// Single ones.
const SINGLE: [&str; 39] = [
    // CGI programs read it as HTTP_PROXY, which is where libraries look for the proxy to go out by.
    "proxy",
    // What was asked for.
    "x-rewrite-url",
    "x-host",
    "x-http-host-override",
    "x-script-name",
    // Who asks.
    "true-client-ip",
    "client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-real-ip",
    "x-real-port",
    "x-remote-addr",
    "x-remote-ip",
    "x-remote-user",
    "remote-addr",
    "remote-user",
    "remote-groups",
    "remote-email",
    "remote-name",
    "forwarded",
    "forwarded-for",
    "x-forwarded",
    "x-originating-ip",
    "x-proxyuser-ip",
    "proxy-client-ip",
    "wl-proxy-client-ip",
    "fastly-client-ip",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    "cf-pseudo-ipv4",
    // How it came.
    "x-scheme",
    "x-url-scheme",
    "x-arr-ssl",
    "x-arr-clientcert",
    "front-end-https",
    "fastly-ssl",
    // Where a server may take files from instead of sending them itself.
    "x-sendfile-type",
    "x-accel-mapping",
];

/// Fields that only we may say; by their own names they never come this far.
const OURS: [&str; 3] = ["x-feature-flags", "x-pointsman-mirror", CLIENT_SUBJECT];

/// Which third letters go with which first one, a bit each: most fields are none of these, and are told
/// by one look.
static SHAPES: Shapes = Shapes::of_all();

/// Whether a field of this name, in whichever case, is one that only a proxy may say. What is neither
/// letter nor digit counts as a hyphen, as it does to servers that take `x_forwarded_for` for
/// `X-Forwarded-For`.
pub fn is_claim(name: &[u8]) -> bool {
    SHAPES.may_be(name) && is_listed(name)
}

fn is_listed(name: &[u8]) -> bool {
    let begins = |family: &&str| {
        name.get(..family.len()).is_some_and(|start| is_same(start, family.as_bytes()))
    };
    FAMILIES.iter().any(begins)
        || SINGLE.iter().any(|single| is_same(name, single.as_bytes()))
        || is_ours(name)
}

/// Whether a field of this name, in whichever spelling, is one that only we may say.
pub fn is_ours(name: &[u8]) -> bool {
    OURS.iter().any(|ours| is_same(name, ours.as_bytes()))
}

/// Whether a name, as somebody wrote it, is this one as a server may take it.
pub fn is_same(name: &[u8], listed: &[u8]) -> bool {
    let plain =
        |byte: &u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    name.len() == listed.len() && name.iter().map(plain).eq(listed.iter().map(plain))
}

struct Shapes {
    /// By first letter, the third letters that go with it: `x-f`, `cf-`, `ssl`.
    third: [u32; 26],
}

impl Shapes {
    const fn of_all() -> Shapes {
        let mut shapes = Shapes { third: [0; 26] };
        let mut at = 0;
        while at < FAMILIES.len() {
            shapes.note(FAMILIES[at].as_bytes());
            at += 1;
        }
        at = 0;
        while at < SINGLE.len() {
            shapes.note(SINGLE[at].as_bytes());
            at += 1;
        }
        at = 0;
        while at < OURS.len() {
            shapes.note(OURS[at].as_bytes());
            at += 1;
        }
        shapes
    }

    const fn note(&mut self, name: &[u8]) {
        self.third[(name[0] - b'a') as usize] |= letter(name[2]);
    }

    fn may_be(&self, name: &[u8]) -> bool {
        let [first, _, third, ..] = name else { return false };
        let first = first.to_ascii_lowercase().wrapping_sub(b'a');
        self.third.get(usize::from(first)).is_some_and(|thirds| thirds & letter(*third) != 0)
    }
}

/// A bit for each letter, and one for all else.
const fn letter(byte: u8) -> u32 {
    match byte.to_ascii_lowercase() {
        letter @ b'a'..=b'z' => 1 << (letter - b'a'),
        _ => 1 << 26,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_proxy_says_is_known_however_it_is_spelled() {
        for name in SINGLE.iter().chain(&OURS).chain(&FAMILIES) {
            assert!(is_claim(name.as_bytes()), "{name}");
            assert!(is_claim(name.to_ascii_uppercase().as_bytes()), "{name}");
            assert!(is_claim(name.replace('-', "_").as_bytes()), "{name}");
            assert!(is_claim(name.replace('-', ".").as_bytes()), "{name}");
        }
        for name in [
            "X-Forwarded-Prefix",
            "x-forwarded-ssl",
            "x-forwarded-client-cert",
            "x_forwarded_for",
            "X-Original-URL",
            "X-Original-Forwarded-For",
            "True-Client-IP",
            "CF-Connecting-IP",
            "cf-connecting-ipv6",
            "Client-Cert-Chain",
            "Proxy",
        ] {
            assert!(is_claim(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn what_clients_say_of_themselves_is_none() {
        for name in [
            "",
            "x",
            "x-",
            "accept",
            "authorization",
            "client",
            "cookie",
            "cf-ray",
            "host",
            "proxy-authorization",
            "user-agent",
            "via",
            "x-api-key",
            "x-csrf-token",
            "x-http-method-override",
            "x-requested-with",
            "x-request-id",
            "x-user-id",
            "1-2",
        ] {
            assert!(!is_claim(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn the_first_look_refuses_no_listed_one() {
        for name in SINGLE.iter().chain(&OURS).chain(&FAMILIES) {
            assert!(SHAPES.may_be(name.as_bytes()), "{name}");
        }
    }
}
