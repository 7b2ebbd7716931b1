//! Upstreams that are taken out and come back.

use super::*;
use crate::snapshot::Resolution;
use crate::upstream::DialAddress;

fn place(address: &str) -> Place {
    let upstream = Some(address.parse().unwrap());
    Place { service: "shop".into(), pool: "blue".into(), upstream }
}

fn changed(bench: &mut Bench, address: &str, what: UpstreamOrder) {
    bench.order(Order::Upstream { place: place(address), what }, ada()).unwrap();
}

#[test]
fn what_was_ordered_of_an_upstream_goes_with_it() {
    let (gone, stays) = ("192.0.2.1:80", "192.0.2.2:80");
    let mut bench = Bench::of(FILE);
    bench.drain(gone, "blue", ada()).unwrap();
    for address in [gone, stays] {
        let (place, what) = (place(address), BreakerOrder::Closed);
        bench.order(Order::Breaker { place, what }, ada()).unwrap();
    }
    assert_eq!((bench.standing(), bench.is_draining(gone)), (3, true));
    changed(&mut bench, gone, UpstreamOrder::Remove);
    bench.assert_stored();
    // The list of upstreams, and the breaker of the other one.
    assert_eq!(bench.standing(), 2);
    changed(&mut bench, gone, UpstreamOrder::Add { weight: None, labels: None });
    assert!(!bench.is_draining(gone), "who brings it back means it");
    assert_eq!(bench.standing(), 2);
    bench.assert_stored();
}

#[test]
fn a_name_takes_with_it_what_was_ordered_of_what_it_stands_for() {
    let name = "shop.test:80";
    let mut bench = Bench::of(&FILE.replace("\"192.0.2.2:80\"", &format!("\"{name}\"")));
    let of_name = "192.0.2.7:80";
    let target = DialAddress::Socket(of_name.parse().unwrap());
    let answer: Arc<[Resolution]> = [Resolution { target, weight: 100 }].into();
    bench.orders.resolve([(name.parse().unwrap(), answer)].into());
    bench.settle();
    bench.drain(of_name, "blue", ada()).unwrap();
    assert!(bench.is_draining(of_name));
    changed(&mut bench, name, UpstreamOrder::Remove);
    changed(&mut bench, name, UpstreamOrder::Add { weight: None, labels: None });
    assert!(!bench.is_draining(of_name));
    bench.assert_stored();
}
