//! Each check beside a world in which all is well.

mod declared;

use std::collections::BTreeSet;
use std::time::Duration;

use toml::{Table, Value};

use super::facts::{
    Disk, Good, Here, Judged, Notified, PoolLoad, ProcessFacts, Running, Sandbox, ServiceFacts,
    StopTimeout,
};
use super::*;
use crate::clock::WallTime;
use crate::config::Config;

const DAY: u64 = 24 * 60 * 60;

const GOOD: &str = r#"
[[listeners]]
address = ":8080"
[server]
trusted_proxies = ["10.0.0.0/24"]
drain = "30s"
client.body_limit = "10MiB"
[admin]
address = "127.0.0.1:9900"
[[notify]]
url = "https://alerts.example.com/pointsman"
[[routes]]
path_prefix = "/"
service = "shop"
[services.shop]
split = { blue = 100 }
limits.upstream_in_flight = 100
health.http = { path = "/healthz" }
slo.availability = "99.9%"
retries = { attempts = 1, budget = 20 }
pools.blue.upstreams = ["10.0.0.11:9000", "10.0.0.12:9000"]
pools.green.upstreams = ["10.0.1.11:9000"]
"#;

/// What is known of a proxy and its machine.
#[derive(Clone, Default)]
struct World {
    file: Table,
    certificates: Option<Vec<Good>>,
    process: Option<ProcessFacts>,
    running: Option<Running>,
    here: Option<Here>,
}

impl World {
    fn good() -> World {
        let disk = Disk {
            holds: "what is remembered",
            folder: "/var/lib/pointsman".into(),
            free: 50 << 30,
            whole: 100 << 30,
        };
        let sandbox = Sandbox { no_new_privileges: true, is_filtered: true, ..Sandbox::default() };
        let service = ServiceFacts {
            name: "shop".into(),
            taken_back: Some(WallTime::from_millis(1)),
            judged: Judged::Keeps("300 of 300 kept".into()),
            pools: vec![PoolLoad { name: "blue".into(), upstreams: 2, room_at_peak: Some(0.1) }],
        };
        let notified = Notified { name: "alerts".into(), sent: 3, failed: 1, dropped: 0 };
        World {
            file: GOOD.parse().unwrap(),
            certificates: Some(vec![
                Good { name: "shop.pem".into(), until: 120 * DAY },
                Good { name: "other.pem".into(), until: 200 * DAY },
            ]),
            process: Some(ProcessFacts {
                descriptors: Some(1 << 20),
                sandbox: Some(sandbox),
                disks: vec![disk],
            }),
            running: Some(Running {
                is_store_writable: true,
                has_store: true,
                notified: vec![notified],
                services: vec![service],
                ..Running::default()
            }),
            here: Some(Here {
                is_clock_synchronised: Some(true),
                skew: Some(Duration::from_millis(3)),
                stop_timeout: Some(StopTimeout::After(Duration::from_secs(45))),
                runbooks: Some("/usr/share/doc/pointsman/runbooks".into()),
            }),
        }
    }

    fn diagnosed(&self) -> Vec<Finding> {
        let config = Config::parse(&self.file.to_string());
        let config = config.unwrap_or_else(|problems| panic!("{problems:?}\n{}", self.file)).0;
        diagnose(&Facts {
            now: WallTime::from_millis(100 * DAY * 1_000),
            config: Some(&config),
            certificates: self.certificates.clone(),
            process: self.process.clone(),
            running: self.running.clone(),
            here: self.here.clone(),
            stop: None,
        })
    }

    fn add(&mut self, text: &str) {
        merge(&mut self.file, text.parse().unwrap());
    }

    fn running(&mut self) -> &mut Running {
        self.running.as_mut().unwrap()
    }

    fn service(&mut self) -> &mut ServiceFacts {
        &mut self.running().services[0]
    }

    fn process(&mut self) -> &mut ProcessFacts {
        self.process.as_mut().unwrap()
    }

    fn here(&mut self) -> &mut Here {
        self.here.as_mut().unwrap()
    }

    fn take(&mut self, table: &str, key: &str) {
        let service = self.file["services"]["shop"].as_table_mut().unwrap();
        if table.is_empty() {
            service.remove(key)
        } else {
            self.file.remove(table)
        };
    }
}

/// Puts what another table says in the place of what this one says of the same.
fn merge(into: &mut Table, other: Table) {
    for (key, value) in other {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(known)), Value::Table(more)) => merge(known, more),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

/// A check, what makes it find something missing, and what it says of that.
type Broken = (&'static str, fn(&mut World), &'static str);

