//! Who may come in by routes that ask for more than an address, over sockets: names and passwords of a
//! file, and a service that is asked.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use h2::ext::Protocol;
use http::Method;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::client::{Response, get};
use crate::harness::edge::shop;
use crate::harness::{Edge, Gate, Origin, Reply, until};
use crate::http2;
use crate::http2::peer;

/// `secret` and `other`, at the least cost.
const SECRET: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
const OTHER: &str = "$2b$04$zyxwvutsrqponmlkjihgfeoEG75ieRiMxivbt62jo80oWmRUDHZ.e";

/// A file of users in a folder of its own.
struct File {
    _folder: TempDir,
    path: PathBuf,
}

impl File {
    fn of(text: &str) -> File {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("users");
        let file = File { _folder: folder, path };
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        // As a whole, as people replace files.
        let beside = self.path.with_extension("new");
        std::fs::write(&beside, text).unwrap();
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::fs::rename(&beside, &self.path).unwrap();
    }

    fn rule(&self) -> String {
        format!("auth = {{ basic = \"{}\" }}", self.path.display())
    }
}

/// An edge that believes whom we say that we are, with routes for everything and for `/closed`, which has
/// this rule.
async fn edge(rule: &str, more: &str, origin: &Origin, service: &str) -> Edge {
    let head = http2::HEAD.replace("workers = 2", "workers = 2\ntrusted_proxies = [\"127.0.0.1\"]");
    let routes = format!(
        "[[routes]]\nservice = \"shop\"\n[[routes]]\npath_prefix = \"/closed\"\nservice = \"shop\"\n\
         {rule}\n{more}\n"
    );
    let file = format!("{head}{routes}{}", shop(&[("only", origin)], service));
    Edge::start_file(&file, true).await
}

fn basic(pair: &str) -> String {
    format!("authorization: Basic {}", STANDARD.encode(pair))
}

async fn closed(edge: &Edge, fields: &[&str]) -> Response {
    get(edge.address, "shop.test", "/closed/a?b", fields).await
}

async fn metric(edge: &Edge, line: &str) -> u64 {
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    let start = format!("{line} ");
    let found = metrics.lines().find_map(|found| found.strip_prefix(&start));
    found.map_or(0, |count| count.parse().unwrap())
}

async fn checked(edge: &Edge) -> [u64; 2] {
    let of = async |outcome: &str| {
        let line = format!("pointsman_auth_total{{by=\"password\",outcome=\"{outcome}\"}}");
        metric(edge, &line).await
    };
    [of("passed").await, of("refused").await]
}

#[tokio::test]
async fn who_is_in_the_file_comes_in_by_either_version_and_nobody_else() {
    let file = File::of(&format!("# staff\nann:{SECRET}\nbob:{OTHER}\n"));
    let origin = Origin::named("served").await;
    let edge = edge(&file.rule(), "", &origin, "").await;
    let refused = closed(&edge, &[]).await;
    assert_eq!(refused.status, 401);
    let asks = "Basic realm=\"restricted\", charset=\"UTF-8\"";
    assert_eq!(refused.fields("www-authenticate"), [asks]);
    for wrong in ["ann:other", "bob:secret", "eve:secret", "ann:", "Ann:secret"] {
        let refused = closed(&edge, &[&basic(wrong)]).await;
        assert_eq!((refused.status, refused.fields("www-authenticate")), (401, vec![asks]));
    }
    assert_eq!(closed(&edge, &["authorization: Bearer secret"]).await.status, 401);
    assert_eq!(closed(&edge, &[&basic("ann:secret"), &basic("ann:secret")]).await.status, 401);
    assert_eq!(origin.asked(), 0);
    for right in ["ann:secret", "bob:other", "ann:secret"] {
        assert_eq!(closed(&edge, &[&basic(right)]).await.body, "served");
        assert!(origin.received().pop().unwrap().fields("authorization").is_empty());
    }
    // Others are nobody's business, and keep what they say.
    assert_eq!(get(edge.address, "shop.test", "/", &[&basic("x:y")]).await.status, 200);
    assert_eq!(origin.received().pop().unwrap().fields("authorization").len(), 1);
    // In HTTP/2 the same, and nothing of it is checked again.
    let peer = peer::Client::connect(edge.address).await;
    let line = basic("ann:secret");
    let value = line.strip_prefix("authorization: ").unwrap();
    let request = peer.request(Method::GET, "/closed", &[("authorization", value)]);
    let got = peer::whole(peer.begin(request, true).await.0).await.unwrap();
    assert_eq!((got.status, &*got.body), (200, &b"served"[..]));
    let got = peer.get("/closed").await;
    assert_eq!((got.status, got.field("www-authenticate")), (401, Some(asks)));
    // A call of gRPC reads its own status alone.
    let call = [("content-type", "application/grpc"), ("te", "trailers")];
    let got = peer.post("/closed/Call", &call, b"").await;
    assert_eq!((got.status, got.field("grpc-status")), (200, Some("16")));
    assert_eq!(checked(&edge).await, [2, 5]);
    until("it is counted, and for no pool", async || {
        metric(&edge, "pointsman_refused_total{reason=\"unauthorized\"}").await == 10
            && metric(&edge, "pointsman_requests_total{service=\"shop\",pool=\"\",code=\"4xx\"}")
                .await
                == 10
            && metric(
                &edge,
                "pointsman_requests_total{service=\"shop\",pool=\"only\",code=\"4xx\"}",
            )
            .await
                == 0
    })
    .await;
}

