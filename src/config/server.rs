//! The settings of the process as a whole: the `[server]` table in, a [`Server`] out.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::section::Section;
use super::{ClientLimits, Problem, Problems, Server};

pub(super) fn server(mut section: Section<'_>, problems: &mut Problems) -> Server {
    let default = Server::default();
    let workers = section.number(problems, "workers", 1..=1_024);
    let trusted = section.texts(problems, "trusted_proxies", network);
    let resolvers = section.texts(problems, "resolvers", resolver);
    let drain = section.duration(problems, "drain");
    let allow_commands = section.boolean(problems, "allow_commands");
    let state_dir = section.text(problems, "state_dir", |text| match text.is_empty() {
        true => Err("expected a path"),
        false => Ok(PathBuf::from(text)),
    });
    let client = section.section(problems, "client").map(|section| client(section, problems));
    section.close(problems);
    Server {
        workers: workers.and_then(|n| NonZeroUsize::new(n as usize)),
        trusted_proxies: trusted.into_iter().map(|found| found.value).collect(),
        resolvers: resolvers.into_iter().map(|found| found.value).collect(),
        drain: drain.unwrap_or(default.drain),
        allow_commands: allow_commands.unwrap_or(default.allow_commands),
        state_dir: state_dir.map(|found| found.value),
        client: client.unwrap_or_default(),
    }
}

fn client(mut section: Section<'_>, problems: &mut Problems) -> ClientLimits {
    let default = ClientLimits::default();
    let limits = ClientLimits {
        header_timeout: section
            .duration(problems, "header_timeout")
            .unwrap_or(default.header_timeout),
        body_timeout: section.duration(problems, "body_timeout").unwrap_or(default.body_timeout),
        send_timeout: section.duration(problems, "send_timeout").unwrap_or(default.send_timeout),
        keepalive: section.duration(problems, "keepalive").unwrap_or(default.keepalive),
        header_bytes: section
            .number(problems, "header_bytes", 1_024..=1_048_575)
            .map_or(default.header_bytes, |n| n as usize),
        header_fields: section
            .number(problems, "header_fields", 8..=256)
            .map_or(default.header_fields, |n| n as usize),
        connections: section
            .number(problems, "connections", 1..=10_000_000)
            .map_or(default.connections, |n| n as usize),
    };
    if limits.keepalive < Duration::from_secs(1) {
        let message = "`keepalive` must be at least a second";
        problems.0.push(Problem::error(section.place("keepalive"), message));
    }
    section.close(problems);
    limits
}

/// A name server: `10.0.0.2`, which means port 53, or `127.0.0.1:5353`.
fn resolver(text: &str) -> Result<SocketAddr, &'static str> {
    let alone = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    let server = alone.or_else(|_| text.parse::<SocketAddr>()).ok();
    let reachable = server.filter(|server| server.port() != 0 && !server.ip().is_unspecified());
    reachable.ok_or("expected the address of a name server such as `10.0.0.2` or `127.0.0.1:5353`")
}

/// An address or a network: `10.0.0.0/8` or `10.0.0.1`.
pub(super) fn network(text: &str) -> Result<IpNet, &'static str> {
    let alone = text.parse::<IpAddr>().map(IpNet::from);
    let network = alone.or_else(|_| text.parse::<IpNet>());
    network.map_err(|_| "expected an address or a network such as `10.0.0.0/8`")
}
