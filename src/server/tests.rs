use std::time::Duration;

use super::*;
use crate::control::{Cause, Commits, ReloadError};
use crate::orders::{By, ModeOrder, Order, Refused};
use crate::snapshot::Mode;

async fn started(commits: Option<Commits>) -> Server {
    let text = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
                [services.shop.pools.blue]\nupstreams = [\"127.0.0.1:9\"]\n";
    let source = Source::Fixed(text.into());
    let options = Options { source, admin: None, watches_file: false };
    Server::start_with(options, Arc::default(), commits).await.unwrap()
}

fn maintenance() -> Order {
    let what = ModeOrder::Maintenance { message: None };
    Order::Mode { service: "shop".into(), what }
}

#[tokio::test]
async fn a_store_that_panics_ends_the_process_and_no_order_waits_for_it() {
    let panics = Arc::new(AtomicBool::new(false));
    let commit = {
        let panics = panics.clone();
        move |_: &_| {
            assert!(!panics.load(Ordering::SeqCst), "a fault, as wanted");
            Ok(())
        }
    };
    let mut server = started(Some(Commits::calling(commit).unwrap())).await;
    let by = || By::new("ada", None);
    server.control().order(maintenance(), by()).await.unwrap();
    panics.store(true, Ordering::SeqCst);
    let refused = server.control().order(maintenance(), by()).await;
    assert_eq!(refused, Err(Refused::Stopping));
    assert_eq!(server.over().await, Over::Part("the thread that stores"));
    assert!(server.is_stopping.load(Ordering::Relaxed), "it is not ready any more");
    let said = server.events.after(0);
    let last = &said.last().unwrap().event;
    assert!(last.words().contains("the thread that stores"), "{last:?}");
    assert_eq!(last.severity(), crate::config::Severity::Critical);
}

#[tokio::test]
async fn a_part_that_panics_is_told_by_its_name() {
    let mut server = started(None).await;
    server.parts.start_as("the newest part", async { panic!("a fault, as wanted") });
    assert_eq!(server.over().await, Over::Part("the newest part"));
    assert!(server.is_stopping.load(Ordering::Relaxed));
}

const TWO: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
    [[routes]]\nservice = \"web\"\n[services.web.pools.a]\nupstreams = [\"127.0.0.1:9\"]\n\
    [[routes]]\npath = \"/s\"\nservice = \"shop\"\n\
    [services.shop.pools.blue]\nupstreams = [\"127.0.0.1:9\"]\n";

/// A server whose file is not watched.
async fn with_file(text: &str, commits: Option<Commits>) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.toml");
    std::fs::write(&path, text).unwrap();
    let options = Options {
        source: Source::file(path, Default::default()),
        admin: None,
        watches_file: false,
    };
    (Server::start_with(options, Arc::default(), commits).await.unwrap(), folder)
}

fn by_file() -> By {
    By::new("file", None)
}

fn without_shop(text: &str) -> String {
    let (rest, _) = text.split_once("[[routes]]\npath").unwrap();
    rest.to_string()
}

