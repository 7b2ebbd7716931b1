//! A canary and its rollback as thousands of clients see them, each of whom is recognised.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::load::Record;
use crate::harness::{Edge, Load, Origin, alone, until};

const PER_SECOND: u32 = 2_000;
const CLIENTS: u32 = 5_000;

/// Time in which each client asks at least once.
const ROUND: Duration = Duration::from_millis(2_700);

/// Every other client is recognised by a header, those between by the cookie that we give them.
const SERVICE: &str = "sticky = { header = \"x-user\", own_cookie = true }\n\
                       [services.shop.judge]\nenabled = false\n\
                       [services.shop.rollout]\nsteps = [1, 5, 25, 100]\nhold = \"2s\"\n\
                       min_requests = 20\nwatch = \"1h\"\n";

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
    let rollout = async || edge.admin("GET", "/v1/services/shop/rollout", "").await.1;
    let share = async || rollout().await["share"].as_f64().unwrap();
    let load = Load::crowd(edge.address, PER_SECOND, CLIENTS, brings).start();
    // So each client is seen on blue once, and has its cookie.
    tokio::time::sleep(ROUND).await;
    let (status, began) = edge.admin("POST", "/v1/services/shop/rollout", "{}").await;
    assert_eq!((status, &began["share"]), (201, &Value::from(1.0)), "{began}");
    let mut reached = Vec::new();
    for step in [5.0, 25.0, 100.0] {
        until("the next step is taken", async || share().await >= step).await;
        reached.push(Instant::now());
    }
    // The whole crowd is to be there before it is taken back.
    tokio::time::sleep(ROUND).await;
    let ordered = Instant::now();
    let (status, back) = edge.admin("POST", "/v1/services/shop/rollback", "{}").await;
    let answered = Instant::now();
    assert_eq!((status, &back["weights"]), (200, &serde_json::json!({"blue": 100.0})));
    tokio::time::sleep(ROUND).await;
    let records = load.stop().await;

    let failed: Vec<_> = records.iter().filter(|record| !record.is_ok()).collect();
    assert!(failed.is_empty(), "{} of {}: {failed:?}", failed.len(), records.len());
    let seconds = (records.last().unwrap().sent - records[0].sent).as_secs_f64();
    let rate = records.len() as f64 / seconds;
    assert!(rate > 0.95 * f64::from(PER_SECOND), "only {rate:.0} requests/s");
    let clients = by_client(&records);
    assert_eq!(clients.len(), CLIENTS as usize);
    let mut on_green_early = 0;
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
        let early = asked.iter().zip(&is_green).any(|(r, &green)| green && r.sent < reached[0]);
        on_green_early += u32::from(early);
    }
    // One in a hundred: within five standard deviations, and not all of them are seen in two seconds.
    assert!((10..=90).contains(&on_green_early), "{on_green_early} of {CLIENTS} at 1 %");
}
