//! What clients get when a pool cannot be asked: the last good answer, another pool, a static
//! answer, in this order, and never as if it were fresh.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::pool;
use crate::harness::client::{Response, get};
use crate::harness::edge::HEAD;
use crate::harness::{Edge, Origin, Reply, until};

const SIGN: &str = "x-pointsman-fallback";
const STATIC: &str = "answer = { status = 503, headers = { content-type = \"text/html\" }, \
                      body = \"<p>sorry</p>\" }";

/// `/cached` may be kept by a shared cache, nothing else may.
async fn main_origin() -> Origin {
    Origin::with(|request| {
        let path = request.head.split(' ').nth(1).unwrap_or_default().to_string();
        let control = match path.as_str() {
            "/cached" => "cache-control: max-age=60",
            "/private" => "cache-control: private, max-age=60",
            "/no-store" => "cache-control: no-store",
            _ => "x-nothing: said",
        };
        Reply::head("200 OK", &[control, "x-kept: yes"], &format!("main {path}"))
    })
    .await
}

async fn edge_before(main: &Origin, backup: &Origin, fallback: &str) -> Edge {
    let text = format!(
        "[services.shop]\nsplit = {{ main = 100, backup = 0 }}\n{}{}\
         [services.shop.fallback]\n{fallback}\n",
        pool("main", &[main.address]),
        pool("backup", &[backup.address])
    );
    Edge::start(&text).await
}

/// How a pool is made one that cannot be asked, and back.
#[derive(Clone, Copy, Debug)]
enum Way {
    Breaker,
    Drain,
}

impl Way {
    async fn close(self, edge: &Edge, pool: &str, origin: &Origin) {
        let pool = format!("/v1/services/shop/pools/{pool}");
        let (path, body) = match self {
            Way::Breaker => (format!("{pool}/breaker"), r#"{"state": "open"}"#),
            Way::Drain => (
                format!("{pool}/upstreams/{}/state", origin.address),
                r#"{"state": "drain", "force": true}"#,
            ),
        };
        let (status, answer) = edge.admin("PUT", &path, body).await;
        assert_eq!(status, 200, "{answer}");
    }
}

async fn ask(edge: &Edge, path: &str, fields: &[&str]) -> Response {
    get(edge.address, "shop.test", path, fields).await
}

#[tokio::test]
async fn stale_then_another_pool_then_a_static_answer() {
    for way in [Way::Breaker, Way::Drain] {
        let (main, backup) = (main_origin().await, Origin::named("backup").await);
        let chain = format!(
            "stale = {{ bytes = 1_000_000, age = \"10m\" }}\npool = \"backup\"\n\
                             {STATIC}"
        );
        let edge = edge_before(&main, &backup, &chain).await;
        for path in ["/cached", "/private", "/no-store", "/plain"] {
            let fresh = ask(&edge, path, &[]).await;
            assert_eq!((fresh.status, fresh.body), (200, format!("main {path}")), "{way:?}");
            assert!(fresh.head.to_lowercase().find(SIGN).is_none(), "{}", fresh.head);
        }
        // An answer is kept a moment after its client has all of it.
        until("one is kept, and no more", async || {
            let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
            let gauge = |name: &str| {
                let name = format!("pointsman_stale_{name}{{service=\"shop\"}} ");
                let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
                value.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).parse::<f64>().unwrap()
            };
            (gauge("entries"), gauge("recording_bytes")) == (1.0, 0.0) && gauge("bytes") > 100.0
        })
        .await;
        way.close(&edge, "main", &main).await;
        let asked = main.asked();

        let stale = ask(&edge, "/cached", &[]).await;
        assert_eq!((stale.status, &*stale.body), (200, "main /cached"), "{way:?}");
        assert_eq!((stale.fields(SIGN), stale.fields("x-kept")), (vec!["stale"], vec!["yes"]));
        let age = stale.fields("age");
        assert!(age.len() == 1 && age[0].parse::<u32>().is_ok_and(|s| s < 60), "{age:?}");
        assert!(stale.fields("warning").is_empty(), "{}", stale.head);

        // What may not be kept, was never seen, or is asked for by somebody in person.
        for path in ["/private", "/no-store", "/never"] {
            assert_eq!(ask(&edge, path, &[]).await.body, "backup", "{way:?} {path}");
        }
        let personal = ask(&edge, "/cached", &["authorization: Basic eDp5"]).await;
        assert_eq!(personal.body, "backup", "{way:?}");
        let post = "POST /cached HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 2\r\n\r\nhi";
        assert_eq!(edge.raw(post).await.body, "backup", "{way:?}");

        way.close(&edge, "backup", &backup).await;
        assert_eq!(ask(&edge, "/cached", &[]).await.fields(SIGN), ["stale"], "{way:?}");
        let sorry = ask(&edge, "/never", &[]).await;
        assert_eq!((sorry.status, &*sorry.body), (503, "<p>sorry</p>"), "{way:?}");
        assert_eq!(sorry.fields("content-type"), ["text/html"]);
        assert_eq!(main.asked(), asked, "{way:?}: nobody asks a pool that is out");
    }
}

