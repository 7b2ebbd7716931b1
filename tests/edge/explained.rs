//! `why` and `explain`: what happened to one request, and what would become of another.

use crate::cli::pointsman;
use crate::harness::edge::shop_at;
use crate::harness::running::free;
use crate::harness::{Edge, Origin, until};

/// Asks under an id, and waits until that is remembered.
async fn ask(edge: &Edge, id: &str) -> u16 {
    let status = edge.get(&[&format!("x-request-id: {id}")]).await.status;
    let path = format!("/v1/requests/{id}");
    until("the request is remembered", async || edge.admin("GET", &path, "").await.0 == 200).await;
    status
}

#[tokio::test]
async fn why_tells_of_each_attempt_and_of_what_was_refused() {
    let origin = Origin::named("blue").await;
    let nobody = free();
    let turns = "balance.by = \"round-robin\"";
    let edge = Edge::start(&shop_at(&[("blue", &[origin.address, nobody])], turns)).await;
    let admin = edge.admin.to_string();
    let why = async |id: &str, more: &[&str]| {
        pointsman(&[&["why", id, "--admin", &admin], more].concat()).await
    };
    // Of two in turn the second meets the upstream that is not there.
    let mut tries = Vec::new();
    for id in ["one", "two"] {
        assert_eq!(ask(&edge, id).await, 200);
        let (_, kept) = edge.admin("GET", &format!("/v1/requests/{id}"), "").await;
        tries.push((kept["attempts"].as_array().unwrap().len(), id));
    }
    tries.sort();
    assert_eq!([tries[0].0, tries[1].0], [1, 2], "{tries:?}");
    let told = why(tries[1].1, &[]).await;
    assert_eq!((told.code, &*told.err), (0, ""));
    for part in [
        "GET shop.test/ HTTP/1.1 from 127.0.0.1",
        "It came by route 1 of service shop at revision 1.",
        "It belonged to pool blue, by ",
        "It was answered with 200 after ",
        "It was tried 2 times:",
        &format!("blue/{nobody}"),
        &format!("blue/{}", origin.address),
        "connect_error: the upstream could not be reached; see that something listens",
    ] {
        assert!(told.out.contains(part), "{part}\n{}", told.out);
    }

    let breaker = "/v1/services/shop/pools/blue/breaker";
    assert_eq!(edge.admin("PUT", breaker, r#"{"state": "open"}"#).await.0, 200);
    assert_eq!(ask(&edge, "refused").await, 503);
    let told = why("refused", &[]).await;
    for part in [
        "with 503 after ",
        ": breaker_open, the service is not available for a moment.\nWhat to do: see why its pool",
        "It came by route 1 of service shop at revision 1.\nIt belonged to pool blue, by ",
        "No upstream was asked.",
        "Not taken at the end:",
        "  pool breaker open",
    ] {
        assert!(told.out.contains(part), "{part}\n{}", told.out);
    }
    // It was one time at which it came, however often it is told.
    let json = why("refused", &["--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    let (_, kept) = edge.admin("GET", "/v1/requests/refused", "").await;
    assert_eq!(json, kept);
}

#[tokio::test]
async fn why_says_that_a_request_is_gone_and_obeys_no_odd_bytes() {
    let origin = Origin::named("blue").await;
    let edge = Edge::before(&[("blue", &origin)], "").await;
    let admin = edge.admin.to_string();
    let none = pointsman(&["why", "odd/\u{1b}[2J", "--admin", &admin]).await;
    assert_eq!((none.code, &*none.out), (1, ""));
    let said = "request `odd/\u{fffd}[2J` is not remembered: no request is at the moment \
                (`server.remember`)";
    assert!(none.err.contains(said), "{}", none.err);
    ask(&edge, "one").await;
    let gone = pointsman(&["why", "another", "--admin", &admin]).await;
    assert_eq!(gone.code, 1);
    let said = "request `another` is not remembered: one is, from ";
    assert!(gone.err.contains(said), "{}", gone.err);
}

#[tokio::test]
async fn explain_tells_where_a_request_would_go_and_counts_nothing() {
    let origin = Origin::named("blue").await;
    let edge =
        Edge::before(&[("blue", &origin)], "rate_limit = { requests = 1, per = \"1h\" }").await;
    let admin = edge.admin.to_string();
    let explain =
        async |args: &[&str]| pointsman(&[&["explain", "--admin", &admin], args].concat()).await;
    for _ in 0..3 {
        let told = explain(&["http://shop.test/a?b=1", "-H", "x-a: 1", "-X", "POST"]).await;
        assert_eq!((told.code, &*told.err), (0, ""));
        for part in [
            "shop.test/a comes by route 1 of the file",
            "It goes to service shop at revision 1.",
            "Its client's rate is limited there, which was not looked at.",
            &format!("It goes to upstream blue/{}.", origin.address),
        ] {
            assert!(told.out.contains(part), "{part}\n{}", told.out);
        }
    }
    assert_eq!(origin.received().len(), 0);
    assert_eq!(edge.admin("GET", "/v1/requests", "").await.1, serde_json::json!([]));
    // The one that is let in in this hour is still to come.
    assert_eq!(edge.get(&[]).await.status, 200);

    let breaker = "/v1/services/shop/pools/blue/breaker";
    assert_eq!(edge.admin("PUT", breaker, r#"{"state": "open"}"#).await.0, 200);
    let told = explain(&["http://shop.test/", "--json"]).await;
    let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((&told["status"], &told["cause"]), (&503.into(), &"breaker_open".into()));
    assert_eq!(told["not_taken"][0]["why"], "pool breaker open");

    let held = "/v1/services/shop/mode";
    assert_eq!(edge.admin("PUT", held, r#"{"mode": "hold", "for": "5m"}"#).await.0, 200);
    let told = explain(&["http://shop.test/"]).await;
    assert!(told.out.contains("It waits in line: held, "), "{}", told.out);

    for (url, why) in [
        ("shop.test/a", "url: a whole one, such as"),
        ("ftp://shop.test/a", "url: `http` or `https` only"),
        ("http://sh\u{f6}p.test/a", "url: ASCII only: a host of other letters as `xn--…`"),
    ] {
        let wrong = explain(&[url]).await;
        assert_eq!((wrong.code, &*wrong.out), (2, ""), "{url}");
        assert!(wrong.err.contains(why), "{}", wrong.err);
    }
}

#[tokio::test]
async fn explain_tells_what_would_be_with_another_file_or_an_earlier_split() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], "").await;
    let (admin, folder) = (edge.admin.to_string(), tempfile::TempDir::new().unwrap());
    let explain = async |admin: &str, args: &[&str]| {
        let words = ["explain", "http://shop.test/a", "--admin", admin];
        pointsman(&[&words, args].concat()).await
    };
    let split = "/v1/services/shop/split";
    let weights = r#"{"weights": {"blue": 0, "green": 100}}"#;
    assert_eq!(edge.admin("PUT", split, weights).await.0, 200);
    let now = explain(&admin, &[]).await;
    assert!(
        now.out.contains(&format!("It goes to upstream green/{}.", green.address)),
        "{}",
        now.out
    );
    let then = explain(&admin, &["--at", "1"]).await;
    assert_eq!((then.code, &*then.err), (0, ""));
    for part in ["It goes to service shop at revision 1.", &format!("blue/{}.", blue.address)] {
        assert!(then.out.contains(part), "{part}\n{}", then.out);
    }
    let none = explain(&admin, &["--at", "9"]).await;
    assert_eq!((none.code, &*none.out), (1, ""));
    assert!(none.err.contains("service `shop` has no revision 9 any more, or never had"));

    // A file whose split is as in the one in force leaves the one that was ordered.
    let file = folder.path().join("next.toml");
    let file = file.to_str().unwrap();
    let upstreams = |blue, green: std::net::SocketAddr| {
        format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n[services.shop]\n\
             split = {{ blue = {blue}, green = {} }}\n[services.shop.pools]\n\
             blue.upstreams = [\"{}\"]\ngreen.upstreams = [\"{green}\"]\n",
            100 - blue,
            free()
        )
    };
    let elsewhere = free();
    std::fs::write(file, upstreams(100, elsewhere)).unwrap();
    let with = explain(&admin, &["--config", file]).await;
    assert_eq!((with.code, &*with.err), (0, ""));
    for part in [
        &*format!("With {file}, and upstreams as they are at {admin}; new ones are well."),
        "It goes to service shop at revision 2.",
        &format!("It goes to upstream green/{elsewhere}."),
    ] {
        assert!(with.out.contains(part), "{part}\n{}", with.out);
    }
    // One that edits it is told as what it would make of it; how known upstreams stand counts.
    let drained = format!("/v1/services/shop/pools/green/upstreams/{}/state", green.address);
    let drain = r#"{"state": "drain", "force": true}"#;
    assert_eq!(edge.admin("PUT", &drained, drain).await.0, 200);
    std::fs::write(file, upstreams(0, green.address)).unwrap();
    let json = explain(&admin, &["--config", file, "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((&json["health"], &json["revision"]), (&"running".into(), &3.into()), "{json}");
    assert_eq!(
        (&json["cause"], &json["not_taken"][0]["why"]),
        (&"no_upstream".into(), &"drained".into())
    );
    // Nothing of it is in force.
    assert_eq!(edge.admin("GET", "/v1/services/shop", "").await.1["revision"], 2);
    assert_eq!((blue.received().len(), green.received().len()), (0, 0));

    // Without a proxy all are well.
    let nobody = free().to_string();
    let alone = explain(&nobody, &["--config", file]).await;
    assert_eq!((alone.code, &*alone.err), (0, ""));
    for part in [
        &*format!("With {file}, and all upstreams well: no proxy answers at {nobody}."),
        &format!("It goes to upstream green/{}.", green.address),
    ] {
        assert!(alone.out.contains(part), "{part}\n{}", alone.out);
    }
    let json = explain(&nobody, &["--config", file, "--json"]).await;
    assert!(json.out.contains("\"health\": \"well\""), "{}", json.out);
    assert_eq!(explain(&nobody, &["--at", "1"]).await.code, 69);
    std::fs::write(file, "[services.shop]\nsplit = 1\n").unwrap();
    for admin in [&admin, &nobody] {
        let wrong = explain(admin, &["--config", file]).await;
        assert_eq!((wrong.code, &*wrong.out), (1, ""), "{}", wrong.err);
        assert!(wrong.err.contains("split"), "{}", wrong.err);
    }
}
