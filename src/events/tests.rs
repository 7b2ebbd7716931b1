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
    Events::new(clock, published, Arc::new(Notifier::new(clock, Default::default())), stored)
}

fn drained(upstream: &str) -> Event {
    Event::by_itself(Kind::Drained, Subject::new("s", "a", upstream))
}

#[test]
fn who_subscribes_hears_each_in_order_and_who_falls_behind_finds_them_in_the_list() {
    let events = events(Vec::new());
    let (mut quick, mut slow) = (events.subscribe(), events.subscribe());
    for number in 1..=300 {
        events.say(drained(&format!("a:{number}")));
        assert_eq!(quick.try_recv().unwrap().number, number);
    }
    let missed = broadcast::error::TryRecvError::Lagged(300 - BEHIND as u64);
    assert_eq!(slow.try_recv(), Err(missed));
    let next = slow.try_recv().unwrap().number;
    assert_eq!(next, 300 - BEHIND as u64 + 1);
    let all: Vec<u64> = events.after(7).iter().map(|entry| entry.number).collect();
    assert_eq!(all, (8..=300).collect::<Vec<_>>());
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
