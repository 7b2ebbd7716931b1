//! The access log: what is in it, who is always in it, and where it goes.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::edge::{HEAD, shop};
use crate::harness::running::Running;
use crate::harness::{Edge, Origin, Reply, client, until};

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    // One that is just being written is not there yet.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn until_lines(file: &Path, count: usize) -> Vec<Value> {
    until("all lines are there", async || lines(file).len() >= count).await;
    let lines = lines(file);
    assert_eq!(lines.len(), count, "{lines:?}");
    lines
}

/// An edge with a log at this place and these lines about it.
async fn edge(to: &str, more: &str, services: &str) -> Edge {
    let log = format!("[server.access_log]\nto = \"{to}\"\n{more}\n");
    Edge::start(&format!("{log}{services}")).await
}

#[tokio::test]
async fn each_request_has_a_line_and_a_file_that_was_moved_is_opened_again() {
    let origin = Origin::with(|_| Reply::head("200 OK", &["x-version: 7"], "hello")).await;
    let place = TempDir::new().unwrap();
    let (file, moved) = (place.path().join("access.log"), place.path().join("access.log.1"));
    let log = format!(
        "access_log = {{ to = \"{}\", response_fields = [\"x-version\"] }}",
        file.display()
    );
    let mut running = Running::start(&log, &shop(&[("only", &origin)], "")).await;
    let fields = ["user-agent: \"tester\"", "x-request-id: mine"];
    client::get(running.listen, "shop.test", "/a?token=hidden&b=1", &fields).await;
    let line = &until_lines(&file, 1).await[0];
    assert!(!line.to_string().contains("hidden"), "{line}");
    for (key, value) in [
        ("/method", "GET"),
        ("/host", "shop.test"),
        ("/target", "/a?token=***&b=1"),
        ("/client", "127.0.0.1"),
        ("/service", "shop"),
        ("/pool", "only"),
        ("/upstream", &origin.address.to_string()),
        ("/request_id", "mine"),
        ("/request/user-agent", "\"tester\""),
        ("/response/x-version", "7"),
    ] {
        assert_eq!(line.pointer(key).and_then(Value::as_str), Some(value), "{key} in {line}");
    }
    assert_eq!((line["status"].as_u64(), line["response_bytes"].as_u64()), (Some(200), Some(5)));
    // As logrotate does it.
    std::fs::rename(&file, &moved).unwrap();
    running.signal("-USR1").await;
    until("the file is there again", async || {
        client::get(running.listen, "shop.test", "/b", &[]).await;
        file.exists()
    })
    .await;
    until("it has lines", async || !lines(&file).is_empty()).await;
    // And without a word to anybody.
    std::fs::remove_file(&file).unwrap();
    until("the file is there once more", async || {
        client::get(running.listen, "shop.test", "/c", &[]).await;
        file.exists()
    })
    .await;
    // What is told last is not lost with the process.
    client::get(running.listen, "shop.test", "/last", &[]).await;
    running.signal("-TERM").await;
    running.ends_well().await;
    let lines = lines(&file);
    // Those of one moment may be in any order.
    let is_there = lines.iter().any(|line| line["target"] == "/last");
    assert!(is_there, "{lines:?}");
}

#[tokio::test]
async fn of_good_answers_there_is_the_share_that_was_asked_for_and_of_all_others_each() {
    let failing = Origin::with(|request| match request.head.split(' ').nth(1) {
        Some("/twice") if !request.head.contains("x-again") => Reply::Close,
        Some("/bad") => Reply::head("500 Oh", &[], "no"),
        _ => Reply::ok("fine"),
    })
    .await;
    let place = TempDir::new().unwrap();
    let file = place.path().join("access.log");
    let services = shop(&[("only", &failing)], "");
    let edge = edge(file.to_str().unwrap(), "sample = 0", &services).await;
    for path in ["/good", "/bad", "/good", "/twice"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: shop.test\r\n\r\n");
        edge.raw(request).await;
    }
    let mut lines = until_lines(&file, 2).await;
    // Those of one moment may be in any order.
    lines.sort_by_key(|line| line["target"].to_string());
    let told: Vec<_> = lines.iter().map(|line| line["target"].as_str().unwrap()).collect();
    assert_eq!(told, ["/bad", "/twice"]);
    assert_eq!(lines[0]["status"], 500);
    assert!(lines[1]["cause"].is_string(), "{}", lines[1]);
}

#[tokio::test]
async fn a_datagram_socket_gets_a_line_each() {
    let origin = Origin::named("fine").await;
    let place = TempDir::new().unwrap();
    let path = place.path().join("log.sock");
    let log = UnixDatagram::bind(&path).unwrap();
    let to = format!("unix:{}", path.display());
    let edge = edge(&to, "format = \"combined\"", &shop(&[("only", &origin)], "")).await;
    for _ in 0..2 {
        edge.get(&["user-agent: me\\\"x"]).await;
    }
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = [0; 4_096];
        [(); 2].map(|()| {
            let length = log.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..length].to_vec()).unwrap()
        })
    });
    for line in read.await.unwrap() {
        assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
        assert!(line.ends_with("\"GET / HTTP/1.1\" 200 4 \"-\" \"me\\x5C\\x22x\""), "{line}");
    }
}

#[tokio::test]
async fn a_place_that_takes_nothing_keeps_nobody_and_the_next_one_is_taken_at_once() {
    let origin = Origin::named("fine").await;
    let place = TempDir::new().unwrap();
    let services = shop(&[("only", &origin)], "");
    let nowhere = place.path().join("no/such/folder.log");
    let edge = edge(nowhere.to_str().unwrap(), "", &services).await;
    let dropped = async || {
        let text = client::get(edge.admin, "localhost", "/metrics", &[]).await.body;
        text.lines().any(|line| line == "pointsman_access_log_dropped_total 1")
    };
    assert_eq!(edge.get(&[]).await.status, 200);
    until("its line is counted as dropped", dropped).await;
    let file = place.path().join("access.log");
    let generation = edge.generation();
    let log = format!("[server.access_log]\nto = \"{}\"\n", file.display());
    std::fs::write(edge.file(), format!("{HEAD}{log}{services}")).unwrap();
    edge.until_after(generation).await;
    assert_eq!(edge.get(&[]).await.status, 200);
    until_lines(&file, 1).await;
    // And none, if there is to be none.
    let generation = edge.generation();
    std::fs::write(edge.file(), format!("{HEAD}{services}")).unwrap();
    edge.until_after(generation).await;
    assert_eq!(edge.get(&[]).await.status, 200);
    let generation = edge.generation();
    std::fs::write(edge.file(), format!("{HEAD}{log}{services}")).unwrap();
    edge.until_after(generation).await;
    assert_eq!(edge.get(&["x-request-id: third"]).await.status, 200);
    assert_eq!(until_lines(&file, 2).await[1]["request_id"], "third");
}
