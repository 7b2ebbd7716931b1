use super::*;
use crate::config::Config;
use crate::snapshot::{Blueprint, RunTime, Snapshot};
use crate::split::Secret;

/// Events of a process with one service.
pub fn events(stored: Vec<StoredEvent>) -> Events {
    let text = "[[listeners]]\naddress = \":0\"\n[services.s.pools.a]\nupstreams = [\"a:1\"]\n";
    let clock = crate::server::clock::system();
    let blueprint = Blueprint {
        config: Arc::new(Config::parse(text).unwrap().0),
        run_time: &RunTime::default(),
        secret: Secret([1; 16]),
        now: clock.now(),
    };
    let published = Arc::new(Published::of(Arc::new(Snapshot::build(&blueprint, None))));
    let notifier = Arc::new(Notifier::new(clock, Default::default()));
    Events::new(clock, "edge-1".into(), published, notifier, stored)
}

fn drained(upstream: &str) -> Event {
    Event::by_itself(Kind::Drained { is_last: false }, Subject::new("s", "a", upstream))
}

#[tokio::test(start_paused = true)]
async fn who_waits_hears_the_next_at_once_and_who_comes_late_finds_all_in_the_list() {
    let events = Arc::new(events(Vec::new()));
    let wait = |number| {
        let events = events.clone();
        tokio::spawn(async move { events.wait_after(number, Duration::from_secs(30)).await })
    };
    let numbers = |found: &[Arc<Entry>]| found.iter().map(|e| e.number).collect::<Vec<_>>();
    let (first, third) = (wait(0), wait(2));
    tokio::task::yield_now().await;
    assert!(!first.is_finished() && !third.is_finished());
    (1..=2).for_each(|nth| events.say(drained(&format!("a:{nth}"))));
    assert_eq!(numbers(&first.await.unwrap().unwrap()), [1, 2]);
    tokio::task::yield_now().await;
    assert!(!third.is_finished(), "it has heard of these");
    (3..=400).for_each(|nth| events.say(drained(&format!("a:{nth}"))));
    assert_eq!(numbers(&third.await.unwrap().unwrap()), (3..=400).collect::<Vec<_>>());
    // Time is over.
    assert_eq!(events.wait_after(400, Duration::from_secs(30)).await, Ok(Vec::new()));
}

#[tokio::test]
async fn only_so_many_wait_at_once() {
    let events = Arc::new(events(Vec::new()));
    let wait = || {
        let events = events.clone();
        tokio::spawn(async move { events.wait_after(0, Duration::from_secs(30)).await })
    };
    let waiting: Vec<_> = (0..WAITING).map(|_| wait()).collect();
    while events.waiting.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(wait().await.unwrap(), Err(TooMany));
    events.say(drained("a:1"));
    for waited in waiting {
        assert_eq!(waited.await.unwrap().map(|found| found.len()), Ok(1));
    }
    assert_eq!(events.waiting.available_permits(), WAITING, "places are given back");
}

#[test]
fn an_event_is_after_a_restart_what_it_was() {
    let before = events(Vec::new());
    let order = Some("ada".to_string());
    before.say(Event { author: order, ..drained("a:1") });
    before.say(Event::by_itself(Kind::StoreFails { why: "full".into() }, Subject::default()));
    let stored: Vec<StoredEvent> =
        before.unstored().iter().map(|entry| (&**entry).into()).collect();
    let after = events(stored.clone());
    assert_eq!(after.unstored(), []);
    let seen = |events: &Events| -> Vec<(String, String, Severity, String)> {
        let of = |event: &Event| {
            let (name, code) = (event.kind.name().to_string(), event.kind.code().to_string());
            (name, code, event.severity(), event.words())
        };
        events.after(0).iter().map(|entry| of(&entry.event)).collect()
    };
    assert_eq!(seen(&after), seen(&before));
    let again: Vec<StoredEvent> = after.after(0).iter().map(|entry| (&**entry).into()).collect();
    assert_eq!(again, stored);
    after.say(drained("a:2"));
    assert_eq!(after.unstored().first().unwrap().number, 3);
}