#[tokio::test]
async fn a_static_answer_may_be_a_file_and_keeps_the_connection() {
    let (main, backup) = (main_origin().await, Origin::named("backup").await);
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("sorry.html");
    std::fs::write(&file, "<p>from a file</p>").unwrap();
    let answer = format!("answer = {{ status = 200, file = \"{}\" }}", file.display());
    let edge = edge_before(&main, &backup, &answer).await;
    Way::Breaker.close(&edge, "main", &main).await;
    let mut client = edge.client().await;
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
        let response = client.response().await;
        assert_eq!((response.status, &*response.body), (200, "<p>from a file</p>"));
        assert_eq!(response.fields("content-type"), ["text/html; charset=utf-8"]);
    }
    assert_eq!(backup.asked(), 0);
}

#[tokio::test]
async fn with_nothing_to_fall_back_on_it_is_a_503() {
    for way in [Way::Breaker, Way::Drain] {
        let (main, backup) = (main_origin().await, Origin::named("backup").await);
        let edge =
            edge_before(&main, &backup, "stale = { bytes = 1_000_000, age = \"10m\" }").await;
        way.close(&edge, "main", &main).await;
        let response = ask(&edge, "/cached", &[]).await;
        assert_eq!(response.status, 503, "{way:?}");
        assert_eq!(response.fields("retry-after").len(), 1, "{way:?}");
        assert_eq!((main.asked(), backup.asked()), (0, 0));
    }
}

#[tokio::test]
async fn an_attempt_that_fails_is_made_on_another_pool_if_it_may_be_repeated() {
    let (main, backup) = (Origin::always(Reply::Close).await, Origin::named("backup").await);
    let edge = edge_before(&main, &backup, "pool = \"backup\"").await;
    let get = ask(&edge, "/", &[]).await;
    assert_eq!((get.status, &*get.body, get.fields(SIGN)), (200, "backup", vec!["pool"]));
    let post = "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(edge.raw(post).await.status, 502);
    // The GET twice, since it is alone in its pool, before the other pool is asked.
    assert_eq!((main.asked(), backup.asked()), (3, 1));
}

/// Who asks while a lone upstream is tried out gets what all others get in that time.
#[tokio::test]
async fn that_a_request_was_a_trial_costs_its_user_nothing() {
    let stale = "stale = { bytes = 1_000_000, age = \"10m\" }";
    let pool = "pool = \"backup\"";
    tokio::join!(
        trials_cost_nothing(stale, "stale", false),
        trials_cost_nothing(stale, "stale", true),
        trials_cost_nothing(STATIC, "answer", false),
        trials_cost_nothing(STATIC, "answer", true),
        trials_cost_nothing(pool, "pool", false),
        trials_cost_nothing(pool, "pool", true),
    );
}

async fn trials_cost_nothing(fallback: &'static str, step: &'static str, closes: bool) {
    let is_ill = Arc::new(AtomicBool::new(false));
    let seen = is_ill.clone();
    let main = Origin::with(move |_| match (seen.load(Ordering::Relaxed), closes) {
        (true, true) => Reply::Close,
        (true, false) => Reply::head("503 Service Unavailable", &[], "ill"),
        (false, _) => Reply::head("200 OK", &["cache-control: max-age=600"], "well"),
    })
    .await;
    let backup = Origin::named("backup").await;
    let edge = edge_before(&main, &backup, fallback).await;
    assert_eq!(ask(&edge, "/cached", &[]).await.body, "well");
    is_ill.store(true, Ordering::Relaxed);
    until("it is out", async || {
        let before = main.asked();
        let response = ask(&edge, "/cached", &[]).await;
        response.fields(SIGN) == [step] && main.asked() == before
    })
    .await;
    let before = main.asked();
    until("it was tried out twice", async || {
        let response = ask(&edge, "/cached", &[]).await;
        assert_eq!(response.fields(SIGN), [step], "{closes}: {}", response.head);
        main.asked() >= before + 2
    })
    .await;
    is_ill.store(false, Ordering::Relaxed);
    until("it serves", async || ask(&edge, "/cached", &[]).await.body == "well").await;
}

