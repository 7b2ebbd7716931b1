use super::*;
use crate::certificate::{Authorities, Certificate, Certificates, Pair, PrivateKey};
use crate::clock::WallTime;
use crate::rollout::{Plan, Wishes};

#[test]
fn settings_that_changed_are_told_with_both_values() {
    let parse = |text: &str| Config::parse(text).unwrap().0;
    let between = |old: &str, new: &str| -> Vec<String> {
        let of = |lines| parse(&OLD.replace("[services.shop.pools]", lines));
        let pools = "\n[services.shop.pools]";
        let (old, new) = (of(&format!("{old}{pools}")), of(&format!("{new}{pools}")));
        let lines = diff(&old, &new, &Live::default());
        lines.iter().map(|line| line.to_string().replace("service shop: ", "")).collect()
    };
    let lines = between(
        "health = { http = { path = \"/a\" } }\nbreaker = false",
        "health = { tcp = true, fall = 5 }\ntimeouts.connect = \"250ms\"\nejection = false\n\
             retries = { attempts = 2, statuses = [503], attempt_timeout = \"1s\" }\n\
             balance.by = \"round-robin\"\nlimits.in_flight = 10",
    );
    assert_eq!(
        lines,
        [
            "timeouts.connect 1s → 250ms",
            "health.tcp false → true",
            "health.fall 3 → 5",
            "health.http on → off",
            "ejection on → off",
            "breaker off → on",
            "retries.attempts 1 → 2",
            "retries.statuses none → 503",
            "retries.attempt_timeout none → 1s",
            "balance.by latency → round-robin",
            "limits.in_flight none → 10",
        ]
    );
    let lines = between(
        "health = { http = { path = \"/a\" } }",
        "health = { http = { path = \"/a\", statuses = [204] } }",
    );
    assert_eq!(lines, ["health.http.statuses 200-399 → 204"]);
    assert_eq!(between("breaker.open = \"5s\"", ""), [""; 0]);
}

const OLD: &str = r#"
[[listeners]]
address = "127.0.0.1:8080"
[services.shop]
split = { blue = 100 }
[services.shop.pools]
blue.upstreams = ["a:1", "b:1"]
green.upstreams = ["c:1"]
"#;

#[test]
fn another_content_of_a_file_of_certificates_is_a_line() {
    let with = |key: &[u8], until, authority: &[u8]| {
        let mut certificates = Certificates::default();
        let about = Certificate { names: vec![], subject: String::new(), from: 0, until };
        let pair = Pair { chain: vec![], key: PrivateKey::new(key), about };
        certificates.add_pair("shop.pem".as_ref(), "shop.key".as_ref(), pair);
        let authorities = Authorities(vec![authority.to_vec()]);
        certificates.add_authorities("clients.pem".as_ref(), authorities);
        Config { certificates, ..Config::parse(OLD).unwrap().0 }
    };
    let between = |old: &Config, new: &Config| -> Vec<String> {
        diff(old, new, &Live::default()).iter().map(ToString::to_string).collect()
    };
    const YEAR_9999: u64 = 253_402_300_799;
    let old = with(b"a", 86_400, b"ours");
    assert_eq!(between(&old, &old.clone()), [""; 0]);
    let renewed = between(&old, &with(b"b", 86_400, b"ours"));
    assert_eq!(renewed, ["certificate shop.pem: is another, good until 1970-01-02T00:00:00Z"]);
    let endless = between(&old, &with(b"b", YEAR_9999, b"ours"));
    let last = "certificate shop.pem: is another, good until 9999-12-30T22:00:00.999999999Z";
    assert_eq!(endless, [last]);
    let others = between(&old, &with(b"a", 86_400, b"theirs"));
    assert_eq!(others, ["authorities clients.pem: are others"]);
}

#[test]
fn each_difference_is_a_line() {
    let new = OLD
        .replace("8080", "8081")
        .replace("blue = 100", "blue = 90, green = 10")
        .replace("\"b:1\"", "{ address = \"a2:1\", weight = 5 }")
        .replace("green.upstreams", "black.upstreams = []\ngreen.upstreams");
    let parse = |text: &str| Config::parse(text).unwrap().0;
    let lines: Vec<String> =
        diff(&parse(OLD), &parse(&new), &Live::default()).iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "listener 127.0.0.1:8080: removed",
            "listener 127.0.0.1:8081: added",
            "service shop: split blue=100 → blue=90 green=10, 10 % of its traffic moves",
            "pool shop/black: added with 0 upstreams, gets 0 % of the traffic",
            "pool shop/blue: upstream b:1 removed, with 50 % of the traffic",
            "pool shop/blue: upstream a2:1 added, gets 4.3 % of the traffic",
        ]
    );
    assert_eq!(diff(&parse(OLD), &parse(OLD), &Live::default()), []);
}

