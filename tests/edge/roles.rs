//! What a token may do: roles, services and networks; and the record of who asked for what.

use pointsman::config::ListenAddress;
use pointsman::files::Source;
use pointsman::server::{Options, Server};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::harness::client::Response;
use crate::harness::edge::{HEAD, shop};
use crate::harness::{Edge, Origin};

/// A line for each role; the token of `x` is `x` and sixteen zeros.
const TOKENS: &str = "boss: boss0000000000000000
eye role=read: eye0000000000000000
mover role=shift: mover0000000000000000
ci role=deploy services=shop networks=10.0.0.0/8,127.0.0.1: ci0000000000000000
guest role=read services=shop: guest0000000000000000
bell role=alerts: bell0000000000000000
";

struct House {
    edge: Edge,
    _folder: TempDir,
    _origins: [Origin; 3],
}

impl House {
    /// Two services, `shop` of two pools and `web` of one, with [`TOKENS`].
    async fn new() -> House {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("admin.token");
        std::fs::write(&file, TOKENS).unwrap();
        let head =
            HEAD.replace("[admin]", &format!("[admin]\ntoken_file = \"{}\"", file.display()));
        let origins =
            [Origin::named("a").await, Origin::named("b").await, Origin::named("c").await];
        let text = format!(
            "{head}[[routes]]\nhosts = [\"web.test\"]\nservice = \"web\"\n\
             [[routes]]\nhosts = [\"shop.test\"]\nservice = \"shop\"\n{}\
             [services.web.pools.only]\nupstreams = [\"{}\"]\n",
            shop(&[("blue", &origins[0]), ("green", &origins[1])], ""),
            origins[2].address
        );
        let edge = Edge::start_file(&text, false).await;
        House { edge, _folder: folder, _origins: origins }
    }

    async fn ask(&self, who: &str, method: &str, path: &str, body: &Value) -> Response {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let field = format!("authorization: Bearer {who}0000000000000000");
        self.edge.admin_with(method, path, &body, &[&field]).await
    }

    async fn status(&self, who: &str, method: &str, path: &str, body: &Value) -> u16 {
        self.ask(who, method, path, body).await.status
    }

    async fn audit(&self) -> Vec<Value> {
        let events = self.ask("boss", "GET", "/v1/events", &Value::Null).await;
        let events: Vec<Value> = serde_json::from_str(&events.body).unwrap();
        events.into_iter().filter(|event| event["kind"] == "audit").collect()
    }
}

#[tokio::test]
async fn each_role_may_do_what_it_names_and_no_more() {
    let house = House::new().await;
    let (none, green) = (Value::Null, json!({"to": "green"}));
    let added = json!({"address": "127.0.0.1:9"});
    let cases: [(&str, &str, &Value, &str); 9] = [
        ("GET", "/v1/status", &none, "boss eye mover ci guest"),
        ("GET", "/metrics", &none, "boss eye mover"),
        ("GET", "/v1/config", &none, "boss"),
        ("GET", "/v1/store", &none, "boss"),
        ("GET", "/openapi.json", &none, "boss eye mover ci guest bell"),
        ("POST", "/v1/services/shop/flip", &green, "boss mover ci"),
        ("POST", "/v1/services/web/flip", &json!({"to": "only"}), "boss mover"),
        ("POST", "/v1/services/shop/pools/green/upstreams", &added, "boss ci"),
        ("POST", "/v1/config/reload", &none, "boss"),
    ];
    for (method, path, body, may) in cases {
        for who in ["boss", "eye", "mover", "ci", "guest", "bell"] {
            let said = house.ask(who, method, path, body).await;
            let is_refused = said.status == 403;
            assert_eq!(
                !is_refused,
                may.split(' ').any(|one| one == who),
                "{who} {path} {}",
                said.body
            );
            assert_ne!(said.status, 401, "{who} {path}");
        }
    }
    let refused = house.ask("eye", "POST", "/v1/services/shop/flip", &green).await;
    let refused: Value = serde_json::from_str(&refused.body).unwrap();
    assert_eq!(
        (&refused["type"], &refused["needs"], &refused["has"]),
        (&json!("role"), &json!("shift"), &json!("read"))
    );
    let said = "`POST /v1/services/shop/flip` needs the role `shift`; the token `eye` has `read`";
    assert_eq!(refused["detail"], said);
    // A path that there is not, and a method that it has not, are for the boss to know.
    assert_eq!(house.status("eye", "GET", "/v1/nothing", &none).await, 404);
    assert_eq!(house.status("eye", "PATCH", "/v1/services", &none).await, 403);
    assert_eq!(house.status("boss", "PATCH", "/v1/services", &none).await, 405);
}

