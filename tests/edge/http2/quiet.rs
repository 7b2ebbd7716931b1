//! Calls in which nobody says anything for a while, and for too long.

use bytes::Bytes;
use http::{Method, Response};
use serde_json::Value;
use tempfile::TempDir;

use super::HEAD;
use super::peer::{Client, Origin, map_of, whole};
use crate::harness::{Edge, Gate, until};

const CALL: [(&str, &str); 2] = [("content-type", "application/grpc"), ("te", "trailers")];

/// Answers calls when the gate opens: of `/begun` the head comes at once.
async fn behind(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::new(move |request, mut respond| {
        let gate = gate.clone();
        async move {
            let head = Response::builder().header("content-type", "application/grpc");
            let head = head.body(()).unwrap();
            let is_begun = request.uri().path() == "/begun";
            let mut body = request.into_body();
            if !is_begun {
                gate.pass().await;
            }
            let Ok(mut stream) = respond.send_response(head, false) else { return };
            gate.pass().await;
            let _ = stream.send_data(Bytes::from_static(b"event"), false);
            let _ = stream.send_trailers(map_of(&[("grpc-status", "0")]));
            // A stream that is dropped before its request has ended would be reset.
            while let Some(Ok(piece)) = body.data().await {
                let _ = body.flow_control().release_capacity(piece.len());
            }
        }
    })
    .await
}

/// An edge before it with these bounds, and its access log.
async fn edge(origin: &Origin, timeouts: &str) -> (Edge, TempDir) {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("access.log");
    let server = format!("workers = 2\naccess_log.to = \"{}\"", log.display());
    let text = format!(
        "{}[server.client]\nbody_timeout = \"200ms\"\nbody_grace = \"100ms\"\n\
         [services.shop]\ntimeouts = {{ {timeouts} }}\nretries.attempts = 0\n\
         [services.shop.pools.only]\nhttp2 = true\nupstreams = [\"{}\"]\n",
        HEAD.replace("workers = 2", &server),
        origin.address
    );
    (Edge::start_file(&text, false).await, folder)
}

#[tokio::test]
async fn a_call_in_which_nobody_says_anything_outlives_all_that_bounds_requests() {
    let gate = Gate::closed();
    let origin = behind(&gate).await;
    let (edge, _folder) = edge(&origin, "response = \"300ms\", idle = \"200ms\"").await;
    let client = Client::connect(edge.address).await;
    let mut calls = Vec::new();
    for path in ["/silent", "/begun"] {
        let request = client.request(Method::POST, path, &CALL);
        let (response, mut stream) = client.begin(request, false).await;
        stream.send_data(Bytes::from_static(b"a"), false).unwrap();
        calls.push((path, tokio::spawn(whole(response)), Some(stream)));
    }
    // All of this one is here; its client says how long it waits.
    let fields = [&CALL[..], &[("grpc-timeout", "1H")]].concat();
    let watch = client.begin(client.request(Method::POST, "/watch", &fields), true).await;
    calls.push(("/watch", tokio::spawn(whole(watch.0)), None));
    until("all are asked", async || origin.heads.lock().unwrap().len() == 3).await;
    // The same time is too long for what is no call: each of these begins behind those.
    let upload = client.request(Method::POST, "/", &[]);
    let (response, _stream) = client.begin(upload, false).await;
    assert_eq!(whole(response).await.unwrap().status, 408);
    assert_eq!(client.get("/").await.status, 504);
    gate.open();
    for (path, call, stream) in calls {
        let got = call.await.unwrap().unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!((got.status, &got.body[..]), (200, &b"event"[..]), "{path}");
        assert_eq!(got.trailers["grpc-status"], "0", "{path}");
        drop(stream);
    }
}

#[tokio::test]
async fn a_call_in_which_nobody_says_anything_for_too_long_is_nobodys_failure() {
    let origin = behind(&Gate::closed()).await;
    let (edge, folder) = edge(&origin, "stream_idle = \"300ms\"").await;
    let client = Client::connect(edge.address).await;
    let call = async |path: &str| {
        let request = client.request(Method::POST, path, &CALL);
        let (response, stream) = client.begin(request, false).await;
        let got = whole(response).await;
        drop(stream);
        got
    };
    let told = call("/silent").await.unwrap();
    assert_eq!((told.status, told.field("grpc-status")), (200, Some("4")));
    assert!(call("/begun").await.unwrap_err().is_reset());
    let log = folder.path().join("access.log");
    let lines = || std::fs::read_to_string(&log).unwrap_or_default();
    until("both have a line", async || lines().lines().count() == 2).await;
    for line in lines().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["cause"], &line["status"]), (&"quiet".into(), &200.into()), "{line}");
    }
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    for counted in [
        "pointsman_refused_total{reason=\"quiet\"} 1\n",
        "pointsman_requests_total{service=\"shop\",pool=\"only\",code=\"5xx\"} 0\n",
        "pointsman_requests_total{service=\"shop\",pool=\"only\",code=\"error\"} 0\n",
    ] {
        assert!(metrics.contains(counted), "{counted} {metrics}");
    }
    let (_, pool) = edge.admin("GET", "/v1/services/shop/pools/only", "").await;
    assert_eq!(pool["upstreams"][0]["errors"], 0, "{pool}");
}
