//! The settings of the process as a whole: the `[server]` table in, a [`Server`] out.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;

use http::HeaderName;
use ipnet::{IpNet, Ipv4Net};

use super::access_log::{ACCESS_LOG, access_log};
use super::client::{CLIENT, client};
use super::key::{
    Shape, Table, Without, boolean, free, number, number_option, percent, secs, size, table,
    text_option, texts, time, wait, word,
};
use super::section::Section;
use super::values::{header_name, labels, path};
use super::{MemorySettings, Problem, Problems, Removals, Server};
use crate::http::fields::FieldId;
use crate::http::forwarded::TrustedProxies;
use crate::upstream::Label;

pub(super) static SERVER: Table = Table::new(
    "",
    &[
        text_option("name", "\"edge-1\"")
            .about("which Pointsman this is, in notices and `status`; default: the machine's name")
            .absent("the machine's name"),
        text_option("environment", "\"production\"")
            .about("what it is part of, in notices and `status`"),
        free("labels", "").shape(Shape::NamedTexts).option("{ zone = \"a\" }").about("its own, for `balance.prefer`"),
        texts("metric_labels", &[])
            .option("[\"zone\"]")
            .about("labels of upstreams that are labels of their metrics too"),
        number_option("workers", (1, 1_024), "4")
            .about("threads that move requests; default: one per core")
            .absent("one per core")
            .at_next_start(),
        texts("trusted_proxies", &[]).about(
            "addresses or networks whose X-Forwarded-* fields are believed; `unix` for whoever \
                 comes by a unix socket",
        ),
        texts("strip", &[]).option("[\"x-tenant\"]").about(
            "fields that nobody but those proxies may say, beside the ones that are a proxy's anyway \
             (docs/security.md)",
        ),
        texts("resolvers", &[])
            .option(r#"["10.0.0.2", "127.0.0.1:5353"]"#)
            .about("name servers; default: the system's, /etc/resolv.conf"),
        text_option("state_dir", r#""/var/lib/pointsman""#)
            .about(
                "what outlives the process: revisions, rollouts, orders; beside this file if the \
                 path is relative",
            )
            .absent("the usual one")
            .at_next_start(),
        wait("stop_delay", secs(0)).about(
            "how long a stop goes on accepting while `/readyz` says no, for a balancer in front",
        ),
        time("drain", secs(30)).about("how long a stop waits for requests under way after that"),
        time("drain_idle", secs(2)).about("and for kept connections that say nothing"),
        time("drain_tunnels", secs(5)).about("and for tunnels, such as websockets"),
        word("removals", &["confirm", "at-once"]).about(
            "a service that had requests in the last minute, or of which an order or a rollout \
             stands: whether a file that was merely saved takes it away, or waits for `pointsman \
             reload`, SIGHUP or a start",
        ),
        boolean("allow_commands", false).about(
            "whether hooks of rollouts and rules of automation may `run` commands of this machine, as \
             the user that Pointsman runs as",
        ),
        number("automation_an_hour", (1, 100), 20)
            .about("what all rules of `automation` together may do in an hour"),
        size("remember", (0, 1 << 30), 8 << 20)
            .about("memory for the last requests, half of it for those that failed; 0 for none")
            .at_next_start(),
        table("client", &CLIENT, Without::Defaults).about("bounds on each client connection"),
        table("memory", &MEMORY, Without::Defaults).about("when it becomes short"),
        table("access_log", &ACCESS_LOG, Without::Off),
    ],
);

static MEMORY: Table = Table::new(
    "",
    &[
        size("limit", (0, 1 << 44), 0)
            .about("what the process may have; 0 for what its cgroup says, if that says anything"),
        percent("idle", 1, 90).about(
            "percent of it from which on connections between two requests are closed, those that \
             have waited longest first",
        ),
        percent("refuse", 1, 95).about("percent of it from which on new connections are refused"),
    ],
);

pub(super) fn server(mut section: Section<'_>, problems: &mut Problems) -> Server {
    let workers = section.number_if_given(problems, "workers");
    let trusted = section.texts(problems, "trusted_proxies", trusted);
    let networks = trusted.iter().filter_map(|found| found.value).collect();
    let unix = trusted.iter().any(|found| found.value.is_none());
    let strip = section.texts(problems, "strip", stripped);
    let strip = strip.into_iter().map(|found| found.value).collect();
    let resolvers = section.texts(problems, "resolvers", resolver);
    let state_dir = section.text(problems, "state_dir", path);
    let named = |text: &str| match text.trim().is_empty() || text.contains(char::is_control) {
        true => Err("expected a name"),
        false => Ok(Arc::<str>::from(text)),
    };
    let name = section.text(problems, "name", named);
    let environment = section.text(problems, "environment", named);
    let own = labels(&mut section, problems);
    let metric_labels = section.texts(problems, "metric_labels", metric_label);
    let server = Server {
        labels: own,
        metric_labels: metric_labels.into_iter().map(|found| found.value).collect(),
        name: name.map(|found| found.value),
        environment: environment.map(|found| found.value),
        workers: workers.and_then(NonZeroUsize::new),
        trusted_proxies: TrustedProxies { networks, unix, strip },
        resolvers: resolvers.into_iter().map(|found| found.value).collect(),
        stop_delay: section.time(problems, "stop_delay"),
        drain: section.time(problems, "drain"),
        drain_idle: section.time(problems, "drain_idle"),
        drain_tunnels: section.time(problems, "drain_tunnels"),
        removals: section
            .word(problems, "removals", |word| match word {
                "confirm" => Some(Removals::Confirm),
                "at-once" => Some(Removals::AtOnce),
                _ => None,
            })
            .unwrap_or_default(),
        allow_commands: section.boolean(problems, "allow_commands"),
        automation_an_hour: section.number(problems, "automation_an_hour"),
        state_dir: state_dir.map(|found| found.value),
        remember: section.number(problems, "remember"),
        client: client(section.table(problems, "client"), problems),
        memory: memory(section.table(problems, "memory"), problems),
        access_log: access_log(&mut section, problems),
    };
    section.close(problems);
    server
}

fn memory(mut section: Section<'_>, problems: &mut Problems) -> MemorySettings {
    let settings = MemorySettings {
        limit: section.number(problems, "limit"),
        idle: section.number(problems, "idle"),
        refuse: section.number(problems, "refuse"),
    };
    if settings.idle > settings.refuse {
        let message = "`idle` must not be above `refuse`: idle connections go first";
        problems.0.push(Problem::error(section.place("idle"), message));
    }
    section.close(problems);
    settings
}

/// A label of upstreams that may be one of metrics: none that metrics have already.
fn metric_label(text: &str) -> Result<Arc<str>, String> {
    let label = Label::new(text, "any").map_err(|error| error.to_string())?;
    match ["service", "pool", "upstream", "code", "state", "result", "le"].contains(&text) {
        true => Err("metrics have a label of this name already".into()),
        false => Ok(label.name.into()),
    }
}

/// A field that only trusted proxies may say: none that a request cannot do without, and none that we
/// write.
fn stripped(text: &str) -> Result<HeaderName, &'static str> {
    use FieldId::*;
    let name = header_name(text)?;
    match FieldId::of(name.as_str()) {
        Some(
            Host | Connection | ContentLength | TransferEncoding | Expect | Te | Trailer | Upgrade
            | KeepAlive | ProxyConnection,
        ) => Err("requests are read by this field: it cannot be taken out"),
        Some(
            ForwardedFor | ForwardedProto | ForwardedHost | FeatureFlags | MirrorMark
            | ClientSubject,
        ) => Err("this field never goes on from whoever is not trusted"),
        Some(RequestId | Traceparent | Tracestate) => {
            Err("anybody may choose this field: it cannot be taken out")
        }
        _ => Ok(name),
    }
}

/// A name server: `10.0.0.2`, which means port 53, or `127.0.0.1:5353`.
fn resolver(text: &str) -> Result<SocketAddr, &'static str> {
    let alone = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    let server = alone.or_else(|_| text.parse::<SocketAddr>()).ok();
    let reachable = server.filter(|server| server.port() != 0 && !server.ip().is_unspecified());
    reachable.ok_or("expected the address of a name server such as `10.0.0.2` or `127.0.0.1:5353`")
}

/// A network whose peers are trusted; none for `unix`, whoever comes by a Unix socket.
fn trusted(text: &str) -> Result<Option<IpNet>, &'static str> {
    if text == "unix" {
        return Ok(None);
    }
    let network = network(text).map(Some);
    network.map_err(|_| "expected an address or a network such as `10.0.0.0/8`, or `unix`")
}

/// A network of IPv4 that is written as one of IPv6 is what its addresses are held to be.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let plain = mapped.addr().to_ipv4_mapped().zip(mapped.prefix_len().checked_sub(96));
    let plain = plain.and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    plain.map_or(network, IpNet::V4)
}

/// An address or a network: `10.0.0.0/8` or `10.0.0.1`.
pub(super) fn network(text: &str) -> Result<IpNet, &'static str> {
    let alone = text.parse::<IpAddr>().map(IpNet::from);
    let network = alone.or_else(|_| text.parse::<IpNet>()).map(canonical);
    network.map_err(|_| "expected an address or a network such as `10.0.0.0/8`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv4_is_one_however_it_is_written() {
        for (written, meant) in [
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:192.0.2.9", "192.0.2.9/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(network(written).unwrap(), meant.parse::<IpNet>().unwrap(), "{written}");
        }
    }
}
