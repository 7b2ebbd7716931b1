//! A disk that does not answer: an `fsync` that does not return while a file exists.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use serde_json::Value;

use crate::harness::client::get;
use crate::harness::running::preloaded;
use crate::harness::{Client, Load, Origin, Proxy, Reply, until};

/// Put before the system's own calls.
pub const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
static void wait_here(void) {
    const char *file = getenv("HANGS_WHILE");
    while (file && access(file, F_OK) == 0) usleep(5000);
}
int fsync(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_here();
    return real(fd);
}
int fdatasync(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_here();
    return real(fd);
}
"#;

/// A shop with a canary at 20 percent, on a disk that can be told to hang.
struct Shop {
    proxy: Proxy,
    folder: tempfile::TempDir,
    listen: SocketAddr,
    admin: SocketAddr,
    is_bad: Arc<AtomicBool>,
    failed: Arc<AtomicU64>,
    _origins: [Origin; 2],
}

impl Shop {
    async fn begin() -> Shop {
        let folder = tempfile::TempDir::new().unwrap();
        let (is_bad, failed) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let script = {
            let (is_bad, failed) = (is_bad.clone(), failed.clone());
            move |_: &_| match is_bad.load(Ordering::Relaxed) {
                true => {
                    failed.fetch_add(1, Ordering::Relaxed);
                    Reply::head("500 Oh", &[], "no")
                }
                false => Reply::ok("green"),
            }
        };
        let blue = Origin::fast("blue").await;
        let green = Origin::at("127.0.0.1:0".parse().unwrap(), script).await;
        let free = crate::harness::running::free;
        let (listen, admin) = (free(), free());
        let text = format!(
            "[[listeners]]\naddress = \"{listen}\"\n[admin]\naddress = \"{admin}\"\n\
             [flags.beta]\npercent = 1\nservices = [\"shop\"]\n\
             [services.shop]\nsplit = {{ blue = 100, green = 0 }}\nbreaker = false\n\
             ejection = false\nretries.budget = 100\n\
             [services.shop.judge]\nenabled = false\n\
             [services.shop.rollout]\nsteps = [20, 100]\nhold = \"1h\"\n\
             [services.shop.pools]\nblue.upstreams = [\"{}\"]\ngreen.upstreams = [\"{}\"]\n",
            blue.address, green.address
        );
        let file = folder.path().join("pointsman.toml");
        std::fs::write(&file, text).unwrap();
        let environment = vec![
            ("LD_PRELOAD", preloaded(folder.path(), LIBRARY).await.display().to_string()),
            ("HANGS_WHILE", folder.path().join("hangs").display().to_string()),
        ];
        let proxy = Proxy::run_in(file.to_str().unwrap(), &admin.to_string(), environment).await;
        let started = proxy.json(&["rollout", "start", "shop", "--to", "green"]).await;
        assert_eq!(started["share"], 20.0, "{started}");
        Shop { proxy, folder, listen, admin, is_bad, failed, _origins: [blue, green] }
    }

    /// The disk does not answer from now.
    fn hang(&self) {
        std::fs::write(self.folder.path().join("hangs"), "").unwrap();
    }

    fn let_go(&self) {
        std::fs::remove_file(self.folder.path().join("hangs")).unwrap();
    }

    async fn rollout(&self) -> Value {
        self.proxy.json(&["rollout", "status", "shop"]).await
    }

