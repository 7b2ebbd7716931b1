//! What routes do beside leading to a service, over sockets.

use std::net::SocketAddr;

use http::Method;

use crate::harness::client::{Response, get};
use crate::harness::edge::{HEAD, shop, shop_at};
use crate::harness::{Client, Edge, Origin, Reply, until};
use crate::http2;
use crate::http2::peer;

/// The routes of most tests here, before one service.
const ROUTES: &str = r#"
[[routes]]
hosts = ["old.test", "*.old.test"]
redirect = { to = "https://new.test{path}", status = 301 }
[[routes]]
hosts = ["shop.test"]
path_prefix = "/moved"
redirect = { to = "{scheme}://{host}/here{rest}" }
response = { set = { cache-control = "max-age=60" } }
[[routes]]
path = "/robots.txt"
answer = { body = "User-agent: *" }
[[routes]]
path = "/gone"
answer = { status = 410, headers = { content-type = "text/html" }, body = "<p>gone</p>" }
[[routes]]
path_prefix = "/api"
strip_prefix = "/api"
host = "api.internal:8080"
service = "shop"
[routes.request]
set = { x-real-ip = "{client}", x-from = "{scheme}://{host}" }
add = { x-tag = "{service}/{pool}/{revision}" }
remove = ["x-debug"]
[routes.response]
set = { x-frame-options = "DENY" }
add = { x-by = "{pool} for {client}" }
remove = ["server", "x-powered-by"]
[[routes]]
service = "shop"
"#;

async fn before(origin: &Origin) -> Edge {
    http2::edge(&format!("{ROUTES}{}", shop(&[("only", origin)], ""))).await
}

fn location(response: &Response) -> (u16, String) {
    (response.status, response.fields("location").concat())
}

#[tokio::test]
async fn redirects_and_answers_need_nobody_behind() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let edge = http2::edge(&format!("{ROUTES}{}", shop_at(&[("only", &[nobody])], ""))).await;
    let asked = async |host: &str, path: &str| get(edge.address, host, path, &[]).await;
    let led = asked("eu.old.test", "/a%20b?c=%22&d").await;
    assert_eq!(location(&led), (301, "https://new.test/a%20b?c=%22&d".into()));
    assert_eq!(led.fields("content-length"), ["0"]);
    let led = asked("SHOP.test:8080", "/moved/%7e?q").await;
    assert_eq!(location(&led), (308, "http://shop.test/here/%7e?q".into()));
    assert_eq!(led.fields("cache-control"), ["max-age=60"]);
    for (target, to) in [
        ("//evil.test/%2e.x", "https://new.test/evil.test/%2e.x"),
        ("/\\evil.test", "https://new.test/%5Cevil.test"),
        ("/@evil.test", "https://new.test/@evil.test"),
        ("/%0d%0aset-cookie:x", "https://new.test/%0d%0aset-cookie:x"),
        ("/a\"<b>?\"<", "https://new.test/a%22%3Cb%3E?%22%3C"),
        ("http://old.test/abs", "https://new.test/abs"),
    ] {
        assert_eq!(location(&asked("old.test", target).await), (301, to.into()), "{target}");
    }
    let gone = asked("any.test", "/gone").await;
    assert_eq!((gone.status, &*gone.body), (410, "<p>gone</p>"));
    assert_eq!(gone.fields("content-type"), ["text/html"]);
    // One connection for all: an answer to a request with a body, one to HEAD, one more.
    let mut client = edge.client().await;
    client.send("POST /robots.txt HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc").await;
    let robots = client.response().await;
    assert_eq!((robots.status, &*robots.body), (200, "User-agent: *"));
    assert_eq!(robots.fields("content-type"), ["text/plain; charset=utf-8"]);
    client.send("HEAD /robots.txt HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = client.response_to_head().await;
    assert_eq!((head.status, head.fields("content-length")), (200, vec!["13"]));
    client.send("GET /robots.txt HTTP/1.1\r\nhost: a\r\nx-request-id: known\r\n\r\n").await;
    assert_eq!(client.response().await.fields("x-request-id"), ["known"]);
    // The same by HTTP/2.
    let peer = peer::Client::connect(edge.address).await;
    let led = peer.get("/moved/a?b").await;
    assert_eq!((led.status, led.field("location")), (308, Some("http://shop.test/here/a?b")));
    assert_eq!(peer.get("/robots.txt").await.body, b"User-agent: *");
    until("they are counted apart", async || {
        let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
        let has = |service: &str, code: &str, count: u32| {
            metrics.contains(&format!(
                "pointsman_requests_total{{service=\"{service}\",pool=\"\",code=\"{code}\"}} {count}\n"
            ))
        };
        has("_redirect", "3xx", 9) && has("_answer", "2xx", 4) && has("_answer", "4xx", 1)
    })
    .await;
    let known = async || edge.admin("GET", "/v1/requests/known", "").await;
    until("it is remembered", async || known().await.0 == 200).await;
    let (_, kept) = known().await;
    assert_eq!(kept["service"], "_answer", "{kept}");
    assert!(kept["pool"].is_null() && kept["revision"].is_null(), "{kept}");
}

