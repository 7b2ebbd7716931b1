//! What an authority asks for: another time, another kind of certificate, an account, to be left alone.

use std::time::{Duration, SystemTime};

use super::scripted::{Replaces, Script, Scripted};
use super::*;
use crate::harness::running::free;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn a_certificate_is_replaced_when_its_authority_would_like_it() {
    let windows = [
        // It has been withdrawn, say.
        (("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"), 1),
        (("2099-01-01T00:00:00Z", "2099-01-02T00:00:00Z"), 0),
    ];
    for (window, orders) in windows {
        let script = Script { window: Some(window), ..Script::default() };
        let (scripted, origin, address) = (Scripted::start(script).await, origin().await, free());
        let folder = folder(&tls(address, &scripted.lines()), &origin);
        let now = SystemTime::now();
        let before =
            scripted.authority.issue_between(&["shop.example.com"], now - DAY * 10, now + DAY * 80);
        plant(&kept(&folder, &scripted.directory()), "shop.example.com", &before);
        let edge = Customer::start(&folder).await;
        until("it is asked", async || !scripted.asked("/window/").is_empty()).await;
        let clients = scripted.authority.clients();
        let shown =
            async || Talk::make(address, "shop.example.com", clients.clone()).await.unwrap();
        if orders == 0 {
            // What was asked for is known when what comes after it is done.
            edge.reload().await;
            assert_eq!(shown().await.shown(), before.der());
            assert_eq!(scripted.asked("/order").len(), 0);
            continue;
        }
        until("there is another", async || shown().await.shown() != before.der()).await;
        let order = &scripted.asked("/order")[0];
        let identity = scripted.identity(&before);
        assert_eq!(order["replaces"], *identity, "{order}");
        assert!(scripted.is_asked_for(&format!("/window/{identity}")));
        // Nor is the new one, in whose window it is too, ordered again and again.
        until("it is asked again", async || scripted.asked("/window/").len() == 2).await;
        edge.reload().await;
        assert_eq!(scripted.asked("/order").len(), 1);
    }
}

#[tokio::test]
async fn a_certificate_is_replaced_even_if_its_authority_will_not_hear_of_the_one_before() {
    for replaces in [Replaces::Refused, Replaces::Ignored] {
        let window = Some(("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"));
        let script = Script { window, replaces, ..Script::default() };
        let (scripted, origin, address) = (Scripted::start(script).await, origin().await, free());
        let folder = folder(&tls(address, &scripted.lines()), &origin);
        let now = SystemTime::now();
        let before =
            scripted.authority.issue_between(&["shop.example.com"], now - DAY * 10, now + DAY * 80);
        let kept = kept(&folder, &scripted.directory());
        plant(&kept, "shop.example.com", &before);
        let edge = Customer::start(&folder).await;
        edge.until_said("there is a certificate for shop.example.com").await;
        let names: Vec<bool> =
            scripted.asked("/order").iter().map(|order| !order["replaces"].is_null()).collect();
        assert_eq!(names, [true, false]);
        let ignores = json(&kept.join("@account.json"))["ignores_replaces"].clone();
        assert_eq!(ignores, matches!(replaces, Replaces::Ignored));
        assert!(!edge.events().await.contains("no certificate for"));
    }
}

#[tokio::test]
async fn addresses_get_short_lived_certificates_and_a_profile_is_one_that_there_is() {
    let (scripted, origin, address) =
        (Scripted::start(Script::default()).await, origin().await, free());
    let names = "names = [\"shop.example.com\", \"192.0.2.7\", \"2001:db8::1\"]\n";
    let lines = scripted.lines() + names;
    let folder = folder(&tls(address, &lines), &origin);
    let edge = Customer::start(&folder).await;
    let clients = scripted.authority.clients();
    until_trusted(address, "shop.example.com", &clients).await;
    until_trusted(address, "192.0.2.7", &clients).await;
    let orders = scripted.asked("/order");
    let of = |place: usize| {
        let names = orders[place]["identifiers"].as_array().unwrap();
        let names: Vec<String> = names.iter().map(|name| format!("{name}")).collect();
        (orders[place]["profile"].clone(), names.join(" "))
    };
    let host = r#"{"type":"dns","value":"shop.example.com"}"#;
    assert_eq!(of(0), (Value::Null, host.into()));
    let both = r#"{"type":"ip","value":"192.0.2.7"} {"type":"ip","value":"2001:db8::1"}"#;
    assert_eq!(of(1), ("shortlived".into(), both.into()));
    // Who asks for either asks for no name.
    let mut talk = Talk::make(address, "2001:db8::1", clients.clone()).await.unwrap();
    assert_eq!(talk.get("shop.example.com", &[]).await.status, 200);

    let other = lines.replace("shop.", "pay.") + "profile = \"classic\"\n";
    write(folder.path(), &tls(address, &other), &origin);
    edge.reload().await;
    until_trusted(address, "pay.example.com", &clients).await;
    assert_eq!(scripted.asked("/order")[2]["profile"], "classic");
    assert_eq!(scripted.asked("/order").len(), 3, "what is there stays");
    write(
        folder.path(),
        &tls(address, &other.replace("pay.", "up.").replace("classic", "x")),
        &origin,
    );
    edge.reload().await;
    edge.until_said("no certificate for up.example.com: the authority has no profile `x`, but ")
        .await;
    edge.until_said("correct `tls.acme.profile`, or leave it out").await;
}

