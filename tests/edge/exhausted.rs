//! A process that has no descriptors left.

use crate::harness::client::get;
use crate::harness::{Client, Origin, Proxy, Reply, until};

const ASK: &str = "GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n";

#[tokio::test]
async fn what_we_lack_ourselves_is_a_503_and_blames_nobody() {
    // Each request needs a connection of its own.
    let closes = Reply::BytesThenClose(
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine".to_vec(),
    );
    let origin = Origin::tireless(closes).await;
    let free = crate::harness::running::free;
    let (listen, admin) = (free(), free());
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("pointsman.toml");
    let text = format!(
        "[[listeners]]\naddress = \"{listen}\"\n[admin]\naddress = \"{admin}\"\n\
         [services.shop.pools]\nblue.upstreams = [\"{}\"]\n",
        origin.address
    );
    std::fs::write(&file, text).unwrap();
    let proxy = Proxy::run(file.to_str().unwrap(), &admin.to_string()).await;
    // More than a breaker needs to open, and one for later.
    let mut clients = Vec::new();
    for _ in 0..41 {
        let mut client = Client::connect(listen).await;
        client.send(ASK).await;
        assert_eq!(client.response().await.status, 200);
        clients.push(client);
    }
    proxy.bound_descriptors(3).await;
    for client in &mut clients[1..] {
        client.send(ASK).await;
        let answer = client.response().await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.body.contains("descriptors"), "{answer:?}");
    }
    proxy.bound_descriptors(1_024).await;
    clients[0].send(ASK).await;
    assert_eq!(clients[0].response().await.status, 200, "at once: no breaker is open");
    let metrics = async || get(admin, "localhost", "/metrics", &[]).await.body;
    let refused = "pointsman_refused_total{reason=\"exhausted\"} 40\n";
    // A request is accounted for a moment after its answer.
    until("all are counted", async || metrics().await.contains(refused)).await;
    let failed = "pointsman_pool_failed_attempts_total{service=\"shop\",pool=\"blue\"} 0\n";
    assert!(metrics().await.contains(failed), "{}", metrics().await);
    let said = async || get(admin, "localhost", "/v1/events", &[]).await.body;
    until("it is said", async || said().await.contains("out of descriptors")).await;
    assert_eq!(said().await.matches("out of descriptors").count(), 1, "once a minute");
}