#[tokio::test]
async fn what_a_saved_file_takes_away_is_told_once_it_has_had_time_to_change_again() {
    let (server, folder) = with_file(TWO, None).await;
    let (control, process) = (server.control(), server.process());
    let write = |text: &str| std::fs::write(folder.path().join("p.toml"), text).unwrap();
    control.order(maintenance(), By::new("ada", None)).await.unwrap();
    write(&without_shop(TWO));
    let saved = async |is_last| control.reload(by_file(), Cause::Saved { is_last }).await;
    assert!(matches!(saved(false).await, Err(ReloadError::Removes(_))));
    let gauges = process.gauges();
    assert!(gauges.last_reload_successful && gauges.refused_reloads == 0, "it may change again");
    let Err(ReloadError::Removes(removed)) = saved(true).await else { panic!("it is refused") };
    assert_eq!(removed, ["service shop: maintenance by ada"]);
    let gauges = process.gauges();
    assert_eq!((gauges.refused_reloads, gauges.waits_for_reload), (1, true));
    assert_eq!(server.events.after(0).last().unwrap().event.kind.code(), "removal-waits");
    // Somebody's word is enough; what was ordered is kept.
    let asked = async |forgets| {
        let changes = control.reload(by_file(), Cause::Asked { forgets }).await.unwrap();
        changes.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let kept = "service shop: kept for a day, should it come back: maintenance by ada";
    assert!(asked(false).await.iter().any(|line| line == kept));
    assert!(!process.gauges().waits_for_reload && server.published().load().services.len() == 1);
    write(TWO);
    let back = "service shop: in force again: maintenance by ada";
    assert!(asked(false).await.iter().any(|line| line == back));
    let mode = || server.published().load().service("shop").unwrap().mode.clone();
    assert_eq!(mode(), Mode::Maintenance { message: None });
    // And is forgotten if that is wished for.
    write(&without_shop(TWO));
    let forgotten = "service shop: forgotten: maintenance by ada";
    assert!(asked(true).await.iter().any(|line| line == forgotten));
    write(TWO);
    asked(false).await;
    assert_eq!(mode(), Mode::Serve);
}

#[tokio::test]
async fn what_is_in_use_goes_with_a_saved_file_where_the_config_in_force_says_so() {
    let text = format!("[server]\nremovals = \"at-once\"\n{TWO}");
    let (server, folder) = with_file(&text, None).await;
    server.control().order(maintenance(), By::new("ada", None)).await.unwrap();
    std::fs::write(folder.path().join("p.toml"), without_shop(TWO)).unwrap();
    server.control().reload(by_file(), Cause::Saved { is_last: false }).await.unwrap();
    assert_eq!(server.published().load().services.len(), 1);
}

#[tokio::test]
async fn a_reload_that_cannot_be_stored_changes_nothing_and_one_that_can_does() {
    let is_full = Arc::new(AtomicBool::new(false));
    let commit = {
        let is_full = is_full.clone();
        move |_: &_| match is_full.load(Ordering::SeqCst) {
            true => Err("the disk is full, as wanted".to_string()),
            false => Ok(()),
        }
    };
    let named = TWO.replace("[\"127.0.0.1:9\"]", "[\"localhost:9\"]");
    let (server, folder) = with_file(&named, Some(Commits::calling(commit).unwrap())).await;
    let shown = || {
        let snapshot = server.published().load();
        let of = |service: &crate::snapshot::Service| {
            let members = service.pools.iter().flat_map(|pool| pool.members.list());
            let members: Vec<String> =
                members.map(|member| member.upstream.address.to_string()).collect();
            format!("{} {} {members:?}", service.name, service.split)
        };
        let services: Vec<String> = snapshot.services.iter().map(of).collect();
        let listeners: Vec<String> =
            server.process().listeners().iter().map(|tally| tally.address.clone()).collect();
        (services, listeners, server.process().notify_targets().len(), server.state())
    };
    let before = shown();
    assert!(before.0[1].contains("127.0.0.1:9"), "{before:?}");
    let edited = TWO
        .replace("[[listeners]]", "[[listeners]]\naddress = \"127.0.0.2:0\"\n[[listeners]]")
        .replace("pools.blue]", "pools.green]")
        + "[[notify]]\nurl = \"http://127.0.0.1:9/\"\n";
    std::fs::write(folder.path().join("p.toml"), &edited).unwrap();
    is_full.store(true, Ordering::SeqCst);
    let reload = async || server.control().reload(by_file(), Cause::Asked { forgets: false }).await;
    for _ in 0..2 {
        assert!(matches!(reload().await, Err(ReloadError::Refused(Refused::Store(_)))));
        let now = shown();
        assert_eq!(now, before);
    }
    is_full.store(false, Ordering::SeqCst);
    reload().await.unwrap();
    let after = shown();
    assert_eq!((after.0.len(), after.1.len(), after.2), (2, 2, 1));
    assert!(after.0[0].contains("green"), "{after:?}");
}

#[tokio::test]
async fn listeners_are_not_passed_on_while_a_reload_is_stored() {
    let (begins, begun) = std::sync::mpsc::channel();
    let (lets, may) = std::sync::mpsc::channel::<()>();
    let commit = move |batch: &crate::control::Batch| {
        if !batch.changes.is_empty() {
            let _ = begins.send(());
            // Who lets nobody go any more lets all go.
            let _ = may.recv();
        }
        Ok(())
    };
    let (server, folder) = with_file(TWO, Some(Commits::calling(commit).unwrap())).await;
    let control = server.control().clone();
    std::fs::write(folder.path().join("p.toml"), TWO.replace("pools.blue]", "pools.green]"))
        .unwrap();
    let reload = tokio::spawn({
        let control = control.clone();
        async move { control.reload(by_file(), Cause::Asked { forgets: false }).await }
    });
    tokio::task::spawn_blocking(move || begun.recv()).await.unwrap().unwrap();
    let refused = control.pass_on().await.unwrap_err().to_string();
    assert_eq!(refused, "a reload is under way");
    drop(lets);
    reload.await.unwrap().unwrap();
    assert_eq!(control.pass_on().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_file_that_is_being_read_when_listeners_are_passed_on_waits() {
    let (server, folder) = with_file(TWO, None).await;
    let control = server.control();
    let text = format!("[[listeners]]\naddress = \"127.0.0.2:0\"\n{TWO}");
    std::fs::write(folder.path().join("p.toml"), text).unwrap();
    let mut reload = std::pin::pin!(control.reload(by_file(), Cause::Asked { forgets: false }));
    let passed = tokio::select! {
        biased;
        _ = &mut reload => panic!("the file is read before anybody could"),
        passed = control.pass_on() => passed.unwrap(),
    };
    assert_eq!(passed.len(), 1);
    // Long enough to read it, mostly; if not, this finds nothing.
    assert!(timeout(Duration::from_millis(100), &mut reload).await.is_err());
    assert_eq!(server.process().listeners().len(), 1);
    control.take_back(None).await;
    reload.await.unwrap();
    assert_eq!(server.process().listeners().len(), 2);
}
