//! What pools carry, told by a running proxy: peaks that outlast the process, and warnings where a change gives
//! upstreams more than one has ever carried well.

use std::net::SocketAddr;
use std::path::Path;
use std::time::SystemTime;

use pointsman::config::{Environment, ListenAddress};
use pointsman::files::Source;
use pointsman::server::{Options, Server};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::pointsman;
use crate::harness::client::get;
use crate::harness::edge::HEAD;
use crate::harness::{Load, Origin, until};
use crate::state_files::import;

/// A store whose proxy has seen one upstream of each service carry so much, in each hour of yesterday.
async fn remembered(folder: &Path, text: &str, carried: &[(&str, f64)]) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let yesterday = now.as_secs() / (24 * 60 * 60) - 1;
    let days: serde_json::Map<String, Value> = carried
        .iter()
        .map(|(service, carried)| {
            let hours: serde_json::Map<String, Value> = (0..24)
                .map(|hour| (hour.to_string(), json!([2.0 * carried, 3, carried])))
                .collect();
            (format!("{service}/blue/{yesterday}"), json!({ "hours": hours, "bands": {} }))
        })
        .collect();
    let export = json!({ "format": 3, "tables": {}, "measured": { "carried": days } });
    let (done, said) = import(folder, text, &export, &[]).await;
    assert!(done, "{said}");
}

async fn start(folder: &Path) -> (Server, SocketAddr, SocketAddr) {
    let source = Source::file(folder.join("p.toml"), Environment::default());
    let options = Options { source, admin: None, watches_file: false };
    let server = Server::start(options).await.unwrap_or_else(|error| panic!("{error}"));
    let &ListenAddress::Tcp(admin) = server.admin_address() else { unreachable!() };
    let address = server.address().unwrap();
    (server, address, admin)
}

async fn told(admin: SocketAddr, service: &str) -> Value {
    let path = format!("/v1/services/{service}/capacity");
    serde_json::from_str(&get(admin, "localhost", &path, &[]).await.body).unwrap()
}

#[tokio::test]
async fn a_change_that_is_too_much_is_warned_of_and_made() {
    let (blue, green) = (Origin::fast("blue").await, Origin::fast("green").await);
    let place = |origin: &Origin| origin.address.to_string();
    let service = |name: &str| {
        format!(
            "[services.{name}]\nsplit = {{ blue = 100 }}\nrollout.watch = \"0s\"\n\
             pools.blue.upstreams = [\"{}\"]\npools.green.upstreams = [\"{}\"]\n",
            place(&blue),
            place(&green)
        )
    };
    let text = format!(
        "{HEAD}[[routes]]\npath_prefix = \"/\"\nheaders = {{ x-calm = true }}\nservice = \"calm\"\n\
         [[routes]]\npath_prefix = \"/\"\nservice = \"shop\"\n{}{}",
        service("shop"),
        service("calm")
    );
    let folder = TempDir::new().unwrap();
    remembered(folder.path(), &text, &[("shop", 0.5), ("calm", 1e6)]).await;
    let (server, address, admin) = start(folder.path()).await;
    let at = admin.to_string();
    let cli = async |args: &[&str]| pointsman(&[args, &["--admin", &at]].concat()).await;

    let before = told(admin, "shop").await;
    assert_eq!((&before["hours"], &before["carried"]), (&json!(24), &json!(0.5)));
    assert_eq!(before["pools"][0]["highest_in_flight"]["value"], 3.0);
    let quiet = cli(&["shift", "shop", "blue=50", "green=50"]).await;
    assert_eq!((quiet.code, &*quiet.err), (0, ""), "nothing comes, so nothing is too much");
    assert_eq!(cli(&["rollback", "shop"]).await.code, 0);

    let load = Load::gets(address, 40).start();
    let calm = Load::crowd(address, 40, 4, |_| "x-calm: yes\r\n".into()).start();
    until("some is seen of both", async || {
        told(admin, "shop").await["requests_per_second"].as_f64().unwrap() > 5.0
    })
    .await;
    let flipped = cli(&["flip", "shop", "green", "--no-wait"]).await;
    assert_eq!(flipped.code, 0, "{}", flipped.err);
    let said = "warning: the only upstream of pool `green` would get ";
    assert!(flipped.err.starts_with(said), "{}", flipped.err);
    assert!(flipped.err.contains("that one has carried well in 28 days ("), "{}", flipped.err);
    let back = cli(&["rollback", "shop"]).await;
    assert_eq!((back.code, &*back.err), (0, ""), "the way back is no time for warnings");
    let json = cli(&["flip", "shop", "green", "--no-wait", "--json"]).await;
    let told_of: Value = serde_json::from_str(&json.out).unwrap();
    assert!(told_of["warnings"][0].as_str().unwrap().starts_with("the only upstream"), "{told_of}");
    let same = cli(&["flip", "calm", "green", "--no-wait"]).await;
    assert_eq!((same.code, &*same.err), (0, ""), "one has carried a million there");

    let third = Origin::fast("third").await;
    let strategy = ["--strategy", "all-at-once", "--wait"];
    let deploy = ["deploy", "shop", "--to", &place(&third), "--pool", "blue"];
    let deployed = cli(&[&deploy[..], &strategy].concat()).await;
    assert_eq!(deployed.code, 0, "{}", deployed.err);
    assert!(deployed.err.contains("warning: the only upstream of pool `blue` would get "));
    let events = get(admin, "localhost", "/v1/events?after=0", &[]).await.body;
    let events: Vec<Value> = serde_json::from_str(&events).unwrap();
    let at = |words: &str| {
        events.iter().position(|event| event["what"].as_str().unwrap().contains(words))
    };
    let overloads = at("takes its step to 100 %, though the only ").expect("it is told");
    assert!(Some(overloads) < at("`blue` gets 100 %"), "before the step: {events:#?}");

    until("this hour is known too", async || {
        let told = told(admin, "shop").await;
        told["hours"].as_u64() > Some(24) && told["pools"][1]["highest_rate"].is_object()
    })
    .await;
    let shown = cli(&["capacity", "shop"]).await;
    assert_eq!(shown.code, 0, "{}", shown.err);
    assert!(shown.out.contains("shop/green") && shown.out.contains("≥ "), "{}", shown.out);
    assert_eq!(cli(&["capacity", "nowhere"]).await.code, 1);
    load.stop().await;
    calm.stop().await;
    let before = told(admin, "shop").await;
    server.stop().await;
    let (_server, _, admin) = start(folder.path()).await;
    let after = told(admin, "shop").await;
    // Ten seconds may have ended since, with some of the load in them.
    let is_kept =
        |of: &str| after.pointer(of).unwrap().as_f64() >= before.pointer(of).unwrap().as_f64();
    for of in ["/hours", "/carried", "/pools/1/highest_rate/value", "/pools/0/carried"] {
        assert!(is_kept(of), "{of}: {after} {before}");
    }
}
