//! Orders at a real authority.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::*;
use crate::harness::running::free;
use crate::harness::{Installed, PATIENCE};
use crate::tls::certificates::Authority;

/// One order, as the authority's log has it. What it was asked for is more: it refuses some requests, to be
/// asked again.
const ORDER: &str = "Added order ";

#[tokio::test]
async fn a_certificate_is_ordered_once_whatever_starts_reloads_and_listens() {
    let (pebble, origin) = (Pebble::start().await, origin().await);
    let second = free();
    let listeners = [
        plain(pebble.http, "redirect_to_https = true\n"),
        tls(pebble.tls, &pebble.lines()),
        tls(second, &pebble.lines()),
    ]
    .concat();
    let folder = folder(&listeners, &origin);
    let (edge, clients) = (Customer::start(&folder).await, pebble.clients().await);
    is_unknown(pebble.tls, "a.example.com", &clients).await;
    for address in [pebble.tls, second] {
        until_trusted(address, "shop.example.com", &clients).await;
        assert_eq!(ask(address, "shop.example.com", &clients).await.status, 200);
    }
    is_unknown(pebble.tls, "a.example.com", &clients).await;
    edge.until_said("there is a certificate for shop.example.com, good for ").await;
    let metrics = edge.metrics().await;
    for line in [
        "pointsman_certificate_orders_total{name=\"shop.example.com\",result=\"issued\"} 1\n",
        "pointsman_certificate_orders_total{name=\"shop.example.com\",result=\"failed\"} 0\n",
        "shop.example.com.pem\",name=\"shop.example.com\"} ",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    // Others' challenges are nobody's business, and led on as everything is.
    let path = "/.well-known/acme-challenge/somebodys";
    let asked = client::get(pebble.http, "shop.example.com", path, &[]).await;
    assert_eq!((asked.status, asked.body), (200, format!("GET {path} HTTP/1.1")));
    let asked = client::get(pebble.http, "shop.example.com", "/", &[]).await;
    assert_eq!(asked.status, 301);
    for entry in std::fs::read_dir(kept(&folder, &pebble.directory())).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    // A reload, with other settings and the same, and with one listener less.
    edge.reload().await;
    write(folder.path(), &listeners.replace("redirect_to_https = true\n", ""), &origin);
    edge.reload().await;
    assert_eq!(client::get(pebble.http, "shop.example.com", "/", &[]).await.status, 200);
    edge.stop().await;

    // A restart, for which the authority need not even be there.
    let mut pebble = pebble;
    assert_eq!((pebble.asked(ORDER), pebble.issued()), (1, 1));
    pebble.stop().await;
    let edge = Customer::start(&folder).await;
    assert_eq!(ask(pebble.tls, "shop.example.com", &clients).await.status, 200, "at once");
    let metrics = edge.metrics().await;
    for result in ["issued", "failed"] {
        let line = format!(
            "pointsman_certificate_orders_total{{name=\"shop.example.com\",result=\"{result}\"}} 0\n"
        );
        assert!(metrics.contains(&line), "none has been made, and counters begin: {metrics}");
    }
    assert!(!edge.events().await.contains("no certificate"));
}

#[tokio::test]
async fn names_and_addresses_are_shown_by_handshakes_alone() {
    let (pebble, origin) = (Pebble::start().await, origin().await);
    let names = "names = [\"shop.example.com\", \"127.0.0.1\"]\n";
    let folder = folder(&tls(pebble.tls, &(pebble.lines() + names)), &origin);
    let (edge, clients) = (Customer::start(&folder).await, pebble.clients().await);
    // Who asks for an address asks for no name.
    for name in ["shop.example.com", "127.0.0.1"] {
        until_trusted(pebble.tls, name, &clients).await;
        let mut talk = Talk::make(pebble.tls, name, clients.clone()).await.unwrap();
        assert_eq!(talk.get("shop.example.com", &[]).await.status, 200);
    }
    let line = format!(
        "pointsman_tls_handshakes_total{{listener=\"{}\",result=\"challenge\"}} ",
        pebble.tls
    );
    let metrics = edge.metrics().await;
    let count = metrics.lines().find_map(|found| found.strip_prefix(&line)).unwrap();
    // It looks three times at each.
    assert_eq!(count, "6", "{metrics}");
    assert_eq!((pebble.asked(ORDER), pebble.issued()), (2, 2));
    // Nobody else gets in like that, nor when nothing is looked for.
    let mut impostor = clients.clone();
    impostor.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let made = Talk::make(pebble.tls, "shop.example.com", impostor).await;
    let nothing = Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    assert_eq!(refused(made).await, nothing);
}

#[tokio::test]
async fn an_authority_that_fails_takes_nothing_away() {
    let (mut pebble, origin) = (Pebble::start().await, origin().await);
    pebble.stop().await;
    let listeners = [plain(pebble.http, ""), tls(pebble.tls, &pebble.lines())].concat();
    let folder = folder(&listeners, &origin);
    let kept = kept(&folder, &pebble.directory());
    // It is good for a while, and due.
    let day = Duration::from_secs(24 * 60 * 60);
    let ours = Authority::new("earlier");
    let now = SystemTime::now();
    let before = ours.issue_between(&["shop.example.com"], now - day * 80, now + day * 10);
    plant(&kept, "shop.example.com", &before);

    let edge = Customer::start(&folder).await;
    edge.until_said("no certificate for shop.example.com: cannot reach the authority: ").await;
    let events = edge.events().await;
    assert!(events.contains("this machine has to reach `tls.acme.directory`"), "{events}");
    assert!(events.contains("; the one before stays"), "{events}");
    assert_eq!(ask(pebble.tls, "shop.example.com", &ours.clients()).await.status, 200);
    let failed =
        "pointsman_certificate_orders_total{name=\"shop.example.com\",result=\"failed\"} 1\n";
    assert!(edge.metrics().await.contains(failed));
    edge.stop().await;

    // Nor does a restart ask again sooner.
    let progress = kept.join("shop.example.com.json");
    until("it is noted", async || progress.exists()).await;
    let noted = json(&progress);
    assert_eq!(noted["attempts"]["failed"], 1, "{noted}");
    let edge = Customer::start(&folder).await;
    assert_eq!(ask(pebble.tls, "shop.example.com", &ours.clients()).await.status, 200);
    assert_eq!(json(&progress), noted);
    assert!(edge.metrics().await.contains(&failed.replace(" 1\n", " 0\n")));

    // Who has put it right says so.
    edge.reload().await;
    until("it is tried again", async || json(&progress)["attempts"]["failed"] == 2).await;
    pebble.go_on().await;
    let clients = pebble.clients().await;
    edge.reload().await;
    until_trusted(pebble.tls, "shop.example.com", &clients).await;
    assert_eq!(json(&progress)["attempts"]["failed"], 0);
    assert_eq!(pebble.issued(), 1);
}

#[tokio::test]
async fn who_comes_after_a_killed_process_goes_on_with_its_order() {
    let (pebble, origin) = (Pebble::start().await, origin().await);
    // Somebody who takes connections and says nothing is where the authority looks.
    let silent = TcpListener::bind(pebble.http).await.unwrap();
    let listeners = [plain(free(), ""), tls(pebble.tls, &pebble.lines())].concat();
    let folder = folder(&listeners, &origin);
    let file = folder.path().join("pointsman.toml");
    let mut killed = tokio::process::Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["run", file.to_str().unwrap()])
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let waiting = timeout(PATIENCE, silent.accept()).await.expect("the authority looks").unwrap();
    killed.kill().await.unwrap();
    let kept = kept(&folder, &pebble.directory());
    let progress = kept.join("shop.example.com.json");
    assert!(json(&progress)["begun"]["url"].is_string());
    assert!(!kept.join("shop.example.com.pem").exists());
    drop((waiting, silent));
    until("the authority has given up", async || pebble.asked("set INVALID by completed") > 0)
        .await;

    let listeners = [plain(pebble.http, ""), tls(pebble.tls, &pebble.lines())].concat();
    write(folder.path(), &listeners, &origin);
    let (edge, clients) = (Customer::start(&folder).await, pebble.clients().await);
    until_trusted(pebble.tls, "shop.example.com", &clients).await;
    edge.stop().await;
    assert_eq!(pebble.asked("There are now 2 accounts"), 0, "the account is the same");
    assert_eq!((pebble.asked(ORDER), pebble.issued()), (2, 1));

    // As if it had been killed after the authority signed and before it kept what came.
    let pem = std::fs::read_to_string(kept.join("shop.example.com.pem")).unwrap();
    let key = &pem[pem.find("-----BEGIN PRIVATE KEY").unwrap()..];
    let mut before = json(&progress);
    before["begun"] = serde_json::json!({ "url": pebble.last_order(), "key": key });
    replace(&progress, &before.to_string());
    std::fs::remove_file(kept.join("shop.example.com.pem")).unwrap();
    let edge = Customer::start(&folder).await;
    until_trusted(pebble.tls, "shop.example.com", &clients).await;
    assert_eq!((pebble.asked(ORDER), pebble.issued()), (2, 1), "nothing is ordered for it");
    assert_eq!(std::fs::read_to_string(kept.join("shop.example.com.pem")).unwrap(), pem);
    drop(edge);
}