#[tokio::test]
async fn the_command_line_says_what_is_lacking_and_changes_nothing() {
    let house = House::new().await;
    let run = async |token: &str| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(["flip", "shop", "green", "--admin", &house.edge.admin.to_string()]);
        if !token.is_empty() {
            command.args(["--token", token]);
        }
        let done = command.output().await.unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    for (token, said) in [
        ("eye0000000000000000", "needs the role `shift`; the token `eye` has `read`"),
        ("nobody0000000000000000", "this is no token of this API"),
        ("", "`--token` or POINTSMAN_TOKEN on the command line"),
    ] {
        let (code, told) = run(token).await;
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains(said), "{told}");
    }
    assert_eq!(house.edge.get(&[]).await.body, "a");
    assert_eq!(run("mover0000000000000000").await.0, Some(0));
    assert_eq!(house.edge.get(&[]).await.body, "b");
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_service_sees_and_moves_no_other() {
    let house = House::new().await;
    let none = Value::Null;
    let names = async |who: &str, path: &str| {
        let said = house.ask(who, "GET", path, &none).await;
        let said: Value = serde_json::from_str(&said.body).unwrap();
        let list = said.get("services").unwrap_or(&said).as_array().unwrap().clone();
        list.iter().map(|one| one["name"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    for path in ["/v1/services", "/v1/status"] {
        assert_eq!(names("eye", path).await, ["shop", "web"]);
        assert_eq!(names("guest", path).await, ["shop"]);
    }
    assert_eq!(house.status("guest", "GET", "/v1/services/shop", &none).await, 200);
    for path in ["/v1/services/web", "/v1/services/w%65b", "/v1/services/none", "/v1/flags"] {
        let refused = house.ask("guest", "GET", path, &none).await;
        assert_eq!(refused.status, 403, "{path}");
        assert!(refused.body.contains("bound to `shop`"), "{}", refused.body);
    }
    // Events and requests of others are not there either.
    let web = json!({"mode": "maintenance"});
    assert_eq!(house.status("boss", "PUT", "/v1/services/web/mode", &web).await, 200);
    assert_eq!(house.status("boss", "PUT", "/v1/services/shop/mode", &web).await, 200);
    let events = house.ask("guest", "GET", "/v1/events", &none).await;
    let events: Vec<Value> = serde_json::from_str(&events.body).unwrap();
    assert!(!events.is_empty() && events.iter().all(|event| event["service"] == "shop"));
    let said = async |host: &str| {
        let at = house.edge.address;
        crate::harness::client::get(at, host, "/", &[&format!("x-request-id: of-{host}")]).await
    };
    assert_eq!((said("web.test").await.status, said("shop.test").await.status), (503, 503));
    let known = async |who: &str, id: &str| {
        house.status(who, "GET", &format!("/v1/requests/{id}"), &none).await
    };
    crate::harness::until("both are remembered", async || {
        known("eye", "of-web.test").await == 200 && known("eye", "of-shop.test").await == 200
    })
    .await;
    assert_eq!(
        (known("guest", "of-web.test").await, known("guest", "of-shop.test").await),
        (404, 200)
    );
    let list = house.ask("guest", "GET", "/v1/requests", &none).await.body;
    assert!(list.contains("of-shop.test") && !list.contains("of-web.test"), "{list}");
}

#[tokio::test]
async fn a_token_that_deploys_adds_and_removes_upstreams_within_its_networks_only() {
    let house = House::new().await;
    let list = "/v1/services/shop/pools/green/upstreams";
    let add = async |who: &str, address: &str| {
        house.status(who, "POST", list, &json!({"address": address})).await
    };
    assert_eq!(
        (add("ci", "10.1.2.3:80").await, add("ci", "[::ffff:10.1.2.4]:80").await),
        (201, 201)
    );
    for address in ["192.0.2.1:80", "127.0.0.2:80", "localhost:80", "unix:/run/x.sock", "[::1]:80"]
    {
        let refused = house.ask("ci", "POST", list, &json!({"address": address})).await;
        assert_eq!(refused.status, 403, "{address}");
        assert!(refused.body.contains("`10.0.0.0/8`, `127.0.0.1/32`"), "{}", refused.body);
    }
    assert_eq!(add("boss", "192.0.2.1:80").await, 201);
    let remove = async |who: &str, address: &str| {
        house.status(who, "DELETE", &format!("{list}/{address}"), &Value::Null).await
    };
    assert_eq!((remove("ci", "192.0.2.1:80").await, remove("ci", "10.1.2.3:80").await), (403, 200));
    assert_eq!(
        (remove("mover", "10.1.2.4:80").await, remove("boss", "192.0.2.1:80").await),
        (403, 200)
    );
}

#[tokio::test]
async fn each_change_is_on_the_record_with_its_source_and_so_are_refusals_up_to_a_bound() {
    let house = House::new().await;
    let green = json!({"to": "green"});
    let flip = "/v1/services/shop/flip";
    house.ask("ci", "POST", flip, &json!({"to": "green", "author": "ann"})).await;
    house.ask("ci", "POST", flip, &json!({"to": "none"})).await;
    house.ask("eye", "GET", "/v1/status", &Value::Null).await;
    house.ask("boss", "POST", "/v1/config/check", &Value::Null).await;
    let told = |events: &[Value]| -> Vec<(String, String)> {
        let one = |event: &Value| {
            (event["author"].as_str().unwrap_or("-").into(), event["what"].as_str().unwrap().into())
        };
        events.iter().map(one).collect()
    };
    let asked = |answer: u16| {
        let what = format!("POST {flip} from 127.0.0.1 as deploy: {answer}");
        ("ci".to_string(), what)
    };
    let events = house.audit().await;
    assert_eq!(told(&events), [asked(200), asked(404)], "what changes nothing is not told");
    assert_eq!(events[0]["service"], "shop");
    // Of many refusals the first ten are told.
    for _ in 0..8 {
        house.ask("eye", "POST", flip, &green).await;
        house.ask("nobody", "POST", flip, &green).await;
    }
    let told = told(&house.audit().await[2..]);
    let role = format!("POST {flip} from 127.0.0.1 as read was refused with 403: role");
    let token = format!("POST {flip} from 127.0.0.1 was refused with 401: no-token");
    assert_eq!(told[..2], [("eye".into(), role), ("-".into(), token)]);
    assert_eq!(told.len(), 10);
}

#[tokio::test]
async fn an_order_by_a_unix_socket_is_by_the_user_that_the_kernel_names() {
    let (folder, origin) = (TempDir::new().unwrap(), Origin::named("a").await);
    let (file, socket) = (folder.path().join("p.toml"), folder.path().join("a.sock"));
    let head = HEAD.replace(
        "[admin]\naddress = \"127.0.0.1:0\"",
        &format!("[admin]\naddress = \"unix:{}\"", socket.display()),
    );
    std::fs::write(&file, format!("{head}{}", shop(&[("only", &origin)], ""))).unwrap();
    let options = Options {
        source: Source::file(file, Default::default()),
        admin: None,
        watches_file: false,
    };
    let server = Server::start(options).await.unwrap();
    assert!(matches!(server.admin_address(), ListenAddress::Unix(_)));
    let ask = async |head: &str, body: &str| {
        let mut stream = UnixStream::connect(&socket).await.unwrap();
        let length = body.len();
        let request = format!(
            "{head} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let uid = nix::unistd::getuid();
    let by = ask("PUT /v1/services/shop/mode", r#"{"mode": "maintenance", "author": "ann"}"#).await;
    assert!(by.starts_with("HTTP/1.1 200"), "{by}");
    let events = ask("GET /v1/events", "").await;
    let claimed = format!("\"author\":\"uid {uid} (as ann)\"");
    let asked = format!("PUT /v1/services/shop/mode from uid {uid} as admin: 200");
    assert!(events.contains(&claimed) && events.contains(&asked), "{events}");
    server.stop().await;
}
