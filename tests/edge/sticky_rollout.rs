//! A canary and its rollback as thousands of clients see them, each of whom is recognised.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

use crate::harness::chance::is_likely;
use crate::harness::load::Record;
use crate::harness::{Edge, Load, Origin, alone};

const PER_SECOND: u32 = 2_000;
const CLIENTS: u32 = 5_000;

/// Every other client is recognised by a header, those between by the cookie that we give them.
const SERVICE: &str = "sticky = { header = \"x-user\", own_cookie = true }\n\
                       [services.shop.judge]\nenabled = false\n\
                       [services.shop.rollout]\nsteps = [1, 5, 25, 100]\nhold = \"1h\"\n\
                       watch = \"1h\"\n";

fn brings(client: u32) -> String {
    if client.is_multiple_of(2) { format!("x-user: {client}") } else { String::new() }
}

/// The pools that each client got, in the order in which it asked, with its requests.
fn by_client(records: &[Record]) -> BTreeMap<u32, Vec<&Record>> {
    let mut clients = BTreeMap::<u32, Vec<&Record>>::new();
    for record in records {
        clients.entry(record.client).or_default().push(record);
    }
    clients
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_moved_back_and_forth_but_by_the_rollback() {
    let _alone = alone().await;
    let (blue, green) = (Origin::fast("blue").await, Origin::fast("green").await);
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], SERVICE).await;
    let load = Load::crowd(edge.address, PER_SECOND, CLIENTS, brings).start();
    // So each client is seen on blue once, and has its cookie.
    load.until_all_have_asked().await;
    let (status, began) = edge.admin("POST", "/v1/services/shop/rollout", "{}").await;
    assert_eq!((status, &began["share"]), (201, &Value::from(1.0)), "{began}");
    // All are to be seen at one in a hundred, and on green before it is taken back.
    let begun = Instant::now();
    load.until_all_have_asked().await;
    let stepped = Instant::now();
    for share in [5.0, 25.0, 100.0] {
        let (status, step) = edge.admin("POST", "/v1/services/shop/rollout/step", "{}").await;
        assert_eq!((status, &step["share"]), (200, &Value::from(share)), "{step}");
        load.until_more(1_000).await;
    }
    load.until_all_have_asked().await;
    let ordered = Instant::now();
    let (status, back) = edge.admin("POST", "/v1/services/shop/rollback", "{}").await;
    let answered = Instant::now();
    assert_eq!((status, &back["weights"]), (200, &serde_json::json!({"blue": 100.0})));
    load.until_all_have_asked().await;
    let records = load.stop().await;

    let failed: Vec<_> = records.iter().filter(|record| !record.is_ok()).collect();
    assert!(failed.is_empty(), "{} of {}: {failed:?}", failed.len(), records.len());
    let clients = by_client(&records);
    assert_eq!(clients.len(), CLIENTS as usize);
    let mut on_green = 0;
    for (client, asked) in &clients {
        let story = || asked.iter().map(|record| record.end.clone()).collect::<Vec<_>>();
        let is_green: Vec<bool> = asked.iter().map(|record| record.is_from("green")).collect();
        let changes: Vec<usize> =
            (1..asked.len()).filter(|&at| is_green[at] != is_green[at - 1]).collect();
        assert!(!is_green[0] && changes.len() == 2, "client {client}: {:?}", story());
        let [_, back] = changes[..] else { unreachable!() };
        let returned = asked[back];
        assert!(returned.sent + returned.took >= ordered, "client {client} was sent back too soon");
        let late = asked.iter().zip(&is_green).find(|(record, _)| record.sent > answered);
        assert_eq!(late.map(|(_, is_green)| *is_green), Some(false), "client {client}");
        let held = |r: &Record| r.sent > begun && r.sent + r.took < stepped;
        let while_held = asked.iter().position(|record| held(record)).unwrap();
        on_green += u64::from(is_green[while_held]);
    }
    assert!(is_likely(on_green, u64::from(CLIENTS), 0.01), "{on_green} of {CLIENTS} at 1 %");
}
