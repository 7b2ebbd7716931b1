//! One client that asks for what every upstream fails at, beside others: nobody is blamed for it. Were
//! it alone, or all of them one, its upstreams would be.

use super::fleet;
use crate::harness::edge::HEAD;
use crate::harness::load::Load;
use crate::harness::{Client, Edge, Origin, Reply, alone, until};

/// A cookie of 9 kB, and who brings it.
fn rude(from: &str) -> String {
    let cookie = "x".repeat(9_000);
    format!(
        "GET / HTTP/1.1\r\nhost: shop.test\r\nx-forwarded-for: {from}\r\ncookie: a={cookie}\r\n\r\n"
    )
}

/// An upstream that resets connections on which more than 8 kB of fields come.
async fn strict() -> Origin {
    Origin::at("127.0.0.1:0".parse().unwrap(), |request| match request.head.len() > 8_000 {
        true => Reply::BytesThenReset(Vec::new()),
        false => Reply::ok("fine"),
    })
    .await
}

async fn edge_before(origins: &[&Origin]) -> Edge {
    let addresses: Vec<_> = origins.iter().map(|origin| origin.address).collect();
    let head = HEAD.replace("workers = 2", "workers = 2\ntrusted_proxies = [\"127.0.0.0/8\"]");
    let slo = "[services.shop.slo]\n";
    Edge::start_file(&format!("{head}{}{slo}", fleet(&addresses, "")), false).await
}

/// What a metric says of the service, all its series together.
async fn metric(edge: &Edge, name: &str) -> f64 {
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    let lines = metrics.lines().filter(|line| line.starts_with(name) && line.contains("\"shop\""));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

/// So many requests of the rude client at once; how often it was told 502.
async fn at_once(edge: &Edge, from: &'static str, requests: usize) -> usize {
    let mut under_way = tokio::task::JoinSet::new();
    for _ in 0..requests {
        let mut client = edge.client().await;
        under_way.spawn(async move {
            client.send(rude(from)).await;
            client.response().await.status
        });
    }
    let statuses = under_way.join_all().await;
    statuses.iter().filter(|status| **status == 502).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_every_upstream_fails_is_blamed_itself() {
    let _alone = alone().await;
    let (one, two) = (strict().await, strict().await);
    let edge = edge_before(&[&one, &two]).await;
    let others = |client| format!("x-forwarded-for: 203.0.113.{client}");
    let load = Load::crowd(edge.address, 200, 40, others).start();
    load.until_more(300).await;
    // One after another, then many at once.
    for requests in [vec![1; 20], vec![15; 20]].concat() {
        assert_eq!(at_once(&edge, "198.51.100.7", requests).await, requests);
    }
    load.until_more(100).await;
    let sent = load.stop().await;
    let failed: Vec<_> = sent.iter().filter(|record| !record.is_ok()).collect();
    assert!(failed.is_empty(), "{failed:?}");
    for name in ["pointsman_breaker_opened_total", "pointsman_upstream_ejections_total"] {
        assert_eq!(metric(&edge, name).await, 0.0, "{name}");
    }
    let (_, pool) = edge.admin("GET", "/v1/services/shop/pools/only", "").await;
    for upstream in pool["upstreams"].as_array().unwrap() {
        assert_eq!(upstream["state"], "active", "{pool}");
    }
    // Its users' budget pays all the same, and everybody sees for whom.
    until("all is accounted for", async || metric(&edge, "pointsman_slo_bad_total").await == 320.0)
        .await;
    let by_cause = "pointsman_slo_failed_requests_total";
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    let of_one =
        metrics.lines().find(|line| line.starts_with(by_cause) && line.contains("one_client"));
    let of_one: f64 = of_one.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap();
    assert!(of_one > 300.0, "{of_one} of 320");
    let withheld = metric(&edge, "pointsman_pool_one_client_attempts_total").await;
    assert!(withheld >= of_one, "{withheld}");
    let (_, requests) = edge.admin("GET", "/v1/requests?limit=1000", "").await;
    let requests = requests.as_array().unwrap();
    let of_one = |request: &&serde_json::Value| request["cause"] == "one_client";
    assert!(requests.iter().filter(of_one).count() > 0, "{requests:?}");
}

#[tokio::test]
async fn alone_it_is_what_opens_breakers_today() {
    let (one, two) = (strict().await, strict().await);
    let edge = edge_before(&[&one, &two]).await;
    let mut client = Client::connect(edge.address).await;
    let mut asked = 0;
    loop {
        asked += 1;
        assert!(asked < 100, "nothing opens");
        client.send(rude("198.51.100.7")).await;
        let status = client.response().await.status;
        client = Client::connect(edge.address).await;
        if status == 503 {
            break;
        }
    }
    assert_eq!(metric(&edge, "pointsman_pool_one_client_attempts_total").await, 0.0);
    assert!(metric(&edge, "pointsman_breaker_opened_total").await > 0.0);
}
