//! A stop without a successor: who has connected is answered, nobody is kept waiting for nothing, and
//! what was ordered is on the disk for whoever comes next.

use std::cell::Cell;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::harness::client::{self, Response};
use crate::harness::edge::{HEAD, shop};
use crate::harness::running::{file, free};
use crate::harness::{Client, Edge, Gate, Origin, Proxy, Reply, Running, connect, until};

const GET: &str = "GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n";

/// So long that no busy machine comes near it: what ends is to end for its reason.
const LONG: &str =
    "drain = \"10m\"\ndrain_idle = \"10m\"\n[server.client]\nheader_timeout = \"10m\"\n";

fn is_last(response: &Response) -> bool {
    response.status == 200 && response.fields("connection") == ["close"]
}

#[tokio::test]
async fn whoever_had_connected_is_answered_five_stops_in_a_row() {
    let origin = Origin::tireless(Reply::ok("fine")).await;
    let mut running = Running::start(LONG, &shop(&[("only", &origin)], "")).await;
    for round in 1..=5 {
        let listen = running.listen;
        let mut kept = connect(listen, 10, GET).await;
        for client in &mut kept {
            let response = client.response().await;
            assert!(response.status == 200 && response.fields("connection") != ["close"]);
        }
        let mut upload = Client::connect(listen).await;
        upload.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n01234").await;
        let mut half = connect(listen, 10, "GET / HTTP/1.1\r\nho").await;
        let mut silent = connect(listen, 64, "").await;
        running.signal("-TERM").await;
        until("it has closed its listener", async || TcpStream::connect(listen).await.is_err())
            .await;
        upload.send("56789").await;
        assert!(is_last(&upload.response().await), "the upload of stop {round}");
        for (kind, clients, rest) in [
            ("kept", &mut kept, GET),
            ("half", &mut half, "st: a\r\n\r\n"),
            ("silent", &mut silent, GET),
        ] {
            for (nth, client) in clients.iter_mut().enumerate() {
                assert!(client.try_send(rest.as_bytes()).await);
                let answer = client.outcome(false).await;
                let is_well = answer.as_ref().is_ok_and(is_last);
                assert!(is_well, "{kind} {nth} of stop {round}: {answer:?}");
                assert_eq!(client.rest().await, b"", "and nothing more");
            }
        }
        running.ends_well().await;
        running.start_again().await;
    }
}

#[tokio::test]
async fn who_comes_at_that_very_moment_is_answered_or_refused_but_not_reset() {
    let origin = Origin::tireless(Reply::ok("fine")).await;
    for _ in 0..3 {
        let mut running = Running::start(LONG, &shop(&[("only", &origin)], "")).await;
        let listen = running.listen;
        let mut coming = JoinSet::new();
        for _ in 0..8 {
            coming.spawn(async move {
                let mut answered = 0;
                // Until nobody is there.
                while let Ok(stream) = TcpStream::connect(listen).await {
                    let mut client = Client::of(stream);
                    client.try_send(GET.as_bytes()).await;
                    let answer = client.outcome(false).await;
                    assert!(answer.as_ref().is_ok_and(|answer| answer.status == 200), "{answer:?}");
                    answered += 1;
                }
                answered
            });
        }
        let asked = origin.asked();
        until("they are under way", async || origin.asked() > asked + 100).await;
        running.signal("-TERM").await;
        assert!(coming.join_all().await.iter().sum::<u32>() > 100);
        running.ends_well().await;
    }
}

#[tokio::test]
async fn a_stop_with_a_delay_goes_on_as_ever_but_is_not_ready() {
    let origin = Origin::named("fine").await;
    let server = "stop_delay = \"10m\"";
    let mut running = Running::start(server, &shop(&[("only", &origin)], "")).await;
    running.signal("-QUIT").await;
    running.until_not_ready().await;
    let response = client::get(running.listen, "a", "/", &[]).await;
    assert!(response.status == 200 && response.fields("connection") != ["close"], "{response:?}");
    // Who tells it twice does not want to wait.
    running.signal("-QUIT").await;
    running.ends_well().await;
}

