//! How clients are told apart: the cookie that we set, and the flags that are on for them.

use std::collections::BTreeSet;

use crate::harness::chance::is_likely;
use crate::harness::client::{Response, get};
use crate::harness::edge::{HEAD, shop};
use crate::harness::{Client, Edge, Origin, Reply};

const OWN: &str = "sticky = { own_cookie = true }";

/// The name and value of the cookie that a response sets; panics unless it is one of ours.
fn cookie_of(response: &Response) -> String {
    let set = response.fields("set-cookie");
    let ours: Vec<_> = set.iter().filter(|line| line.starts_with("pointsman_cohort=")).collect();
    assert_eq!(ours.len(), 1, "{}", response.head);
    let (cookie, attributes) = ours[0].split_once("; ").unwrap();
    assert!(
        attributes.starts_with("Path=/; Max-Age=604800; HttpOnly; SameSite=Lax"),
        "{}",
        ours[0]
    );
    cookie.to_string()
}

async fn shift(edge: &Edge, green: u32) {
    let body = format!(r#"{{"weights": {{"blue": {}, "green": {green}}}}}"#, 100 - green);
    let (status, answer) = edge.admin("PUT", "/v1/services/shop/split", &body).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn our_cookie_is_set_once_and_keeps_a_client_on_its_pool_while_the_share_grows() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], OWN).await;
    let mut cookies = Vec::new();
    for _ in 0..60 {
        cookies.push(format!("cookie: theme=dark; {}", cookie_of(&edge.get(&[]).await)));
    }
    assert_eq!(cookies.iter().collect::<BTreeSet<_>>().len(), 60, "each client has its own");
    let mut on_green = BTreeSet::new();
    for share in [1, 50, 100] {
        shift(&edge, share).await;
        let before = std::mem::take(&mut on_green);
        for cookie in &cookies {
            let bodies = [edge.get(&[cookie]).await, edge.get(&[cookie]).await].map(|response| {
                assert_eq!(response.fields("set-cookie"), [""; 0], "it has one");
                response.body
            });
            assert_eq!(bodies[0], bodies[1]);
            if bodies[0] == "green" {
                on_green.insert(cookie);
            }
        }
        assert!(before.is_subset(&on_green), "somebody was sent back at {share} %");
        let is_divided = !on_green.is_empty() && on_green.len() < 60;
        assert!(share != 50 || is_divided, "{} of 60 at a half", on_green.len());
    }
    assert_eq!(on_green.len(), 60);
}

#[tokio::test]
async fn a_first_request_goes_where_those_after_it_go() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let service = format!("split = {{ blue = 50, green = 50 }}\n{OWN}");
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], &service).await;
    let mut seen = BTreeSet::new();
    for _ in 0..40 {
        let first = edge.get(&[]).await;
        let second = edge.get(&[&format!("cookie: {}", cookie_of(&first))]).await;
        assert_eq!(first.body, second.body);
        seen.insert(first.body);
    }
    assert_eq!(seen.len(), 2, "40 clients on two halves");
}

#[tokio::test]
async fn a_forged_cookie_is_replaced_and_counts_for_nothing() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let service = format!("split = {{ blue = 50, green = 50 }}\n{OWN}");
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], &service).await;
    let ours = cookie_of(&edge.get(&[]).await);
    let last = if ours.ends_with('A') { "B" } else { "A" };
    let forged = [format!("{}{last}", &ours[..ours.len() - 1]), "pointsman_cohort=x".to_string()];
    for forged in forged {
        let field = format!("cookie: {forged}");
        let mut seen = BTreeSet::new();
        for _ in 0..40 {
            let response = edge.get(&[&field]).await;
            assert_ne!(cookie_of(&response), forged);
            seen.insert(response.body);
        }
        assert_eq!(seen.len(), 2, "each answer is to a new client");
    }
    let both = format!("cookie: pointsman_cohort=x; {ours}");
    assert_eq!(edge.get(&[&both]).await.fields("set-cookie"), [""; 0]);
}

#[tokio::test]
async fn whoever_is_recognised_otherwise_or_names_a_pool_gets_no_cookie() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let service = "sticky = { header = \"x-user\", cookie = \"sid\", own_cookie = \"who\" }\n\
                   override = { header = \"x-pointsman-pool\" }";
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], service).await;
    let set = edge.get(&[]).await;
    assert!(set.fields("set-cookie")[0].starts_with("who="), "{}", set.head);
    let cookie = set.fields("set-cookie")[0].split(';').next().unwrap();
    for fields in [["x-user: 1"], ["cookie: sid=1"]] {
        assert_eq!(edge.get(&fields).await.fields("set-cookie"), [""; 0]);
    }
    // With nothing on green its cohort says blue.
    let tester = ["x-pointsman-pool: green", &format!("cookie: {cookie}")];
    for fields in [&tester[..], &tester[..1]] {
        let response = edge.get(fields).await;
        assert_eq!((response.fields("set-cookie").len(), &*response.body), (0, "green"));
    }
}

