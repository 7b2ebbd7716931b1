//! What the config takes from the environment and from files: it is in force, and nobody is shown it who
//! is not meant to see it.

use crate::harness::client::fields;
use crate::harness::edge::HEAD;
use crate::harness::running::free;
use crate::harness::{Edge, Installed, Origin, client, until};

const SECRETS: [&str; 4] = ["hook-path-5ecret", "field-5ecret", "file-5ecret", "health-5ecret"];

/// A file that takes an address, a host and secrets from outside.
fn text(hooks: &Origin) -> String {
    format!(
        "{HEAD}[[notify]]\nname = \"chat\"\nurl = \"http://{}/${{HOOK}}\"\nseverity = \"low\"\n\
         [[routes]]\nhosts = [\"${{HOST}}\"]\nservice = \"shop\"\n\
         request.set = {{ authorization = \"Bearer ${{file:keys/upstream}}\", x-tier = \"${{FIELD}}\" }}\n\
         [services.shop]\nhealth.http.path = \"/${{HEALTH:-up}}\"\n\
         [services.shop.pools.blue]\nupstreams = [\"${{BLUE}}\"]\n",
        hooks.address
    )
}

async fn start(origin: &Origin, hooks: &Origin) -> Edge {
    let [hook, field, _, health] = SECRETS;
    let address = origin.address.to_string();
    let variables = [
        ("HOOK", hook),
        ("FIELD", field),
        ("HEALTH", health),
        ("BLUE", &*address),
        ("HOST", "env.test"),
    ];
    let files = [("pointsman.toml", &*text(hooks)), ("keys/upstream", "file-5ecret\n")];
    Edge::start_folder(&files, &variables, true).await
}

#[tokio::test]
async fn what_is_from_outside_is_in_force_and_of_it_only_addresses_and_hosts_are_shown() {
    let (origin, hooks) = (Origin::named("blue").await, Origin::named("told").await);
    let edge = start(&origin, &hooks).await;
    let asked = client::get(edge.address, "env.test", "/x", &[]).await;
    assert_eq!(asked.body, "blue");
    let received = origin.received();
    let request = received.iter().find(|request| request.head.starts_with("GET /x ")).unwrap();
    assert_eq!(fields(&request.head, "authorization"), ["Bearer file-5ecret"]);
    assert_eq!(fields(&request.head, "x-tier"), ["field-5ecret"]);
    assert!(received.iter().any(|request| request.head.starts_with("GET /health-5ecret ")));
    let mode = r#"{"mode": "maintenance"}"#;
    assert_eq!(edge.admin("PUT", "/v1/services/shop/mode", mode).await.0, 200);
    until("it is told", async || {
        hooks.received().iter().any(|told| told.head.starts_with("POST /hook-path-5ecret "))
    })
    .await;
    // A change, so that there is something to tell of.
    let next =
        text(&hooks).replace("x-tier", "x-other").replace("${HEALTH:-up}", "${HEALTH:-ready}");
    std::fs::write(edge.file(), &next).unwrap();
    let (_, diff) = edge.admin("POST", "/v1/config/diff", "").await;
    assert!(
        diff.to_string().contains("health.http.path /${HEALTH:-up} → /${HEALTH:-ready}"),
        "{diff}"
    );
    let (_, reloaded) = edge.admin("POST", "/v1/config/reload", "").await;
    let mut shown = vec![diff.to_string(), reloaded.to_string()];
    for path in [
        "/v1/status",
        "/v1/services",
        "/v1/services/shop",
        "/v1/services/shop/pools",
        "/v1/services/shop/revisions",
        "/v1/events",
        "/v1/config",
        "/v1/requests",
        "/metrics",
        "/openapi.json",
    ] {
        let response = edge.admin_with("GET", path, "", &[]).await;
        assert_eq!(response.status, 200, "{path}");
        shown.push(response.body);
    }
    for (secret, shown) in
        SECRETS.iter().flat_map(|secret| shown.iter().map(move |shown| (secret, shown)))
    {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
    let address = origin.address.to_string();
    assert!(shown[2..6].iter().all(|state| state.contains(&address)), "{}", shown[2]);
    assert!(shown[8].contains("${BLUE}") && !shown[8].contains(&address), "{}", shown[8]);
}

#[tokio::test]
async fn a_secret_that_changes_in_its_file_is_in_force_by_itself() {
    let (origin, hooks) = (Origin::named("blue").await, Origin::named("told").await);
    let edge = start(&origin, &hooks).await;
    let before = edge.generation();
    std::fs::write(edge.folder.path().join("keys/upstream"), "another\r\n").unwrap();
    edge.until_after(before).await;
    client::get(edge.address, "env.test", "/y", &[]).await;
    let received = origin.received();
    let request = received.iter().find(|request| request.head.starts_with("GET /y ")).unwrap();
    assert_eq!(fields(&request.head, "authorization"), ["Bearer another"]);
    // It is gone: what was in force stays, and it is said which file is missed, and where.
    std::fs::remove_file(edge.folder.path().join("keys/upstream")).unwrap();
    let (status, problem) = edge.admin("POST", "/v1/config/reload", "").await;
    assert_eq!(status, 422);
    let told = &problem["problems"][0];
    assert!(
        told["message"].as_str().unwrap().starts_with("cannot read `keys/upstream`, which is /"),
        "{told}"
    );
    assert_eq!(told["line"], 14, "{problem}");
    assert_eq!(client::get(edge.address, "env.test", "/", &[]).await.body, "blue");
}

#[tokio::test]
async fn a_text_that_comes_over_the_api_learns_nothing() {
    let (origin, hooks) = (Origin::named("blue").await, Origin::named("told").await);
    let edge = start(&origin, &hooks).await;
    for asked in
        ["${HOOK}", "${HOOK:-x}", "${file:keys/upstream}", "${file:/etc/hostname}", "${PATH}"]
    {
        let text = text(&hooks).replace("${FIELD}", asked);
        for path in ["/v1/config/check", "/v1/config/diff"] {
            let (_, answer) = edge.admin("POST", path, &text).await;
            let answer = answer.to_string();
            assert!(answer.contains("takes nothing from outside"), "{answer}");
            assert!(SECRETS.iter().all(|secret| !answer.contains(secret)), "{answer}");
        }
    }
}

#[tokio::test]
async fn an_upgraded_process_has_the_same_environment_and_the_same_files() {
    let origin = Origin::named("a").await;
    let (listen, admin) = (free(), free());
    let text = format!(
        "include = \"more.toml\"\n[server]\nname = \"${{EDGE}}\"\n[[listeners]]\naddress = \"{listen}\"\n\
         [admin]\naddress = \"{admin}\"\n"
    );
    let folder = tempfile::TempDir::new().unwrap();
    let edge = folder.path().join("edge-of-the-environment");
    let mut installed = Installed::holding(
        &[
            ("p.toml", &text),
            ("more.toml", &format!("[services.a.pools.b]\nupstreams = [\"{}\"]\n", origin.address)),
        ],
        admin,
        &[("EDGE", &edge)],
    )
    .await;
    for _ in 0..2 {
        let (_, status) = installed.ask("GET", "/v1/status", "").await;
        assert_eq!(status["name"], edge.display().to_string(), "{status}");
        assert_eq!(client::get(listen, "a", "/", &[]).await.body, "a");
        let (status, said) = installed.upgrade().await;
        assert_eq!(status, 200, "{said}");
    }
}
