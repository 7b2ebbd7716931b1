//! Who may do what: strangers, proxies, and whoever knows a name that is written in the docs.

use serde_json::json;
use tempfile::TempDir;

use pointsman::config::ListenAddress;
use pointsman::files::Source;
use pointsman::server::{Options, Server};

use crate::harness::client::get;
use crate::harness::edge::{HEAD, shop_at};
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
        let source = Source::File(file.clone());
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
