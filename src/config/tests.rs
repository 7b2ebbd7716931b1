use super::*;

const SMALL: &str = r#"
[[listeners]]
address = "127.0.0.1:8080"

[[routes]]
hosts = ["shop.example.com", "*.shop.example.com"]
path_prefix = "/"
service = "shop"

[services.shop]
split = { blue = 99.5, green = 0.5 }
sticky = { cookie = "sid", client_ip = true }
override = { header = "x-pointsman-pool", from = ["127.0.0.0/8"] }

[services.shop.pools.blue]
upstreams = ["10.0.0.11:9000", { address = "shop.internal:9000", weight = 200 }]

[services.shop.pools.green]
upstreams = ["unix:/run/green.sock"]
"#;

fn problems(text: &str) -> Vec<String> {
    let found = match Config::parse(text) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    };
    found.lines(text, "t")
}

#[test]
fn a_small_file_becomes_values() {
    let (config, warnings) = Config::parse(SMALL).map_err(|p| p.render(SMALL, "t", false)).unwrap();
    assert_eq!(warnings, Problems::default());
    let shop = config.service("shop").unwrap();
    assert_eq!(shop.split.to_string(), "blue=99.5 green=0.5");
    assert_eq!(shop.pool("blue").unwrap().upstreams[1].1, 200);
    assert_eq!(shop.sticky.keys.len(), 2);
    assert_eq!(config.admin.address.to_string(), "127.0.0.1:9900");
    assert_eq!(config.service("shop").unwrap().timeouts, Timeouts::default());
    assert_eq!(config.routes[0].hosts.len(), 2);
}

#[test]
fn every_problem_of_a_file_is_reported_at_once_with_its_place() {
    let text = SMALL
        .replace("path_prefix", "path_prefx")
        .replace("service = \"shop\"", "service = \"shpo\"")
        .replace("green = 0.5", "green = 0.6")
        .replace("10.0.0.11:9000", "10.0.0.11")
        .replace("weight = 200", "weight = -1");
    assert_eq!(
        problems(&text),
        [
            "t:7:1: unknown key `path_prefx` in `routes`",
            "t:8:11: bad value for `service`",
            "t:11:9: the split does not add up",
            "t:16:14: bad value for `upstreams`",
            "t:16:70: `weight` is out of range",
        ]
    );
}

#[test]
fn the_picture_has_line_caret_and_suggestion() {
    let text = SMALL.replace("upstreams = [\"unix", "upstreems = [\"unix");
    let problems = Config::parse(&text).unwrap_err();
    let picture = problems.render(&text, "pointsman.toml", false);
    assert!(picture.contains("error: unknown key `upstreems` in `pools.green`"), "{picture}");
    assert!(picture.contains("--> pointsman.toml:19:1"), "{picture}");
    assert!(picture.contains("^^^^^^^^^ did you mean `upstreams`?"), "{picture}");
}

#[test]
fn broken_toml_is_placed() {
    let lines = problems("[server]\nworkers = \ndrain = \"30s\nx = 1\n");
    let places: Vec<_> = lines.iter().map(|line| &line[..4]).collect();
    assert_eq!(places, ["t:2:", "t:3:"], "{lines:?}");
}

#[test]
fn one_mistake_one_message() {
    let cases = [
        (
            "address = \"127.0.0.1:8080\"",
            "address = \"nowhere\"",
            "t:3:11: bad value for `address`",
        ),
        ("path_prefix = \"/\"", "path_prefix = \"api\"", "t:7:15: bad value for `path_prefix`"),
        ("\"*.shop.example.com\"", "\"*\"", "t:6:30: bad value for `hosts`"),
        ("blue = 99.5", "bleu = 99.5", "t:11:11: no pool is named `bleu`"),
        ("blue = 99.5", "blue = 99.555", "t:11:18: bad share for pool `blue`"),
        ("cookie = \"sid\"", "own_cookie = true", "t:12:43: `client_ip` is never reached"),
        (
            "cookie = \"sid\", client_ip = true",
            "cookie = \"sid\", own_cookie = \"sid\"",
            "t:12:41: `own_cookie` has the name of `cookie`",
        ),
        (
            "cookie = \"sid\", client_ip = true",
            "own_cookie = 5",
            "t:12:25: `own_cookie` must be `true`, `false` or a cookie's name",
        ),
        (
            "cookie = \"sid\", client_ip = true",
            "own_cookie = \"a b\"",
            "t:12:25: bad value for `own_cookie`",
        ),
        ("cookie = \"sid\"", "cookie = 5", "t:12:21: `cookie` must be a text in quotes"),
        (
            "[\"unix:/run/green.sock\"]",
            "[]",
            "t:11:32: pool `green` gets traffic but has no upstreams",
        ),
        (
            "[\"unix:/run/green.sock\"]",
            "[\"a:1\", \"A:1\"]",
            "t:19:21: upstream `a:1` is listed twice in its pool",
        ),
    ];
    for (from, to, message) in cases {
        let text = SMALL.replacen(from, to, 1);
        assert_ne!(text, SMALL, "{from}");
        let errors: Vec<_> = problems(&text);
        assert_eq!(errors, [message], "{to}");
    }
}