#[tokio::test]
async fn a_check_says_what_is_ordered_from_whom() {
    let text = "[[listeners]]\naddress = \":443\"\ntls.acme = { email = \"ada@example.com\" }\n\
        [[routes]]\nhosts = [\"shop.example.com\", \"*.example.com\", \"192.0.1.7\", \"shop.test\"]\n\
        service = \"a\"\n[services.a.pools.b]\nupstreams = [\"a:1\"]\n";
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("p.toml");
    std::fs::write(&file, text).unwrap();
    let mut check = tokio::process::Command::new(env!("CARGO_BIN_EXE_pointsman"));
    let said = check.arg("check").arg(&file).output().await.unwrap();
    assert!(said.status.success(), "{said:?}");
    let said = String::from_utf8(said.stdout).unwrap();
    let line = "\ncertificates are ordered from https://acme-v02.api.letsencrypt.org/directory for \
        shop.example.com, 192.0.1.7, unless they are there\n";
    assert!(said.ends_with(line), "{said}");
}

#[tokio::test]
async fn an_upgrade_orders_nothing_twice_and_goes_on() {
    let (pebble, origin, admin) = (Pebble::start().await, origin().await, free());
    let listeners = [plain(pebble.http, ""), tls(pebble.tls, &pebble.lines())].concat();
    let text = |hosts| text(&listeners, &origin, hosts).replace("127.0.0.1:0", &admin.to_string());
    let mut installed = Installed::start(&text("\"shop.example.com\""), admin).await;
    let clients = pebble.clients().await;
    until_trusted(pebble.tls, "shop.example.com", &clients).await;
    let shown = async || {
        let made = Talk::make(pebble.tls, "shop.example.com", clients.clone()).await;
        made.unwrap().shown()
    };
    let before = shown().await;
    let (status, said) = installed.upgrade().await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(shown().await, before);
    let more = text("\"pay.example.com\", \"shop.example.com\"");
    std::fs::write(installed.folder.path().join("p.toml"), more).unwrap();
    let (status, said) = installed.ask("POST", "/v1/config/reload", "").await;
    assert_eq!(status, 200, "{said}");
    until_trusted(pebble.tls, "pay.example.com", &clients).await;
    assert_eq!(shown().await, before);
    assert_eq!((pebble.asked(ORDER), pebble.issued()), (2, 2));
    assert_eq!(pebble.asked("There are now 2 accounts"), 0);
}