#[tokio::test]
async fn a_body_that_nobody_wants_keeps_the_connection_in_step() {
    let file = File::of(&format!("ann:{SECRET}"));
    let origin = Origin::named("served").await;
    let edge = edge(&file.rule(), "", &origin, "").await;
    let mut client = edge.client().await;
    let good = basic("ann:secret");
    for (fields, status) in [("", 401), (&*good, 200), ("", 401)] {
        let fields = if fields.is_empty() { String::new() } else { format!("{fields}\r\n") };
        let head = format!("POST /closed HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n{fields}\r\n");
        client.send(format!("{head}hello")).await;
        assert_eq!(client.response().await.status, status, "{fields}");
    }
    assert_eq!(origin.only().body, b"hello");
    // Who waits to be asked for it is told before it sends any.
    client.send("POST /closed HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n").await;
    client.send("content-length: 100000\r\n\r\n").await;
    let refused = client.response().await;
    assert_eq!((refused.status, refused.fields("connection")), (401, vec!["close"]));
}

#[tokio::test]
async fn ten_wrong_passwords_of_a_client_under_a_name_are_all_that_is_checked() {
    let file = File::of(&format!("ann:{SECRET}\nbob:{OTHER}"));
    let origin = Origin::named("served").await;
    let edge = edge(&file.rule(), "", &origin, "").await;
    let asked = async |client: &str, pair: &str| {
        closed(&edge, &[&format!("x-forwarded-for: {client}"), &basic(pair)]).await
    };
    // What is remembered of others is no way to guess either.
    assert_eq!(asked("192.0.2.1", "ann:secret").await.status, 200);
    for name in ["ann", "nobody"] {
        for nth in 0..10 {
            assert_eq!(asked("192.0.2.9", &format!("{name}:{nth}")).await.status, 401);
        }
        for pair in [format!("{name}:secret"), format!("{name}:10")] {
            let locked = asked("192.0.2.9", &pair).await;
            assert_eq!(locked.status, 429, "{pair}");
            let wait: u64 = locked.fields("retry-after")[0].parse().unwrap();
            assert!((1..=60).contains(&wait), "{wait}");
            assert!(locked.fields("www-authenticate").is_empty());
        }
    }
    assert_eq!(checked(&edge).await, [1, 20]);
    // The user is not locked out elsewhere, nor is another one here.
    assert_eq!(asked("192.0.2.2", "ann:secret").await.status, 200);
    assert_eq!(asked("192.0.2.9", "bob:other").await.status, 200);
    until("all four are counted", async || {
        metric(&edge, "pointsman_refused_total{reason=\"locked_out\"}").await == 4
    })
    .await;
    // Many at once are no more than ten one after the other.
    let guess = |nth: usize| {
        let client = "x-forwarded-for: 192.0.2.77".to_string();
        let (address, guess) = (edge.address, basic(&format!("ann:x{nth}")));
        tokio::spawn(async move {
            get(address, "shop.test", "/closed", &[&client, &guess]).await.status
        })
    };
    let guesses: Vec<_> = (0..40).map(guess).collect();
    let mut statuses = Vec::new();
    for guess in guesses {
        statuses.push(guess.await.unwrap());
    }
    let count = |status| statuses.iter().filter(|found| **found == status).count();
    assert_eq!(count(401), 10, "{statuses:?}");
    assert_eq!(count(429) + count(503), 30, "{statuses:?}");
}