#[tokio::test]
async fn an_upstream_gets_another_path_host_and_fields_and_the_client_other_fields() {
    let fields = ["server: x", "X-Powered-By: y", "x-frame-options: ALLOW", "x-by: itself"];
    let origin = Origin::always(Reply::head("200 OK", &fields, "ok")).await;
    let edge = before(&origin).await;
    let sent = ["x-real-ip: 6.6.6.6", "X-Debug: 1", "x-tag: own", "x-from: me"];
    let told = get(edge.address, "shop.test", "/%61pi//v1%2Fx/?a=/api", &sent).await;
    assert_eq!((told.status, &*told.body), (200, "ok"));
    assert_eq!(told.fields("x-frame-options"), ["DENY"]);
    assert_eq!(told.fields("x-by"), ["itself", "only for 127.0.0.1"]);
    assert!(told.fields("server").is_empty() && told.fields("x-powered-by").is_empty());
    let got = origin.only();
    assert!(got.head.starts_with("GET /v1%2Fx/?a=/api HTTP/1.1\r\n"), "{}", got.head);
    assert_eq!(got.fields("host"), ["api.internal:8080"]);
    assert_eq!(got.fields("x-forwarded-host"), ["shop.test"]);
    assert_eq!(got.fields("x-real-ip"), ["127.0.0.1"]);
    assert_eq!(got.fields("x-from"), ["http://shop.test"]);
    assert_eq!(got.fields("x-tag"), ["own", "shop/only/1"]);
    assert!(got.fields("x-debug").is_empty());
    // What the client says of its connection takes nothing of ours away.
    let nominated = ["connection: x-real-ip, x-tag", "x-real-ip: 6.6.6.6"];
    get(edge.address, "shop.test", "/api", &nominated).await;
    let got = origin.received().pop().unwrap();
    assert!(got.head.starts_with("GET / HTTP/1.1\r\n"), "{}", got.head);
    assert_eq!((got.fields("x-real-ip"), got.fields("x-tag").len()), (vec!["127.0.0.1"], 1));
    // A client of HTTP/1.0 that names no host.
    let mut client = edge.client().await;
    client.send("GET /api/old HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.response().await.status, 200);
    let got = origin.received().pop().unwrap();
    assert_eq!(got.fields("host"), ["api.internal:8080"]);
    assert!(got.fields("x-from").is_empty(), "nobody knows its host: {}", got.head);
    // By HTTP/2, with a body.
    let peer = peer::Client::connect(edge.address).await;
    let told = peer.post("/api/up?x", &[("x-debug", "1")], b"hello").await;
    assert_eq!((told.status, told.field("x-frame-options")), (200, Some("DENY")));
    let got = origin.received().pop().unwrap();
    assert!(got.head.starts_with("POST /up?x HTTP/1.1\r\n"), "{}", got.head);
    assert_eq!(got.fields("host"), ["api.internal:8080"]);
    assert!(got.fields("x-debug").is_empty());
    // Others are passed on as they came.
    get(edge.address, "shop.test", "/apis//%61", &["x-debug: 1"]).await;
    let got = origin.received().pop().unwrap();
    assert!(got.head.starts_with("GET /apis//%61 HTTP/1.1\r\n"), "{}", got.head);
    assert_eq!((got.fields("host"), got.fields("x-debug")), (vec!["shop.test"], vec!["1"]));
}

#[tokio::test]
async fn an_upstream_of_http2_gets_the_same() {
    let origin = peer::Origin::echo(&[]).await;
    let pools =
        format!("[services.shop.pools.only]\nhttp2 = true\nupstreams = [\"{}\"]\n", origin.address);
    let edge = http2::edge(&format!("{ROUTES}{pools}")).await;
    let told = get(edge.address, "shop.test", "/api/v1?x", &["x-debug: 1"]).await;
    assert_eq!((told.status, told.fields("x-frame-options")), (200, vec!["DENY"]));
    let head = origin.heads.lock().unwrap().pop().unwrap();
    assert_eq!(head.uri().authority().unwrap(), "api.internal:8080");
    assert_eq!(head.uri().path_and_query().unwrap(), "/v1?x");
    assert_eq!(head.headers()["x-real-ip"], "127.0.0.1");
    assert!(!head.headers().contains_key("x-debug"));
}

#[tokio::test]
async fn lists_are_asked_before_anything_else() {
    let origin = Origin::named("served").await;
    let lines = format!(
        "[[routes]]\nservice = \"shop\"\n\
         [[routes]]\npath_prefix = \"/admin\"\nservice = \"shop\"\n\
         allow = [\"10.0.0.0/8\", \"2001:db8::/32\"]\n\
         [[routes]]\nhosts = [\"local.test\"]\nservice = \"shop\"\nallow = [\"127.0.0.1\"]\n\
         [[routes]]\nhosts = [\"local.test\"]\npath_prefix = \"/closed\"\nservice = \"shop\"\n\
         allow = [\"127.0.0.0/8\"]\ndeny = [\"127.0.0.1\"]\n{}",
        shop(&[("only", &origin)], "")
    );
    let head = HEAD.replace("workers = 2", "workers = 2\ntrusted_proxies = [\"127.0.0.1\"]");
    let edge = Edge::start_file(&format!("{head}{lines}"), true).await;
    let asked = async |host: &str, path: &str, fields: &[&str]| {
        get(edge.address, host, path, fields).await.status
    };
    for (path, client, status) in [
        ("/", "192.0.2.1", 200),
        ("/admin", "192.0.2.1", 403),
        ("/admin", "10.9.9.9", 200),
        ("/admin/x", "10.9.9.9, 192.0.2.1", 403),
        ("/%61dmin", "192.0.2.1", 403),
        ("//admin", "192.0.2.1", 403),
        ("/admin%2Fx", "10.9.9.9", 400),
        ("/x%5cadmin", "10.9.9.9", 400),
        ("/admin;x", "192.0.2.1", 400),
        ("/admin", "2001:db8::7", 200),
        // A proxy that does not say who asks says nothing that a list could know.
        ("/admin", "unknown", 403),
    ] {
        let forwarded = format!("x-forwarded-for: {client}");
        let got = asked("shop.test", path, &[&forwarded]).await;
        assert_eq!(got, status, "{path} {client}");
    }
    assert_eq!(asked("local.test", "/", &[]).await, 200);
    assert_eq!(asked("local.test", "/closed", &[]).await, 403);
    let before = origin.asked();
    // Not even a switch of protocols, and not while the service is held or in maintenance.
    let upgrade = ["connection: upgrade", "upgrade: websocket"];
    assert_eq!(asked("local.test", "/closed", &upgrade).await, 403);
    for mode in [r#"{"mode": "hold"}"#, r#"{"mode": "maintenance"}"#] {
        assert_eq!(edge.admin("PUT", "/v1/services/shop/mode", mode).await.0, 200);
        assert_eq!(asked("local.test", "/closed", &[]).await, 403, "{mode}");
    }
    assert_eq!(edge.admin("PUT", "/v1/services/shop/mode", r#"{"mode": "serve"}"#).await.0, 200);
    assert_eq!(origin.asked(), before);
    until("refusals are counted, and for no pool", async || {
        let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
        metrics.contains("pointsman_refused_total{reason=\"denied\"} 9\n")
            && metrics.contains("{reason=\"encoded_path\"} 3\n")
            && metrics.contains("{service=\"shop\",pool=\"\",code=\"4xx\"} 12\n")
            && !metrics.contains("{service=\"shop\",pool=\"only\",code=\"4xx\"}")
    })
    .await;
    // What the others get is what was looked at.
    asked("shop.test", "//x//%7e%c3%a9?%61", &[]).await;
    let got = origin.received().pop().unwrap();
    assert!(got.head.starts_with("GET /x/~%C3%A9?%61 HTTP/1.1\r\n"), "{}", got.head);
}

#[tokio::test]
async fn nothing_of_a_route_with_a_list_is_kept_for_others() {
    let origin = Origin::always(Reply::head("200 OK", &["cache-control: max-age=60"], "ok")).await;
    let lines = format!(
        "[[routes]]\nservice = \"shop\"\n\
         [[routes]]\npath_prefix = \"/admin\"\nservice = \"shop\"\nallow = [\"127.0.0.0/8\"]\n{}",
        shop(&[("only", &origin)], "fallback.stale = {}")
    );
    let edge = Edge::start(&lines).await;
    let asked = async |path: &str| get(edge.address, "shop.test", path, &[]).await;
    for path in ["/open", "/admin/x"] {
        assert_eq!(asked(path).await.status, 200);
    }
    let open = r#"{"state": "open"}"#;
    assert_eq!(edge.admin("PUT", "/v1/services/shop/pools/only/breaker", open).await.0, 200);
    until("the breaker is open", async || asked("/other").await.status == 503).await;
    assert_eq!(asked("/open").await.fields("x-pointsman-fallback"), ["stale"]);
    assert_eq!(asked("/admin/x").await.status, 503);
}

#[tokio::test]
async fn an_answer_in_a_file_is_read_anew_and_a_broken_route_changes_nothing() {
    let origin = Origin::named("served").await;
    let robots = tempfile::NamedTempFile::with_suffix(".txt").unwrap();
    std::fs::write(robots.path(), "one").unwrap();
    let text = |more: &str| {
        format!(
            "{HEAD}[[routes]]\npath = \"/robots.txt\"\nanswer = {{ file = \"{}\" }}\n\
             [[routes]]\nservice = \"shop\"\n{more}\n{}",
            robots.path().display(),
            shop(&[("only", &origin)], "")
        )
    };
    let edge = Edge::start_file(&text(""), true).await;
    let answer = async || get(edge.address, "a", "/robots.txt", &[]).await;
    assert_eq!(answer().await.body, "one");
    assert_eq!(answer().await.fields("content-type"), ["text/plain; charset=utf-8"]);
    std::fs::write(robots.path(), "two").unwrap();
    until("the other is in force", async || answer().await.body == "two").await;
    for (more, said) in [
        ("redirect = { to = \"https://a\" }", "either a `service` or a `redirect`"),
        ("request.set = { content-length = \"5\" }", "Pointsman's to write"),
        ("request.set = { host = \"a\" }", "`host` says this"),
        ("response.set = { a = \"{path}\" }", "is no variable"),
        ("allow = []", "`allow` is empty"),
    ] {
        let (status, problems) = edge.admin("POST", "/v1/config/check", &text(more)).await;
        assert_eq!(status, 200);
        assert!(problems.to_string().contains(said), "{more}: {problems}");
    }
}

#[tokio::test]
async fn a_path_is_as_long_as_it_may_be_and_odd_bytes_break_out_of_nothing() {
    let origin = Origin::named("served").await;
    let edge = before(&origin).await;
    let mut client = Client::connect(edge.address).await;
    let long = "%e9/".repeat(1_500);
    client.send(format!("GET /moved/{long}?{long} HTTP/1.1\r\nhost: shop.test\r\n\r\n")).await;
    assert_eq!(client.response().await.status, 414);
    let mut client = Client::connect(edge.address).await;
    let raw = [b"GET /moved/\xe9\xff?\xfe HTTP/1.1\r\nhost: shop.test\r\n\r\n".as_slice()].concat();
    client.send(raw).await;
    let led = client.response().await;
    assert_eq!(location(&led), (308, "http://shop.test/here/%E9%FF?%FE".into()));
    // A host that the route does not name is not told of.
    client.send("GET /moved HTTP/1.1\r\nhost: evil.test\r\n\r\n").await;
    assert_eq!(client.response().await.body, "served");
    let peer = peer::Client::connect(edge.address).await;
    let request = peer.request(Method::GET, "/api/a%0d%0ab", &[]);
    let got = peer::whole(peer.begin(request, true).await.0).await.unwrap();
    assert_eq!(got.status, 200);
    let head = origin.received().pop().unwrap().head;
    assert!(head.starts_with("GET /a%0d%0ab HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn testers_name_a_pool_by_field_query_or_cookie_and_are_told_which_answered() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let service = "override = { header = \"x-pool\", query = \"preview\", cookie = \"preview\", \
                   from = [\"192.0.2.0/24\"] }";
    let routes = "[[routes]]\nservice = \"shop\"\n[[routes]]\npath_prefix = \"/beta\"\n\
                  service = \"shop\"\noverride = { cookie = \"beta\", from = [\"198.51.100.0/24\"] }\n\
                  [[routes]]\npath_prefix = \"/open\"\nservice = \"shop\"\n\
                  override = { header = \"x-any\" }\n";
    let head = HEAD.replace("workers = 2", "workers = 2\ntrusted_proxies = [\"127.0.0.1\"]");
    let shop = shop(&[("blue", &blue), ("green", &green)], service);
    let edge = Edge::start_file(&format!("{head}{routes}{shop}"), true).await;
    let (near, far, other) = ("192.0.2.1", "203.0.113.1", "198.51.100.1");
    let asked = async |path: &str, client: &str, field: &str| {
        let client = format!("x-forwarded-for: {client}");
        get(edge.address, "a", path, &[&client, field]).await
    };
    for (path, client, field, pool, is_told) in [
        ("/", near, "x-pool: green", "green", true),
        ("/?a=b&preview=green&c", near, "x-a: b", "green", true),
        ("/", near, "cookie: a=b; preview=green", "green", true),
        ("/?preview=green", near, "x-pool: blue", "blue", true),
        ("/", near, "cookie: preview=", "blue", false),
        ("/", near, "x-a: b", "blue", false),
        ("/?preview=green", far, "cookie: preview=green", "blue", false),
        ("/?preview=none", far, "x-pool: none", "blue", false),
        // A route says itself who may, and how.
        ("/beta", other, "cookie: beta=green", "green", true),
        ("/beta?preview=green", near, "x-pool: green", "blue", false),
        ("/beta", near, "cookie: beta=green", "blue", false),
        ("/open", far, "x-any: green", "green", true),
    ] {
        let told = asked(path, client, field).await;
        assert_eq!((told.status, &*told.body), (200, pool), "{path} {client} {field}");
        let wanted = if is_told { vec![pool] } else { vec![] };
        assert_eq!(told.fields("x-pointsman-pool"), wanted, "{path} {client} {field}");
    }
    // Who names one that there is not is told so; which there are is for those that are known.
    let unknown = asked("/?preview=none", near, "accept: application/json").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("known are blue, green"), "{}", unknown.body);
    let unknown = asked("/open", far, "x-any: none").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("no pool is named so"), "{}", unknown.body);
    assert!(!unknown.body.contains("blue"), "{}", unknown.body);
    until("it is the service's doing, and no pool's", async || {
        let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
        metrics.contains("pointsman_refused_total{reason=\"no_pool\"} 2\n")
            && metrics.contains("{service=\"shop\",pool=\"\",code=\"4xx\"} 2\n")
    })
    .await;
}

#[tokio::test]
async fn everybody_is_told_which_pool_answered_if_the_service_says_so() {
    let origin = Origin::always(Reply::head("200 OK", &["x-pointsman-pool: mine"], "ok")).await;
    let edge = Edge::before(&[("only", &origin)], "tell_pool = true").await;
    assert_eq!(edge.get(&[]).await.fields("x-pointsman-pool"), ["only"]);
}

/// The body of a request in chunks of this many bytes each.
fn chunked(path: &str, chunks: usize, length: usize) -> String {
    let chunk = format!("{length:x}\r\n{}\r\n", "x".repeat(length));
    let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    format!("{head}{}0\r\n\r\n", chunk.repeat(chunks))
}

#[tokio::test]
async fn a_body_that_is_longer_than_it_may_be_reaches_nobody() {
    let origin = Origin::named("took it").await;
    let routes = "[[routes]]\nservice = \"shop\"\n\
                  [[routes]]\npath_prefix = \"/large\"\nservice = \"shop\"\nbody_limit = \"1MiB\"\n\
                  [[routes]]\npath_prefix = \"/any\"\nservice = \"shop\"\nbody_limit = 0\n\
                  [[routes]]\npath_prefix = \"/other\"\nservice = \"other\"\n";
    let other = format!("[services.other.pools.only]\nupstreams = [\"{}\"]\n", origin.address);
    let services = format!("{}{other}", shop(&[("only", &origin)], "body_limit = 1000"));
    let head = http2::HEAD.replace("workers = 2", "workers = 2\nclient.body_limit = 10");
    let edge = Edge::start_file(&format!("{head}{routes}{services}"), true).await;
    let told = |length: usize| {
        format!("host: a\r\ncontent-length: {length}\r\n\r\n{}", "x".repeat(length))
    };
    for (path, length, status) in [
        ("/", 1_000, 200),
        ("/", 1_001, 413),
        ("/large", 1_001, 200),
        ("/any", 2_000_000, 200),
        ("/other", 10, 200),
        ("/other", 11, 413),
    ] {
        let before = origin.asked();
        let mut client = edge.client().await;
        client.try_send(format!("POST {path} HTTP/1.1\r\n{}", told(length)).as_bytes()).await;
        let answer = client.response().await;
        assert_eq!(answer.status, status, "{path} {length}");
        assert_eq!(origin.asked() - before, u64::from(status == 200), "{path} {length}");
        // What is short is taken in, and the connection goes on.
        client.send(format!("POST /other HTTP/1.1\r\n{}", told(1))).await;
        assert_eq!(client.response().await.status, 200, "{path} {length}");
    }
    // It is said before anything of it is sent, so that nobody asks for more.
    let mut client = edge.client().await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5000\r\n\r\n")
        .await;
    let answer = client.response().await;
    assert_eq!((answer.status, answer.fields("connection")), (413, vec!["close"]));
    // Without a length it is known when it comes; what has come of it is no request to anybody.
    for (chunks, length, status) in
        [(10, 100, 200), (11, 100, 413), (1, 1_001, 413), (40, 9_000, 413)]
    {
        let before = origin.asked();
        let mut client = edge.client().await;
        client.try_send(chunked("/", chunks, length).as_bytes()).await;
        assert_eq!(client.response().await.status, status, "{chunks} × {length}");
        assert_eq!(origin.asked() - before, u64::from(status == 200), "{chunks} × {length}");
    }
    // By HTTP/2 the connection goes on, whatever is left of the request.
    let peer = peer::Client::connect(edge.address).await;
    for (fields, length, status) in [
        (&[][..], 1_000, 200),
        (&[], 1_001, 413),
        (&[("content-length", "1001")], 1_001, 413),
        // Whoever takes no calls has none: who says so is a request like any other.
        (&[("content-type", "application/grpc"), ("te", "trailers")], 1_001, 200),
    ] {
        let before = origin.asked();
        let got = peer.post("/", fields, &vec![b'x'; length]).await;
        let grpc = got.field("grpc-status").map(str::to_string);
        assert_eq!(got.status, status, "{fields:?} {length}");
        assert_eq!(grpc.as_deref(), (fields.len() == 2).then_some("8"));
        assert_eq!(origin.asked() - before, u64::from(length == 1_000), "{fields:?} {length}");
    }
    until("it is nobody's failure", async || {
        let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
        metrics.contains("pointsman_refused_total{reason=\"body_too_large\"} 9\n")
            && metrics.contains("{service=\"shop\",pool=\"only\",code=\"5xx\"} 0\n")
            && metrics.contains("{service=\"shop\",pool=\"only\",code=\"error\"} 0\n")
    })
    .await;
}

#[tokio::test]
async fn tunnels_and_calls_are_as_long_as_they_like() {
    const UPGRADE: &[u8] =
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let echo = Origin::always(Reply::Echo(UPGRADE.to_vec())).await;
    let calls = peer::Origin::echo(&[("grpc-status", "0")]).await;
    // One that has all of a request before it says anything: an answer that has begun is no 413 any more.
    let late = peer::Origin::new(|request, mut respond| async move {
        let mut body = request.into_body();
        while let Some(Ok(piece)) = body.data().await {
            let _ = body.flow_control().release_capacity(piece.len());
        }
        let _ = respond.send_response(http::Response::new(()), true);
    })
    .await;
    let routes = "[[routes]]\nservice = \"shop\"\n\
                  [[routes]]\npath_prefix = \"/calls\"\nservice = \"calls\"\n\
                  [[routes]]\npath_prefix = \"/late\"\nservice = \"late\"\n";
    let service = |name: &str, origin: &peer::Origin| {
        format!(
            "[services.{name}]\nbody_limit = 10\n[services.{name}.pools.only]\nhttp2 = true\n\
             upstreams = [\"{}\"]\n",
            origin.address
        )
    };
    let of_calls = service("calls", &calls) + &service("late", &late);
    let lines = format!("{routes}{of_calls}{}", shop(&[("only", &echo)], "body_limit = 10"));
    let edge = http2::edge(&lines).await;
    let mut client = edge.client().await;
    let fields = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13";
    client.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n")).await;
    assert_eq!(client.response().await.status, 101);
    let long = vec![b'y'; 100_000];
    client.send(&long).await;
    assert_eq!(client.bytes(long.len()).await, long);
    let peer = peer::Client::connect(edge.address).await;
    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    let got = peer.post("/calls/a", &grpc, &long).await;
    assert_eq!((got.status, got.body.len()), (200, long.len()));
    assert_eq!(peer.post("/late/a", &[], &long).await.status, 413);
}

#[tokio::test]
async fn what_is_kept_of_one_rewrite_is_not_given_out_for_another() {
    let origin = Origin::with(|request| {
        let path = request.head.split(' ').nth(1).unwrap().to_string();
        let said = format!("{path} at {}", request.fields("host").concat());
        Reply::head("200 OK", &["cache-control: max-age=60"], &said)
    })
    .await;
    // One with more conditions goes before one with fewer.
    let route = |fields: &str, more: &str| {
        format!(
            "[[routes]]\npath_prefix = \"/a\"\nheaders = {{ {fields} }}\nservice = \"shop\"\n{more}\n"
        )
    };
    let lines = format!(
        "[[routes]]\nservice = \"shop\"\n{}{}{}{}",
        route("dnt = true", "strip_prefix = \"/a\""),
        route("dnt = true, ect = true", "replace_prefix = { from = \"/a\", to = \"/old\" }"),
        route("dnt = true, ect = true, rtt = true", "host = \"other.test\""),
        shop(&[("only", &origin)], "fallback.stale = {}")
    );
    let edge = Edge::start(&lines).await;
    let asked = async |fields: usize| {
        let fields = &["dnt: 1", "ect: 4g", "rtt: 50"][..fields];
        get(edge.address, "shop.test", "/a/x", fields).await
    };
    let all = ["/a/x at shop.test", "/x at shop.test", "/old/x at shop.test", "/a/x at other.test"];
    for (fields, said) in all.into_iter().enumerate() {
        assert_eq!(asked(fields).await.body, said);
    }
    let open = r#"{"state": "open"}"#;
    assert_eq!(edge.admin("PUT", "/v1/services/shop/pools/only/breaker", open).await.0, 200);
    until("the breaker is open", async || edge.get(&[]).await.status == 503).await;
    for (fields, said) in all.into_iter().enumerate() {
        let kept = asked(fields).await;
        assert_eq!(kept.fields("x-pointsman-fallback"), ["stale"], "{said}");
        assert_eq!(kept.body, said);
    }
    // A change of what the client asks for ends all of it, whichever way it went.
    let auto = r#"{"state": "auto"}"#;
    assert_eq!(edge.admin("PUT", "/v1/services/shop/pools/only/breaker", auto).await.0, 200);
    let post = "POST /a/x HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 0\r\n\r\n";
    until("it is asked again", async || edge.raw(post).await.status == 200).await;
    assert_eq!(edge.admin("PUT", "/v1/services/shop/pools/only/breaker", open).await.0, 200);
    until("the breaker is open", async || edge.get(&[]).await.status == 503).await;
    for fields in 0..all.len() {
        assert_eq!(asked(fields).await.status, 503, "{fields}");
    }
}

#[tokio::test]
async fn whom_a_trusted_proxy_does_not_name_is_no_tester_by_address() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let service = "override = { header = \"x-pool\", from = [\"127.0.0.0/8\", \"192.0.2.0/24\"] }";
    let routes = "[[routes]]\nservice = \"shop\"\n[[routes]]\npath_prefix = \"/beta\"\n\
                  service = \"shop\"\noverride = { query = \"p\", from = [\"127.0.0.1\"] }\n";
    let head = HEAD.replace("workers = 2", "workers = 2\ntrusted_proxies = [\"127.0.0.1\"]");
    let shop = shop(&[("blue", &blue), ("green", &green)], service);
    let edge = Edge::start_file(&format!("{head}{routes}{shop}"), true).await;
    for (path, client, pool) in [
        ("/", "192.0.2.1", "green"),
        ("/", "127.0.0.1", "green"),
        ("/", "unknown", "blue"),
        ("/", "192.0.2.1, unknown", "blue"),
        ("/beta?p=green", "127.0.0.1", "green"),
        ("/beta?p=green", "unknown", "blue"),
    ] {
        let fields = [&*format!("x-forwarded-for: {client}"), "x-pool: green"];
        let told = get(edge.address, "a", path, &fields).await;
        assert_eq!((told.status, &*told.body), (200, pool), "{path} {client}");
    }
}

#[tokio::test]
async fn what_a_route_takes_out_of_answers_does_not_come_behind_them() {
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\
                   X-Sum: 1\r\nX-Debug: 2\r\nX-Own: 3\r\n\r\n";
    let origin = Origin::always(Reply::Bytes(answer.to_vec())).await;
    let lines = format!(
        "[[routes]]\nservice = \"shop\"\n[[routes]]\npath_prefix = \"/less\"\nservice = \"shop\"\n\
         response = {{ remove = [\"x-debug\"], set = {{ x-own = \"ours\" }} }}\n{}",
        shop(&[("only", &origin)], "")
    );
    let edge = http2::edge(&lines).await;
    let behind = async |path: &str| {
        let mut client = edge.client().await;
        let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: close");
        client.send(format!("{head}\r\n\r\n")).await;
        let got = String::from_utf8(client.rest().await).unwrap();
        got.split_once("\r\n0\r\n").unwrap().1.to_string()
    };
    assert_eq!(behind("/").await, "X-Sum: 1\r\nX-Debug: 2\r\nX-Own: 3\r\n\r\n");
    assert_eq!(behind("/less").await, "X-Sum: 1\r\n\r\n");
    let peer = peer::Client::connect(edge.address).await;
    assert_eq!(peer.get("/").await.trailers.len(), 3);
    let less = peer.get("/less").await;
    assert_eq!((less.field("x-own"), less.trailers.len()), (Some("ours"), 1));
    assert_eq!(less.trailers["x-sum"], "1");
}
