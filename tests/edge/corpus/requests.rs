//! What becomes of requests on their way through an edge.

use std::collections::BTreeMap;

use super::entries::{Entry, Word};
use super::models::{MODELS, Side};
use super::recorder::Recorder;
use super::{PATIENT, Raw, request_entries};
use crate::harness::edge::shop_at;
use crate::harness::{Edge, until};

/// How what an entry sends ends.
#[derive(Debug, PartialEq)]
enum End {
    Done,
    Refused { status: String, reason: String },
    Waits,
    Early,
}

/// The bodies that arrive, and the end.
fn wanted(entry: &Entry) -> (Vec<Vec<u8>>, End) {
    let is_body = |word: &&Word| matches!(word, Word::Body(_));
    let bodies = entry.wanted.iter().take_while(is_body).map(|word| match word {
        Word::Body(body) => body.clone(),
        Word::Plain(_) => unreachable!(),
    });
    let bodies: Vec<_> = bodies.collect();
    let end = match &entry.wanted[bodies.len()..] {
        [] => End::Done,
        [Word::Plain(waits)] if waits == "waits" => End::Waits,
        [Word::Plain(early)] if early == "early" => End::Early,
        [Word::Plain(status), Word::Plain(reason)] => {
            End::Refused { status: status.clone(), reason: reason.clone() }
        }
        other => panic!("{}: {other:?}", entry.name),
    };
    (bodies, end)
}

const LAST: &[u8] = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Sends one, and compares what arrives and what is answered.
async fn check(edge: &Edge, origin: &Recorder, entry: &Entry) {
    let (mut bodies, end) = wanted(entry);
    let before = origin.lengths();
    let sent = MODELS[0].read(&entry.bytes, Side::Client).messages;
    let method = |first: &str| first.split(' ').next().unwrap_or_default().to_string();
    let methods = sent.iter().map(|message| method(&message.first)).collect();
    let mut client = Raw::connect(edge.address, methods).await;
    client.send(&entry.bytes).await;
    let answers = bodies.len() + usize::from(matches!(end, End::Refused { .. } | End::Early));
    client.read(answers).await;
    let mut statuses = vec!["200".to_string(); bodies.len()];
    match &end {
        End::Waits => {}
        End::Early => {
            statuses.push("200".into());
            client.read_all().await;
        }
        End::Done | End::Refused { .. } => {
            if let End::Refused { status, .. } = &end {
                statuses.push(status.clone());
            }
            if !client.is_told_to_close() {
                // Nothing else is answered before the next request.
                client.send(LAST).await;
                statuses.push("200".into());
                bodies.push(Vec::new());
            }
            client.read_all().await;
        }
    }
    let seen = client.seen();
    let said: Vec<String> = seen.messages.into_iter().map(|message| message.first).collect();
    assert_eq!((said, seen.rest), (statuses, 0), "{}: {}", entry.name, client.got.escape_ascii());
    drop(client);
    let arrived = origin.settled_behind(&before).await;
    bodies.sort();
    for model in &MODELS {
        let mut got = Vec::new();
        for bytes in &arrived {
            let seen = model.read(bytes, Side::Client);
            let is_whole = seen.rest == 0 && !seen.refused;
            let may_rest = !matches!(end, End::Done);
            assert!(is_whole || may_rest, "{}: {}: {}", entry.name, model.name, show(&arrived));
            got.extend(seen.messages.into_iter().map(|message| message.body));
        }
        got.sort();
        assert_eq!(got, bodies, "{}: {}: {}", entry.name, model.name, show(&arrived));
    }
}

fn show(arrived: &[Vec<u8>]) -> String {
    let all: Vec<_> = arrived.iter().map(|bytes| bytes.escape_ascii().to_string()).collect();
    all.join(" | ")
}

#[tokio::test]
async fn no_request_arrives_as_another_and_none_as_two() {
    let origin = Recorder::start().await;
    let lines = shop_at(&[("only", &[origin.address])], PATIENT);
    let edge = Edge::start(&lines).await;
    let mut reasons = BTreeMap::<String, u64>::new();
    for entry in request_entries() {
        check(&edge, &origin, &entry).await;
        if let (_, End::Refused { reason, .. }) = wanted(&entry) {
            *reasons.entry(reason).or_default() += 1;
        }
    }
    until("each refusal is counted by its reason", async || {
        let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
        let counts = |(reason, count): (&String, &u64)| {
            let line = format!("pointsman_refused_total{{reason=\"{reason}\"}} {count}");
            metrics.lines().any(|said| said == line)
        };
        reasons.iter().all(counts)
    })
    .await;
}