#[test]
fn a_split_is_compared_with_the_one_in_force() {
    let parse = |text: &str| Config::parse(text).unwrap().0;
    let splits = [("shop".into(), Split::all_to("green".into()))].into();
    let shifted = Live { splits, ..Live::default() };
    let of = |new: &str| -> Vec<String> {
        diff(&parse(OLD), &parse(new), &shifted).iter().map(ToString::to_string).collect()
    };
    assert_eq!(of(OLD), [""; 0]);
    let edited = OLD.replace("blue = 100", "blue = 90, green = 10");
    assert_eq!(
        of(&edited),
        ["service shop: split green=100 → blue=90 green=10, 90 % of its traffic moves"]
    );
    let gone = OLD.replace("green.upstreams = [\"c:1\"]\n", "");
    assert_eq!(
        of(&gone),
        [
            "service shop: split green=100 → blue=100, 100 % of its traffic moves",
            "pool shop/green: removed, with 100 % of the service's traffic",
        ]
    );
}

fn lines(old: &str, new: &str, live: &Live) -> Vec<String> {
    let parse = |text: &str| Config::parse(text).unwrap().0;
    diff(&parse(old), &parse(new), live).iter().map(ToString::to_string).collect()
}

fn rollout_to_green() -> Rollout {
    let config = Config::parse(OLD).unwrap().0;
    let pools = [("blue".into(), 2), ("green".into(), 1)];
    let settings = &config.services[0].rollout;
    let split = Split::all_to("blue".into());
    let plan = Plan::new(settings, &Wishes::default(), &pools, &split).unwrap();
    Rollout::start(3, "shop".into(), (plan, None), ("ann".into(), None), WallTime::default()).0
}

#[test]
fn a_rollout_that_would_be_superseded_is_named() {
    let live = Live { rollouts: vec![rollout_to_green()], ..Live::default() };
    let ends = "service shop: rollout 3 to green at 0 % ends, superseded";
    let idle = OLD.replace("8080", "8081");
    assert!(!lines(OLD, &idle, &live).contains(&ends.to_string()));
    let edited = OLD.replace("blue = 100", "blue = 99, green = 1");
    assert_eq!(lines(OLD, &edited, &live)[1], ends);
    let gone = OLD.replace("green.upstreams = [\"c:1\"]\n", "");
    assert_eq!(lines(OLD, &gone, &live)[0], ends);
    let renamed = OLD.replace("services.shop", "services.store");
    let said = lines(OLD, &renamed, &live);
    assert!(said.contains(&ends.to_string()), "{said:?}");
}

#[test]
fn what_recognises_clients_says_how_many_move() {
    let of = |sticky: &str, split: &str| {
        OLD.replace("split = { blue = 100 }", &format!("split = {{ {split} }}\n{sticky}"))
    };
    let half = "blue = 50, green = 50";
    let header = "sticky = { header = \"x-user\" }";
    let cookie = "sticky = { cookie = \"sid\" }";
    let both = "sticky = { header = \"x-user\", client_ip = true }";
    let between = |old: &str, new: &str, split: &str| {
        let said = lines(&of(old, split), &of(new, split), &Live::default());
        said.into_iter().map(|line| line.replace("service shop: ", "")).collect::<Vec<_>>()
    };
    assert_eq!(
        between(header, cookie, half),
        ["clients are recognised by cookie sid instead of header x-user; about 50 % of them move \
             between blue and green"]
    );
    assert_eq!(
        between(header, cookie, "blue = 90, green = 10")[0].split("; ").nth(1),
        Some("about 18 % of them move between blue and green")
    );
    assert_eq!(
        between(header, cookie, "blue = 100"),
        ["clients are recognised by cookie sid instead of header x-user; nobody moves while blue \
             has all traffic"]
    );
    assert_eq!(
        between("", cookie, half),
        ["clients are recognised by cookie sid from now on; each stays on its side of blue and \
             green"]
    );
    assert_eq!(
        between(cookie, "", half),
        ["clients are not recognised by cookie sid any more; each request is drawn, back and \
             forth between blue and green"]
    );
    assert_eq!(
        between(header, both, half),
        ["clients not recognised by header x-user are recognised by address; the others stay \
             where they are"]
    );
    let named = |name: &str| format!("override = {{ header = \"{name}\" }}");
    assert_eq!(
        between(&named("x-a"), &named("x-b"), half),
        ["testers name a pool by x-b instead of x-a"]
    );
    assert_eq!(between(&named("x-a"), "", half), ["testers cannot name a pool by x-a any more"]);
    assert_eq!(between("", &named("x-a"), half), ["testers may name a pool by x-a"]);
}