/// What makes each check find something missing, and it alone, and what it says of it.
const BROKEN: [Broken; 32] = [
    (
        "reload",
        |it| it.running().refused = Some("line 3".into()),
        "the last reload was refused: line 3",
    ),
    ("reload", |it| it.running().waits_for_reload = true, "waits for somebody's word"),
    ("limits", |it| it.take("", "limits"), "no limit on requests at once: shop"),
    (
        "body-limit",
        |it| it.add("[server.client]\nbody_limit = \"0B\""),
        "bodies of any length are taken: shop",
    ),
    (
        "body-limit",
        |it| it.add("[services.shop]\nbody_limit = \"0B\""),
        "bodies of any length are taken: shop",
    ),
    ("health", |it| it.take("", "health"), "no health check: shop"),
    (
        "two-upstreams",
        |it| it.service().pools[0].upstreams = 1,
        "fewer than two upstreams: shop/blue",
    ),
    (
        "retries",
        |it| it.add("[services.shop.retries]\nattempts = 3"),
        "more than 2 retries a request",
    ),
    ("retries", |it| it.add("[services.shop.retries]\nbudget = 31"), "or 30 % of all: shop"),
    ("slo", |it| it.take("", "slo"), "nothing is promised: shop"),
    (
        "capacity",
        |it| it.service().pools[0].room_at_peak = Some(-0.25),
        "can carry: shop/blue 125 %",
    ),
    (
        "rollback",
        |it| it.service().taken_back = None,
        "never taken back, as far as is remembered: shop",
    ),
    (
        "judge",
        |it| it.service().judged = Judged::Broken("9 of 300 taken back".into()),
        "shop: 9 of 300",
    ),
    ("alerts", |it| it.take("notify", ""), "nobody is told of anything"),
    (
        "alerts-arrive",
        |it| it.running().notified[0].dropped = 1,
        "notices were lost since the start: alerts",
    ),
    (
        "alerts-arrive",
        |it| it.running().notified[0].sent = 0,
        "notices were lost since the start: alerts",
    ),
    ("runbooks", |it| it.here().runbooks = None, "there are none"),
    (
        "certificates",
        |it| it.certificates.as_mut().unwrap()[0].until = 113 * DAY,
        "shop.pem for 13 more days",
    ),
    (
        "certificates",
        |it| it.certificates.as_mut().unwrap()[1].until = 99 * DAY,
        "other.pem has expired",
    ),
    (
        "admin",
        |it| it.add("[admin]\naddress = \"0.0.0.0:9900\"\ntoken_file = \"t\""),
        "other machines reach 0.0.0.0:9900",
    ),
    (
        "trusted-proxies",
        |it| it.add("[server]\ntrusted_proxies = [\"0.0.0.0/0\"]"),
        "strangers are trusted: 0.0.0.0/0",
    ),
    (
        "trusted-proxies",
        |it| it.add("[server]\ntrusted_proxies = [\"::/0\"]"),
        "strangers are trusted: ::/0",
    ),
    (
        "drain",
        |it| it.add("[services.shop.timeouts]\nresponse = \"31s\""),
        "waits 30s for requests, an answer of shop may take 31s",
    ),
    (
        "stop-timeout",
        |it| it.here().stop_timeout = Some(StopTimeout::After(Duration::from_secs(34))),
        "killed after 34s, its stop may take 35s",
    ),
    ("store", |it| it.running().is_store_writable = false, "the store takes nothing"),
    ("store", |it| it.running().has_store = false, "no store that outlives the process"),
    (
        "disk",
        |it| it.process().disks[0].free = 4 << 30,
        "4 % (4096 MiB) free for what is remembered",
    ),
    (
        "descriptors",
        |it| it.process().descriptors = Some(99_999),
        "it may have 99999, and 50000 clients",
    ),
    ("clock", |it| it.here().is_clock_synchronised = Some(false), "nothing keeps it right"),
    (
        "clock",
        |it| it.here().skew = Some(Duration::from_secs(61)),
        "it is 1m 1s off this command's",
    ),
    (
        "hardening",
        |it| it.process().sandbox = Some(Sandbox { is_root: true, ..Sandbox::default() }),
        "it is root's, it may get new privileges, it may make any system call",
    ),
    (
        "hardening",
        |it| it.process().sandbox.as_mut().unwrap().has_more_capabilities = true,
        "it has more capabilities than ports need",
    ),
];

#[test]
fn where_all_is_in_place_nothing_is_missing() {
    for finding in World::good().diagnosed() {
        assert!(
            matches!(finding.found, Found::Well(_)),
            "{}: {:?}",
            finding.check.id,
            finding.found
        );
        assert!(finding.lines().is_empty());
    }
}

