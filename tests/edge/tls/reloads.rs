//! Certificates that are replaced while there is traffic, and those that are no good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::certificates::replace;
use super::{Shop, Talk, checked};
use crate::harness::{client, until};

#[tokio::test]
async fn a_pair_is_replaced_under_traffic_and_nobody_is_refused() {
    let shop = Shop::start().await;
    let mut kept = shop.connect("shop.test").await;
    let before = kept.shown();
    let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (to, clients) = (shop.edge.address, shop.authority.clients());
    let load = tokio::spawn({
        let (stop, made) = (stop.clone(), made.clone());
        async move {
            while !stop.load(Ordering::Relaxed) {
                let mut talk = Talk::make(to, "shop.test", clients.clone()).await.unwrap();
                assert_eq!(talk.get("shop.test", &[]).await.status, 200);
                made.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    until("there is traffic", async || made.load(Ordering::Relaxed) > 3).await;
    let renewed = shop.authority.issue(&["shop.test"]);
    shop.files.put("shop", &renewed);
    until("the new one is shown", async || {
        shop.connect("shop.test").await.shown() == renewed.der()
    })
    .await;
    let so_far = made.load(Ordering::Relaxed);
    until("traffic goes on", async || made.load(Ordering::Relaxed) > so_far + 3).await;
    stop.store(true, Ordering::Relaxed);
    load.await.unwrap();
    assert_ne!(before, renewed.der());
    assert_eq!(kept.get("shop.test", &[]).await.status, 200, "who is connected stays");
    until("it is told", async || {
        let (_, events) = shop.edge.admin("GET", "/v1/events", "").await;
        events.to_string().contains("shop.pem: is another, good until ")
    })
    .await;
}

#[tokio::test]
async fn a_pair_that_is_no_good_changes_nothing_and_is_told_precisely() {
    let shop = Shop::start().await;
    let before = shop.connect("shop.test").await.shown();
    let (certificate, key) = shop.files.paths("shop");
    let (good, good_key) =
        (std::fs::read_to_string(&certificate).unwrap(), std::fs::read_to_string(&key).unwrap());
    let other = shop.authority.issue(&["shop.test"]);
    let expired = shop.authority.issue_expired(&["shop.test"]);
    let cases = [
        (good.clone(), other.key.serialize_pem(), "does not belong to the certificate in"),
        ("no certificate".into(), good_key.clone(), "holds no certificate in PEM form"),
        (good.clone(), "no key".into(), "holds no private key in PEM form"),
        (good.replacen("MII", "xII", 1), good_key.clone(), "cannot be read"),
        (expired.certificate.pem(), expired.key.serialize_pem(), "has expired on 2020-12-31"),
    ];
    let refused = || shop.edge.server.process().refused().unwrap_or_default();
    let mut count = 0;
    for (pem, key_pem, why) in cases {
        replace(&certificate, &pem);
        replace(&key, &key_pem);
        let (status, told) = shop.edge.admin("POST", "/v1/config/reload", "").await;
        assert_eq!(status, 422, "{told}");
        assert!(told.to_string().contains(why), "{why}: {told}");
        assert!(!refused().is_empty());
        assert_eq!(shop.connect("shop.test").await.shown(), before, "{why}");
        let said = checked(&shop.edge.file()).await;
        assert!(said.contains(why) && said.contains("pointsman.toml:6:"), "{said}");
        count += 1;
    }
    let metrics = client::get(shop.edge.admin, "localhost", "/metrics", &[]).await.body;
    assert!(metrics.contains("pointsman_config_last_reload_successful 0"), "{count}");
    let (_, events) = shop.edge.admin("GET", "/v1/events", "").await;
    assert!(events.to_string().contains("config refused, the old one stays in force"), "{events}");
    let renewed = shop.authority.issue(&["shop.test"]);
    shop.files.put("shop", &renewed);
    until("a good one is taken", async || shop.connect("shop.test").await.shown() == renewed.der())
        .await;
    let metrics = client::get(shop.edge.admin, "localhost", "/metrics", &[]).await.body;
    let line =
        metrics.lines().find(|line| line.starts_with("pointsman_certificate_expiry")).unwrap();
    assert!(line.contains("shop.pem\",name=\"shop.test\"} "), "{line}");
}

#[tokio::test]
async fn a_certificate_that_expires_is_an_event_and_a_start_with_an_expired_one_is_a_start() {
    let shop = Shop::with(|files, authority| {
        let issued = authority.issue_expired(&["shop.test"]);
        format!("certificates = [{{ {} }}]", files.put("shop", &issued))
    })
    .await;
    until("it is said", async || {
        let (_, events) = shop.edge.admin("GET", "/v1/events", "").await;
        events.to_string().contains("shop.pem has expired")
    })
    .await;
    // Nor does it keep anything else from being changed.
    let file = shop.edge.file();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("workers = 2", "workers = 2\ndrain = \"9s\"")).unwrap();
    let (status, told) = shop.edge.admin("POST", "/v1/config/reload", "").await;
    assert_eq!(status, 200, "{told}");
}
