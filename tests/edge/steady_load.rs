//! What the whole is for: traffic is moved, files are changed, and nobody notices.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::harness::edge::{HEAD, shop};
use crate::harness::load::Record;
use crate::harness::{Client, Edge, Load, Origin, alone};

/// How long the load runs, and how much there is of it.
const LENGTH: Duration = Duration::from_secs(30);
const PER_SECOND: u32 = 2_200;
/// Idle connections that nothing may close.
const IDLE: usize = 20;
/// Changes over the length.
const SHIFTS: u32 = 200;
const RELOADS: u32 = 50;
const BAD_EVERY: u32 = 5;
const FLIP_EVERY: Duration = Duration::from_secs(2);

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

/// Makes all the changes, evenly over the length.
async fn change_everything(edge: &Edge, text: &str) -> HashMap<&'static str, u32> {
    let start = Instant::now();
    let mut made: HashMap<&'static str, u32> = HashMap::new();
    let mut flips = 0;
    let (mut shifts, mut reloads) = (0, 0);
    while start.elapsed() < LENGTH {
        let at = start.elapsed();
        if at >= LENGTH * shifts / SHIFTS {
            let green = (shifts * 7) % 101;
            let body = format!(r#"{{"weights": {{"blue": {}, "green": {green}}}}}"#, 100 - green);
            assert_eq!(edge.admin("PUT", "/v1/services/shop/split", &body).await.0, 200);
            shifts += 1;
            *made.entry("shifts").or_default() += 1;
        }
        if at >= LENGTH * reloads / RELOADS {
            let is_bad = reloads % BAD_EVERY == 0;
            let timeout = 10 + reloads;
            let body = format!("# {reloads}\n{text}").replace(
                "[services.shop]\n",
                &format!("[services.shop]\ntimeouts.idle = \"{timeout}s\"\n"),
            );
            let body = if is_bad { body.replace("upstreams", "upstreems") } else { body };
            std::fs::write(edge.file(), body).unwrap();
            let status = edge.admin("POST", "/v1/config/reload", "").await.0;
            assert_eq!(status, if is_bad { 422 } else { 200 });
            reloads += 1;
            *made.entry(if is_bad { "bad reloads" } else { "good reloads" }).or_default() += 1;
        }
        if at >= FLIP_EVERY * flips {
            let to = if flips % 2 == 0 { "green" } else { "blue" };
            let body = format!(r#"{{"to": "{to}"}}"#);
            assert_eq!(edge.admin("POST", "/v1/services/shop/flip", &body).await.0, 200);
            flips += 1;
            *made.entry("flips").or_default() += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    made
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fails_and_nothing_is_closed_while_everything_changes() {
    let _alone = alone().await;
    let (blue, green) = (Origin::fast("blue").await, Origin::fast("green").await);
    let text = format!("{HEAD}{}", shop(&[("blue", &blue), ("green", &green)], ""));
    let edge = Edge::start_file(&text, true).await;
    let idle = idle_connections(&edge).await;
    let load = Load::gets(edge.address, PER_SECOND).start();
    let made = change_everything(&edge, &text).await;
    let records = load.stop().await;
    let total = records.len() as u64;
    println!("{total} requests, {made:?}");
    // A connection that is closed counts too: nothing here gives a reason to close one.
    let failed = |r: &Record| !r.kept || !(r.is_from("blue") || r.is_from("green"));
    assert_eq!(records.iter().filter(|r| failed(r)).count(), 0, "of {total}");
    assert!(total >= 2_000 * LENGTH.as_secs(), "only {total} requests: too slow a machine?");
    assert!(made["shifts"] >= SHIFTS - 1 && made["bad reloads"] >= 10, "{made:?}");
    assert!(made["good reloads"] >= 39 && made["flips"] >= 14, "{made:?}");
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
        let n = REQUESTS as f64;
        let sigma = (share * (1.0 - share) / n).sqrt();
        let observed = on_green as f64 / n;
        assert!((observed - share).abs() <= 4.0 * sigma, "{observed} at {share}");
    }
}