#[test]
fn upstreams_of_run_time_and_their_shares_are_what_an_edit_replaces() {
    let upstreams = [("a:1", 100), ("x:1", 300)].map(|(at, weight)| (at.parse().unwrap(), weight));
    let key = (Arc::from("shop"), Arc::from("blue"));
    let live = Live { upstreams: [(key, upstreams.to_vec())].into(), ..Live::default() };
    assert_eq!(lines(OLD, &OLD.replace("c:1", "d:1"), &live).len(), 2, "blue stays as it is");
    assert_eq!(
        lines(OLD, &OLD.replace("\"b:1\"", "\"d:1\""), &live),
        [
            "pool shop/blue: upstream x:1 removed, with 75 % of the traffic",
            "pool shop/blue: upstream d:1 added, gets 50 % of the traffic",
            "pool shop/blue: upstreams added or removed at run time give way to the file's",
        ]
    );
}

#[test]
fn a_drained_upstream_holds_nothing() {
    let drained = ["shop", "blue", "b:1"].map(str::to_string);
    let live = Live { drained: [drained].into(), ..Live::default() };
    let removed = |at: &str| lines(OLD, &OLD.replace(&format!("\"{at}\""), "\"d:1\""), &live);
    assert_eq!(
        removed("b:1"),
        [
            "pool shop/blue: upstream b:1 removed, with 0 % of the traffic",
            "pool shop/blue: upstream d:1 added, gets 50 % of the traffic",
        ]
    );
    assert_eq!(
        removed("a:1"),
        [
            "pool shop/blue: upstream a:1 removed, with 100 % of the traffic",
            "pool shop/blue: upstream d:1 added, gets 100 % of the traffic",
        ]
    );
}

#[test]
fn a_flags_share_is_compared_with_the_one_in_force() {
    let of =
        |percent: u32| format!("{OLD}[flags.dark]\npercent = {percent}\nservices = [\"shop\"]\n");
    let share = BasisPoints::new(4_000).unwrap();
    let live = Live { flags: [(Arc::from("dark"), share)].into(), ..Live::default() };
    assert_eq!(lines(&of(10), &of(10), &live), [""; 0]);
    assert_eq!(lines(&of(10), &of(40), &live), [""; 0]);
    assert_eq!(lines(&of(10), &of(25), &live), ["flag dark: 40 % → 25 % of clients; 15 % lose it"]);
    assert_eq!(lines(&of(10), OLD, &live), ["flag dark: removed; 40 % of clients of shop lose it"]);
}

#[test]
fn how_a_rollout_is_judged_is_told() {
    let of = |judge: &str| format!("{OLD}[services.shop.judge]\n{judge}\n");
    let between = |old: &str, new: &str| lines(&of(old), &of(new), &Live::default());
    assert_eq!(between("", "enabled = false"), ["service shop: judge.enabled true → false"]);
    assert_eq!(
        between("risk = 1\nby = \"users\"", "risk = 2.5\ngate.ratio = 3"),
        [
            "service shop: judge.by users → users where clients keep to their side",
            "service shop: judge.risk 1 % → 2.5 %",
            "service shop: judge.gate.ratio 2 → 3",
        ]
    );
}

#[test]
fn what_means_the_same_is_no_difference() {
    let of = |settings: &str| OLD.replace("[services.shop.pools]", settings);
    let pools = "\n[services.shop.pools]";
    let old = format!(
        "rollout = {{ hold = \"90s\", guard.errors = 2.5, hooks.deploy = \"https://a.test/x\" }}\n\
         mirror = {{ to = \"green\", body_limit = 1_024 }}{pools}"
    );
    let new = format!(
        "timeouts = {{ connect = \"1s\" }}\njudge = {{ risk = 1.0 }}\nbreaker = {{}}\n\
         rollout = {{ hold = \"1m 30s\", guard.errors = \"2.50%\", \
         hooks.deploy = {{ url = \"https://a.test/x\", timeout = \"600s\" }} }}\n\
         mirror = {{ to = \"green\", body_limit = \"1KiB\", compare = {{}} }}{pools}"
    );
    let told = lines(&of(&old), &of(&new), &Live::default());
    assert_eq!(told, ["service shop: mirror.compare off → on"]);
}

