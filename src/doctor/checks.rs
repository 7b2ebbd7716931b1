//! The checks, each declared once.

use super::facts::Running;
use super::{Facts, Found, alerting, process, services};
use crate::config::{Config, Severity};

/// One thing that is to be in place.
#[derive(Debug)]
pub struct Check {
    /// By what scripts know it; it never changes.
    pub id: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    /// How much it matters that it is missing.
    pub severity: Severity,
    /// Why it is to be in place.
    pub why: &'static str,
    /// What mends it.
    pub remedy: Remedy,
    /// Who can see it.
    pub seen: Seen,
    /// What is looked at, and how.
    pub look: Look,
}

/// What a check looks at, with the function that does. Where it is not known the check is skipped.
#[derive(Clone, Copy, Debug)]
pub enum Look {
    /// The file, checked.
    File(fn(&Config) -> Found),
    /// What the running proxy knows.
    Proxy(fn(&Running) -> Found),
    /// Whatever is known, more than one of them or none of both.
    Facts(fn(&Facts<'_>) -> Found),
}

impl Look {
    /// Looks at what is known.
    pub fn at(self, facts: &Facts<'_>) -> Found {
        let found = match self {
            Look::File(look) => services::config(facts).map(look),
            Look::Proxy(look) => services::running(facts).map(look),
            Look::Facts(look) => Ok(look(facts)),
        };
        found.unwrap_or_else(|skipped| skipped)
    }
}

/// Who can see something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Whoever has the file.
    InFile,
    /// The running proxy alone.
    ByProxy,
    /// The command, on the proxy's machine.
    Here,
}

/// What mends something. `{service}` and `{pool}` stand for whom it is about.
#[derive(Clone, Copy, Debug)]
pub enum Remedy {
    /// Lines of the config file.
    File(&'static str),
    /// Commands of ours, one a line.
    Commands(&'static str),
    /// Lines of the unit's `[Service]`.
    Unit(&'static str),
    /// Commands of the system, one a line.
    System(&'static str),
}

impl Remedy {
    /// As it is declared.
    pub fn text(&self) -> &'static str {
        let (Remedy::File(text)
        | Remedy::Commands(text)
        | Remedy::Unit(text)
        | Remedy::System(text)) = self;
        text
    }

    /// Its lines for a service or `SERVICE/POOL`; for a made-up one if none is named.
    pub fn lines_for(&self, of: Option<&str>) -> Vec<String> {
        let of = of.unwrap_or("shop/blue");
        let (service, pool) = of.split_once('/').unwrap_or((of, "blue"));
        let text = self.text().replace("{service}", service).replace("{pool}", pool);
        text.lines().map(String::from).collect()
    }
}

/// The check of this id.
pub fn check(id: &str) -> Option<&'static Check> {
    CHECKS.iter().find(|check| check.id == id)
}

/// All of them, in the order in which they are told.
pub static CHECKS: [Check; 23] = [
    Check {
        id: "reload",
        title: "the file is in force",
        severity: Severity::High,
        why: "what is in force is not what the file says, and the next start takes the file",
        remedy: Remedy::Commands("pointsman diff\npointsman reload"),
        seen: Seen::ByProxy,
        look: Look::Proxy(process::reload),
    },
    Check {
        id: "limits",
        title: "limits on requests at once",
        severity: Severity::High,
        why: "without a bound a slow upstream is given more and more until it falls over",
        remedy: Remedy::File("[services.{service}.limits]\nupstream_in_flight = 100"),
        seen: Seen::InFile,
        look: Look::File(services::limits),
    },
    Check {
        id: "body-limit",
        title: "a limit on bodies",
        severity: Severity::Medium,
        why: "one client can send an upload without an end",
        remedy: Remedy::File("[server.client]\nbody_limit = \"10MiB\""),
        seen: Seen::InFile,
        look: Look::File(services::body_limit),
    },
    Check {
        id: "health",
        title: "health checks",
        severity: Severity::High,
        why: "a new upstream gets requests before it has shown that it answers, and clients find out that it hangs",
        remedy: Remedy::File("[services.{service}.health]\nhttp = { path = \"/healthz\" }"),
        seen: Seen::InFile,
        look: Look::File(services::health),
    },
    Check {
        id: "two-upstreams",
        title: "two upstreams a pool",
        severity: Severity::High,
        why: "when the only upstream stops, all requests fail",
        remedy: Remedy::Commands("pointsman upstream add {service}/{pool} 10.0.0.12:9000"),
        seen: Seen::InFile,
        look: Look::Facts(services::two_upstreams),
    },
    Check {
        id: "retries",
        title: "retries within a budget",
        severity: Severity::Medium,
        why: "retries multiply an overload unless few of all requests may be one",
        remedy: Remedy::File("[services.{service}.retries]\nattempts = 1\nbudget = 20"),
        seen: Seen::InFile,
        look: Look::File(services::retries),
    },
    Check {
        id: "slo",
        title: "objectives",
        severity: Severity::Medium,
        why: "without one nobody is told that users are hurt, and no rollout is held back for it",
        remedy: Remedy::File("[services.{service}.slo]\navailability = \"99.9%\""),
        seen: Seen::InFile,
        look: Look::File(services::slo),
    },
    Check {
        id: "capacity",
        title: "room for a lost upstream",
        severity: Severity::High,
        why: "at the peak the rest could not carry what one lost upstream had",
        remedy: Remedy::Commands(
            "pointsman capacity {service}\npointsman upstream add {service}/{pool} 10.0.0.13:9000",
        ),
        seen: Seen::ByProxy,
        look: Look::Proxy(services::capacity),
    },
    Check {
        id: "rollback",
        title: "a rollback was tried",
        severity: Severity::Medium,
        why: "a way back that nobody has gone is found shut when it is needed",
        remedy: Remedy::Commands(
            "pointsman rollout start {service} --steps 1,100\npointsman rollout abort {service}",
        ),
        seen: Seen::ByProxy,
        look: Look::Facts(services::rollback),
    },
    Check {
        id: "judge",
        title: "the judge keeps its promise (A/A)",
        severity: Severity::Medium,
        why: "it would take back versions that are as good as the rest",
        remedy: Remedy::Commands("pointsman status {service} --judge"),
        seen: Seen::ByProxy,
        look: Look::Proxy(services::judge),
    },
    Check {
        id: "alerts",
        title: "somebody is told",
        severity: Severity::High,
        why: "open breakers and rollbacks are seen by nobody",
        remedy: Remedy::File(
            "[[notify]]\nurl = \"https://alerts.example.com/pointsman\"\nseverity = \"medium\"",
        ),
        seen: Seen::InFile,
        look: Look::File(alerting::alerts),
    },
    Check {
        id: "alerts-arrive",
        title: "notices arrive",
        severity: Severity::High,
        why: "an address that takes no notice is as good as none",
        remedy: Remedy::Commands("pointsman notify test"),
        seen: Seen::ByProxy,
        look: Look::Proxy(alerting::alerts_arrive),
    },
    Check {
        id: "runbooks",
        title: "runbooks are at hand",
        severity: Severity::Low,
        why: "alerts link them, and at night nobody wants to look for them",
        remedy: Remedy::System(
            "install -d /usr/share/doc/pointsman/runbooks\n\
             cp -r docs/runbooks /usr/share/doc/pointsman/",
        ),
        seen: Seen::Here,
        look: Look::Facts(alerting::runbooks),
    },
    Check {
        id: "certificates",
        title: "certificates are good for long",
        severity: Severity::Critical,
        why: "from its end on clients turn away",
        remedy: Remedy::System("openssl x509 -noout -enddate -in shop.pem\nsystemctl list-timers"),
        seen: Seen::InFile,
        look: Look::Facts(process::certificates),
    },
    Check {
        id: "admin",
        title: "the admin API is out of reach",
        severity: Severity::Critical,
        why: "who reads a token on its way can move all traffic",
        remedy: Remedy::File("[admin]\naddress = \"127.0.0.1:9900\""),
        seen: Seen::InFile,
        look: Look::File(alerting::admin),
    },
    Check {
        id: "trusted-proxies",
        title: "only proxies of ours are trusted",
        severity: Severity::High,
        why: "who is trusted can say of each request which client it is, past lists and rate limits",
        remedy: Remedy::File("[server]\ntrusted_proxies = [\"10.0.0.0/24\"]"),
        seen: Seen::InFile,
        look: Look::File(alerting::trusted_proxies),
    },
    Check {
        id: "drain",
        title: "a stop lets requests end",
        severity: Severity::Medium,
        why: "a stop that waits less than the slowest answer takes cuts it off",
        remedy: Remedy::File("[server]\ndrain = \"30s\""),
        seen: Seen::InFile,
        look: Look::File(process::drain),
    },
    Check {
        id: "stop-timeout",
        title: "a stop is waited for",
        severity: Severity::Medium,
        why: "whoever kills the process before its drain is over cuts requests off",
        remedy: Remedy::Unit("TimeoutStopSec=45"),
        seen: Seen::Here,
        look: Look::Facts(process::stop_timeout),
    },
    Check {
        id: "store",
        title: "what is ordered is stored",
        severity: Severity::Critical,
        why: "a restart forgets shifts, rollouts and drains",
        remedy: Remedy::File("[server]\nstate_dir = \"/var/lib/pointsman\""),
        seen: Seen::ByProxy,
        look: Look::Proxy(process::store),
    },
    Check {
        id: "disk",
        title: "room on the disk",
        severity: Severity::High,
        why: "on a full disk orders are refused and rollouts stand still",
        remedy: Remedy::System("df -h /var/lib/pointsman"),
        seen: Seen::ByProxy,
        look: Look::Facts(process::disk),
    },
    Check {
        id: "descriptors",
        title: "file descriptors",
        severity: Severity::High,
        why: "each client may need one more to an upstream; without, connections are refused",
        remedy: Remedy::Unit("LimitNOFILE=1048576"),
        seen: Seen::ByProxy,
        look: Look::Facts(process::descriptors),
    },
    Check {
        id: "clock",
        title: "the clock is right",
        severity: Severity::Medium,
        why: "certificates, objectives and the times of events go by it",
        remedy: Remedy::System("systemctl enable --now systemd-timesyncd"),
        seen: Seen::Here,
        look: Look::Facts(process::clock),
    },
    Check {
        id: "hardening",
        title: "the process can do no more than it needs",
        severity: Severity::Medium,
        why: "what breaks into a proxy has what the proxy has",
        remedy: Remedy::Unit(
            "User=pointsman\nNoNewPrivileges=yes\nSystemCallFilter=@system-service\n\
             CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        ),
        seen: Seen::ByProxy,
        look: Look::Facts(process::hardening),
    },
];