#[test]
fn each_check_finds_what_is_missing_and_no_other_does() {
    for (id, break_it, says) in BROKEN {
        let mut world = World::good();
        break_it(&mut world);
        for finding in world.diagnosed() {
            match &finding.found {
                Found::Missing { what, .. } if finding.check.id == id => {
                    assert!(what.contains(says), "{id}: {what}");
                    assert!(!finding.lines().is_empty());
                }
                Found::Well(_) if finding.check.id != id => {}
                found => panic!("{id}: {}: {found:?}", finding.check.id),
            }
        }
    }
    let broken: BTreeSet<&str> = BROKEN.iter().map(|(id, ..)| *id).collect();
    let all: BTreeSet<&str> = CHECKS.iter().map(|check| check.id).collect();
    assert_eq!(broken, all, "each has a case, and an id of its own");
    assert_eq!(all.len(), CHECKS.len());
}

#[test]
fn what_nobody_could_look_at_is_said_to_be_so() {
    for finding in diagnose(&Facts::default()) {
        let is_skipped = matches!(finding.found, Found::Skipped(_));
        assert!(is_skipped, "{}: {:?}", finding.check.id, finding.found);
    }
    // The file alone says nothing of what only a running proxy or its machine knows.
    let world = World { file: GOOD.parse().unwrap(), ..World::default() };
    for finding in world.diagnosed() {
        let is_file = finding.check.seen == Seen::InFile && finding.check.id != "certificates";
        let is_skipped = matches!(finding.found, Found::Skipped(_));
        assert_eq!(is_skipped, !is_file, "{}: {:?}", finding.check.id, finding.found);
    }
}

#[test]
fn what_is_not_known_yet_is_neither_well_nor_missing() {
    let unknown = |break_it: fn(&mut World)| -> Vec<(&'static str, String, String)> {
        let mut world = World::good();
        // Lines that would be made for a made-up service find out nothing.
        let cart = world.service().clone();
        *world.service() = ServiceFacts { name: "cart".into(), ..cart };
        break_it(&mut world);
        let unknown = world.diagnosed().into_iter().filter_map(|finding| match &finding.found {
            Found::Unknown { why, .. } => {
                Some((finding.check.id, why.clone(), finding.lines()[0].clone()))
            }
            _ => None,
        });
        unknown.collect()
    };
    let silent = unknown(|it| {
        it.running().notified[0] = Notified { name: "a".into(), ..Notified::default() }
    });
    let told = |id, why: &str, line: &str| vec![(id, why.to_string(), line.to_string())];
    let why = "nothing was told since the start: a";
    assert_eq!(silent, told("alerts-arrive", why, "pointsman notify test"));
    let few = unknown(|it| it.service().judged = Judged::TooFew("1 of 1 kept".into()));
    assert_eq!(few, told("judge", "cart: 1 of 1 kept", "pointsman status cart --judge"));
    let bare = unknown(|it| it.service().pools[0].room_at_peak = None);
    let why = "nothing shows yet how much is too much: cart/blue";
    assert_eq!(bare, told("capacity", why, "pointsman capacity cart"));
}

#[test]
fn who_waits_for_a_stop_without_an_end_cuts_nothing_off() {
    let mut world = World::good();
    world.here().stop_timeout = Some(StopTimeout::Never);
    let found = world.diagnosed().into_iter().find(|it| it.check.id == "stop-timeout").unwrap();
    assert_eq!(found.found, Found::well("it is waited for without an end"));
}

#[test]
fn lines_of_the_file_are_of_one_and_mend_what_is_missing() {
    for (id, break_it, _) in BROKEN {
        let check = check(id).unwrap();
        let mut world = World::good();
        break_it(&mut world);
        let finding = world.diagnosed().into_iter().find(|it| it.check.id == id).unwrap();
        let Remedy::File(_) = check.remedy else { continue };
        let lines = finding.lines().join("\n");
        let others = world.file["services"]["shop"].as_table_mut().unwrap();
        if id == "body-limit" {
            // Said of all clients, it is for who says nothing else.
            others.remove("body_limit");
        }
        if id == "drain" {
            others.remove("timeouts");
            world.add("[server]\ndrain = \"1s\"");
        }
        world.add(&lines);
        let found = world.diagnosed().into_iter().find(|it| it.check.id == id).unwrap().found;
        if check.seen == Seen::InFile {
            assert!(matches!(found, Found::Well(_)), "{id}: {found:?}");
        }
    }
}

#[test]
fn networks_of_proxies_are_told_from_those_of_strangers() {
    let wide = |text: &str| facts::is_wide(&text.parse().unwrap());
    for ours in [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "fc00::/7",
        "104.16.0.0/13",
        "2a06:98c0::/29",
        "127.0.0.1/32",
    ] {
        assert!(!wide(ours), "{ours}");
    }
    for strangers in ["0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/2", "2000::/3", "8.0.0.0/7"] {
        assert!(wide(strangers), "{strangers}");
    }
}
