//! Request fields that say nothing of who asks: a name in, whether a response to a request with it may
//! be anybody's out.
//!
//! The list is one of what is known, not of what is dangerous: a field that nobody here has heard of may
//! be the one by which an application knows its users.

use http::HeaderName;

/// In name order. Flags are here because only we say them, and what is on for some alone is not kept. What varies a response that is the same for everybody is in `Vary`, or part of the key.
const HARMLESS: [&str; 52] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "alt-used",
    "cache-control",
    "cdn-loop",
    "cf-connecting-ip",
    "cf-ray",
    "connection",
    "content-length",
    "date",
    "device-memory",
    "dnt",
    "downlink",
    "dpr",
    "ect",
    "expect",
    "host",
    "if-modified-since",
    "if-none-match",
    "keep-alive",
    "max-forwards",
    "pragma",
    "priority",
    "proxy-connection",
    "referer",
    "rtt",
    "save-data",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-fetch-user",
    "sec-gpc",
    "sec-purpose",
    "te",
    "traceparent",
    "tracestate",
    "true-client-ip",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
    "x-feature-flags",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
];

/// Whether a field of this name tells nobody from anybody else.
pub(super) fn is_harmless(name: &HeaderName) -> bool {
    HARMLESS.binary_search(&name.as_str()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_has_nothing_by_which_people_are_known() {
        assert!(HARMLESS.is_sorted());
        let of = |name: &'static str| is_harmless(&HeaderName::from_static(name));
        assert!(HARMLESS.iter().all(|name| of(name)));
        for name in ["authorization", "cookie", "x-api-key", "x-user-id", "x-forwarded-prefix"] {
            assert!(!of(name), "{name}");
        }
    }
}