#[tokio::test]
async fn an_order_that_an_upgrade_meets_is_gone_on_with() {
    let (pebble, origin, admin) = (Pebble::start().await, origin().await, free());
    // Between the authority and us is somebody who lets nobody through yet.
    let (gate, opens) = (TcpListener::bind(pebble.http).await.unwrap(), Arc::new(Notify::new()));
    let (plainly, looks) = (free(), Arc::new(AtomicUsize::new(0)));
    tokio::spawn({
        let (opens, looks) = (opens.clone(), looks.clone());
        async move {
            while let Ok((mut outside, _)) = gate.accept().await {
                let opened = opens.clone();
                looks.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    opened.notified().await;
                    opened.notify_one();
                    let mut inside = TcpStream::connect(plainly).await.unwrap();
                    let _ = copy_bidirectional(&mut outside, &mut inside).await;
                });
            }
        }
    });
    let listeners = [plain(plainly, ""), tls(pebble.tls, &pebble.lines())].concat();
    let text = text(&listeners, &origin, "\"shop.example.com\"");
    let text = text.replace("127.0.0.1:0", &admin.to_string());
    let mut installed = Installed::start(&text, admin).await;
    until("the authority looks", async || looks.load(Ordering::Relaxed) > 0).await;
    let before = pebble.log().len();
    let (status, said) = installed.upgrade().await;
    assert_eq!(status, 200, "{said}");
    // Who asks how the order is, once it has asked what is looked for, has put that there. The process
    // before has asked that before.
    until("the next process has put there what is looked for", async || {
        let log = pebble.log();
        log[before..].split_once("POST /authZ/").is_some_and(|(_, then)| {
            then.rsplit("POST /authZ/").next().is_some_and(|last| last.contains("POST /my-order/"))
        })
    })
    .await;
    opens.notify_one();
    until_trusted(pebble.tls, "shop.example.com", &pebble.clients().await).await;
    assert_eq!((pebble.asked(ORDER), pebble.issued()), (1, 1));
}