#[tokio::test]
async fn an_authority_that_has_had_enough_is_left_alone() {
    let why = serde_json::json!({
        "type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many certificates (50)",
    });
    let refuses = Some((429, "retry-after: 90000", why));
    let script = Script { refuses, ..Script::default() };
    let (scripted, origin, address) = (Scripted::start(script).await, origin().await, free());
    let folder = folder(&tls(address, &scripted.lines()), &origin);
    let edge = Customer::start(&folder).await;
    let words = "no certificate for shop.example.com: the authority says: too many certificates (50) \
        (rateLimited); it is tried again when the authority allows it; to try things out use the \
        authority's staging directory. It is ordered again in 25h";
    edge.until_said(words).await;
    let progress = kept(&folder, &scripted.directory()).join("shop.example.com.json");
    until("it is noted", async || progress.exists()).await;
    let noted = json(&progress);
    for _ in 0..2 {
        // Not even by who asks for it.
        edge.reload().await;
    }
    edge.stop().await;
    let edge = Customer::start(&folder).await;
    edge.reload().await;
    is_unknown(address, "shop.example.com", &scripted.authority.clients()).await;
    edge.stop().await;
    assert_eq!(json(&progress), noted);
    assert_eq!(scripted.asked("/order").len(), 1);
}

#[tokio::test]
async fn an_order_that_meets_an_authoritys_trouble_is_gone_on_with() {
    let script = Script::default();
    let falters = script.falters.clone();
    *falters.lock().unwrap() = vec!["/finalize", "/order/1"];
    let (scripted, origin, address) = (Scripted::start(script).await, origin().await, free());
    let folder = folder(&tls(address, &scripted.lines()), &origin);
    let edge = Customer::start(&folder).await;
    let progress = kept(&folder, &scripted.directory()).join("shop.example.com.json");
    // First it has not been signed, then not even found again.
    for failed in 1..=2 {
        until("it has failed", async || {
            progress.exists() && json(&progress)["attempts"]["failed"] == failed
        })
        .await;
        assert!(json(&progress)["begun"]["url"].as_str().unwrap().ends_with("/order/1"));
        if failed == 2 {
            falters.lock().unwrap().clear();
        }
        edge.reload().await;
    }
    until_trusted(address, "shop.example.com", &scripted.authority.clients()).await;
    assert_eq!(scripted.asked("/order").len(), 1);
}

#[tokio::test]
async fn an_account_is_bound_to_one_that_there_is() {
    let (pebble, origin) =
        (Pebble::with_accounts(&[("kid-1", "c2VjcmV0LXNlY3JldA")]).await, origin().await);
    let listeners = |account: &str| {
        let lines = pebble.lines() + account;
        [plain(pebble.http, ""), tls(pebble.tls, &lines)].concat()
    };
    let folder = folder(&listeners(""), &origin);
    let edge = Customer::start(&folder).await;
    edge.until_said("the authority wants an account of its own: set `tls.acme.external_account`")
        .await;
    std::fs::write(folder.path().join("account.key"), "c2VjcmV0LXNlY3JldA==\n").unwrap();
    let account = "external_account = { id = \"kid-1\", key_file = \"account.key\" }\n";
    write(folder.path(), &listeners(account), &origin);
    edge.reload().await;
    until_trusted(pebble.tls, "shop.example.com", &pebble.clients().await).await;
}
