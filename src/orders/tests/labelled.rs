//! Upstreams that are drained by their label.

use super::*;

/// Two zones in each pool.
fn zones() -> Bench {
    Bench::of(&file())
}

fn file() -> String {
    let zones = |pool: &str, first: &str, second: &str| {
        format!(
            "{pool}.upstreams = [{{ address = \"{first}\", labels = {{ zone = \"a\" }} }}, \
             {{ address = \"{second}\", labels = {{ zone = \"b\" }} }}]\n"
        )
    };
    let (head, _) = FILE.split_once("blue.upstreams").unwrap();
    let blue = zones("blue", "192.0.2.1:80", "192.0.2.2:80");
    format!("{head}{blue}{}", zones("green", "192.0.2.3:80", "192.0.2.4:80"))
}

fn labelled(label: &str, drains: bool) -> Order {
    let (service, label) = ("shop".into(), label.parse().unwrap());
    Order::Labelled { service, pool: None, label, drains }
}

#[test]
fn a_zone_goes_in_all_pools_and_comes_back() {
    let mut bench = zones();
    bench.order(labelled("zone=a", true), ada()).unwrap();
    assert_eq!(bench.standing(), 2);
    assert!(bench.is_draining("192.0.2.1:80") && !bench.is_draining("192.0.2.2:80"));
    let refused = bench.order(labelled("zone=b", true), ada()).unwrap_err();
    assert!(matches!(refused, Refused::LastDrained { .. }), "{refused}");
    let refused = bench.order(labelled("zone=c", true), ada()).unwrap_err();
    assert!(matches!(refused, Refused::NoLabel { .. }), "{refused}");
    bench.order(labelled("zone=a", false), ada()).unwrap();
    assert_eq!((bench.standing(), bench.is_draining("192.0.2.1:80")), (0, false));
    bench.assert_stored();
}

#[test]
fn said_twice_it_is_nothing_to_hurry_for() {
    let mut bench = zones();
    bench.order(labelled("zone=a", true), ada()).unwrap();
    bench.settle();
    bench.said();
    bench.disk.fail_after(0, Failure::Hangs);
    let tickets =
        [bench.drain_later("192.0.2.4:80", "green"), bench.give(labelled("zone=a", true), ada())];
    bench.let_go();
    bench.settle();
    for ticket in tickets {
        let reply = bench.replies.remove(&ticket).unwrap();
        assert!(reply.as_ref().is_ok_and(|it| it.stored == Stored::Yes), "{reply:?}");
    }
    assert_eq!(bench.standing(), 3);
    // Nothing is in force that a disk which fails would keep from being stored.
    bench.disk.fail_after(0, Failure::Once);
    bench.give(labelled("zone=a", true), ada());
    bench.settle();
    let said = bench.said();
    assert!(!said.iter().any(|event| matches!(event.kind, Kind::Unstored { .. })), "{said:?}");
    let is_drained = |event: &&Event| matches!(event.kind, Kind::Drained { .. });
    assert_eq!(said.iter().filter(is_drained).count(), 1, "{said:?}");
    bench.assert_stored();
}

#[test]
fn an_added_upstream_has_the_labels_that_it_was_given() {
    let mut bench = zones();
    let add = |weight, labels: Option<&str>| {
        let place = Place {
            service: "shop".into(),
            pool: "blue".into(),
            upstream: Some("192.0.2.9:80".parse().unwrap()),
        };
        let one = |text: &str| text.parse::<crate::upstream::Label>().unwrap();
        let labels = labels.map(|labels| labels.split_whitespace().map(one).collect());
        Order::Upstream { place, what: UpstreamOrder::Add { weight, labels } }
    };
    let labels = |bench: &Bench| {
        let pool = &bench.snapshot.service("shop").unwrap().pools[0];
        let mut members = pool.members.list().iter();
        let found = members.find(|member| &*member.upstream.name == "192.0.2.9:80").unwrap();
        found.labels.to_string()
    };
    bench.order(add(None, Some("zone=a rack=7")), ada()).unwrap();
    assert_eq!(labels(&bench), "rack=7 zone=a");
    // It goes with its zone and comes back with it.
    bench.order(labelled("zone=a", true), ada()).unwrap();
    assert!(bench.is_draining("192.0.2.9:80"));
    bench.order(labelled("zone=a", false), ada()).unwrap();
    // Another weight leaves them as they are, and so does a start.
    bench.order(add(Some(7), None), ada()).unwrap();
    bench.restart(&file(), 0);
    assert_eq!(labels(&bench), "rack=7 zone=a");
    let refused = bench.order(add(Some(7), Some("zone=a rack=7")), ada()).unwrap_err();
    assert!(matches!(refused, Refused::Known { .. }), "{refused}");
    // Others take the place of all; with none of them it has none.
    bench.said();
    bench.order(add(None, Some("zone=b")), ada()).unwrap();
    assert_eq!(labels(&bench), "zone=b");
    bench.order(add(None, Some("")), ada()).unwrap();
    assert_eq!(labels(&bench), "");
    let said: Vec<String> = bench.said().iter().map(|event| event.words()).collect();
    assert_eq!(said, ["has the labels zone=b now", "has no labels now"]);
    bench.assert_stored();
}
