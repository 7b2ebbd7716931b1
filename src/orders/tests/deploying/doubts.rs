//! Deploys that come upon something else: a rollback, an edit, another use of the pool, a name.

use super::*;
use crate::snapshot::Resolution;
use crate::upstream::{BreakerOrder, DialAddress};

fn with_key(key: &str) -> String {
    FILE.replace("[services.shop.pools]", &format!("{key}\n\n[services.shop.pools]"))
}

fn flipped(bench: &mut Bench, pool: &str) -> u64 {
    flip(bench, pool).unwrap().number
}

#[test]
fn a_rollback_does_not_take_what_a_deploy_gives_back_for_alive() {
    let mut bench = Bench::of(FILE);
    let was = flipped(&mut bench, "green");
    flipped(&mut bench, "blue");
    bench.make_away(&["192.0.2.3:80"]);
    bench.deploy(tagged(&[NEW], "v42")).unwrap();
    let refused = bench.back_to(Some(was), ada()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "v42 is being deployed to `green` by rollout 1; whether what the pool had before could take \
         requests is not known"
    );
    assert_eq!((bench.split().as_str(), bench.state()), ("blue=100", "running"));
    assert_eq!(bench.runs("green"), of(&[NEW], Some("v42")));
    // Once it has them back it is asked.
    bench.abort().unwrap();
    bench.ticks(1);
    let refused = bench.back_to(Some(was), ada()).unwrap_err();
    assert!(matches!(refused, Refused::DeadPool { .. }), "{refused:?}");
    assert_eq!(bench.split(), "blue=100");
    bench.make_away(&[NEW]);
    bench.ticks(1);
    bench.deploy(tagged(&[NEW], "v43")).unwrap();
    bench.back_to(Some(was), By { force: true, ..ada() }).unwrap();
    assert_eq!((bench.split().as_str(), bench.state()), ("green=100", "superseded"));
    assert_eq!(bench.runs("green"), of(&["192.0.2.3:80"], None));
    bench.assert_stored();
}

#[test]
fn a_rollback_to_the_pool_that_a_deploy_leaves_goes_on() {
    let mut bench = Bench::of(FILE);
    bench.deploy(tagged(&[NEW], "v42")).unwrap();
    bench.back_to(Some(1), ada()).unwrap();
    assert_eq!((bench.split().as_str(), bench.state()), ("blue=100", "superseded"));
    assert_eq!(bench.runs("green"), of(&["192.0.2.3:80"], None));
}

#[test]
fn in_which_order_a_file_lists_upstreams_says_nothing() {
    let canary =
        FILE.replace("blue-green", "canary").replace("watch =", "min_requests = 0\nwatch =");
    let says = |list: &str| canary.replace("\"192.0.2.3:80\"", list);
    let mut bench = Bench::of(&says("\"192.0.2.3:80\", \"192.0.2.4:80\""));
    bench.deploy(tagged(&[OTHER, NEW], "v42")).unwrap();
    bench.ticks(2);
    assert_eq!(bench.split(), "blue=99 green=1");
    let sorted = format!("\"{NEW}\", \"{OTHER}\"");
    let turned = format!("\"{OTHER}\", \"{NEW}\"");
    let lists = ["\"192.0.2.4:80\", \"192.0.2.3:80\"", &sorted, &turned];
    let told = |bench: &Bench, text: &str| {
        let (state, before) = (bench.orders.state(), bench.orders.config());
        crate::orders::differences(state, before, &config(text), false).len()
    };
    for list in lists {
        assert_eq!(told(&bench, &says(list)), 0, "{list}");
        bench.order(Order::reload(config(&says(list))), By::new("file", None)).unwrap();
        assert_eq!((bench.state(), bench.split().as_str()), ("running", "blue=99 green=1"));
        assert_eq!(bench.runs("green"), of(&[OTHER, NEW], Some("v42")), "{list}");
    }
    bench.restart(&says(&sorted), 1);
    assert_eq!((bench.state(), bench.runs("green").1.as_deref()), ("running", Some("v42")));
    // Another weight is another list.
    let weighed = says(&format!("\"{NEW}\", {{ address = \"{OTHER}\", weight = 7 }}"));
    assert!(told(&bench, &weighed) > 0);
    bench.order(Order::reload(config(&weighed)), By::new("file", None)).unwrap();
    assert_eq!((bench.state(), bench.runs("green")), ("aborted", of(&[NEW, OTHER], None)));
    bench.assert_stored();
}

/// What a pool may get beside its share.
const USES: [(&str, &str); 2] = [
    ("[services.shop.fallback]\npool = \"green\"", "is the fallback"),
    ("[services.shop.mirror]\nto = \"green\"", "gets copies of requests"),
];

#[test]
fn a_pool_that_gets_requests_beside_its_share_takes_no_version() {
    for (key, is) in USES {
        let mut bench = Bench::of(&format!("{}red.upstreams = []\n", with_key(key)));
        for by in [ada(), By { force: true, ..ada() }] {
            let refused = bench.deploy_by(in_pool("green", to(&[NEW])), by).unwrap_err();
            let why = "it would get requests before the version there has proved well";
            assert_eq!(refused.to_string(), format!("pool `green` {is}: {why}"));
            assert_eq!(bench.runs("green"), of(&["192.0.2.3:80"], None));
        }
        // The other one is the only one that is free.
        bench.deploy(to(&[NEW])).unwrap();
        assert_eq!(&*bench.report().rollout.plan.to, "red");
    }
}