    /// A connection for orders, which has carried a request.
    async fn orders(&self) -> Client {
        let mut client = Client::connect(self.admin).await;
        client.send("GET /v1/flags HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert_eq!(client.response().await.status, 200);
        client
    }

    async fn has_said(&self, words: &str) -> bool {
        let events = self.proxy.cli(&["events"]).await.1;
        events.contains(words)
    }
}

/// Orders something.
async fn order(client: &mut Client, what: &str, body: &str) {
    let fields = "host: localhost\r\ncontent-type: application/json";
    let length = body.len();
    let head = format!("{what} HTTP/1.1\r\n{fields}\r\ncontent-length: {length}\r\n\r\n");
    client.send(head + body).await;
}

/// Requests to the canary within the ten seconds that an order may wait for the disk: 20 percent of
/// the load. What waited for a disk that hangs would cost more.
const OF_TEN_SECONDS: u64 = PER_SECOND as u64 / 5 * 10;

const PER_SECOND: u32 = 200;

/// How many requests fail on a canary that begins to fail, until it has no traffic any more.
async fn failures(hangs: bool) -> u64 {
    let shop = Shop::begin().await;
    let load = Load::gets(shop.listen, PER_SECOND).start();
    load.until_more(u64::from(PER_SECOND)).await;
    if hangs {
        shop.hang();
    }
    shop.is_bad.store(true, Ordering::Relaxed);
    until("it is taken back", async || shop.rollout().await["state"] == "rolled-back").await;
    let failed = shop.failed.load(Ordering::Relaxed);
    // What was under way may still come, and nothing that is sent from now.
    load.until_all_have_asked().await;
    let settled = shop.failed.load(Ordering::Relaxed);
    load.until_more(u64::from(PER_SECOND)).await;
    assert_eq!(shop.failed.load(Ordering::Relaxed), settled, "it still has traffic");
    if hangs {
        until("it is told", async || shop.has_said("the disk does not answer").await).await;
        shop.let_go();
        until("it is stored", async || shop.has_said("stored now").await).await;
    }
    drop(load.stop().await);
    let Shop { proxy, folder: _folder, .. } = shop;
    let proxy = proxy.kill().await;
    let ended = proxy.json(&["rollout", "status", "shop"]).await;
    assert_eq!(ended["state"], "rolled-back", "after a kill too");
    failed
}

#[tokio::test]
async fn a_canary_that_fails_loses_its_traffic_as_fast_as_with_a_good_disk() {
    let (good, hanging) = (failures(false).await, failures(true).await);
    println!("{good} failed with a good disk, {hanging} with one that hangs");
    assert!(hanging < good + OF_TEN_SECONDS, "{good} with a good disk, {hanging}");
}

#[tokio::test]
async fn an_abort_is_answered_while_the_disk_hangs_and_stored_when_it_answers() {
    let shop = Shop::begin().await;
    let (mut flags, mut aborts) = (shop.orders().await, shop.orders().await);
    shop.hang();
    // An order that waits for the disk, ten seconds at most: what is answered before it has not
    // waited for the disk, however busy the machine is.
    order(&mut flags, "PUT /v1/flags/beta", r#"{"percent": 50}"#).await;
    let flag = tokio::spawn(async move { flags.response().await });
    let asked = Instant::now();
    order(&mut aborts, "POST /v1/services/shop/rollout/abort", "{}").await;
    let answer = aborts.response().await;
    println!("the abort was answered after {} ms", asked.elapsed().as_millis());
    assert!(!flag.is_finished(), "it has waited for the disk");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let aborted: Value = serde_json::from_str(&answer.body).unwrap();
    let note = "in force; not on the disk yet: a crash now would undo it";
    let told = (&aborted["state"], &aborted["stored"], &aborted["note"]);
    assert_eq!(told, (&"aborted".into(), &false.into(), &note.into()));
    let status = shop.proxy.json(&["status"]).await;
    assert_eq!(status["services"][0]["pools"][0]["weight"], 100.0, "{status}");
    // Another order of the service waits, and is then withdrawn.
    let (code, text) = shop.proxy.cli(&["shift", "shop", "blue=50", "green=50"]).await;
    let flag = flag.await.unwrap();
    assert_eq!(flag.status, 503, "{}", flag.body);
    assert!(code != 0 && text.contains("nothing was changed"), "{code} {text}");
    shop.let_go();
    until("it is stored", async || shop.has_said("stored now").await).await;
    let Shop { proxy, folder: _folder, .. } = shop;
    let proxy = proxy.kill().await;
    let ended = proxy.json(&["rollout", "status", "shop"]).await;
    assert_eq!((&ended["state"], &ended["stored"]), (&"aborted".into(), &Value::Null));
    let status = proxy.json(&["status"]).await;
    assert_eq!(status["services"][0]["pools"][0]["weight"], 100.0, "{status}");
}

/// Two held services, a disk that hangs, and requests that wait for the end of the holds.
#[tokio::test]
async fn holds_end_at_their_time_though_the_disk_hangs() {
    let folder = tempfile::TempDir::new().unwrap();
    let origin = Origin::fast("blue").await;
    let free = crate::harness::running::free;
    let (listen, admin) = (free(), free().to_string());
    let service = |name: &str| {
        let route = format!("[[routes]]\nhosts = [\"{name}.test\"]\nservice = \"{name}\"\n");
        let of = origin.address;
        format!("{route}[services.{name}.pools]\nblue.upstreams = [\"{of}\"]\n")
    };
    let text = format!(
        "[[listeners]]\naddress = \"{listen}\"\n[admin]\naddress = \"{admin}\"\n{}{}",
        service("shop"),
        service("api"),
    );
    let file = folder.path().join("pointsman.toml");
    std::fs::write(&file, text).unwrap();
    let hangs = folder.path().join("hangs");
    let environment = vec![
        ("LD_PRELOAD", preloaded(folder.path(), LIBRARY).await.display().to_string()),
        ("HANGS_WHILE", hangs.display().to_string()),
    ];
    let proxy = Proxy::run_in(file.to_str().unwrap(), &admin, environment).await;
    for service in ["shop", "api"] {
        assert_eq!(proxy.cli(&["hold", service, "--for", "3s"]).await.0, 0);
    }
    std::fs::write(&hangs, "").unwrap();
    let ask = |service: &str, nth: u32| {
        let (host, path) = (format!("{service}.test"), format!("/{nth}"));
        tokio::spawn(async move { get(listen, &host, &path, &[]).await.status })
    };
    let waiting: Vec<_> =
        (0..6).map(|nth| ask(if nth < 3 { "shop" } else { "api" }, nth)).collect();
    until("they wait", async || {
        let status = proxy.json(&["status"]).await;
        let waiting = |nth: usize| status["services"][nth]["waiting"].as_u64();
        (waiting(0), waiting(1)) == (Some(3), Some(3))
    })
    .await;
    for answered in waiting {
        assert_eq!(answered.await.unwrap(), 200);
    }
    let status = proxy.json(&["status"]).await;
    let modes = [0, 1].map(|nth| status["services"][nth]["mode"].clone());
    assert_eq!(modes, ["serve", "serve"], "{status}");
    assert_eq!(status["services"][0]["orders"], serde_json::json!([]), "{status}");
    let told = async || proxy.cli(&["events"]).await.1.matches("serves again").count();
    until("it is told of both", async || told().await == 2).await;
    // What the disk has never heard of is over after a restart all the same.
    let proxy = proxy.kill_and(|| std::fs::remove_file(&hangs).unwrap()).await;
    for service in ["shop", "api"] {
        assert_eq!(get(listen, &format!("{service}.test"), "/", &[]).await.status, 200);
    }
    let status = proxy.json(&["status"]).await;
    assert_eq!(status["services"][0]["mode"], "serve", "{status}");
}
