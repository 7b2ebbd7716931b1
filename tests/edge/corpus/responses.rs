//! What becomes of responses on their way through an edge.

use std::sync::{Arc, Mutex};

use super::entries::{Entry, Word};
use super::models::{MODELS, Message, Side};
use super::{PATIENT, Raw, response_entries};
use crate::harness::{Edge, Origin, Reply};

/// A status, and its body if that is told.
type Wanted = (String, Option<Vec<u8>>);

/// What the client gets; and whether the last one is cut.
fn wanted(entry: &Entry, knows_interim: bool) -> (Vec<Wanted>, bool) {
    let (mut all, mut is_cut) = (Vec::<Wanted>::new(), false);
    for word in &entry.wanted {
        match word {
            Word::Plain(cut) if cut == "cut" => is_cut = true,
            Word::Plain(status) => all.push((status.clone(), None)),
            Word::Body(body) => all.last_mut().expect("a status").1 = Some(body.clone()),
        }
    }
    if is_cut {
        all.pop();
    }
    all.retain(|(status, _)| knows_interim || !status.starts_with('1'));
    (all, is_cut)
}

async fn check(edge: &Edge, entry: &Entry, version: &str) {
    let is = |setting: &str| entry.settings.iter().any(|said| said == setting);
    let (mut wanted, is_cut) = wanted(entry, version == "HTTP/1.1");
    let method = if is("HEAD") { "HEAD" } else { "GET" };
    let switch = match is("switch") {
        true => "Connection: upgrade\r\nUpgrade: websocket\r\n",
        false => "",
    };
    let methods = vec![method.to_string(), "GET".into()];
    let mut client = Raw::connect(edge.address, methods.clone()).await;
    client.send(format!("{method} /entry {version}\r\nHost: a\r\n{switch}\r\n").as_bytes()).await;
    client.read(if is_cut { usize::MAX } else { 1 }).await;
    if !client.has_ended && !client.is_told_to_close() {
        // Whatever came behind the answer is not that of the next request.
        client.send(b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        wanted.push(("200".into(), Some(b"next".to_vec())));
    }
    client.read_all().await;
    let got = client.got.escape_ascii();
    assert!(is_cut || !client.was_reset, "{}: {got}", entry.name);
    for model in &MODELS {
        let side = Side::Server { methods: &methods, has_ended: !client.was_reset };
        let seen = model.read(&client.got, side);
        assert_eq!(seen.rest > 0, is_cut, "{}: {}: {got}", entry.name, model.name);
        let fits = |(message, wanted): (&Message, &(String, Option<Vec<u8>>))| {
            let (status, body) = wanted;
            message.first == *status && body.as_ref().is_none_or(|body| message.body == *body)
        };
        let are_all = seen.messages.len() == wanted.len();
        let is_right = are_all && seen.messages.iter().zip(&wanted).all(fits);
        assert!(is_right, "{}, {version}: {}: {seen:?}: {got}", entry.name, model.name);
    }
}

#[tokio::test]
async fn no_response_arrives_as_another_and_none_as_the_next_ones() {
    let current = Arc::new(Mutex::new(Reply::Close));
    let script = current.clone();
    let origin = Origin::with(move |request| match request.head.contains(" /entry ") {
        true => script.lock().unwrap().clone(),
        false => Reply::ok("next"),
    })
    .await;
    let edge = Edge::before(&[("only", &origin)], PATIENT).await;
    for entry in response_entries() {
        let closes = entry.settings.iter().any(|said| said == "closes");
        let reply = if closes { Reply::BytesThenClose } else { Reply::Bytes };
        *current.lock().unwrap() = reply(entry.bytes.clone());
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            check(&edge, &entry, version).await;
        }
    }
}