#[test]
fn an_admin_address_others_can_reach_needs_a_token() {
    let open = format!("{SMALL}\n[admin]\naddress = \"0.0.0.0:9900\"\n");
    assert_eq!(problems(&open), ["t:22:11: this admin address can be reached from other machines"]);
    let guarded = format!("{open}token_file = \"admin.token\"\n");
    assert_eq!(problems(&guarded), [""; 0]);
}

#[test]
fn routes_that_tie_are_shown_together() {
    let twice = SMALL.replace(
        "[services.shop]",
        "[[routes]]\nhosts = [\"shop.example.com\"]\nservice = \"shop\"\n\n[services.shop]",
    );
    let problems = Config::parse(&twice).unwrap_err();
    let tie = &problems.0[0];
    assert_eq!(tie.position(&twice), Some((10, 1)));
    assert!(tie.other.is_some() && problems.0.len() == 1, "{problems:?}");
}

#[test]
fn an_empty_file_says_what_is_missing() {
    assert_eq!(
        problems(""),
        [
            "t: no listener: nothing would be accepted",
            "t: no service: there is nowhere to send requests"
        ]
    );
}

#[test]
fn one_service_needs_no_route_and_one_pool_no_split() {
    let text =
        "[[listeners]]\naddress = \":8080\"\n[services.a.pools.only]\nupstreams = [\"a:1\"]\n";
    let (config, warnings) = Config::parse(text).unwrap();
    assert_eq!(warnings, Problems::default());
    assert_eq!(config.routes[0].service, Some(0));
    assert_eq!(config.services[0].split.to_string(), "only=100");
    assert_eq!(config.listeners[0].to_string(), "0.0.0.0:8080");
}

#[test]
fn the_state_folder_takes_effect_at_the_next_start() {
    let with = |server: &str| format!("[server]\n{server}\n{SMALL}");
    let (named, _) = Config::parse(&with("state_dir = \"state\"")).unwrap();
    assert_eq!(named.server.state_dir, Some(PathBuf::from("state")));
    let (usual, _) = Config::parse(SMALL).unwrap();
    assert_eq!(usual.server.state_dir, None);
    let changes: Vec<String> =
        diff(&usual, &named, &Live::default()).iter().map(ToString::to_string).collect();
    assert_eq!(changes, ["server: state_dir the usual one → state (after a restart)"]);
    assert_eq!(problems(&with("state_dir = \"\"")), ["t:2:13: bad value for `state_dir`"]);
    assert_eq!(
        problems(&with("state_dir = true")),
        ["t:2:13: `state_dir` must be a text in quotes"]
    );
}

