//! The judge is checked on what a proxy has recorded: trials, what is said of them, and that it outlasts the
//! process.

use std::path::Path;

use pointsman::config::{Environment, ListenAddress};
use pointsman::files::Source;
use pointsman::server::{Options, Server};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::pointsman;
use crate::harness::client::get;
use crate::harness::edge::HEAD;
use crate::harness::until;
use crate::state_files::import;

/// A store whose proxy has recorded twenty minutes of two upstreams that do the same.
async fn recorded(folder: &Path, text: &str) {
    let minute = |number: u64| {
        json!({ "number": number, "ended": 60_000 * number, "follows": number > 0, "pools": [{
            "pool": "blue", "slow_from": [50_000, 120_000, 200_000],
            "took": { "first": 300, "counts": [6_000], "micros": 18_000_000 },
            "upstreams": [["127.0.0.1:1", "50*60"], ["127.0.0.1:2", "50*20 50/1 50*39"]] }] })
    };
    let minutes: serde_json::Map<String, Value> =
        (0..20).map(|number| (format!("shop/{number:02}"), minute(number))).collect();
    let export = json!({ "format": 3, "tables": {}, "measured": { "recorded": minutes } });
    let (done, said) = import(folder, text, &export, &[]).await;
    assert!(done, "{said}");
}

#[tokio::test]
async fn the_judge_is_checked_on_what_was_recorded() {
    let folder = TempDir::new().unwrap();
    let text = format!(
        "{HEAD}[[routes]]\npath_prefix = \"/\"\nservice = \"shop\"\n[[routes]]\n\
         path_prefix = \"/plain\"\nservice = \"plain\"\n[services.shop]\nsplit = {{ blue = 100 }}\nrollout = {{ steps = [10, 100] }}\n\
         pools.blue.upstreams = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n\
         pools.green.upstreams = [\"127.0.0.1:3\"]\n[services.plain]\n\
         pools.only.upstreams = [\"127.0.0.1:1\"]\n"
    );
    recorded(folder.path(), &text).await;
    let start = async || {
        let source = Source::file(folder.path().join("p.toml"), Environment::default());
        let options = Options { source, admin: None, watches_file: false };
        let server = Server::start(options).await.unwrap_or_else(|error| panic!("{error}"));
        let &ListenAddress::Tcp(admin) = server.admin_address() else { unreachable!() };
        (server, admin)
    };
    let (server, admin) = start().await;
    let metric = "pointsman_judge_aa_trials{service=\"shop\"} 1\n";
    until("a trial is over", async || {
        get(admin, "localhost", "/metrics", &[]).await.body.contains(metric)
    })
    .await;
    let said = get(admin, "localhost", "/metrics", &[]).await.body;
    assert!(said.contains("pointsman_judge_aa_taken_back_ratio{service=\"shop\"} 0\n"), "{said}");
    assert!(!said.contains("pointsman_judge_aa_trials{service=\"plain\"}"), "{said}");
    let shown = pointsman(&["status", "--judge", "--admin", &admin.to_string()]).await;
    assert_eq!(shown.code, 0, "{}", shown.err);
    let kept = "shop: judge: 1 of 1 kept; 300 are needed to say 1 %, about a day";
    assert!(shown.out.contains(kept), "{}", shown.out);
    assert!(shown.out.contains("plain: judge: not checked"), "{}", shown.out);
    let quiet = pointsman(&["status", "--admin", &admin.to_string()]).await;
    assert!(!quiet.out.contains("judge:"), "{}", quiet.out);
    let (status, told) = {
        let answer = get(admin, "localhost", "/v1/services/shop/recording", &[]).await;
        (answer.status, serde_json::from_str::<Value>(&answer.body).unwrap())
    };
    assert_eq!((status, &told["seconds"]), (200, &json!(1_200)));
    let ran = pointsman(&["rehearse", "shop", "--seeds", "3", "--admin", &admin.to_string()]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("shop: blue → green at 100.0 requests/s as recorded"), "{}", ran.out);

    server.stop().await;
    let (_server, admin) = start().await;
    until("it is known from before", async || {
        get(admin, "localhost", "/metrics", &[]).await.body.contains(metric)
    })
    .await;
}