#[tokio::test]
async fn a_file_is_read_again_and_a_broken_one_changes_nothing() {
    let file = File::of(&format!("ann:{SECRET}"));
    let origin = Origin::named("served").await;
    let edge = edge(&file.rule(), "", &origin, "").await;
    let status = async |pair: &str| closed(&edge, &[&basic(pair)]).await.status;
    assert_eq!((status("ann:secret").await, status("bob:other").await), (200, 401));
    let generation = edge.generation();
    file.write(&format!("ann:{OTHER}\nbob:{OTHER}"));
    edge.until_after(generation).await;
    assert_eq!(status("bob:other").await, 200);
    // Nobody is let in by what was remembered.
    assert_eq!((status("ann:secret").await, status("ann:other").await), (401, 200));
    for (text, said) in [
        ("ann:$apr1$x$yyyyyyyyyyyyyyyyyyyyyy", "line 1: the password of `ann` is hashed with MD5"),
        (
            "\nann:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
            "line 2: the password of `ann` is hashed with SHA-1",
        ),
        ("ann:hunter2", "line 1: the password of `ann` is no hash"),
        ("ann", "line 1: expected `name:hash`"),
        ("", "it has no user"),
    ] {
        let failures = "pointsman_config_last_reload_successful";
        file.write(text);
        until("it is told", async || metric(&edge, failures).await == 0).await;
        let text = std::fs::read_to_string(edge.file()).unwrap();
        let (_, problems) = edge.admin("POST", "/v1/config/check", &text).await;
        assert!(problems.to_string().contains(said), "{said}: {problems}");
        assert!(!problems.to_string().contains("hunter2"), "{problems}");
        assert_eq!((status("bob:other").await, status("bob:secret").await), (200, 401), "{said}");
        file.write(&format!("ann:{OTHER}\nbob:{OTHER}"));
        until("it is mended", async || metric(&edge, failures).await == 1).await;
    }
}

