//! Where requests go.

use crate::harness::edge::shop as shop_of;
use crate::harness::{Client, Edge, Gate, Origin, Reply, client, until};

#[tokio::test]
async fn host_and_path_choose_the_service() {
    let (shop, api, wild) =
        (Origin::named("shop").await, Origin::named("api").await, Origin::named("wild").await);
    let service = |name: &str, origin: &Origin| {
        format!("[services.{name}.pools]\nonly.upstreams = [\"{}\"]\n", origin.address)
    };
    let edge = Edge::start(&format!(
        "[[routes]]\nhosts = [\"shop.test\"]\nservice = \"shop\"\n\
         [[routes]]\nhosts = [\"shop.test\"]\npath_prefix = \"/api\"\nservice = \"api\"\n\
         [[routes]]\nhosts = [\"*.test\"]\nservice = \"wild\"\n{}{}{}",
        service("shop", &shop),
        service("api", &api),
        service("wild", &wild),
    ))
    .await;
    let to = async |host: &str, path: &str| client::get(edge.address, host, path, &[]).await.body;
    assert_eq!(to("shop.test", "/").await, "shop");
    assert_eq!(to("SHOP.test:80", "/api/v1?x=/").await, "api");
    assert_eq!(to("shop.test", "/apis").await, "shop");
    assert_eq!(to("a.b.test", "/").await, "wild");
    let nowhere = client::get(edge.address, "else.example", "/", &[]).await;
    assert_eq!(nowhere.status, 404);
    assert!(nowhere.body.starts_with("Not Found: nothing is served here\n"), "{}", nowhere.body);
}

#[tokio::test]
async fn a_pool_without_upstreams_answers_503_in_the_form_asked_for() {
    let blue = Origin::named("blue").await;
    let edge = Edge::before(&[("blue", &blue)], "").await;
    let path = format!("/v1/services/shop/pools/blue/upstreams/{}/state", blue.address);
    assert_eq!(edge.admin("PUT", &path, r#"{"state": "drain", "force": true}"#).await.0, 200);
    let text = edge.get(&[]).await;
    let id = text.fields("x-request-id")[0];
    let words = "Service Unavailable: no upstream is available\nPointsman, request";
    assert_eq!((text.status, &text.body), (503, &format!("{words} {id}\n")));
    assert_eq!(text.fields("retry-after"), ["1"]);
    let json = edge.get(&["accept: application/json"]).await;
    assert_eq!(json.fields("content-type"), ["application/problem+json"]);
    let problem: serde_json::Value = serde_json::from_str(&json.body).unwrap();
    assert_eq!(problem["detail"], "no upstream is available");
    assert_eq!(edge.admin("PUT", &path, r#"{"state": "active"}"#).await.0, 200);
    assert_eq!(edge.get(&[]).await.body, "blue");
}

#[tokio::test]
async fn an_answer_of_our_own_keeps_the_connection() {
    let blue = Origin::named("blue").await;
    let edge = Edge::start(&format!(
        "[[routes]]\nhosts = [\"shop.test\"]\nservice = \"shop\"\n\
         [services.shop.pools]\nblue.upstreams = [\"{}\"]\n",
        blue.address
    ))
    .await;
    let mut client = edge.client().await;
    client.send("HEAD / HTTP/1.1\r\nhost: nobody.test\r\n\r\n").await;
    assert_eq!(client.response_to_head().await.status, 404);
    client.send("GET / HTTP/1.1\r\nhost: nobody.test\r\n\r\n").await;
    assert_eq!(client.response().await.status, 404);
    client.send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    assert_eq!(client.response().await.body, "blue");
}

#[tokio::test]
async fn an_upstream_that_refuses_connections_is_a_502() {
    let gone = crate::harness::running::free();
    let edge = Edge::start(&format!("[services.a.pools]\np.upstreams = [\"{gone}\"]\n")).await;
    let response = edge.get(&[]).await;
    assert_eq!(response.status, 502);
    assert!(response.body.starts_with("Bad Gateway: the upstream could not be reached\n"));
}

#[tokio::test]
async fn a_name_is_resolved_and_one_that_does_not_resolve_hurts_nobody() {
    let blue = Origin::named("blue").await;
    let edge = Edge::start(&format!(
        "[services.a.pools]\np.upstreams = [\"no-such-host.invalid:80\", \"localhost:{}\"]\n",
        blue.address.port()
    ))
    .await;
    // `localhost` may mean ::1 too, where nobody listens; then those tries fail to connect.
    let mut answered = 0;
    for _ in 0..20 {
        let response = edge.get(&[]).await;
        assert!(matches!(response.status, 200 | 502), "{response:?}");
        answered += u32::from(response.status == 200);
    }
    assert!(answered > 0);
    let (_, status) = edge.admin("GET", "/v1/services/a", "").await;
    assert_eq!(status["pools"][0]["upstreams"][0]["state"], "unresolved");
    assert_eq!(status["pools"][0]["upstreams"][1]["state"], "active");
}

#[tokio::test]
async fn unix_sockets_work_on_both_sides() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let folder = tempfile::TempDir::new().unwrap();
    let (front, back) = (folder.path().join("front.sock"), folder.path().join("back.sock"));
    let origin = tokio::net::UnixListener::bind(&back).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = origin.accept().await.unwrap();
        let mut head = [0; 1024];
        let read = stream.read(&mut head).await.unwrap();
        assert!(read > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nunix").await.unwrap();
        stream.read(&mut head).await.unwrap_or(0)
    });
    let edge = Edge::start(&format!(
        "[[listeners]]\naddress = \"unix:{}\"\n[services.a.pools]\np.upstreams = [\"unix:{}\"]\n",
        front.display(),
        back.display()
    ))
    .await;
    assert_eq!(edge.server.addresses().len(), 2);
    let mut client = tokio::net::UnixStream::connect(&front).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("unix"), "{answer}");
}

#[tokio::test]
async fn a_tester_names_the_pool_and_a_client_keeps_its_own() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let service = "split = { blue = 50, green = 50 }\n\
                   override = { header = \"x-pointsman-pool\" }\nsticky = { header = \"x-user\" }";
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], service).await;
    for _ in 0..10 {
        assert_eq!(edge.get(&["x-pointsman-pool: green"]).await.body, "green");
        assert_eq!(edge.get(&["x-pointsman-pool: blue"]).await.body, "blue");
    }
    let mut seen = std::collections::BTreeSet::new();
    // That all sit on one side has a probability of 2^-39.
    for user in 0..40 {
        let user = format!("x-user: {user}");
        let first = edge.get(&[&user]).await.body;
        assert_eq!(edge.get(&[&user]).await.body, first);
        seen.insert(first);
    }
    assert_eq!(seen.len(), 2, "40 users on two halves");
}