#[tokio::test]
async fn what_says_nothing_and_tunnels_end_before_requests_do() {
    let gate = Gate::closed();
    let held = gate.clone();
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    let origin = Origin::with(move |request| match request.head.split(' ').nth(1) {
        Some("/slow") => Reply::ok("slow").behind(&held),
        Some("/socket") => Reply::Echo(switch.into()),
        _ => Reply::ok("quick"),
    })
    .await;
    let bounds = "drain = \"10m\"\ndrain_idle = \"50ms\"\ndrain_tunnels = \"50ms\"\n";
    let text = HEAD.replacen("[server]\n", &format!("[server]\n{bounds}"), 1);
    let edge = Edge::start_file(&format!("{text}{}", shop(&[("only", &origin)], "")), false).await;
    let mut idle = connect(edge.address, 2, GET).await;
    for client in &mut idle {
        assert_eq!(client.response().await.status, 200);
    }
    let mut tunnel = edge.client().await;
    let ask = "GET /socket HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
               sec-websocket-version: 13\r\nsec-websocket-key: x\r\n\r\n";
    tunnel.send(ask).await;
    assert_eq!(tunnel.response().await.status, 101);
    let mut slow = edge.client().await;
    slow.send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("the request is with the origin", async || origin.received().len() == 4).await;
    let stopped = tokio::spawn(edge.server.stop());
    for client in &mut idle {
        assert_eq!(client.rest().await, b"");
    }
    assert_eq!(tunnel.rest().await, b"");
    gate.open();
    assert!(is_last(&slow.response().await));
    assert_eq!(stopped.await.unwrap(), 0);
}

#[tokio::test]
async fn requests_that_are_held_are_told_at_once() {
    let origin = Origin::named("fine").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let (path, hold) = ("/v1/services/shop/mode", r#"{"mode": "hold", "for": "5m"}"#);
    assert_eq!(edge.admin("PUT", path, hold).await.0, 200);
    let mut held = connect(edge.address, 3, GET).await;
    until("they wait", async || edge.admin("GET", "/v1/services/shop", "").await.1["waiting"] == 3)
        .await;
    let mut silent = edge.client().await;
    let Edge { server, folder: _folder, .. } = edge;
    let published = server.published().clone();
    let stopped = tokio::spawn(server.stop());
    until("it winds down", async || published.winds_down()).await;
    silent.send(GET).await;
    for client in held.iter_mut().chain([&mut silent]) {
        let answer = client.response().await;
        assert_eq!((answer.status, answer.fields("connection")), (503, vec!["close"]));
    }
    assert_eq!((stopped.await.unwrap(), origin.asked()), (0, 0));
}

#[tokio::test]
async fn the_store_is_given_back_while_requests_are_still_under_way() {
    let gate = Gate::closed();
    let origin = Origin::always(Reply::ok("slow").behind(&gate)).await;
    let state = TempDir::new().unwrap();
    let server = format!("state_dir = \"{}\"\n{LONG}", state.path().display());
    let services = shop(&[("blue", &origin), ("green", &origin)], "");
    let mut running = Running::start(&server, &services).await;
    let mut slow = connect(running.listen, 1, GET).await;
    until("the request is with the origin", async || origin.received().len() == 1).await;
    let admin = running.admin.to_string();
    let shift = async |blue: u8| {
        let (blue, green) = (format!("blue={blue}"), format!("green={}", 100 - blue));
        let verb = ["shift", "shop", &blue, &green, "--admin", &admin].map(String::from);
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(verb).output().await.unwrap()
    };
    assert!(shift(90).await.status.success());
    running.signal("-TERM").await;
    // The signal takes a moment; an order that comes before it counts, and holds.
    let acknowledged = Cell::new(90);
    until("it takes no orders", async || {
        let next = 170 - acknowledged.get();
        let said = shift(next).await;
        if said.status.success() {
            acknowledged.set(next);
        }
        String::from_utf8(said.stderr).unwrap().contains("stopping")
    })
    .await;
    // It takes no orders a moment before it has stored what there is.
    let store = std::fs::File::open(state.path().join("store.redb")).unwrap();
    until("the store is given back", async || store.try_lock().is_ok()).await;
    drop(store);
    // A second one on the same store: the first would keep it from starting.
    let folder = TempDir::new().unwrap();
    let (text, _, admin) = file(&server, &services);
    let path = folder.path().join("p.toml");
    std::fs::write(&path, text).unwrap();
    let successor = Proxy::run(path.to_str().unwrap(), &admin.to_string()).await;
    let history = successor.json(&["history", "shop"]).await;
    assert_eq!(history[0]["weights"]["blue"], f64::from(acknowledged.get()), "{history}");
    gate.open();
    assert!(is_last(&slow[0].response().await));
    running.ends_well().await;
}

#[tokio::test]
async fn what_is_still_to_be_told_is_told_before_the_end() {
    let origin = Origin::named("fine").await;
    // The first call fails; the next one would come after a pause of two to four seconds.
    let calls = AtomicU64::new(0);
    let target = Origin::with(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::head("503 No", &[], ""),
        _ => Reply::ok(""),
    })
    .await;
    let notify = format!("[[notify]]\nurl = \"http://{}/\"\nseverity = \"low\"\n", target.address);
    let services = format!("{}{notify}", shop(&[("only", &origin)], ""));
    let mut running = Running::start(LONG, &services).await;
    let text = "{\"mode\": \"maintenance\"}";
    let put = format!(
        "PUT /v1/services/shop/mode HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{text}",
        text.len()
    );
    let mut admin = connect(running.admin, 1, &put).await;
    assert_eq!(admin[0].response().await.status, 200);
    until("a call has failed", async || target.received().len() == 1).await;
    running.signal("-TERM").await;
    running.ends_well().await;
    let calls = target.received();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert_eq!(calls[0].body, calls[1].body);
}

