//! Changes of the file while requests run.

use std::path::Path;

use crate::harness::edge::{HEAD, shop};
use crate::harness::{Edge, Origin, until};

fn green(text: &str) -> String {
    text.replace("blue = 100, green = 0", "blue = 0, green = 100")
}

async fn two_pools() -> (Origin, Origin, String) {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let text = format!("{HEAD}{}", shop(&[("blue", &blue), ("green", &green)], ""));
    (blue, green, text)
}

#[tokio::test]
async fn a_saved_file_takes_effect_and_state_survives() {
    let (blue, _green, text) = two_pools().await;
    let edge = Edge::start_file(&text, true).await;
    let path = format!("/v1/services/shop/pools/blue/upstreams/{}/state", blue.address);
    edge.admin("PUT", &path, r#"{"state": "drain", "force": true}"#).await;
    let before = edge.generation();
    std::fs::write(edge.file(), green(&text)).unwrap();
    edge.until_after(before).await;
    assert_eq!(edge.get(&[]).await.body, "green");
    let (_, pool) = edge.admin("GET", "/v1/services/shop/pools/blue", "").await;
    assert_eq!(pool["upstreams"][0]["state"], "draining");
    // It is in force a moment before it is told.
    until("it has a revision", async || {
        let (_, revisions) = edge.admin("GET", "/v1/services/shop/revisions", "").await;
        (&revisions[0]["revision"], &revisions[0]["author"]) == (&2.into(), &"file".into())
    })
    .await;
}

#[tokio::test]
async fn an_editor_that_renames_over_the_file_is_noticed() {
    let (_blue, _green, text) = two_pools().await;
    let edge = Edge::start_file(&text, true).await;
    for round in 0..3 {
        let before = edge.generation();
        let next = edge.folder.path().join(".pointsman.toml.swp");
        let comment = format!("# round {round}\n");
        std::fs::write(&next, comment + &text).unwrap();
        std::fs::rename(&next, edge.file()).unwrap();
        edge.until_after(before).await;
    }
}

#[tokio::test]
async fn a_folder_swapped_behind_a_link_is_noticed() {
    use std::os::unix::fs::symlink;
    let (_blue, _green, text) = two_pools().await;
    let edge = Edge::start_file(&text, true).await;
    // As Kubernetes mounts a ConfigMap: file → ..data/file, ..data → a folder for each version.
    let folder = edge.folder.path();
    let version = |name: &str, text: &str| {
        std::fs::create_dir(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join("pointsman.toml"), text).unwrap();
    };
    version("..1", &format!("# one\n{text}"));
    symlink("..1", folder.join("..data")).unwrap();
    let before = edge.generation();
    std::fs::remove_file(edge.file()).unwrap();
    symlink(Path::new("..data/pointsman.toml"), edge.file()).unwrap();
    edge.until_after(before).await;
    let before = edge.generation();
    version("..2", &green(&text));
    symlink("..2", folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    edge.until_after(before).await;
    assert_eq!(edge.get(&[]).await.body, "green");
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_is_loud() {
    let (_blue, _green, text) = two_pools().await;
    let edge = Edge::start_file(&text, true).await;
    let before = edge.generation();
    std::fs::write(edge.file(), text.replace("blue = 100", "blue = 101")).unwrap();
    let process = edge.server.process();
    until("the file is refused", async || process.gauges().refused_reloads > 0).await;
    assert_eq!(edge.generation(), before);
    assert_eq!(edge.get(&[]).await.body, "blue");
    let (status, problem) = edge.admin("POST", "/v1/config/reload", "").await;
    assert_eq!((status, &problem["type"]), (422, &"bad-config".into()));
    assert_eq!(problem["problems"][0]["line"], 8);
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    assert!(metrics.contains("pointsman_config_last_reload_successful 0"), "{metrics}");
    std::fs::write(edge.file(), green(&text)).unwrap();
    edge.until_after(before).await;
    until("it is told", async || {
        let (_, status) = edge.admin("GET", "/v1/status", "").await;
        status["config"]["last_reload_successful"] == true
    })
    .await;
}

#[tokio::test]
async fn an_unedited_split_keeps_what_was_set_at_run_time() {
    let (_blue, _green, text) = two_pools().await;
    let edge = Edge::start_file(&text, false).await;
    let weights = r#"{"weights": {"blue": 30, "green": 70}}"#;
    assert_eq!(edge.admin("PUT", "/v1/services/shop/split", weights).await.0, 200);
    std::fs::write(edge.file(), format!("# a comment\n{text}")).unwrap();
    assert_eq!(edge.admin("POST", "/v1/config/reload", "").await.0, 200);
    let (_, split) = edge.admin("GET", "/v1/services/shop/split", "").await;
    assert_eq!((&split["revision"], &split["weights"]["green"]), (&2.into(), &70.0.into()));
    std::fs::write(edge.file(), green(&text)).unwrap();
    let (_, changes) = edge.admin("POST", "/v1/config/reload", "").await;
    assert_eq!(
        changes["changes"][0]["what"],
        "split blue=30 green=70 → green=100, 30 % of its traffic moves"
    );
    let (_, split) = edge.admin("GET", "/v1/services/shop/split", "").await;
    assert_eq!((&split["revision"], &split["weights"]["green"]), (&3.into(), &100.0.into()));
}

#[tokio::test]
async fn listeners_come_and_go_while_others_run() {
    let (_blue, _green, text) = two_pools().await;
    let edge = Edge::start_file(&text, false).await;
    let mut kept = edge.client().await;
    kept.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(kept.response().await.body, "blue");
    let free = crate::harness::running::free();
    let moved = text.replacen("127.0.0.1:0", &free.to_string(), 1);
    std::fs::write(edge.file(), &moved).unwrap();
    assert_eq!(edge.admin("POST", "/v1/config/reload", "").await.0, 200);
    let fresh = crate::harness::client::get(free, "a", "/", &[]).await;
    assert_eq!(fresh.body, "blue");
    kept.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(kept.response().await.body, "blue", "connections outlive their listener");
    until("the old address is closed", async || {
        tokio::net::TcpStream::connect(edge.address).await.is_err()
    })
    .await;
    // An address that cannot be bound refuses the whole file.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let clash = moved.replacen(&free.to_string(), &taken.local_addr().unwrap().to_string(), 1);
    std::fs::write(edge.file(), &clash).unwrap();
    let (status, problem) = edge.admin("POST", "/v1/config/reload", "").await;
    assert_eq!((status, &problem["type"]), (409, &"address-not-bindable".into()));
    assert_eq!(crate::harness::client::get(free, "a", "/", &[]).await.body, "blue");
}

#[tokio::test]
async fn series_of_removed_upstreams_disappear() {
    let (blue, other) = (Origin::named("blue").await, Origin::named("other").await);
    let text = format!(
        "{HEAD}[services.shop.pools]\nblue.upstreams = [\"{}\", \"{}\"]\n",
        blue.address, other.address
    );
    let edge = Edge::start_file(&text, false).await;
    let metrics = async || edge.admin_with("GET", "/metrics", "", &[]).await.body;
    let series = format!("upstream=\"{}\"", other.address);
    assert!(metrics().await.contains(&series));
    std::fs::write(edge.file(), text.replace(&format!(", \"{}\"", other.address), "")).unwrap();
    assert_eq!(edge.admin("POST", "/v1/config/reload", "").await.0, 200);
    assert!(!metrics().await.contains(&series));
}

#[tokio::test]
async fn a_reload_to_a_name_fails_no_request() {
    let (_blue, _green, text) = two_pools().await;
    let edge = Edge::start_file(&text, false).await;
    let named = text.replace("upstreams = [\"127.0.0.1:", "upstreams = [\"localhost:");
    std::fs::write(edge.file(), named).unwrap();
    assert_eq!(edge.admin("POST", "/v1/config/reload", "").await.0, 200);
    let (_, pool) = edge.admin("GET", "/v1/services/shop/pools/blue", "").await;
    assert_eq!(pool["upstreams"][0]["state"], "active", "resolved before it was published");
}

/// A name server that hears questions and answers none.
#[tokio::test]
async fn an_order_is_answered_while_a_reload_waits_for_a_name_server_that_does_not_answer() {
    let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let origin = Origin::named("a").await;
    let head = HEAD.replace(
        "[server]",
        &format!("[server]\nresolvers = [\"{}\"]", server.local_addr().unwrap()),
    );
    let text = format!("{head}{}", shop(&[("only", &origin)], ""));
    let edge = std::sync::Arc::new(Edge::start_file(&text, false).await);
    let order = r#"{"mode": "serve"}"#;
    // A machine may be busy for as long as a reload waits; but not each time.
    for nth in 0..20 {
        let name = format!("\"n{nth}.test:80\"");
        let with_name = text.replace("upstreams = [", &format!("upstreams = [{name}, "));
        assert_ne!(with_name, text);
        std::fs::write(edge.file(), with_name).unwrap();
        let reloading = {
            let edge = edge.clone();
            tokio::spawn(async move { edge.admin("POST", "/v1/config/reload", "").await.0 })
        };
        let mut question = [0; 512];
        server.recv(&mut question).await.unwrap();
        assert_eq!(edge.admin("PUT", "/v1/services/shop/mode", order).await.0, 200);
        let was_first = !reloading.is_finished();
        assert_eq!(reloading.await.unwrap(), 200);
        if was_first {
            return;
        }
        while server.try_recv(&mut question).is_ok() {}
    }
    panic!("no order was answered before the reload that was asked for before it");
}
