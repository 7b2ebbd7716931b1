//! What the whole is for: traffic is moved, files are changed, and nobody notices.

use crate::harness::chance::is_likely;
use crate::harness::edge::{HEAD, shop};
use crate::harness::load::{Record, Running};
use crate::harness::{Client, Edge, Load, Origin, alone};

const PER_SECOND: u32 = 2_200;
/// Idle connections that nothing may close.
const IDLE: usize = 20;
/// How often traffic is shifted, and how many requests are answered after each shift.
const SHIFTS: u32 = 200;
const BETWEEN: u64 = 100;
/// After so many shifts the file is edited, and every so many edits is a bad one.
const RELOAD_EVERY: u32 = 4;
const BAD_EVERY: u32 = 5;
const FLIP_EVERY: u32 = 13;

async fn idle_connections(edge: &Edge) -> Vec<Client> {
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        let mut client = edge.client().await;
        client.send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
        assert_eq!(client.response().await.status, 200);
        idle.push(client);
    }
    idle
}

/// Makes all the changes, one after the other under load.
async fn change_everything(edge: &Edge, text: &str, load: &Running) {
    for shift in 0..SHIFTS {
        let green = (shift * 7) % 101;
        let body = format!(r#"{{"weights": {{"blue": {}, "green": {green}}}}}"#, 100 - green);
        assert_eq!(edge.admin("PUT", "/v1/services/shop/split", &body).await.0, 200);
        if shift.is_multiple_of(RELOAD_EVERY) {
            reload(edge, text, shift / RELOAD_EVERY).await;
        }
        if shift.is_multiple_of(FLIP_EVERY) {
            let to = if shift.is_multiple_of(2) { "green" } else { "blue" };
            let body = format!(r#"{{"to": "{to}"}}"#);
            assert_eq!(edge.admin("POST", "/v1/services/shop/flip", &body).await.0, 200);
        }
        load.until_more(BETWEEN).await;
    }
}

async fn reload(edge: &Edge, text: &str, nth: u32) {
    let is_bad = nth.is_multiple_of(BAD_EVERY);
    let timeout = format!("[services.shop]\ntimeouts.idle = \"{}s\"\n", 10 + nth);
    let body = format!("# {nth}\n{text}").replace("[services.shop]\n", &timeout);
    let body = if is_bad { body.replace("upstreams", "upstreems") } else { body };
    std::fs::write(edge.file(), body).unwrap();
    let status = edge.admin("POST", "/v1/config/reload", "").await.0;
    assert_eq!(status, if is_bad { 422 } else { 200 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fails_and_nothing_is_closed_while_everything_changes() {
    let _alone = alone().await;
    let (blue, green) = (Origin::fast("blue").await, Origin::fast("green").await);
    let text = format!("{HEAD}{}", shop(&[("blue", &blue), ("green", &green)], ""));
    let edge = Edge::start_file(&text, true).await;
    let idle = idle_connections(&edge).await;
    let load = Load::gets(edge.address, PER_SECOND).start();
    change_everything(&edge, &text, &load).await;
    let records = load.stop().await;
    let total = records.len();
    // A connection that is closed counts too: nothing here gives a reason to close one.
    let failed = |r: &Record| !r.kept || !(r.is_from("blue") || r.is_from("green"));
    assert_eq!(records.iter().filter(|r| failed(r)).count(), 0, "of {total}");
    for mut client in idle {
        client.send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
        let response = client.next_response(false).await.expect("idle connections stay open");
        assert_eq!(response.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_each_fixed_split_the_observed_share_is_the_set_one() {
    const REQUESTS: u64 = 4_000;
    let _alone = alone().await;
    let (blue, green) = (Origin::fast("blue").await, Origin::fast("green").await);
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], "").await;
    let mut client = edge.client().await;
    for percent in ["0", "0.5", "1", "5", "25", "50", "90", "100"] {
        let share: f64 = percent.parse::<f64>().unwrap() / 100.0;
        let body =
            format!(r#"{{"weights": {{"blue": {}, "green": {percent}}}}}"#, 100.0 - share * 100.0);
        assert_eq!(edge.admin("PUT", "/v1/services/shop/split", &body).await.0, 200);
        let mut on_green = 0;
        for _ in 0..REQUESTS {
            client.send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
            on_green += u64::from(client.response().await.body == "green");
        }
        assert!(is_likely(on_green, REQUESTS, share), "{on_green} of {REQUESTS} at {share}");
    }
}