#[test]
fn name_servers_are_addresses_with_or_without_a_port() {
    let with = |list: &str| format!("[server]\nresolvers = [{list}]\n{SMALL}");
    let (config, _) = Config::parse(&with(r#""10.0.0.2", "[::1]:5353""#)).unwrap();
    let expected: [SocketAddr; 2] = ["10.0.0.2:53".parse().unwrap(), "[::1]:5353".parse().unwrap()];
    assert_eq!(config.server.resolvers, expected);
    let (other, _) = Config::parse(SMALL).unwrap();
    let changes: Vec<String> =
        diff(&config, &other, &Live::default()).iter().map(ToString::to_string).collect();
    assert_eq!(changes, ["server: resolvers 10.0.0.2,[::1]:5353 → none"]);
    assert_eq!(
        problems(&with(r#""dns.internal", "10.0.0.2:0""#)),
        ["t:2:14: bad value for `resolvers`", "t:2:30: bad value for `resolvers`"]
    );
}

#[test]
fn a_wait_between_bytes_may_have_no_end_and_a_time_out_may_not() {
    let with =
        |timeouts: &str| SMALL.to_string() + &format!("[services.shop.timeouts]\n{timeouts}\n");
    let (config, _) = Config::parse(&with("idle = \"never\"\nstream_idle = \"1h\"")).unwrap();
    let service = &config.services.iter().find(|service| &*service.name == "shop").unwrap();
    let timeouts = service.timeouts;
    assert_eq!(timeouts.idle, std::time::Duration::MAX);
    assert_eq!(timeouts.stream_idle, std::time::Duration::from_secs(3_600));
    for refused in ["response = \"never\"", "idle = \"2d\"", "idle = \"Never\"", "idle = \"0s\""] {
        assert!(Config::parse(&with(refused)).is_err(), "{refused}");
    }
}

#[test]
fn labels_are_few_and_short_and_what_is_preferred_is_our_own() {
    let of = |server: &str, service: &str, labels: &str| {
        let text = format!(
            "[server]\n{server}\n[[listeners]]\naddress = \":80\"\n[services.a]\n{service}\n\
             [services.a.pools.b]\nupstreams = [{{ address = \"a:1\", labels = {labels} }}]\n"
        );
        Config::parse(&text).map(|(config, _)| config).map_err(|p| p.lines(&text, "t"))
    };
    let config = of("labels = { zone = \"a\" }", "balance.prefer = \"zone\"", "{ zone = \"a\" }");
    let config = config.unwrap();
    let service = &config.services[0];
    let prefer = service.stability.balance.prefer.as_ref().unwrap();
    assert!(service.pools[0].labels.values().next().unwrap().has(prefer));
    let problem = |server: &str, service: &str, labels: &str| {
        of(server, service, labels).unwrap_err().remove(0)
    };
    let nine: Vec<String> = (0..9).map(|n| format!("l{n} = \"x\"")).collect();
    let many = problem("", "", &format!("{{ {} }}", nine.join(", ")));
    assert!(many.contains("9 labels are too many"), "{many}");
    for bad in ["{ Zone = \"a\" }", "{ zone = \"\" }", "{ zone = 1 }"] {
        assert!(problem("", "", bad).contains("bad label"), "{bad}");
    }
    assert!(problem("", "", "\"zone\"").contains("must be a table"));
    let nobody = of("", "balance.prefer = \"zone\"", "{ zone = \"a\" }").unwrap();
    assert_eq!(nobody.services[0].stability.balance.prefer, None, "a warning alone");
    let taken = problem("metric_labels = [\"pool\"]", "", "{}");
    assert!(taken.contains("metric_labels"), "{taken}");
}

#[test]
fn a_diff_tells_labels_that_change() {
    let of = |labels: &str| {
        let text = format!(
            "[[listeners]]\naddress = \":80\"\n[services.a.pools.b]\n\
             upstreams = [{{ address = \"a:1\"{labels} }}]\n"
        );
        Config::parse(&text).unwrap().0
    };
    let told = diff(&of(""), &of(", labels = { zone = \"a\" }"), &Live::default());
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["pool a/b: upstream a:1 labels none → zone=a"]);
}

#[test]
fn no_service_is_called_like_what_counts_requests_of_none() {
    let of = |name: &str| {
        let text = format!(
            "[[listeners]]\naddress = \":80\"\n[services.{name}.pools.b]\nupstreams = [\"a:1\"]\n"
        );
        Config::parse(&text).map(|_| ()).map_err(|problems| problems.lines(&text, "t"))
    };
    for name in ["_redirect", "_answer", "_unmatched"] {
        let told = of(name).unwrap_err();
        assert!(
            told[0].starts_with(&format!("t:3:11: `{name}` is no name for a service")),
            "{told:?}"
        );
    }
    for name in ["_redirects", "redirect", "_", "_Answer"] {
        assert_eq!(of(name), Ok(()), "{name}");
    }
}
