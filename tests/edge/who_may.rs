//! Who may do what: strangers, proxies, and whoever knows a name that is written in the docs.

use serde_json::json;
use tempfile::TempDir;

use pointsman::config::ListenAddress;
use pointsman::files::Source;
use pointsman::server::{Options, Server};

use crate::harness::client::get;
use crate::harness::edge::{HEAD, shop, shop_at};
use crate::harness::{Edge, Origin, running};

#[tokio::test]
async fn the_admin_api_without_a_token_is_not_there_for_who_comes_through_a_proxy() {
    let origin = Origin::named("fine").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    // Another Pointsman on this machine leads here, as its own public port could have.
    let through = Edge::start(&shop_at(&[("only", &[edge.admin])], "")).await;
    for (path, host) in [("/v1/services", "localhost"), ("/metrics", "127.0.0.1")] {
        let said = get(through.address, host, path, &[]).await;
        assert_eq!(said.status, 403, "{}", said.body);
        assert!(said.body.contains("\"forwarded\""), "{}", said.body);
        assert_eq!(get(edge.admin, host, path, &[]).await.status, 200);
    }
    let flip =
        edge.admin_with("POST", "/v1/services/shop/flip", "{}", &["via: 1.1 somebody"]).await;
    assert_eq!(flip.status, 403);
}

