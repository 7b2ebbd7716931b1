//! Bounds on what one client connection may do: the `[server.client]` table in, [`ClientLimits`] out.

use std::time::Duration;

use super::key::{Table, number, number_option, secs, size, time, word};
use super::section::Section;
use super::{Problem, Problems};
use crate::http::admission::{HeadLimits, OddNames};

/// Bounds on what one client connection may do.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientLimits {
    /// From a request's first byte to the end of its header section.
    pub header_timeout: Duration,
    /// Between two reads of a request body.
    pub body_timeout: Duration,
    /// For the client to take what a write offers.
    pub send_timeout: Duration,
    /// Between two requests of one connection, in whole seconds.
    pub keepalive: Duration,
    /// The header section with the request line, in bytes.
    pub header_bytes: usize,
    /// What a request asks for, with its query, in bytes.
    pub target_bytes: usize,
    /// The number of header fields.
    pub header_fields: usize,
    /// What becomes of fields with odd names.
    pub odd_names: OddNames,
    /// Connections open at once, over all listeners.
    pub connections: usize,
    /// Connections open at once of one address, or of one IPv6 network of 64 bits; none for any number.
    pub connections_per_client: Option<u32>,
    /// Requests of one connection.
    pub requests: u32,
    /// Requests at once of one connection of HTTP/2.
    pub streams: u32,
    /// Bytes a second at which a request's body has to come; 0 for any.
    pub body_rate: u64,
    /// For how long it may come more slowly.
    pub body_grace: Duration,
    /// Bytes of a request's body, unless its service or route says otherwise; 0 for any number.
    pub body_limit: u64,
}

impl ClientLimits {
    /// Those of a head.
    pub fn head_limits(&self) -> HeadLimits {
        let (bytes, fields) = (self.header_bytes, self.header_fields);
        HeadLimits { bytes, target: self.target_bytes, fields, odd_names: self.odd_names }
    }
}

impl Default for ClientLimits {
    fn default() -> Self {
        ClientLimits {
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(30),
            keepalive: Duration::from_secs(75),
            header_bytes: 32 * 1024,
            target_bytes: 8 * 1024,
            header_fields: 100,
            odd_names: OddNames::Refuse,
            connections: 50_000,
            connections_per_client: None,
            requests: 100_000,
            streams: 100,
            body_rate: 100,
            body_grace: Duration::from_secs(20),
            body_limit: 0,
        }
    }
}

pub(super) static CLIENT: Table = Table::new(
    "",
    &[
        time("header_timeout", secs(10))
            .about("from a request's first byte to the end of its head"),
        time("body_timeout", secs(30)).about("between two reads of a request's body"),
        time("send_timeout", secs(30)).about("for a client to take what it is sent"),
        time("keepalive", secs(75))
            .about("between two requests of one connection; a second or longer"),
        size("header_bytes", (1_024, 1_048_575), 32 << 10)
            .about("request line and fields together"),
        size("target_bytes", (256, 1_048_575), 8 << 10)
            .about("of what a request asks for, with its query; what is longer gets a 414"),
        number("header_fields", (8, 256), 100),
        word("odd_names", &["refuse", "drop", "pass"]).about(
            "or \"drop\", \"pass\": what becomes of fields whose names hold more than letters, digits and \
             hyphens; \"refuse\" refuses the request",
        ),
        number("connections", (1, 10_000_000), 50_000).about("open at once, over all listeners"),
        number_option("connections_per_client", (1, 1_000_000), "100")
            .about(
                "and of one address, or of one IPv6 network (/64); default: any number. Proxies of \
                 `trusted_proxies` and unix sockets are not counted",
            )
            .absent("any number"),
        number("requests", (1, 10_000_000), 100_000)
            .about("of one connection: with the last answer it ends"),
        number("streams", (1, 10_000), 100).about("requests at once of one connection of HTTP/2"),
        size("body_rate", (0, 1 << 30), 100).about(
            "a second, at which a request's body has to come on average while it is waited for; 0 for \
             any",
        ),
        time("body_grace", secs(20)).about("for which it may come more slowly"),
        size("body_limit", (0, 1 << 44), 0).about(
            "of a request's body; what is longer gets a 413; 0 for any. A service and a route may have \
             another. Tunnels and gRPC have none",
        ),
    ],
);

pub(super) fn client(mut section: Section<'_>, problems: &mut Problems) -> ClientLimits {
    let limits = ClientLimits {
        header_timeout: section.time(problems, "header_timeout"),
        body_timeout: section.time(problems, "body_timeout"),
        send_timeout: section.time(problems, "send_timeout"),
        keepalive: section.time(problems, "keepalive"),
        header_bytes: section.number(problems, "header_bytes"),
        target_bytes: section.number(problems, "target_bytes"),
        header_fields: section.number(problems, "header_fields"),
        odd_names: section.word(problems, "odd_names", odd_names).unwrap_or_default(),
        connections: section.number(problems, "connections"),
        connections_per_client: section.number_if_given(problems, "connections_per_client"),
        requests: section.number(problems, "requests"),
        streams: section.number(problems, "streams"),
        body_rate: section.number(problems, "body_rate"),
        body_grace: section.time(problems, "body_grace"),
        body_limit: section.number(problems, "body_limit"),
    };
    if limits.keepalive < Duration::from_secs(1) {
        let message = "`keepalive` must be at least a second";
        problems.0.push(Problem::error(section.place("keepalive"), message));
    }
    section.close(problems);
    limits
}

fn odd_names(word: &str) -> Option<OddNames> {
    Some(match word {
        "refuse" => OddNames::Refuse,
        "drop" => OddNames::Drop,
        "pass" => OddNames::Pass,
        _ => return None,
    })
}