#[tokio::test]
async fn our_cookie_stands_beside_the_upstreams_and_on_no_answer_of_our_own() {
    let origin = Origin::always(Reply::head("200 OK", &["set-cookie: sid=1"], "blue")).await;
    let edge = Edge::before(&[("blue", &origin)], OWN).await;
    let response = edge.get(&[]).await;
    assert_eq!(response.fields("set-cookie").len(), 2);
    assert!(response.fields("set-cookie").contains(&"sid=1"));
    cookie_of(&response);
    let path = format!("/v1/services/shop/pools/blue/upstreams/{}/state", origin.address);
    assert_eq!(edge.admin("PUT", &path, r#"{"state": "drain", "force": true}"#).await.0, 200);
    let refused = edge.get(&[]).await;
    assert_eq!((refused.status, refused.fields("set-cookie").len()), (503, 0));
}

#[tokio::test]
async fn a_retrys_answer_brings_the_cookie() {
    let bad = Origin::always(Reply::head("503 Service Unavailable", &[], "bad")).await;
    let good = Origin::named("good").await;
    let edge = Edge::start(&format!(
        "[services.shop]\n{OWN}\nretries = {{ statuses = [503] }}\n\
         [services.shop.pools]\nblue.upstreams = [\"{}\", \"{}\"]\n",
        bad.address, good.address
    ))
    .await;
    for nth in 0.. {
        let response = edge.get(&[]).await;
        assert_eq!(&*response.body, "good");
        cookie_of(&response);
        if bad.asked() > 0 {
            break;
        }
        assert!(nth < 100, "of two upstreams one is never asked");
    }
}

#[tokio::test]
async fn what_is_kept_for_all_has_nobodys_cookie() {
    let origin = Origin::always(Reply::head("200 OK", &["cache-control: public"], "blue")).await;
    let service = format!("{OWN}\nfallback = {{ stale = {{ bytes = 1_000_000, age = \"10m\" }} }}");
    let edge = Edge::before(&[("blue", &origin)], &service).await;
    cookie_of(&edge.get(&[]).await);
    let breaker = "/v1/services/shop/pools/blue/breaker";
    assert_eq!(edge.admin("PUT", breaker, r#"{"state": "open"}"#).await.0, 200);
    let kept = edge.get(&[]).await;
    assert_eq!((kept.status, kept.fields("x-pointsman-fallback")), (200, vec!["stale"]));
    assert_eq!(kept.fields("set-cookie"), [""; 0]);
}

#[tokio::test]
async fn a_response_with_our_cookie_is_kept_by_no_shared_cache() {
    let fields =
        ["cache-control: public, max-age=60, s-maxage=600", "cdn-cache-control: max-age=9"];
    let origin = Origin::always(Reply::head("200 OK", &fields, "blue")).await;
    let edge = Edge::before(&[("blue", &origin)], OWN).await;
    let first = edge.get(&[]).await;
    let cookie = format!("cookie: {}", cookie_of(&first));
    assert_eq!(first.fields("cache-control"), ["private, max-age=60"]);
    assert_eq!(first.fields("cdn-cache-control"), [""; 0]);
    let second = edge.get(&[&cookie]).await;
    assert_eq!(second.fields("set-cookie"), [""; 0]);
    assert_eq!(second.fields("cache-control"), ["public, max-age=60, s-maxage=600"]);
    assert_eq!(second.fields("cdn-cache-control"), ["max-age=9"]);
}

#[tokio::test]
async fn the_cookie_is_secure_when_a_trusted_proxy_says_https() {
    let origin = Origin::named("blue").await;
    let lines = shop(&[("blue", &origin)], OWN);
    let trusting = HEAD.replace("workers = 2", "workers = 2\ntrusted_proxies = [\"127.0.0.0/8\"]");
    for (head, proto, is_secure) in [
        (HEAD, "https", false),
        (&trusting, "https", true),
        (&trusting, "http", false),
        (&trusting, "wss", true),
        (&trusting, "ws", false),
    ] {
        let edge = Edge::start_file(&format!("{head}{lines}"), false).await;
        let response = edge.get(&[&format!("x-forwarded-proto: {proto}")]).await;
        let ends = response.fields("set-cookie")[0].ends_with("; Secure");
        assert_eq!(ends, is_secure, "{proto} {}", response.head);
    }
}

fn flag(percent: u32) -> String {
    format!("[flags.new_checkout]\npercent = {percent}\nservices = [\"shop\"]\n")
}

#[tokio::test]
async fn a_client_cannot_claim_a_flag() {
    let claims = [
        &["x-feature-flags: admin", "X-Feature-Flags: new_checkout"][..],
        &["x-feature-flags: admin", "connection: x-feature-flags"],
        &[],
    ];
    let two = "[flags.beta]\npercent = 100\nservices = \"shop\"\n";
    for (flags, told) in [
        (String::new(), vec![]),
        (flag(0), vec![]),
        (flag(100), vec!["new_checkout"]),
        (flag(100) + two, vec!["beta,new_checkout"]),
        ("[flags.new_checkout]\npercent = 100\nservices = []\n".to_string(), vec![]),
    ] {
        let origin = Origin::named("blue").await;
        let edge = Edge::start(&(shop(&[("blue", &origin)], "") + &flags)).await;
        for fields in claims {
            assert_eq!(edge.get(fields).await.status, 200);
        }
        let received = origin.received();
        assert_eq!(received.len(), claims.len());
        for request in received {
            assert_eq!(request.fields("x-feature-flags"), told, "{flags} {}", request.head);
        }
    }
}

/// The users, of so many, whose requests carry the flag; asks for each twice.
async fn flagged(edge: &Edge, origin: &Origin, users: usize) -> BTreeSet<usize> {
    let before = origin.received().len();
    let mut client = Client::connect(edge.address).await;
    for user in (0..users).chain(0..users) {
        client.send(format!("GET / HTTP/1.1\r\nhost: shop.test\r\nx-user: {user}\r\n\r\n")).await;
        assert_eq!(client.response().await.status, 200);
    }
    let requests = origin.received().split_off(before);
    let on = |range: std::ops::Range<usize>| -> BTreeSet<usize> {
        let flagged = requests[range].iter().enumerate().filter(|(_, request)| {
            let told = request.fields("x-feature-flags");
            assert!(told.is_empty() || told == ["new_checkout"], "{told:?}");
            !told.is_empty()
        });
        flagged.map(|(user, _)| user).collect()
    };
    let (once, again) = (on(0..users), on(users..2 * users));
    assert_eq!(once, again, "a client's flags are stable");
    once
}

#[tokio::test]
async fn a_flag_is_on_for_a_stable_share_that_only_grows() {
    const USERS: usize = 400;
    let origin = Origin::named("blue").await;
    let lines = shop(&[("blue", &origin)], "sticky = { header = \"x-user\" }");
    let edge = Edge::start_file(&format!("{HEAD}{lines}{}", flag(25)), false).await;
    let quarter = flagged(&edge, &origin, USERS).await;
    // The secret is another in each run.
    let is_share = |on: usize, share| is_likely(on as u64, USERS as u64, share);
    assert!(is_share(quarter.len(), 0.25), "{} of {USERS}", quarter.len());
    std::fs::write(edge.file(), format!("{HEAD}{lines}{}", flag(60))).unwrap();
    let (status, answer) = edge.admin("POST", "/v1/config/reload", "").await;
    assert_eq!(status, 200, "{answer}");
    let more = flagged(&edge, &origin, USERS).await;
    assert!(quarter.is_subset(&more), "a flag was taken from somebody");
    assert!(is_share(more.len(), 0.6), "{} of {USERS}", more.len());
}

#[tokio::test]
async fn without_a_key_a_flag_is_drawn_for_each_request() {
    let origin = Origin::named("blue").await;
    let edge = Edge::start(&(shop(&[("blue", &origin)], "") + &flag(50))).await;
    for _ in 0..100 {
        edge.get(&[]).await;
    }
    let told =
        |request: &crate::harness::origin::Received| !request.fields("x-feature-flags").is_empty();
    let on = origin.received().iter().filter(|request| told(request)).count();
    assert!(is_likely(on as u64, 100, 0.5), "{on} of 100");
}

#[tokio::test]
async fn what_only_those_with_a_flag_are_shown_is_not_kept_for_all() {
    let origin = Origin::always(Reply::head("200 OK", &["cache-control: public"], "blue")).await;
    // Without a key it is drawn for each.
    let service = "fallback = { stale = { bytes = 1_000_000, age = \"10m\" } }";
    let edge = Edge::start(&(shop(&[("blue", &origin)], service) + &flag(50))).await;
    let ask = async |user: usize| get(edge.address, "shop.test", &format!("/{user}"), &[]).await;
    for user in 0..40 {
        assert_eq!(ask(user).await.status, 200);
    }
    let breaker = "/v1/services/shop/pools/blue/breaker";
    assert_eq!(edge.admin("PUT", breaker, r#"{"state": "open"}"#).await.0, 200);
    let mut flagged = 0;
    for (user, request) in origin.received().iter().enumerate() {
        let is_flagged = !request.fields("x-feature-flags").is_empty();
        flagged += u32::from(is_flagged);
        assert_eq!(ask(user).await.status, if is_flagged { 503 } else { 200 }, "user {user}");
    }
    assert!((1..40).contains(&flagged), "{flagged} of 40");
}