#[tokio::test]
async fn our_own_admin_api_is_no_upstream_however_it_is_spelled() {
    let origin = Origin::named("fine").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let port = edge.admin.port();
    let spelled = [
        format!("127.0.0.1:{port}"),
        format!("0.0.0.0:{port}"),
        format!("[::]:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("localhost:{port}"),
        format!("any.localhost.:{port}"),
    ];
    for address in spelled {
        let upstream = json!({ "address": address }).to_string();
        let list = "/v1/services/shop/pools/only/upstreams";
        let (status, refused) = edge.admin("POST", list, &upstream).await;
        assert_eq!((status, &refused["type"]), (409, &json!("own-admin")), "{address} {refused}");
        let text = format!("{HEAD}[services.shop.pools.only]\nupstreams = [\"{address}\"]\n");
        let (_, checked) = edge.admin("POST", "/v1/config/check", &text).await;
        assert_eq!(checked["valid"], false, "{address}");
        let said = checked["problems"][0].to_string();
        assert!(said.contains("the admin API is at"), "{address}: {said}");
    }
}

#[tokio::test]
async fn where_we_accept_requests_is_no_upstream_however_it_is_spelled() {
    let origin = Origin::named("fine").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let port = crate::harness::running::free().port();
    let spelled = [
        format!("127.0.0.1:{port}"),
        format!("0.0.0.0:{port}"),
        format!("[::]:{port}"),
        format!("127.0.0.3:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("localhost:{port}"),
        format!("any.localhost.:{port}"),
    ];
    for listens in ["127.0.0.1", "0.0.0.0"] {
        let head = HEAD.replacen("127.0.0.1:0", &format!("{listens}:{port}"), 1);
        for address in spelled.iter().filter(|it| listens == "0.0.0.0" || !it.contains(".0.3")) {
            let text = format!("{head}[services.shop.pools.only]\nupstreams = [\"{address}\"]\n");
            let (_, checked) = edge.admin("POST", "/v1/config/check", &text).await;
            assert_eq!(checked["valid"], false, "{address}");
            let said = checked["problems"][0].to_string();
            let is_said = said.contains("this file accepts requests at");
            assert!(is_said && said.contains("again and again"), "{address}: {said}");
        }
    }
}

#[tokio::test]
async fn a_unix_socket_of_the_admin_api_is_no_upstream() {
    let folder = TempDir::new().unwrap();
    let at = folder.path().display();
    for upstream in [format!("{at}/a.sock"), format!("{at}/./x/..//a.sock")] {
        let head = HEAD.replace(
            "127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0",
            &format!("127.0.0.1:0\"\n[admin]\naddress = \"unix:{at}/a.sock"),
        );
        let text = format!("{head}[services.shop.pools.only]\nupstreams = [\"unix:{upstream}\"]\n");
        let problems = pointsman::config::Config::parse(&text).unwrap_err();
        let said = problems.render(&text, "t", false);
        assert!(said.contains("the admin API is at `unix:"), "{said}");
    }
}

#[tokio::test]
async fn an_admin_address_given_at_the_start_counts_in_place_of_the_files() {
    let origin = Origin::named("fine").await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("p.toml");
    let listen = running::free();
    // The file's admin address is that of its listener, and nobody's without a token.
    let start = |admin: &str, upstream: &str| {
        let text = format!(
            "[server]\nworkers = 1\n[[listeners]]\naddress = \"{listen}\"\n[admin]\naddress = \"0.0.0.0:{}\"\n\
             [services.shop.pools.only]\nupstreams = [\"{upstream}\"]\n",
            listen.port()
        );
        std::fs::write(&file, text).unwrap();
        let admin: ListenAddress = admin.parse().unwrap();
        let source = Source::file(file.clone(), Default::default());
        Server::start(Options { source, admin: Some(admin), watches_file: false })
    };
    let elsewhere = running::free();
    let refused = start(&elsewhere.to_string(), &elsewhere.to_string()).await.err();
    assert!(refused.is_some(), "it is where the upstream is");
    let server = start("127.0.0.1:0", &origin.address.to_string()).await.unwrap();
    let &ListenAddress::Tcp(admin) = server.admin_address() else { unreachable!() };
    assert_eq!(get(listen, "shop.test", "/", &[]).await.body, "fine");
    let mut client = crate::harness::Client::connect(admin).await;
    client
        .send("POST /v1/config/reload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n")
        .await;
    let reloaded = client.response().await;
    assert_eq!(reloaded.status, 200, "{}", reloaded.body);
    server.stop().await;
}

#[tokio::test]
async fn a_text_that_is_to_be_checked_learns_of_no_file_elsewhere() {
    let origin = Origin::named("fine").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let told = async |file: &str| {
        let text = format!(
            "{HEAD}token_file = \"{file}\"\n{}",
            shop_at(&[("only", &[origin.address])], "")
        );
        let (_, checked) = edge.admin("POST", "/v1/config/check", &text).await;
        assert_eq!(checked["valid"], false, "{file}");
        checked["problems"].to_string().replace(file, "FILE")
    };
    // One that is there, one that is not, and a way out of the folder.
    let passwords = told("/etc/passwd").await;
    assert!(passwords.contains("names only files beside the config"), "{passwords}");
    assert_eq!(passwords, told("/etc/nowhere").await);
    assert_eq!(passwords, told("../../etc/passwd").await);
}

/// A service of two pools whose testers are let in by this, and the file of a secret beside it.
async fn with_testers(blue: &Origin, green: &Origin, tied: &str) -> (Server, TempDir) {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("testers.key"), "open sesame\n").unwrap();
    let head = HEAD.replace("workers = 2", "workers = 2\ntrusted_proxies = [\"127.0.0.0/8\"]");
    let service = format!("override = {{ header = \"x-pool\"{tied} }}");
    let file = folder.path().join("p.toml");
    std::fs::write(&file, format!("{head}{}", shop(&[("blue", blue), ("green", green)], &service)))
        .unwrap();
    let options = Options {
        source: Source::file(file, Default::default()),
        admin: None,
        watches_file: false,
    };
    (Server::start(options).await.unwrap(), folder)
}

#[tokio::test]
async fn who_may_name_a_pool_can_be_tied_to_networks_and_to_a_secret() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let (near, secret) = (", from = [\"192.0.2.0/24\"]", ", secret_file = \"testers.key\"");
    let (inside, outside) = ("x-forwarded-for: 192.0.2.7", "x-forwarded-for: 198.51.100.7");
    let both = format!("{near}{secret}");
    let cases = [
        ("", outside, "green", "green"),
        (near, inside, "green", "green"),
        (near, outside, "green", "blue"),
        (secret, outside, "green:open sesame", "green"),
        (secret, outside, "green", "blue"),
        (secret, outside, "green:", "blue"),
        (secret, outside, "green:open sesam", "blue"),
        (&both, inside, "green:open sesame", "green"),
        (&both, inside, "green", "blue"),
        (&both, outside, "green:open sesame", "blue"),
    ];
    for (tied, from, said, goes_to) in cases {
        let (server, folder) = with_testers(&blue, &green, tied).await;
        let asks = async || {
            let fields = [from, &format!("x-pool: {said}")];
            get(server.address().unwrap(), "shop.test", "/", &fields).await
        };
        assert_eq!(asks().await.body, goes_to, "{tied} {from} {said}");
        let origin = if goes_to == "blue" { &blue } else { &green };
        let seen = origin.received().pop().unwrap();
        let wanted = if tied.contains("secret") { vec![] } else { vec![said] };
        assert_eq!(seen.fields("x-pool"), wanted, "no upstream sees the secret");
        // Whoever is let in by anything passes during maintenance too; anybody does not.
        let &ListenAddress::Tcp(admin) = server.admin_address() else { unreachable!() };
        let mut client = crate::harness::Client::connect(admin).await;
        let mode = r#"{"mode": "maintenance"}"#;
        client
            .send(format!(
                "PUT /v1/services/shop/mode HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n{mode}",
                mode.len()
            ))
            .await;
        let answer = client.response().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let passes = goes_to == "green" && !tied.is_empty();
        assert_eq!(asks().await.status, if passes { 200 } else { 503 }, "{tied} {from} {said}");
        server.stop().await;
        drop(folder);
    }
}

#[tokio::test]
async fn an_override_that_is_anybodys_is_warned_of() {
    let origin = Origin::named("fine").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let warnings = async |tied: &str| {
        let service = format!("override = {{ header = \"x-pool\"{tied} }}");
        let text = format!("{HEAD}{}", shop(&[("only", &origin)], &service));
        let (_, checked) = edge.admin("POST", "/v1/config/check", &text).await;
        assert_eq!(checked["valid"], true, "{checked}");
        checked["problems"].as_array().unwrap().len()
    };
    assert_eq!(warnings("").await, 1);
    assert_eq!(warnings(", from = [\"0.0.0.0/0\", \"::/0\"]").await, 0);
}