/// A page that says who it is for, as `say` has it.
async fn personal_origin(say: &'static str) -> Origin {
    Origin::with(move |request| {
        let of = |name| request.fields(name).join("+");
        let who = format!("{}{}{}", of("x-user-id"), of("x-api-key"), of("x-forwarded-prefix"));
        let fields = [say, "x-pointsman-metric: checkout_failed=1"];
        Reply::head("200 OK", &fields, &format!("page of {who}"))
    })
    .await
}

/// An edge that keeps what `main` says, recognises users by a field and trusts this machine or nobody.
async fn edge_of_users(main: &Origin, trusts: bool) -> Edge {
    let trusted = if trusts { "trusted_proxies = [\"127.0.0.1/32\"]\n" } else { "" };
    let text = format!(
        "{}[services.shop]\nsticky = {{ header = \"x-user-id\" }}\n{}\
         [services.shop.fallback]\nstale = {{ bytes = 1_000_000, age = \"10m\" }}\n",
        HEAD.replace("[server]\n", &format!("[server]\n{trusted}")),
        pool("main", &[main.address])
    );
    Edge::start_file(&text, false).await
}

#[tokio::test]
async fn nobody_gets_what_another_was_answered() {
    let etag = "etag: \"1\"";
    let public = "cache-control: public, max-age=60";
    for (say, asks) in [
        (etag, &["x-user-id: alice"][..]),
        (etag, &["x-api-key: alice-key"]),
        (etag, &[]),
        (public, &["x-user-id: alice"]),
        (public, &["x-api-key: alice-key"]),
        (public, &["cookie: session=alice"]),
        (public, &["authorization: Basic eDp5"]),
        (public, &["accept-language: de", "connection: accept-language"]),
    ] {
        let main = personal_origin(say).await;
        let edge = edge_of_users(&main, false).await;
        assert_eq!(ask(&edge, "/", asks).await.status, 200, "{asks:?}");
        Way::Breaker.close(&edge, "main", &main).await;
        for bob in [&["x-user-id: bob"][..], &["x-api-key: bob-key"], &[]] {
            let answer = ask(&edge, "/", bob).await;
            assert_eq!(answer.status, 503, "{say} {asks:?} {bob:?}: {}", answer.body);
        }
    }
    // What is anybody's is given to anybody, and says nothing that is meant for us.
    let main = personal_origin(public).await;
    let edge = edge_of_users(&main, false).await;
    // Without a proxy's word that a client makes up: it does not go on.
    let fresh = ask(&edge, "/", &["x-forwarded-prefix: /evil"]).await;
    assert_eq!((&*fresh.body, fresh.fields("x-pointsman-metric")), ("page of ", vec![]));
    Way::Breaker.close(&edge, "main", &main).await;
    let kept = ask(&edge, "/", &["x-user-id: bob"]).await;
    assert_eq!((kept.status, &*kept.body, kept.fields(SIGN)), (200, "page of ", vec!["stale"]));
    assert!(kept.fields("x-pointsman-metric").is_empty(), "{}", kept.head);
}

#[tokio::test]
async fn what_a_trusted_proxy_says_of_the_place_is_part_of_what_was_asked() {
    let main = personal_origin("cache-control: public, max-age=60").await;
    let edge = edge_of_users(&main, true).await;
    let evil = ask(&edge, "/", &["x-forwarded-prefix: /evil"]).await;
    assert_eq!(evil.body, "page of /evil");
    ask(&edge, "/a", &["x-forwarded-host: evil.test"]).await;
    ask(&edge, "/a", &["x-forwarded-host: shop.test"]).await;
    for number in 0..32 {
        ask(&edge, "/a", &[&format!("x-forwarded-proto: h{number}")]).await;
    }
    Way::Breaker.close(&edge, "main", &main).await;
    assert_eq!(ask(&edge, "/", &[]).await.status, 503);
    let of = async |host: &str| ask(&edge, "/a", &[&format!("x-forwarded-host: {host}")]).await;
    assert_eq!((of("shop.test").await.status, of("other.test").await.status), (200, 503));
}
