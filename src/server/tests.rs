use std::sync::atomic::AtomicBool;

use super::*;
use crate::orders::{By, ModeOrder, Order, Refused};

async fn started(commits: Option<Commits>) -> Server {
    let text = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
                [services.shop.pools.blue]\nupstreams = [\"127.0.0.1:9\"]\n";
    let source = Source::Fixed(text.into());
    let options = Options { source, admin: None, watches_file: false };
    Server::start_with(options, commits).await.unwrap()
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
    assert_eq!(server.part_ended().await, "the thread that stores");
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
    assert_eq!(server.part_ended().await, "the newest part");
    assert!(server.is_stopping.load(Ordering::Relaxed));
}