#[test]
fn what_may_be_a_secret_is_not_shown() {
    let of = |hook: &str, field: &str| {
        format!(
            "{OLD}[services.shop.rollout]\nhooks.expand = \"{hook}\"\n\
             smoke = [{{ path = \"/\", headers = {{ authorization = \"{field}\" }} }}]\n"
        )
    };
    let old = of("https://a.test/secret1", "secret2");
    let new = of("https://a.test/secret3", "secret4");
    assert_eq!(
        lines(&old, &new, &Live::default()),
        [
            "service shop: rollout.smoke[1].headers.authorization has another value",
            "service shop: rollout.hooks.expand.url is another address at https://a.test",
        ]
    );
    let before = lines(OLD, &new, &Live::default());
    assert_eq!(
        before,
        [
            "service shop: rollout.smoke[1] none → path /, headers.authorization set",
            "service shop: rollout.hooks.expand none → url https://a.test",
        ]
    );
}

#[test]
fn a_long_list_of_upstreams_is_compared_as_a_short_one() {
    // Each with each would take minutes.
    let list = |first: u32| {
        let one = |n: u32| format!("\"10.{}.{}.{}:80\"", n >> 16, n >> 8 & 255, n & 255);
        (first..first + 100_000).map(one).collect::<Vec<_>>().join(",")
    };
    let config = |first| {
        let text = format!(
            "[[listeners]]\naddress = \":80\"\n[services.a.pools.b]\nupstreams = [{}]\n",
            list(first)
        );
        Config::parse(&text).unwrap().0
    };
    let changes = diff(&config(1), &config(50_001), &Live::default());
    assert_eq!(changes.len(), 100_000);
}

#[test]
fn what_was_deployed_gives_way_to_another_list_and_not_to_the_same() {
    let key = (Arc::from("shop"), Arc::from("green"));
    let all = HashMap::from([("shop".into(), Split::all_to("green".into()))]);
    let live = Live {
        splits: all,
        upstreams: [(key.clone(), vec![("d:1".parse().unwrap(), 100)])].into(),
        deployed: [(key, "v42".to_string())].into(),
        ..Live::default()
    };
    assert_eq!(lines(OLD, &OLD.replace("c:1", "d:1"), &live), [""; 0]);
    assert_eq!(
        lines(OLD, &OLD.replace("c:1", "e:1"), &live),
        [
            "pool shop/green: upstream d:1 removed, with 100 % of the traffic",
            "pool shop/green: upstream e:1 added, gets 100 % of the traffic",
            "pool shop/green: v42, which was deployed there, gives way to the file's upstreams",
        ]
    );
    let emptied = lines(OLD, &OLD.replace("\"c:1\"", ""), &live);
    let moves = "service shop: split green=100 → blue=100, 100 % of its traffic moves";
    assert!(emptied.contains(&moves.to_string()), "{emptied:?}");
    // What is edited beside the list leaves it alone.
    let beside = OLD.replace("green.upstreams =", "green.http2 = true\ngreen.upstreams =");
    let beside = lines(OLD, &beside, &live);
    assert!(!beside.iter().any(|line| line.contains("gives way")), "{beside:?}");
}

#[test]
fn a_deploy_that_would_go_back_is_named() {
    let mut rollout = rollout_to_green();
    let upstreams = vec!["d:1".into()];
    rollout.deploy = Some(crate::rollout::Deploy { tag: None, upstreams });
    let key = (Arc::from("shop"), Arc::from("green"));
    let live = Live {
        rollouts: vec![rollout],
        upstreams: [(key.clone(), vec![("d:1".parse().unwrap(), 100)])].into(),
        deployed: [(key, "what rollout 3 has deployed".to_string())].into(),
        ..Live::default()
    };
    let ends = "service shop: rollout 3 to green at 0 % ends, and goes back".to_string();
    assert!(lines(OLD, &OLD.replace("c:1", "e:1"), &live).contains(&ends));
    assert!(!lines(OLD, &OLD.replace("c:1", "d:1"), &live).contains(&ends));
}