#[tokio::test]
async fn a_unix_listener_takes_its_file_with_it() {
    let origin = Origin::named("fine").await;
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("shop.sock");
    let services = shop(&[("only", &origin)], "");
    let listener = format!("[[listeners]]\naddress = \"unix:{}\"\n", socket.display());
    let edge = Edge::start(&format!("{services}{listener}")).await;
    assert!(socket.exists());
    edge.server.stop().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn whoever_waits_for_a_rollout_waits_through_a_restart_and_ctrl_c_says_that_it_goes_on() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let services = shop(&[("blue", &blue), ("green", &green)], "");
    let mut running = Running::start(LONG, &services).await;
    let admin = running.admin.to_string();
    let said = running.folder.path().join("said");
    let follow = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .args(args)
            .args(["--admin", &admin])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&said).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    };
    let is_said = async |words: &str| std::fs::read_to_string(&said).unwrap().contains(words);
    let start =
        ["rollout", "start", "shop", "--to", "green", "--hold", "10m", "--watch", "0s", "--wait"];
    let mut waits = follow(&start);
    until("it has begun", async || {
        let path = "/v1/services/shop/rollout";
        client::get(running.admin, "localhost", path, &[]).await.status == 200
    })
    .await;
    running.signal("-TERM").await;
    running.ends_well().await;
    until("it is missed", async || is_said("cannot be reached").await).await;
    running.start_again().await;
    until("it is found again", async || is_said("is there again").await).await;
    let pid = waits.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    assert_eq!(waits.wait().await.unwrap().code(), Some(130));
    assert!(is_said("goes on; `pointsman rollout abort shop`").await);
    // And one that waits to the end.
    let mut waits = follow(&["rollout", "status", "shop", "--watch"]);
    let promote = ["rollout", "promote", "shop", "--admin", &admin];
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    assert!(command.args(promote).output().await.unwrap().status.success());
    assert_eq!(waits.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_reload_that_takes_an_address_away_serves_who_had_connected() {
    let origin = Origin::named("fine").await;
    let services = shop(&[("only", &origin)], "");
    let gone = free();
    let listener = format!("[[listeners]]\naddress = \"{gone}\"\n");
    let edge = Edge::start_file(&format!("{HEAD}{services}{listener}"), false).await;
    let mut silent = connect(gone, 8, "").await;
    std::fs::write(edge.file(), format!("{HEAD}{services}")).unwrap();
    assert_eq!(edge.admin("POST", "/v1/config/reload", "").await.0, 200);
    until("it is closed", async || TcpStream::connect(gone).await.is_err()).await;
    for client in &mut silent {
        client.try_send(GET.as_bytes()).await;
        let answer = client.outcome(false).await;
        assert!(answer.as_ref().is_ok_and(|answer| answer.status == 200), "{answer:?}");
    }
}
