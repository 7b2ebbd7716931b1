//! What we say ourselves, in the form that somebody reads, and pages of an operator's own.

use serde_json::Value;

use crate::harness::client::{Response, get};
use crate::harness::edge::{HEAD, shop_at};
use crate::harness::running::free;
use crate::harness::{Client, Edge, until};

/// What a client may write into its id: it is to be text wherever it ends up.
const ID: &str = "--><script>alert(1)</script>\"'&";

async fn ask(edge: &Edge, host: &str, fields: &str) -> Response {
    let mut client = Client::connect(edge.address).await;
    let head =
        format!("POST /x HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nx-request-id: {ID}\r\n");
    client.send(format!("{head}{fields}\r\n\r\n")).await;
    client.response().await
}

#[tokio::test]
async fn each_form_tells_the_id_and_who_speaks_and_nothing_of_what_is_behind() {
    let gone = free();
    let route = "[[routes]]\nhosts = [\"shop.test\"]\nservice = \"shop\"\n";
    let edge = Edge::start(&format!("{route}{}", shop_at(&[("only", &[gone])], ""))).await;
    let browser = "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let escaped = "--&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;";
    for (host, status) in [("shop.test", 502), ("else.test", 404)] {
        for (accept, kind) in [
            (browser, "text/html; charset=utf-8"),
            ("accept: application/json", "application/problem+json"),
            ("accept: */*", "text/plain; charset=utf-8"),
        ] {
            let told = ask(&edge, host, accept).await;
            assert_eq!((told.status, told.fields("content-type")), (status, vec![kind]));
            assert_eq!(told.fields("x-content-type-options"), ["nosniff"]);
            assert_eq!(told.fields("x-request-id"), [ID]);
            assert!(told.body.contains("Pointsman"), "{}", told.body);
            let id = match kind {
                "text/html; charset=utf-8" => escaped.to_string(),
                "application/problem+json" => serde_json::to_string(ID).unwrap(),
                _ => ID.to_string(),
            };
            assert!(told.body.contains(&id), "{}", told.body);
            if kind.starts_with("text/html") {
                assert!(!told.body.contains("<script"), "{}", told.body);
            }
            let all = format!("{}{}", told.head, told.body);
            for secret in [env!("CARGO_PKG_VERSION"), &gone.port().to_string(), "shop", "only"] {
                assert!(!all.contains(secret), "{secret}: {all}");
            }
        }
        // A call of gRPC reads its status, and its failure is one of its service all the same.
        let told = ask(&edge, host, "content-type: application/grpc+proto\r\nte: trailers").await;
        let code = if status == 404 { "12" } else { "14" };
        assert_eq!((told.status, told.fields("grpc-status"), &*told.body), (200, vec![code], ""));
        let message = told.fields("grpc-message").concat();
        assert!(message.contains("(Pointsman, request -->"), "{message}");
    }
    until("all are counted as what they are", async || {
        let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
        let has = |pool: &str, service: &str, code: &str| {
            let name = format!(
                "pointsman_requests_total{{service=\"{service}\",pool=\"{pool}\",code=\"{code}\"}} 4\n"
            );
            metrics.contains(&name)
        };
        has("only", "shop", "5xx") && has("", "_unmatched", "4xx")
    })
    .await;
}

#[tokio::test]
async fn a_service_has_pages_of_its_own_which_are_read_anew_when_they_change() {
    let gone = free();
    let folder = tempfile::TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("sorry.html"), "<h1>{{status}} {{title}}</h1>{{detail}} {{request_id}}")
        .unwrap();
    std::fs::write(at("busy.html"), "<h1>busy</h1>").unwrap();
    let pages = format!(
        "error_pages = {{ 503 = \"{}\", 5xx = \"{}\" }}",
        at("busy.html").display(),
        at("sorry.html").display()
    );
    let edge = Edge::start(&shop_at(&[("only", &[gone])], &pages)).await;
    let browser = ["accept: text/html", "x-request-id: <i>"];
    let page = async || get(edge.address, "shop.test", "/", &browser).await;
    let told = page().await;
    let body = "<h1>502 Bad Gateway</h1>the upstream could not be reached &lt;i&gt;";
    assert_eq!((told.status, &*told.body), (502, body));
    assert_eq!(told.fields("content-type"), ["text/html; charset=utf-8"]);
    let json = edge.get(&["accept: application/json"]).await;
    let problem: Value = serde_json::from_str(&json.body).unwrap();
    assert_eq!(problem["status"], 502, "programs are told what they can read");
    let maintenance = r#"{"mode": "maintenance", "message": "later"}"#;
    assert_eq!(edge.admin("PUT", "/v1/services/shop/mode", maintenance).await.0, 200);
    let told = page().await;
    let body = "<h1>busy</h1><!-- Pointsman, request &lt;i&gt; -->\n";
    assert_eq!((told.status, &*told.body), (503, body));
    std::fs::write(at("busy.html"), "<p>{{detail}}</p>{{request_id}}").unwrap();
    until("the new page is in force", async || page().await.body == "<p>later</p>&lt;i&gt;").await;
    // One that cannot be read changes nothing, and is told of where it is named.
    std::fs::remove_file(at("sorry.html")).unwrap();
    let (status, refused) = edge.admin("POST", "/v1/config/reload", "").await;
    assert_eq!(status, 422, "{refused}");
    let problem = &refused["problems"][0];
    assert!(problem["message"].as_str().unwrap().contains("sorry.html"), "{refused}");
    let lines = HEAD.lines().count() as u64;
    assert_eq!(problem["line"].as_u64(), Some(lines + 3), "{refused}");
    assert_eq!(page().await.body, "<p>later</p>&lt;i&gt;");
}
