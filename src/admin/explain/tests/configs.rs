//! Random configs: dice in, the text of a config that is good out.
//!
//! Services are few and pools small, limits low and breakers touchy, so that what seldom happens happens.

use super::Dice;

/// The services; a config has the first one, two or three of them.
const SERVICES: [&str; 3] = ["alpha", "beta", "gamma"];

/// The pools; a service has the first one, two or three of them.
pub(super) const POOLS: [&str; 3] = ["blue", "green", "black"];

const STICKY: [&str; 7] = [
    "header = \"x-user\"",
    "cookie = \"session\"",
    "own_cookie = true",
    "client_ip = true",
    "header = \"x-user\", client_ip = true",
    "cookie = \"session\", own_cookie = true",
    "header = \"x-user\", cookie = \"session\"",
];

const OVERRIDES: [&str; 5] = [
    "header = \"x-pool\"",
    "query = \"preview\"",
    "cookie = \"preview\"",
    "header = \"x-pool\", from = [\"10.0.0.0/8\"]",
    "header = \"x-pool\", query = \"preview\", cookie = \"preview\"",
];

const BALANCE: [&str; 5] = [
    "by = \"latency\"",
    "by = \"least-requests\"",
    "by = \"round-robin\"",
    "by = \"consistent-hash\", hash = { header = \"x-user\", client_ip = true }",
    "by = \"round-robin\", slow_start = \"2s\"",
];

const LIMITS: [&str; 7] = [
    "in_flight = 2",
    "in_flight = 1, queue = 1",
    "upstream_in_flight = 1",
    "upstream_in_flight = 1, queue = 2",
    "in_flight = 3, upstream_in_flight = 1, uploads = 1, queue = 2",
    "adaptive = true, queue = 2",
    "throttle = false",
];

const RATES: [&str; 3] = [
    "requests = 1, per = \"5s\"",
    "requests = 2, per = \"10s\", header = \"x-user\", keyless = \"share\"",
    "requests = 2, per = \"1s\", client_ip = true, told = \"all\"",
];

/// The text of a config.
pub(super) fn any(dice: &mut Dice) -> String {
    let services = &SERVICES[..1 + dice.below(SERVICES.len())];
    // Where no route does more than lead to a service, other code looks for it.
    let acts = !dice.one_in(3);
    let mut text = "[server]\ntrusted_proxies = [\"10.9.0.0/16\"]\n".to_string();
    if acts && dice.one_in(4) {
        text.push_str("client.body_limit = \"100B\"\n");
    }
    if dice.one_in(4) {
        text.push_str("client.odd_names = \"drop\"\n");
    }
    text.push_str("[[listeners]]\naddress = \"127.0.0.1:0\"\n");
    if services.len() > 1 || !dice.one_in(5) {
        text.push_str(&routes(dice, services, acts));
    }
    if dice.one_in(3) {
        let named: Vec<String> = services.iter().map(|name| format!("{name:?}")).collect();
        text.push_str(&format!(
            "[flags.dark]\npercent = {}\nservices = [{}]\n",
            dice.of(&[0, 50, 100]),
            named.join(", ")
        ));
    }
    let mut next = 1;
    for name in services {
        text.push_str(&service(dice, name, acts, &mut next));
    }
    text
}

/// Routes of which no two match the same requests.
fn routes(dice: &mut Dice, services: &[&str], acts: bool) -> String {
    let hosts = ["", "hosts = [\"a.test\"]", "hosts = [\"b.test\"]", "hosts = [\"*.b.test\"]"];
    let paths = ["/", "/x", "/x/y", "/z"];
    let conditions = ["", "methods = [\"POST\", \"OPTIONS\"]\n", "headers = { x-beta = \"1\" }\n"];
    let mut text = String::new();
    let mut one = |dice: &mut Dice, host: &str, path: &str, condition: &str| {
        // The one that is there by itself covers most of what is asked for.
        let (key, is_prefix) = if path == "/z" { ("path", false) } else { ("path_prefix", true) };
        text.push_str(&format!("[[routes]]\n{host}\n{key} = \"{path}\"\n{condition}"));
        text.push_str(&route(dice, services, acts, is_prefix.then_some(path)));
    };
    let first = dice.below(hosts.len() * paths.len() * conditions.len());
    for nth in 0..hosts.len() * paths.len() * conditions.len() {
        let (host, rest) = (hosts[nth % 4], nth / 4);
        let (path, condition) = (paths[rest % 4], conditions[rest / 4]);
        let is_root = nth == 0 && !dice.one_in(3);
        if nth == first || is_root || dice.one_in(6) {
            one(dice, host, path, condition);
        }
    }
    text
}

