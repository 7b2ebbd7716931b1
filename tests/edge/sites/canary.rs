//! A canary of an API: testers, users who stay where they are, notices, and a pipeline's last step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use tempfile::TempDir;

use super::{Site, block, with};
use crate::admin::is_signed;
use crate::cli::pointsman;
use crate::harness::origin::Received;
use crate::harness::running::free;
use crate::harness::{Load, Origin, Reply, alone, client, until};

/// A version: it is well, answers with its name, and where it is bad every fifth time with a failure; how many
/// users have asked it.
async fn version(name: &str, is_bad: bool) -> (Origin, Arc<AtomicU64>) {
    let (name, asked) = (name.to_string(), Arc::<AtomicU64>::default());
    let counted = asked.clone();
    let origin = Origin::with(move |request| {
        if request.head.starts_with("GET /healthz ") {
            return Reply::ok("well");
        }
        match counted.fetch_add(1, Ordering::Relaxed) % 5 == 4 && is_bad {
            true => Reply::head("500 Oh", &[], "no"),
            false => Reply::ok(&name),
        }
    });
    (origin.await, asked)
}

fn user(client: u32) -> String {
    format!("x-user-id: u{client}")
}

/// What the listener of the chat was told, each message signed with the site's key.
fn told(chat: &Origin) -> Vec<Value> {
    let read = |call: &Received| {
        assert!(is_signed(call, b"the key of the notices"), "{}", call.head);
        serde_json::from_slice::<Value>(&call.body).unwrap()
    };
    chat.received().iter().map(read).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_gets_versions_from_a_pipeline_as_the_chapter_says() {
    let _alone = alone().await;
    let ((v1, _), (v2, asked)) = (version("v1", false).await, version("v2", false).await);
    let (bad, _) = version("v3", true).await;
    let chat = Origin::always(Reply::ok("heard")).await;
    let (listen, folder) = (free(), TempDir::new().unwrap());
    let key = folder.path().join("notify.key");
    crate::tls::certificates::replace(&key, "the key of the notices");
    let text = with(
        &block("[services.api.override]"),
        &[
            ("0.0.0.0:8080", &listen.to_string()),
            ("10.0.0.11:9000", &v1.address.to_string()),
            ("https://chat.example.com/hooks/api", &format!("http://{}/hooks/api", chat.address)),
            // The office is this machine.
            ("10.0.0.0/8", "127.0.0.0/8"),
            ("\"2m\"", "\"1s\""),
            ("\"5m\"", "\"1s\""),
        ],
    );
    let site = Site::start(folder, &text).await;
    let script = block("# release.sh");
    let release = async |tag: &str, at: &str| site.script("release.sh", &script, &[tag, at]).await;
    let admin = site.admin.to_string();
    let run = async |args: &[&str]| pointsman(&[args, &["--admin", &admin]].concat()).await;
    let get = async |fields: &[&str]| client::get(listen, "api.test", "/", fields).await;
    let load = Load::crowd(listen, 1_000, 500, user).start();
    load.until_all_have_asked().await;

    // The next version waits at its first step, and testers look at it.
    let at = v2.address.to_string();
    let begun = run(&["deploy", "api", "--to", &at, "--tag", "v2", "--hold", "1h"]).await;
    assert_eq!(begun.code, 0, "{}", begun.err);
    until("users get it", async || asked.load(Ordering::Relaxed) > 200).await;
    let tester = get(&["cookie: preview=next"]).await;
    assert_eq!((&*tester.body, tester.fields("x-pointsman-pool")), ("v2", vec!["next"]));
    let tester = get(&["cookie: preview=stable"]).await;
    assert_eq!(tester.fields("x-pointsman-pool"), ["stable"]);
    assert!(get(&["x-user-id: u1"]).await.fields("x-pointsman-pool").is_empty());
    // Another one comes at the wrong time.
    let (code, said) = release("v3", &bad.address.to_string()).await;
    assert!(code == 5 && said.contains("v3 was refused"), "{code}: {said}");
    assert!(said.contains("v2 is being deployed to `next`"), "{said}");
    assert_eq!(run(&["rollout", "abort", "api"]).await.code, 0);
    until("it has ended", async || {
        let status = run(&["rollout", "status", "api", "--json"]).await;
        serde_json::from_str::<Value>(&status.out).is_ok_and(|it| it["state"] == "aborted")
    })
    .await;
    let before = load.stop().await;
    let failed = before.iter().filter(|record| !record.is_ok()).count();
    assert_eq!(failed, 0, "of {}", before.len());

    // From the pipeline it gets everything. Nobody is moved but from the old one to the new one.
    let load = Load::crowd(listen, 1_000, 500, user).start();
    let (code, said) = release("v2", &at).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.ends_with("v2 is what users get\n"), "{said}");
    load.until_all_have_asked().await;
    let records = load.stop().await;
    let mut users = BTreeMap::<u32, Vec<&str>>::new();
    for record in &records {
        let Ok((200, version)) = &record.end else { panic!("{record:?}") };
        let seen = users.entry(record.client).or_default();
        if seen.last() != Some(&version.as_str()) {
            seen.push(version);
        }
    }
    assert_eq!(users.len(), 500);
    let stays = |seen: &Vec<&str>| matches!(seen[..], ["v1", "v2"] | ["v2"]);
    let moved: Vec<_> = users.iter().filter(|(_, seen)| !stays(seen)).collect();
    assert!(moved.is_empty(), "{moved:?}");

    // One that is bad goes back, the job fails with its report, and the chat is told.
    let load = Load::crowd(listen, 1_000, 500, user).start();
    let heard = told(&chat).len();
    let (code, said) = release("v3", &bad.address.to_string()).await;
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("v3 was taken back:") && said.contains("| deploys | v3 at "), "{said}");
    load.stop().await;
    assert_eq!(get(&["x-user-id: u1"]).await.body, "v2");
    until("the chat is told", async || {
        told(&chat)[heard..].iter().any(|message| message.to_string().contains("rolled back"))
    })
    .await;
}