#[tokio::test]
async fn a_stop_lets_requests_under_way_end() {
    let gate = Gate::closed();
    let held = gate.clone();
    let slow = Origin::with(move |request| match request.head.starts_with("GET /slow") {
        true => Reply::ok("slow").behind(&held),
        false => Reply::ok("quick"),
    })
    .await;
    let Edge { server, address, folder: _folder, .. } = Edge::before(&[("only", &slow)], "").await;
    let mut idle = Client::connect(address).await;
    idle.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(idle.response().await.status, 200);
    let mut busy = Client::connect(address).await;
    busy.send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("the request is with the origin", async || slow.received().len() == 2).await;
    let stopped = tokio::spawn(server.stop());
    assert_eq!(idle.rest().await, b"");
    gate.open();
    let response = busy.response().await;
    assert_eq!((response.status, response.fields("connection")), (200, vec!["close"]));
    assert_eq!(stopped.await.unwrap(), 0);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn no_spelling_gets_around_a_list_and_what_is_let_in_goes_on_as_it_means() {
    let origin = Origin::named("a").await;
    let lines = format!(
        "[[routes]]\npath = \"/a+b\"\nservice = \"shop\"\ndeny = [\"127.0.0.0/8\"]\n\
         [[routes]]\nservice = \"shop\"\n{}",
        shop_of(&[("only", &origin)], "")
    );
    let edge = Edge::start(&lines).await;
    let mut client = edge.client().await;
    let mut ask = async |target: &str| {
        client.send(format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        client.response().await.status
    };
    for target in ["/a+b", "/a%2Bb", "/%61%2bb", "//a+b"] {
        assert_eq!(ask(target).await, 403, "{target}");
    }
    assert_eq!(origin.asked(), 0);
    for (target, passed) in [("/%61%2bc%3d", "/a%2Bc%3D"), ("/a+c=", "/a+c=")] {
        assert_eq!(ask(target).await, 200, "{target}");
        let head = origin.received().pop().unwrap().head;
        assert!(head.starts_with(&format!("GET {passed} HTTP/1.1\r\n")), "{head}");
    }
}

#[tokio::test]
async fn upstreams_are_asked_for_paths_as_sent_or_in_the_form_that_routes_are_found_by() {
    for (said, passed) in [
        ("", "/%7euser/%41%2bb?q=%7e%41"),
        // What is reserved may mean something else without its escape.
        ("paths = \"normal\"", "/~user/A%2Bb?q=%7e%41"),
    ] {
        let origin = Origin::named("a").await;
        let edge = Edge::before(&[("only", &origin)], said).await;
        let mut client = edge.client().await;
        for target in ["/%7euser/%41%2bb?q=%7e%41", "/plain?x=1"] {
            client.send(format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
            assert_eq!(client.response().await.status, 200);
        }
        let asked = origin.received();
        let line = |at: usize| asked[at].head.lines().next().unwrap().to_string();
        assert_eq!(line(0), format!("GET {passed} HTTP/1.1"), "{said}");
        assert_eq!(line(1), "GET /plain?x=1 HTTP/1.1");
    }
}