/// What a route does; `prefix` is that of its path, if it has one.
fn route(dice: &mut Dice, services: &[&str], acts: bool, prefix: Option<&str>) -> String {
    let mut text = String::new();
    if acts && dice.one_in(6) {
        text.push_str(dice.of(&[
            "allow = [\"10.0.0.0/8\"]\n",
            "deny = [\"10.0.0.0/8\", \"192.0.2.0/30\"]\n",
            "allow = [\"10.0.0.0/8\", \"192.0.2.0/24\"]\nencoded = \"pass\"\n",
        ]));
    }
    if acts && dice.one_in(7) {
        text.push_str(dice.of(&[
            "redirect = { to = \"https://new.test{path}\" }\n",
            "redirect = { to = \"/over/there?{query}\", status = 303 }\n",
            "answer = { status = 410, body = \"gone\" }\n",
            "answer = { status = 200 }\n",
        ]));
        return text;
    }
    text.push_str(&format!("service = \"{}\"\n", dice.of(services)));
    if dice.one_in(12) {
        text.push_str(&format!("rate_limit = {{ {} }}\n", dice.of(&RATES)));
    }
    if !acts {
        return text;
    }
    if dice.one_in(6) {
        match prefix.filter(|prefix| *prefix != "/") {
            Some(prefix) if dice.one_in(2) => {
                text.push_str(&format!("strip_prefix = \"{prefix}\"\n"));
            }
            _ => text.push_str("replace_prefix = { from = \"/x\", to = \"/new\" }\n"),
        }
    }
    if dice.one_in(6) {
        text.push_str(dice.of(&["body_limit = \"60B\"\n", "body_limit = 0\n"]));
    }
    if dice.one_in(8) {
        text.push_str(&format!("override = {{ {} }}\n", dice.of(&OVERRIDES)));
    }
    if dice.one_in(8) {
        text.push_str("request = { set = { x-pool-told = \"{pool}\" } }\nhost = \"in.test\"\n");
    }
    if dice.one_in(12) {
        text.push_str("auth = { ask = \"http://127.0.0.1:4180/auth\" }\n");
    }
    text
}

/// A service; its upstreams are numbered from the `next` number on.
fn service(dice: &mut Dice, name: &str, acts: bool, next: &mut usize) -> String {
    let pools = &POOLS[..1 + dice.below(POOLS.len())];
    let mut text = format!("[services.{name}]\n");
    if pools.len() > 1 {
        text.push_str(&format!("split = {{ {} }}\n", split(dice, pools)));
    }
    if acts && dice.one_in(5) {
        text.push_str("paths = \"normal\"\n");
    }
    if acts && dice.one_in(5) {
        text.push_str("body_limit = \"120B\"\n");
    }
    let mut table = |dice: &mut Dice, one_in: usize, key: &str, all: &[&str]| {
        if dice.one_in(one_in) {
            text.push_str(&format!("{key} = {{ {} }}\n", dice.of(all)));
        }
    };
    table(dice, 2, "sticky", &STICKY);
    table(dice, 2, "override", &OVERRIDES);
    table(dice, 2, "balance", &BALANCE);
    table(dice, 2, "limits", &LIMITS);
    table(dice, 10, "rate_limit", &RATES);
    table(dice, 4, "health", &["http = { path = \"/healthz\" }", "tcp = true"]);
    table(dice, 3, "breaker", &["requests = 2, failures = 30", "requests = 5, open = \"1s\""]);
    table(dice, 4, "ejection", &["failures = 2, time = \"2s\"", "failures = 1, share = 100"]);
    table(
        dice,
        2,
        "retries",
        &[
            "attempts = 0",
            "attempts = 0, shield = false",
            "attempts = 2, statuses = [500, 503]",
            "shield = false, statuses = [503]",
            "statuses = [500]",
        ],
    );
    table(dice, 4, "maintenance", &["allow = [\"10.0.0.0/8\"]", "paths = [\"/x\"]"]);
    let answer = "answer = { status = 503, body = \"soon\" }";
    let own = "answer = { status = 200, body = \"{}\" }";
    let pool = format!("pool = \"{}\"", dice.of(pools));
    let fallbacks = [
        answer.to_string(),
        pool.clone(),
        format!("{pool}, {own}"),
        "stale = { bytes = \"64KiB\" }".into(),
        format!("{pool}, {answer}, stale = {{ bytes = \"64KiB\" }}"),
    ];
    let fallbacks: Vec<&str> = fallbacks.iter().map(String::as_str).collect();
    table(dice, 2, "fallback", &fallbacks);
    text.push_str(&format!("[services.{name}.pools]\n"));
    for pool in pools {
        let upstreams = (0..1 + dice.below(4)).map(|_| {
            *next += 1;
            match dice.below(12) {
                // Nobody knows where that is.
                0 => format!("\"u{next}.internal:80\""),
                1 => format!("{{ address = \"192.0.2.{next}:80\", weight = 300 }}"),
                _ => format!("\"192.0.2.{next}:80\""),
            }
        });
        let upstreams: Vec<String> = upstreams.collect();
        text.push_str(&format!("{pool}.upstreams = [{}]\n", upstreams.join(", ")));
    }
    text
}

/// Shares of these pools, in whole percent.
fn split(dice: &mut Dice, pools: &[&str]) -> String {
    let shares = shares(dice, pools.len());
    let parts = pools.iter().zip(shares).map(|(pool, share)| format!("{pool} = {share}"));
    parts.collect::<Vec<_>>().join(", ")
}

/// So many shares of a hundred.
pub(super) fn shares(dice: &mut Dice, many: usize) -> Vec<u16> {
    let mut left = 100;
    let mut shares = Vec::new();
    for nth in 0..many {
        let is_last = nth + 1 == many;
        let share = if is_last { left } else { left * dice.of(&[0, 1, 30, 50, 90, 100]) / 100 };
        shares.push(share);
        left -= share;
    }
    shares
}