/// A bench whose green pool is a name.
fn named() -> Bench {
    let mut bench = Bench::of(&FILE.replace("192.0.2.3:80", "web.test:80"));
    let resolution = |address: &str| Resolution {
        target: DialAddress::Socket(address.parse().unwrap()),
        weight: 100,
    };
    let places = ["192.0.2.3:80", "192.0.2.4:80"].map(resolution);
    let name = "web.test:80".parse().unwrap();
    bench.orders.resolve([(name, Arc::from(places))].into());
    bench.settle();
    bench
}

#[test]
fn a_drain_of_what_a_name_stands_for_is_heeded_as_one_of_an_address() {
    let mut bench = named();
    let same = || in_pool("green", tagged(&["web.test:80"], "v42"));
    bench.drain("192.0.2.3:80", "green", ada()).unwrap();
    let refused = bench.deploy(same()).unwrap_err().to_string();
    assert!(refused.contains("drain of 192.0.2.3:80 by ada"), "{refused}");
    // Of what is in the pool no more it is of nobody.
    bench.promoted(in_pool("green", to(&[NEW])));
    bench.back_to(None, ada()).unwrap();
    bench.deploy(same()).unwrap();
    bench.ticks(2);
    assert_eq!(bench.split(), "green=100", "{}", bench.words());
    let drains = bench.orders.state().orders().filter(|it| matches!(it.what, What::Drain { .. }));
    assert_eq!(drains.count(), 0);
}

#[test]
fn only_a_breaker_that_is_held_open_keeps_a_version_out() {
    for (at, address) in [("192.0.2.3:80", "192.0.2.3:80"), ("192.0.2.4:80", "web.test:80")] {
        let mut bench = if at == address { Bench::of(FILE) } else { named() };
        let hold = |bench: &mut Bench, what| {
            let upstream = Some(at.parse().unwrap());
            let place = Place { service: "shop".into(), pool: "green".into(), upstream };
            bench.order(Order::Breaker { place, what }, ada()).unwrap();
        };
        hold(&mut bench, BreakerOrder::Open);
        let refused = bench.deploy(in_pool("green", to(&[address]))).unwrap_err();
        assert!(matches!(refused, Refused::KeptOut { .. }), "{refused:?}");
        hold(&mut bench, BreakerOrder::Closed);
        bench.deploy(in_pool("green", to(&[address]))).unwrap();
        bench.ticks(2);
        assert_eq!(bench.split(), "green=100", "{}", bench.words());
    }
}

#[test]
fn a_pool_that_a_version_comes_to_gets_no_other_use_meanwhile() {
    let canary =
        FILE.replace("blue-green", "canary").replace("watch =", "min_requests = 0\nwatch =");
    for (key, is) in USES {
        let edited =
            canary.replace("[services.shop.pools]", &format!("{key}\n\n[services.shop.pools]"));
        let mut bench = Bench::of(&canary);
        bench.deploy(tagged(&[NEW], "v42")).unwrap();
        let reload =
            |bench: &mut Bench| bench.order(Order::reload(config(&edited)), By::new("file", None));
        for steps in [0, 3] {
            bench.ticks(steps);
            let before = bench.split();
            let refused = reload(&mut bench).unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!(
                    "v42 is being deployed to `green` of `shop` by rollout 1; by this file the pool {is}: \
                     it would get requests before the version there has proved well"
                )
            );
            assert_eq!((bench.split(), bench.state()), (before, "running"));
            assert_eq!(bench.runs("green"), of(&[NEW], Some("v42")));
        }
        assert_eq!(bench.split(), "blue=99 green=1", "the canary had begun");
        bench.assert_stored();
        // A start cannot refuse it: the file holds, and the version goes back.
        let mut restarted = Bench::of(&canary);
        restarted.deploy(tagged(&[NEW], "v42")).unwrap();
        restarted.restart(&edited, 1);
        assert_eq!((restarted.split().as_str(), restarted.state()), ("blue=100", "aborted"));
        assert_eq!(restarted.runs("green"), of(&["192.0.2.3:80"], None));
        let words = restarted.words();
        assert!(words.contains(&format!("by the file pool `green` {is}")), "{words}");
        // When it is over nothing is in the way.
        bench.abort().unwrap();
        bench.ticks(1);
        reload(&mut bench).unwrap();
    }
}

#[test]
fn a_version_does_not_come_to_who_serves_already_under_another_name() {
    let mut bench = Bench::of(&FILE.replace("192.0.2.1:80", "127.0.0.1:9001"));
    let blue = bench.runs("blue").0;
    assert!(blue.contains(&"127.0.0.1:9001".into()), "{blue:?}");
    let refused = bench.deploy(to(&["0.0.0.0:9001"])).unwrap_err();
    let (pool, address) = ("blue".to_string(), "0.0.0.0:9001".to_string());
    assert_eq!(refused, Refused::HasTraffic { pool, address });
    // Where a name leads is known later.
    bench.deploy(to(&["localhost:9001"])).unwrap();
    bench.ticks(1);
    let target = crate::upstream::DialAddress::Socket("127.0.0.1:9001".parse().unwrap());
    let answers = [crate::snapshot::Resolution { target, weight: 100 }].into();
    bench.orders.resolve([("localhost:9001".parse().unwrap(), answers)].into_iter().collect());
    bench.ticks(3);
    assert_eq!((bench.state(), bench.split().as_str()), ("aborted", "blue=100"));
    let words = bench.words();
    assert!(words.contains("`localhost:9001` leads to `127.0.0.1:9001` of pool `blue`"), "{words}");
    bench.assert_stored();
}
