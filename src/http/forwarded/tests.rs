use super::*;
use crate::http::edits::Edit;
use http::HeaderMap;

const STRIPPED: HeaderName = HeaderName::from_static("x-tenant");

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for &(name, value) in fields {
        headers.append(name, value.parse().unwrap());
    }
    headers
}

/// These, and `unix` for whoever has no address.
fn trusted(networks: &[&str]) -> TrustedProxies {
    let (unix, networks): (Vec<&str>, Vec<&str>) =
        networks.iter().partition(|network| **network == "unix");
    let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    TrustedProxies { networks, unix: !unix.is_empty(), strip: vec![STRIPPED] }
}

fn peer(peer: &str, scheme: &'static str) -> Peer {
    match peer {
        "unix" => Peer::unix(scheme, Instant::now()),
        "gone" => Peer::without_address(scheme, Instant::now()),
        address => Peer::new(address.parse().unwrap(), scheme, Instant::now()),
    }
}

fn edited(fields: &[(&'static str, &str)], from: &str, networks: &[&str]) -> Vec<String> {
    let mut edits = Edits::default();
    let headers = headers(fields);
    let (fields, host) = (Fields::new(&headers), Some(Text::Host));
    edit(&fields, &peer(from, "http"), &trusted(networks), host, &mut edits);
    let line = |edit: &Edit| match edit {
        Edit::Set(id, Text::Own(value)) => {
            format!("{}: {}", id.name(), value.to_str().unwrap())
        }
        Edit::Set(id, text) => format!("{}: {text:?}", id.name()),
        Edit::Remove(id) => format!("-{}", id.name()),
        Edit::RemoveNamed(name) => format!("-{name}"),
        Edit::DropOddNames => "-odd names".into(),
        Edit::Add(name, _) => format!("+{name}"),
    };
    edits.list().iter().map(line).collect()
}

const CLAIMED: [(&str, &str); 5] = [
    ("host", "shop.test"),
    ("x-forwarded-for", "203.0.113.1"),
    ("x-forwarded-for", "10.0.0.9"),
    ("x-forwarded-proto", "https"),
    ("x-real-ip", "203.0.113.1"),
];

#[test]
fn a_stranger_is_not_believed() {
    assert_eq!(
        edited(&CLAIMED, "192.0.2.1", &["10.0.0.0/8"]),
        [
            "x-forwarded-for: Peer",
            "x-forwarded-proto: Scheme",
            "x-forwarded-host: Host",
            "-x-real-ip",
        ]
    );
}

#[test]
fn what_only_a_proxy_may_say_goes_on_from_one_alone() {
    let claimed = [
        ("host", "shop.test"),
        ("x-forwarded-prefix", "/evil"),
        ("x-original-url", "/admin"),
        ("x-tenant", "other"),
        ("x_tenant", "other"),
        ("x_feature_flags", "beta"),
        ("x-user-id", "7"),
    ];
    let own = ["x-forwarded-for: Peer", "x-forwarded-proto: Scheme", "x-forwarded-host: Host"];
    let mut gone = edited(&claimed, "192.0.2.1", &["10.0.0.0/8"]).split_off(3);
    gone.sort();
    let both = ["-x-tenant", "-x_feature_flags", "-x_tenant"];
    assert_eq!(gone, [&["-x-forwarded-prefix", "-x-original-url"], &both[..]].concat());
    assert_eq!(edited(&claimed, "gone", &["unix"]).len(), 2 + 5);
    let own: Vec<&str> = own.into_iter().chain(["-x_feature_flags"]).collect();
    assert_eq!(edited(&claimed, "10.0.0.1", &["10.0.0.0/8"]), own);
}

#[test]
fn a_host_that_nobody_asked_for_is_not_believed_of_a_stranger() {
    let said = |from: &str| {
        let mut edits = Edits::default();
        let headers = headers(&[("x-forwarded-host", "evil.test")]);
        let trusted = trusted(&["10.0.0.0/8"]);
        edit(&Fields::new(&headers), &peer(from, "http"), &trusted, None, &mut edits);
        let of_host = |edit: &&Edit| matches!(edit, Edit::Remove(FieldId::ForwardedHost));
        edits.list().iter().filter(of_host).count()
    };
    assert_eq!((said("192.0.2.1"), said("10.0.0.1")), (1, 0));
}

#[test]
fn a_trusted_proxy_is_believed_and_added() {
    assert_eq!(
        edited(&CLAIMED, "10.0.0.1", &["10.0.0.0/8"]),
        ["x-forwarded-for: 203.0.113.1, 10.0.0.9, 10.0.0.1", "x-forwarded-host: Host"]
    );
}

#[test]
fn who_has_no_address_adds_none_and_is_given_none() {
    let rest = ["x-forwarded-proto: Scheme", "x-forwarded-host: Host"];
    let claims_gone = ["-x-forwarded-for", rest[0], rest[1], "-x-real-ip"];
    assert_eq!(edited(&CLAIMED, "unix", &["0.0.0.0/0"]), claims_gone, "no network has it");
    assert_eq!(edited(&CLAIMED, "gone", &["unix"]), claims_gone);
    assert_eq!(edited(&CLAIMED, "unix", &["unix"]), rest[1..], "the chain stays as it came");
    assert_eq!(edited(&[("host", "shop.test")], "unix", &["unix"]), rest);
}

#[test]
fn tls_is_what_the_connection_has_or_a_trusted_proxy_says() {
    let trusted = trusted(&["10.0.0.0/8", "unix"]);
    let is_https = |told: Option<&str>, peer: &str, scheme| {
        let told: Vec<_> = told.iter().map(|told| ("x-forwarded-proto", *told)).collect();
        super::is_https(&Fields::new(&headers(&told)), &self::peer(peer, scheme), &trusted)
    };
    assert!(is_https(None, "192.0.2.1", "https") && !is_https(None, "192.0.2.1", "http"));
    assert!(!is_https(Some("https"), "192.0.2.1", "http"), "a stranger is not believed");
    assert!(is_https(Some("HTTPS, http"), "10.0.0.1", "http"));
    assert!(!is_https(Some("http"), "10.0.0.1", "https"), "the client's end is in the clear");
    assert!(
        is_https(Some("wss"), "10.0.0.1", "http") && is_https(Some("WSS, http"), "unix", "http")
    );
    assert!(
        !is_https(Some("ws"), "10.0.0.1", "https") && !is_https(Some("wss"), "192.0.2.1", "http")
    );
    assert!(is_https(None, "10.0.0.1", "https") && is_https(Some("https"), "unix", "http"));
}

#[test]
fn the_client_is_the_last_hop_that_is_not_ours() {
    let trusted = trusted(&["10.0.0.0/8", "unix"]);
    let of = |hops: &str, from: &str| {
        let (headers, peer) = (headers(&[("x-forwarded-for", hops)]), peer(from, "http"));
        let Client { address, is_doubtful } = client(&Fields::new(&headers), &peer, &trusted);
        let address = address.map_or("nobody".into(), |address| address.to_string());
        format!("{address}{}", if is_doubtful { "?" } else { "" })
    };
    assert_eq!(of("203.0.113.1, 10.0.0.9", "unix"), "203.0.113.1");
    assert_eq!(
        (of("_hidden", "unix"), of("203.0.113.1", "gone")),
        ("nobody?".into(), "nobody".into())
    );
    assert_eq!(of("198.51.100.7, 203.0.113.1, 10.0.0.9", "10.0.0.1"), "203.0.113.1");
    assert_eq!(of("203.0.113.1", "192.0.2.1"), "192.0.2.1");
    assert_eq!(of("10.0.0.7", "10.0.0.1"), "10.0.0.7");
    assert_eq!(of("203.0.113.1, unknown, 10.0.0.9", "10.0.0.1"), "10.0.0.9?");
    for (written, client) in [
        ("203.0.113.9:5123", "203.0.113.9"),
        ("\"203.0.113.9:5123\"", "203.0.113.9"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("\"[2001:db8::1]:443\"", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        (" \t203.0.113.9 ", "203.0.113.9"),
        ("10.0.0.7:80, 10.0.0.8:81", "10.0.0.7"),
        ("203.0.113.9:", "10.0.0.1?"),
        ("203.0.113.9:70000", "10.0.0.1?"),
        ("[2001:db8::1", "10.0.0.1?"),
        ("[203.0.113.9]:80", "10.0.0.1?"),
        ("_hidden", "10.0.0.1?"),
        ("", "10.0.0.1?"),
    ] {
        assert_eq!(of(written, "10.0.0.1"), client, "{written}");
    }
}
