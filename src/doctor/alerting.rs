//! Who is told, who may order, and whom it believes.

use super::facts::{Notified, Running, is_wide};
use super::{Facts, Found, names};
use crate::config::{Config, ListenAddress};

pub(super) fn alerts(config: &Config) -> Found {
    let told: Vec<String> = config.notify.iter().map(|target| target.name.to_string()).collect();
    match told.is_empty() {
        true => Found::missing("nobody is told of anything"),
        false => Found::well(format!("told: {}", names(&told))),
    }
}

pub(super) fn alerts_arrive(running: &Running) -> Found {
    let of = |is_so: &dyn Fn(&Notified) -> bool| -> Vec<String> {
        let some = running.notified.iter().filter(|target| is_so(target));
        some.map(|target| target.name.clone()).collect()
    };
    let lost = of(&|target: &Notified| target.dropped > 0 || target.sent == 0 && target.failed > 0);
    let silent = of(&|target: &Notified| target.sent == 0);
    if running.notified.is_empty() {
        return Found::Skipped("nobody is told of anything".into());
    }
    match (lost.is_empty(), silent.is_empty()) {
        (false, _) => {
            Found::missing(format!("notices were lost since the start: {}", names(&lost)))
        }
        (true, false) => {
            let why = format!("nothing was told since the start: {}", names(&silent));
            Found::Unknown { why, of: Vec::new() }
        }
        (true, true) => Found::well("each has taken a notice since the start, and none was lost"),
    }
}

pub(super) fn runbooks(facts: &Facts<'_>) -> Found {
    match facts.here.as_ref().map(|here| &here.runbooks) {
        None => Found::Skipped("only a command on the proxy's machine sees it".into()),
        Some(None) => Found::missing("there are none in /usr/share/doc/pointsman/runbooks"),
        Some(Some(folder)) => Found::well(format!("in {folder}")),
    }
}

pub(super) fn admin(config: &Config) -> Found {
    let admin = &config.admin;
    match &admin.address {
        ListenAddress::Unix(path) => {
            Found::well(format!("a socket of this machine, {}", path.display()))
        }
        ListenAddress::Tcp(address) if address.ip().to_canonical().is_loopback() => {
            Found::well(format!("this machine alone, {address}"))
        }
        ListenAddress::Tcp(address) if admin.tls.is_none() => Found::missing(format!(
            "other machines reach {address}, and its tokens go there in the clear"
        )),
        ListenAddress::Tcp(address) => Found::well(format!("{address}, by TLS and with tokens")),
    }
}

pub(super) fn trusted_proxies(config: &Config) -> Found {
    let trusted = &config.server.trusted_proxies;
    let wide: Vec<String> =
        trusted.networks.iter().filter(|it| is_wide(it)).map(ToString::to_string).collect();
    match (wide.is_empty(), trusted.is_nobody()) {
        (false, _) => Found::missing(format!("strangers are trusted: {}", names(&wide))),
        (true, true) => Found::well("nobody is: the client is whoever connects"),
        (true, false) => {
            Found::well(format!("{} networks or sockets", trusted.networks.len().max(1)))
        }
    }
}
