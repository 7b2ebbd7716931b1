//! Traces as a collector gets them: whose spans, with which ids, and what becomes of requests when there is
//! nobody to tell.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::harness::edge::{HEAD, shop, shop_at};
use crate::harness::running::free;
use crate::harness::{Edge, Origin, Reply, client, until};

/// A collector that takes everything.
async fn collector() -> Origin {
    Origin::always(Reply::head("200 OK", &["content-type: application/x-protobuf"], "")).await
}

fn traces(collector: &Origin, lines: &str) -> String {
    format!("[traces]\nendpoint = \"http://{}\"\n{lines}\n", collector.address)
}

/// All that a collector got.
fn requests(collector: &Origin) -> Vec<ExportTraceServiceRequest> {
    let received = collector.received().into_iter();
    let called = received.inspect(|request| {
        assert!(request.head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{}", request.head);
        assert_eq!(request.fields("content-type"), ["application/x-protobuf"]);
    });
    called.map(|request| ExportTraceServiceRequest::decode(&request.body[..]).unwrap()).collect()
}

fn spans(collector: &Origin) -> Vec<Span> {
    let resources = requests(collector).into_iter().flat_map(|request| request.resource_spans);
    resources.flat_map(|of| of.scope_spans).flat_map(|scope| scope.spans).collect()
}

async fn until_spans(collector: &Origin, count: usize) -> Vec<Span> {
    until("all spans are there", async || spans(collector).len() >= count).await;
    let spans = spans(collector);
    assert_eq!(spans.len(), count, "{spans:?}");
    spans
}

fn text(of: &[KeyValue], name: &str) -> String {
    let found = of.iter().find(|attribute| attribute.key == name);
    match found.and_then(|found| found.value.as_ref()?.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn said(span: &Span, name: &str) -> String {
    text(&span.attributes, name)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The trace, the part in it and the flags that an upstream was told.
fn told(origin: &Origin, nth: usize) -> (String, String, String) {
    let received = origin.received();
    let told = received[nth].fields("traceparent");
    let [_, trace, span, flags] = told[0].split('-').collect::<Vec<_>>()[..] else {
        panic!("{told:?}")
    };
    (trace.into(), span.into(), flags.into())
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// What somebody says of its trace.
fn parent(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-b7ad6b7169203331-{flags}")
}

#[tokio::test]
async fn a_retried_canary_request_shows_both_attempts_with_the_ids_that_upstreams_saw() {
    let (stable, collector) = (Origin::named("stable").await, collector().await);
    let canary = Origin::always(Reply::head("500 Oh", &[], "no")).await;
    let services = shop(
        &[("blue", &stable), ("green", &canary)],
        "split = { blue = 60, green = 40 }\nbreaker = false\nejection = false\n",
    );
    let named = "[server]\nname = \"edge-7\"\nenvironment = \"test\"\n";
    let file = HEAD.replace("[server]\n", named);
    let lines = traces(&collector, "share = 100\nheaders = { x-tenant = \"mine\" }");
    let edge = Edge::start_file(&format!("{file}{lines}{services}"), true).await;
    let mut asked = 0;
    while canary.received().is_empty() {
        edge.get(&["user-agent: tester"]).await;
        asked += 1;
        assert!(asked < 500, "the canary has two of five");
    }
    let is_retried = |span: &Span| span.kind == 2 && said(span, "pointsman.retries") == "1";
    until("it is there", async || spans(&collector).iter().any(is_retried)).await;
    let spans = spans(&collector);
    let server = spans.iter().find(|span| is_retried(span)).unwrap();
    let mut clients: Vec<&Span> =
        spans.iter().filter(|span| span.parent_span_id == server.span_id).collect();
    clients.sort_by_key(|span| span.start_time_unix_nano);
    let [failed, answered] = clients[..] else { panic!("{clients:?}") };
    for (client, origin, pool) in [(failed, &canary, "green"), (answered, &stable, "blue")] {
        let id = hex(&client.span_id);
        let all: Vec<_> = (0..origin.received().len()).map(|nth| told(origin, nth)).collect();
        let wanted = (hex(&server.trace_id), id, "03".to_string());
        assert!(all.contains(&wanted), "{wanted:?} is none of {all:?}");
        assert_eq!((said(client, "pointsman.pool"), client.kind), (pool.into(), 3));
        assert_eq!(said(client, "pointsman.upstream"), origin.address.to_string());
        assert_eq!(said(client, "url.full"), format!("http://{}/", origin.address));
    }
    assert_eq!(said(failed, "http.response.status_code"), "500");
    assert_eq!(
        (said(failed, "error.type"), failed.status.as_ref().unwrap().code),
        ("500".into(), 2)
    );
    assert_eq!(said(answered, "http.request.resend_count"), "1");
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.path", "/"),
        ("url.scheme", "http"),
        ("server.address", "shop.test"),
        ("client.address", "127.0.0.1"),
        ("user_agent.original", "tester"),
        ("pointsman.service", "shop"),
        ("pointsman.pool", "green"),
        ("pointsman.side", "canary"),
        ("pointsman.breaker", "closed"),
    ] {
        assert_eq!(said(server, name), value, "{name}");
    }
    assert!(server.parent_span_id.is_empty());
    let resource = requests(&collector)[0].resource_spans[0].resource.clone().unwrap();
    for (name, value) in [
        ("service.name", "pointsman"),
        ("service.instance.id", "edge-7"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("deployment.environment.name", "test"),
    ] {
        assert_eq!(text(&resource.attributes, name), value);
    }
    assert_eq!(collector.received()[0].fields("x-tenant"), ["mine"]);
}

#[tokio::test]
async fn an_attempt_has_the_url_that_its_upstream_was_asked_for() {
    let (origin, collector) = (Origin::named("fine").await, collector().await);
    let lines = traces(&collector, "share = 100");
    let route = "[[routes]]\npath_prefix = \"/api\"\nstrip_prefix = \"/api\"\nservice = \"shop\"\n";
    let edge = Edge::start(&format!("{lines}{route}{}", shop(&[("only", &origin)], ""))).await;
    client::get(edge.address, "shop.test", "/api/cart?page=2", &[]).await;
    let made = until_spans(&collector, 2).await;
    let [server, attempt] = [2, 3].map(|kind| made.iter().find(|span| span.kind == kind).unwrap());
    assert_eq!(said(server, "url.path"), "/api/cart");
    assert_eq!(
        (said(server, "url.query"), said(server, "http.route")),
        ("page=2".into(), "/api".into())
    );
    assert_eq!(said(attempt, "url.full"), format!("http://{}/cart?page=2", origin.address));
    assert!(origin.received()[0].head.starts_with("GET /cart?page=2 "));
}

#[tokio::test]
async fn a_trusted_proxy_decides_and_a_stranger_within_a_limit() {
    let (origin, collector) = (Origin::named("fine").await, collector().await);
    let services = shop(&[("only", &origin)], "");
    let none = traces(&collector, "share = 0\nfrom_strangers = 0\nkeep = []");
    let trusting = HEAD.replace("[server]\n", "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n");
    let edge = Edge::start_file(&format!("{trusting}{none}{services}"), true).await;
    edge.get(&[&parent("00")]).await;
    edge.get(&[&parent("01"), "tracestate: a=1"]).await;
    let made = until_spans(&collector, 2).await;
    let server = made.iter().find(|span| span.kind == 2).unwrap();
    assert_eq!(
        (hex(&server.trace_id), hex(&server.parent_span_id)),
        (TRACE.into(), "b7ad6b7169203331".into())
    );
    assert_eq!(said(server, "pointsman.parent"), "None");
    assert_eq!((told(&origin, 0).2, told(&origin, 1).2), ("00".into(), "01".into()));
    assert_eq!(origin.received()[1].fields("tracestate"), ["a=1"]);
    // Of strangers the ids are kept, and what they say counts for as many as may be.
    let stranger = Origin::named("fine").await;
    let services = shop(&[("only", &stranger)], "");
    let refusing = Edge::start(&format!("{none}{services}")).await;
    refusing.get(&[&parent("01"), "tracestate: a=1"]).await;
    let (trace, span, flags) = told(&stranger, 0);
    assert_eq!((&*trace, &*flags), (TRACE, "00"));
    assert_ne!(span, "b7ad6b7169203331");
    assert_eq!(stranger.received()[0].fields("tracestate"), ["a=1"]);
    let some = traces(&collector, "share = 0\nkeep = []");
    let granting = Edge::start(&format!("{some}{services}")).await;
    granting.get(&[&parent("01")]).await;
    assert_eq!(told(&stranger, 1).2, "01");
    let made = until_spans(&collector, 4).await;
    let marked = |span: &&Span| said(span, "pointsman.parent") == "stranger";
    assert_eq!(made.iter().filter(marked).count(), 1);
}

#[tokio::test]
async fn what_goes_wrong_is_told_of_though_nobody_had_decided_so() {
    let (origin, collector) =
        (Origin::always(Reply::head("500 Oh", &[], "no")).await, collector().await);
    let lines = traces(&collector, "share = 0");
    let services = shop(&[("only", &origin)], "error_pages = { 5xx = \"sorry.html\" }");
    let files = [
        ("pointsman.toml", &*format!("{HEAD}{lines}{services}")),
        ("sorry.html", "trace {{trace_id}} of {{request_id}}"),
    ];
    let edge = Edge::start_folder(&files, &[], true).await;
    edge.get(&[]).await;
    let made = until_spans(&collector, 2).await;
    let server = made.iter().find(|span| span.kind == 2).unwrap();
    assert_eq!(
        (said(server, "pointsman.kept"), said(server, "error.type")),
        ("error".into(), "500".into())
    );
    assert_eq!(server.status.as_ref().unwrap().code, 2);
    let (trace, _, flags) = told(&origin, 0);
    assert_eq!(
        (trace, &*flags),
        (hex(&server.trace_id), "02"),
        "upstreams are told that it was not"
    );
    // What we refuse ourselves has a trace too, which its page shows.
    let (status, _) =
        edge.admin("PUT", "/v1/services/shop/pools/only/breaker", r#"{"state": "open"}"#).await;
    assert_eq!(status, 200);
    let page = edge.get(&["accept: text/html"]).await;
    assert_eq!(page.status, 503);
    let made = until_spans(&collector, 3).await;
    let refused =
        made.iter().find(|span| said(span, "http.response.status_code") == "503").unwrap();
    assert!(page.body.contains(&format!("trace {}", hex(&refused.trace_id))), "{}", page.body);
    assert_eq!(said(refused, "pointsman.cause"), "breaker_open");
    assert_eq!(said(refused, "pointsman.breaker"), "open");
    let remembered = edge.admin("GET", "/v1/requests?limit=1", "").await.1;
    assert!(remembered.to_string().contains(&hex(&refused.trace_id)), "{remembered}");
}

/// The value of a metric.
async fn metric(edge: &Edge, name: &str) -> f64 {
    let metrics = client::get(edge.admin, "localhost", "/metrics", &[]).await.body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.unwrap_or_else(|| panic!("no {name}"))
}

async fn has_happened(edge: &Edge, what: &str) -> bool {
    let (_, events) = edge.admin("GET", "/v1/events", "").await;
    let traces = |event: &&serde_json::Value| event["kind"] == "traces";
    let mut events = events.as_array().unwrap().iter().filter(traces);
    events.any(|event| event["what"].as_str().unwrap().contains(what))
}

#[tokio::test]
async fn a_collector_that_is_away_slow_or_wrong_costs_nothing() {
    let big = Reply::head("413 Too Large", &[], "");
    let partial = b"\x0a\x06\x08\x01\x12\x02no".to_vec();
    let partial = String::from_utf8(partial).unwrap();
    for (reply, lost) in [
        (Reply::head("500 Oh", &[], "broken"), Some("refused")),
        (Reply::head("401 Unauthorized", &[], ""), Some("refused")),
        (big, Some("refused")),
        (Reply::head("200 OK", &[], &partial), Some("refused")),
        (Reply::ok("<html>garbage</html>"), None),
        (Reply::Nothing, Some("")),
        (Reply::Close, Some("")),
        (Reply::Bytes(b"\x00\x01\x02 no HTTP\r\n\r\n".to_vec()), Some("")),
        (Reply::head("503 Busy", &["retry-after: 1"], ""), Some("")),
    ] {
        let shown = match &reply {
            Reply::Bytes(bytes) => bytes.escape_ascii().to_string(),
            _ => "nothing".into(),
        };
        let (origin, collector) = (Origin::named("fine").await, Origin::always(reply).await);
        let lines = traces(&collector, "share = 100\ntimeout = \"200ms\"");
        let edge = Edge::start(&format!("{lines}{}", shop(&[("only", &origin)], ""))).await;
        for _ in 0..20 {
            assert_eq!(edge.get(&[]).await.body, "fine", "{shown}");
        }
        match lost {
            None => {
                until("all is taken", async || {
                    metric(&edge, "pointsman_spans_sent_total").await == 40.0
                })
                .await
            }
            Some(reason) => {
                until("somebody is told", async || {
                    has_happened(&edge, "does not take spans").await
                })
                .await;
                if !reason.is_empty() {
                    let name = format!("pointsman_spans_dropped_total{{reason=\"{reason}\"}}");
                    until("they are counted", async || metric(&edge, &name).await > 0.0).await;
                }
            }
        }
        assert_eq!(edge.get(&[]).await.body, "fine", "{shown}");
        edge.server.stop().await;
    }
}

#[tokio::test]
async fn a_collector_that_comes_back_gets_what_waited_and_somebody_is_told() {
    let (origin, address) = (Origin::named("fine").await, free());
    let lines =
        format!("[traces]\nendpoint = \"http://{address}\"\nshare = 100\ntimeout = \"1s\"\n");
    let edge = Edge::start(&format!("{lines}{}", shop(&[("only", &origin)], ""))).await;
    edge.get(&[]).await;
    until("somebody is told", async || has_happened(&edge, "does not take spans").await).await;
    let _back = Origin::at(address, |_| Reply::head("200 OK", &[], "")).await;
    until("somebody is told", async || has_happened(&edge, "takes spans again").await).await;
    // What had waited is among them, unless the machine was so busy that it was given up before.
    let given_up = metric(&edge, "pointsman_spans_dropped_total{reason=\"not_taken\"}").await;
    until("it is there", async || {
        metric(&edge, "pointsman_spans_sent_total").await + given_up >= 2.0
    })
    .await;
}

#[tokio::test]
async fn a_reload_turns_traces_on_and_off_and_a_stop_sends_the_last() {
    let (origin, collector) = (Origin::named("fine").await, collector().await);
    let services = shop_at(&[("only", &[origin.address])], "");
    let edge = Edge::start(&services).await;
    edge.get(&[]).await;
    let write = async |lines: &str| {
        let before = edge.generation();
        std::fs::write(edge.file(), format!("{HEAD}{lines}{services}")).unwrap();
        edge.until_after(before).await;
    };
    write(&traces(&collector, "share = 100\ncompression = \"none\"")).await;
    edge.get(&[]).await;
    until_spans(&collector, 2).await;
    write("").await;
    edge.get(&[&parent("01")]).await;
    // Without traces of ours whoever sends a request decides.
    assert_eq!((told(&origin, 2).0, told(&origin, 2).2), (TRACE.into(), "01".into()));
    write(&traces(&collector, "share = 100")).await;
    edge.get(&[]).await;
    edge.server.stop().await;
    assert_eq!(spans(&collector).len(), 4, "the one while there were none is not told of");
}