#[tokio::test]
async fn who_does_not_come_in_is_told_before_anything_else_is_looked_at() {
    let file = File::of(&format!("ann:{SECRET}"));
    let head = ["cache-control: max-age=60"];
    let origin = Origin::always(Reply::head("200 OK", &head, "served")).await;
    let own = format!(
        "[[routes]]\npath = \"/own\"\nanswer = {{ body = \"mine\" }}\n{0}\n\
         [[routes]]\npath = \"/led\"\nredirect = {{ to = \"/x\" }}\n{0}\n\
         [[routes]]\npath_prefix = \"/near\"\nservice = \"shop\"\nallow = [\"10.0.0.0/8\"]\n{0}\n",
        file.rule()
    );
    let edge = edge(&file.rule(), &own, &origin, "fallback.stale = {}").await;
    let good = basic("ann:secret");
    let status = async |path: &str, fields: &[&str]| {
        get(edge.address, "shop.test", path, fields).await.status
    };
    for (path, inside) in [("/own", 200), ("/led", 308), ("/closed", 200)] {
        assert_eq!(
            (status(path, &[]).await, status(path, &[&good]).await),
            (401, inside),
            "{path}"
        );
    }
    // Lists come first, and both hold.
    let near = "x-forwarded-for: 10.1.1.1";
    for (fields, wanted) in
        [(&[&*good][..], 403), (&[&good, near], 200), (&[near], 401), (&[], 403)]
    {
        assert_eq!(status("/near", fields).await, wanted, "{fields:?}");
    }
    // A path that could be read in two ways is refused to whoever asks.
    for path in ["/closed%2Fx", "/x%5cclosed", "/closed;x", "/%2e%2e/closed"] {
        assert_eq!(status(path, &[&good]).await, 400, "{path}");
    }
    assert_eq!(status("//%63losed/x", &[]).await, 401);
    // Nothing of it is kept, and neither hold, maintenance nor an open breaker comes before.
    assert_eq!((status("/open", &[]).await, status("/closed/k", &[&good]).await), (200, 200));
    let asked = origin.asked();
    for mode in ["hold", "maintenance"] {
        let body = format!("{{\"mode\": \"{mode}\"}}");
        assert_eq!(edge.admin("PUT", "/v1/services/shop/mode", &body).await.0, 200);
        assert_eq!(status("/closed", &[]).await, 401, "{mode}");
    }
    assert_eq!(status("/closed", &[&good]).await, 503, "maintenance");
    edge.admin("PUT", "/v1/services/shop/mode", r#"{"mode": "serve"}"#).await;
    edge.admin("PUT", "/v1/services/shop/pools/only/breaker", r#"{"state": "open"}"#).await;
    until("the breaker is open", async || status("/other", &[]).await == 503).await;
    assert_eq!(status("/open", &[]).await, 200, "kept");
    assert_eq!((status("/closed/k", &[]).await, status("/closed/k", &[&good]).await), (401, 503));
    let upgrade = ["connection: upgrade", "upgrade: websocket"];
    assert_eq!(status("/closed", &upgrade).await, 401);
    assert_eq!(origin.asked(), asked);
}

/// A service that says this of every request.
fn ask(to: &Origin, more: &str) -> String {
    format!("auth = {{ ask = \"http://{}/auth?a\", {more} }}", to.address)
}

#[tokio::test]
async fn who_is_asked_lets_in_and_tells_the_upstream_what_nobody_can_forge() {
    let service = Origin::with(|request| match request.fields("cookie").concat().as_str() {
        "s=ann" => {
            Reply::head("204 No Content", &["x-user: ann", "X-Groups: a, b", "x-not: 1"], "")
        }
        "s=nobody" => Reply::ok("in"),
        _ => Reply::head("403 Forbidden", &[], "out"),
    })
    .await;
    let origin = Origin::named("served").await;
    let rule = ask(&service, "copy = [\"x-user\", \"x-groups\"]");
    let edge = edge(&rule, "", &origin, "").await;
    let forged = ["x-user: admin", "X-User: root", "x-groups: all", "connection: x-user, x-groups"];
    let asked = async |cookie: &str| {
        let cookie = format!("cookie: s={cookie}");
        closed(&edge, &[&forged[..], &[&cookie, "authorization: Bearer t"]].concat()).await
    };
    assert_eq!(asked("ann").await.body, "served");
    let got = origin.received().pop().unwrap();
    assert_eq!((got.fields("x-user"), got.fields("x-groups")), (vec!["ann"], vec!["a, b"]));
    assert!(got.fields("x-not").is_empty());
    assert_eq!(got.fields("authorization"), ["Bearer t"]);
    // Who is asked hears what is asked for, and no body.
    let heard = service.received().pop().unwrap();
    assert!(heard.head.starts_with("GET /auth?a HTTP/1.1\r\n"), "{}", heard.head);
    for (name, value) in [
        ("host", &*service.address.to_string()),
        ("x-forwarded-method", "GET"),
        ("x-forwarded-uri", "/closed/a?b"),
        ("x-forwarded-host", "shop.test"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-for", "127.0.0.1"),
        ("cookie", "s=ann"),
        ("authorization", "Bearer t"),
    ] {
        assert_eq!(heard.fields(name), [value], "{name}");
    }
    for name in ["x-user", "x-groups", "content-length", "transfer-encoding", "connection"] {
        assert!(heard.fields(name).is_empty(), "{name}: {}", heard.head);
    }
    // What the answer does not say is not there.
    assert_eq!(asked("nobody").await.body, "served");
    let got = origin.received().pop().unwrap();
    assert!(got.fields("x-user").is_empty() && got.fields("x-groups").is_empty(), "{}", got.head);
    assert_eq!(asked("eve").await.status, 403);
    assert_eq!(origin.asked(), 2);
    // By HTTP/2 the same, with a body and another method.
    let peer = peer::Client::connect(edge.address).await;
    let fields = [("cookie", "s=ann"), ("x-user", "admin")];
    assert_eq!(peer.post("/closed//%61", &fields, b"hello").await.status, 200);
    let got = origin.received().pop().unwrap();
    assert!(got.head.starts_with("POST /closed/a HTTP/1.1\r\n"), "{}", got.head);
    assert_eq!(
        (got.fields("x-user"), got.body.ends_with(b"hello\r\n0\r\n\r\n")),
        (vec!["ann"], true)
    );
    let heard = service.received().pop().unwrap();
    assert_eq!(heard.fields("x-forwarded-method"), ["POST"]);
    assert_eq!(heard.fields("x-forwarded-uri"), ["/closed/a"]);
    assert!(heard.body.is_empty());
    assert_eq!(service.asked(), 4);
}

#[tokio::test]
async fn a_name_in_another_spelling_is_the_same_to_who_is_asked() {
    let service = Origin::always(Reply::ok("in")).await;
    let origin = Origin::named("served").await;
    let rule = ask(&service, "copy = [\"x-user\"]");
    let head = http2::HEAD.replace("workers = 2", "workers = 2\nclient.odd_names = \"pass\"");
    let routes = format!("[[routes]]\nservice = \"shop\"\n{rule}\n");
    let file = format!("{head}{routes}{}", shop(&[("only", &origin)], ""));
    let edge = Edge::start_file(&file, true).await;
    for forged in ["x_user: admin", "X_USER: admin", "x.user: admin", "X-user: admin"] {
        assert_eq!(edge.get(&[forged, "x_other: 1"]).await.status, 200);
        let head = origin.received().pop().unwrap().head;
        assert!(!head.contains("admin") && head.contains("x_other: 1"), "{forged}: {head}");
    }
    // Nor does it come behind a body, where some look for fields, too.
    let mut client = edge.client().await;
    let post = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x-user\r\n\r\n\
                2\r\nhi\r\n0\r\nx-user: admin\r\n\r\n";
    client.send(post).await;
    assert_eq!(client.response().await.status, 200);
    let got = origin.received().pop().unwrap();
    assert_eq!((&*got.body, got.fields("trailer").len()), (&b"2\r\nhi\r\n0\r\n\r\n"[..], 0));
}

#[tokio::test]
async fn a_refusal_goes_to_the_client_and_anything_else_is_no_way_in() {
    let answers: [(&str, &str, &[&str]); 8] = [
        ("/401", "401 Unauthorized", &["www-authenticate: Bearer", "x-user: ann"]),
        ("/403", "403 Forbidden", &["content-type: text/html"]),
        ("/302", "302 Found", &["location: /login?to=x", "set-cookie: a=1", "set-cookie: b=2"]),
        ("/200", "200 OK", &["x-user: ann"]),
        ("/404", "404 Not Found", &[]),
        ("/500", "500 Internal Server Error", &["x-user: ann"]),
        ("/503", "503 Service Unavailable", &["retry-after: 9"]),
        ("/304", "304 Not Modified", &[]),
    ];
    let service = Origin::with(move |request| {
        let asked = request.fields("x-forwarded-uri").concat();
        let path = asked.strip_prefix("/closed").unwrap();
        let known = answers.iter().find(|(known, ..)| *known == path);
        if let Some((_, status, fields)) = known {
            return Reply::head(status, fields, if *path == *"/304" { "" } else { "said" });
        }
        match path {
            "/long" => Reply::ok(&"x".repeat(64 * 1024 + 1)),
            "/longest" => Reply::ok(&"x".repeat(64 * 1024)),
            "/head" => {
                let field = format!("x-a: {}", "x".repeat(70_000));
                Reply::head("200 OK", &[&field], "")
            }
            "/chunks" => {
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                Reply::Bytes([head.as_bytes(), b"2\r\nin\r\n0\r\n\r\n"].concat())
            }
            "/interim" => Reply::Bytes(
                b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
                    .to_vec(),
            ),
            "/cut" => {
                Reply::BytesThenClose(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nin".to_vec())
            }
            "/half" => Reply::BytesThenClose(b"HTTP/1.1 200 O".to_vec()),
            "/reset" => {
                Reply::BytesThenReset(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n".to_vec())
            }
            "/none" => Reply::Close,
            "/switch" => Reply::Bytes(b"HTTP/1.1 101 Go\r\nupgrade: x\r\n\r\n".to_vec()),
            "/two" => Reply::Bytes(
                b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_vec(),
            ),
            "/no" => Reply::Bytes(b"SSH-2.0-x\r\n\r\n".to_vec()),
            "/drip" => Reply::Drip(b"HTTP/1.1 200 OK\r\nx-a: b\r\n".to_vec(), 20),
            _ => Reply::Nothing,
        }
    })
    .await;
    let origin = Origin::named("served").await;
    let rule = ask(&service, "copy = [\"x-user\"], timeout = \"1s\"");
    let edge = edge(&rule, "", &origin, "").await;
    let asked = async |path: &str| {
        get(edge.address, "shop.test", &format!("/closed{path}"), &["x-user: admin"]).await
    };
    let told = asked("/401").await;
    assert_eq!((told.status, &*told.body), (401, "said"));
    assert_eq!(told.fields("www-authenticate"), ["Bearer"]);
    assert!(told.fields("x-user").is_empty(), "it is meant for the upstream");
    assert_eq!(told.fields("cache-control"), ["no-store"]);
    let told = asked("/403").await;
    assert_eq!((told.status, told.fields("content-type")), (403, vec!["text/html"]));
    let told = asked("/302").await;
    assert_eq!((told.status, told.fields("location")), (302, vec!["/login?to=x"]));
    assert_eq!(told.fields("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(origin.asked(), 0);
    for path in ["/200", "/longest", "/chunks", "/interim"] {
        assert_eq!(asked(path).await.status, 200, "{path}");
    }
    assert_eq!(origin.asked(), 4);
    let silent = [
        "/304", "/404", "/500", "/503", "/long", "/head", "/cut", "/half", "/reset", "/none",
        "/switch", "/two", "/no", "/drip", "/nothing",
    ];
    for path in silent {
        let told = asked(path).await;
        assert_eq!(told.status, 503, "{path}");
        assert!(!told.body.contains("said") && told.fields("x-user").is_empty(), "{path}");
    }
    assert_eq!(origin.asked(), 4, "never a pass");
    until("it is counted, and nobody's failure", async || {
        let by =
            |outcome: &str| format!("pointsman_auth_total{{by=\"service\",outcome=\"{outcome}\"}}");
        metric(&edge, &by("passed")).await == 4
            && metric(&edge, &by("refused")).await == 3
            && metric(&edge, &by("failed")).await == silent.len() as u64
            && metric(&edge, "pointsman_refused_total{reason=\"auth_failed\"}").await == 15
            && metric(&edge, "pointsman_refused_total{reason=\"not_let_in\"}").await == 3
            && metric(
                &edge,
                "pointsman_requests_total{service=\"shop\",pool=\"only\",code=\"5xx\"}",
            )
            .await
                == 0
    })
    .await;
    // A call of gRPC reads its own status alone.
    let peer = peer::Client::connect(edge.address).await;
    let call = [("content-type", "application/grpc"), ("te", "trailers")];
    for (path, code) in [("/302", "16"), ("/401", "16"), ("/403", "7"), ("/500", "14")] {
        let got = peer.post(&format!("/closed{path}"), &call, b"").await;
        assert_eq!((got.status, got.field("grpc-status")), (200, Some(code)), "{path}");
    }
}

#[tokio::test]
async fn nobody_there_to_be_asked_is_no_way_in_either() {
    let nobody = crate::harness::running::free();
    let origin = Origin::named("served").await;
    for place in [format!("http://{nobody}/"), "http://nobody.invalid:80/".into()] {
        let rule = format!("auth = {{ ask = \"{place}\" }}");
        let edge = edge(&rule, "", &origin, "").await;
        assert_eq!(closed(&edge, &[]).await.status, 503, "{place}");
        assert_eq!(edge.get(&[]).await.status, 200, "{place}");
    }
    assert_eq!(origin.asked(), 2);
}

#[tokio::test]
async fn a_tunnel_is_opened_for_who_is_let_in_by_either_version() {
    const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\n\
                            upgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n";
    let service = Origin::with(|request| match request.fields("cookie")[..] {
        ["in"] => Reply::head("200 OK", &["x-user: ann"], ""),
        _ => Reply::head("401 Unauthorized", &[], ""),
    })
    .await;
    let origin = Origin::always(Reply::Echo(SWITCH.to_vec())).await;
    let edge = edge(&ask(&service, "copy = [\"x-user\"]"), "", &origin, "").await;
    let upgrade = "GET /closed HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-key: x\r\nsec-websocket-version: 13\r\n";
    let mut client = edge.client().await;
    client.send(format!("{upgrade}\r\n")).await;
    assert_eq!(client.response().await.status, 401);
    client.send(format!("{upgrade}cookie: in\r\n\r\n")).await;
    assert_eq!(client.response_to_head().await.status, 101);
    client.send("over there").await;
    assert_eq!(client.bytes(10).await, b"over there");
    assert_eq!(origin.only().fields("x-user"), ["ann"]);
    let peer = peer::Client::connect(edge.address).await;
    peer.takes_websockets().await;
    for (cookie, status) in [("out", 401), ("in", 200)] {
        let mut request = peer.request(Method::CONNECT, "/closed", &[("cookie", cookie)]);
        request.extensions_mut().insert(Protocol::from_static("websocket"));
        let (answer, _stream) = peer.begin(request, false).await;
        assert_eq!(answer.await.unwrap().status().as_u16(), status, "{cookie}");
    }
    assert_eq!(origin.asked(), 2);
}

#[tokio::test]
async fn questions_go_by_kept_connections_and_a_dead_one_is_no_refusal() {
    let taken = Arc::new(AtomicU16::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = taken.clone();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                // Questions here are far smaller than one read. After five it closes without a word.
                for _ in 0..5 {
                    if stream.read(&mut [0; 4096]).await.unwrap_or(0) == 0 {
                        return;
                    }
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nin";
                    stream.write_all(answer).await.unwrap();
                }
                let _ = stream.read(&mut [0; 4096]).await;
            });
        }
    });
    let origin = Origin::named("served").await;
    // By a name, which is looked up before anybody asks.
    let rule = format!("auth = {{ ask = \"http://localhost:{}/\" }}", address.port());
    let edge = edge(&rule, "", &origin, "").await;
    until("the name has resolved", async || closed(&edge, &[]).await.status == 200).await;
    for _ in 0..20 {
        assert_eq!(closed(&edge, &[]).await.status, 200);
    }
    let taken = taken.load(Ordering::Relaxed);
    assert!((4..=8).contains(&taken), "{taken} connections for at least 21 questions");
}

#[tokio::test]
async fn who_leaves_at_the_door_is_waited_for_no_longer_and_reaches_nobody() {
    let gate = Gate::closed();
    let behind = gate.clone();
    let service = Origin::with(move |_| Reply::ok("in").behind(&behind)).await;
    let origin = Origin::named("served").await;
    let edge = edge(&ask(&service, "timeout = \"60s\""), "", &origin, "").await;
    let mut client = edge.client().await;
    client.send("GET /closed HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("it is asked", async || service.asked() == 1).await;
    drop(client);
    until("it is over", async || {
        let line = "pointsman_requests_total{service=\"shop\",pool=\"\",code=\"client_gone\"}";
        metric(&edge, line).await == 1
    })
    .await;
    gate.open();
    assert_eq!(closed(&edge, &[]).await.status, 200);
    assert_eq!(origin.asked(), 1);
}

#[tokio::test]
async fn who_is_asked_may_be_on_a_socket_of_this_machine() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("auth.sock");
    let origin = Origin::named("served").await;
    let rule =
        format!("auth = {{ ask = \"unix:{}:/auth?a\", copy = [\"x-user\"] }}", path.display());
    let edge = edge(&rule, "", &origin, "").await;
    assert_eq!(closed(&edge, &[]).await.status, 503, "nobody is there yet");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let serving = tokio::spawn(async move {
        let mut heard = Vec::new();
        for _ in 0..2 {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let status = match head.contains("cookie: s=ann") {
                true => "204 No Content\r\nx-user: ann",
                false => "403 Forbidden\r\ncontent-length: 0",
            };
            let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n");
            socket.write_all(answer.as_bytes()).await.unwrap();
            heard.push(head);
        }
        heard
    });
    assert_eq!(closed(&edge, &["cookie: s=eve"]).await.status, 403);
    assert_eq!(closed(&edge, &["cookie: s=ann"]).await.body, "served");
    assert_eq!(origin.received().pop().unwrap().fields("x-user"), ["ann"]);
    let heard = serving.await.unwrap();
    assert!(heard.iter().all(|head| head.starts_with("GET /auth?a HTTP/1.1\r\n")), "{heard:?}");
    assert!(heard[0].contains("host: localhost\r\n"), "{}", heard[0]);
}
