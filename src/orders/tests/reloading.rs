//! A config that is put in force, by a reload or by a start.

use super::*;
use crate::orders::simulation::lasting;
use crate::snapshot::Resolution;
use crate::upstream::DialAddress;

const MORE: &str = "[flags.beta]\npercent = 5\nservices = [\"shop\"]\n";

fn whole() -> String {
    format!("{FILE}{API}{MORE}")
}

/// Everything of which the file and an order have a say is ordered.
fn ordered() -> Bench {
    let mut bench = Bench::of(&whole());
    let share = |percent| crate::split::BasisPoints::new(percent).unwrap();
    let weights = [("blue".to_string(), share(7_000)), ("green".to_string(), share(3_000))];
    let to = TrafficOrder::Weights(weights.into());
    bench.order(Order::Shift { service: "shop".into(), to }, ada()).unwrap();
    let place = Place {
        service: "shop".into(),
        pool: "green".into(),
        upstream: Some("192.0.2.4:80".parse().unwrap()),
    };
    let what = UpstreamOrder::Add { weight: None, labels: None };
    bench.order(Order::Upstream { place, what }, ada()).unwrap();
    bench.drain("192.0.2.1:80", "blue", ada()).unwrap();
    let percent = Some(share(4_000));
    bench.order(Order::Flag { name: "beta".into(), percent }, ada()).unwrap();
    let maintenance = ModeOrder::Maintenance { message: None };
    bench.order(Order::Mode { service: "api".into(), what: maintenance }, ada()).unwrap();
    bench
}

#[test]
fn an_edit_is_taken_in_by_a_start_as_by_a_reload() {
    let edits: [(&str, &str); 8] = [
        ("[[listeners]]", "\n[[listeners]]"),
        ("split = { blue = 100 }", "split = { blue = 80, green = 20 }"),
        ("\"192.0.2.3:80\"", "\"192.0.2.3:80\", \"192.0.2.5:80\""),
        ("\"192.0.2.1:80\", ", ""),
        ("percent = 5", "percent = 6"),
        ("green.upstreams = [\"192.0.2.3:80\"]\n", ""),
        (API, ""),
        (MORE, ""),
    ];
    for (from, to) in edits {
        let edited = whole().replace(from, to);
        assert_ne!(edited, whole(), "{from}");
        let mut reloaded = ordered();
        reloaded.order(Order::reload(config(&edited)), By::new("file", None)).unwrap();
        let mut restarted = ordered();
        restarted.restart(&edited, 0);
        let (by_reload, by_start) = (reloaded.orders.state(), restarted.orders.state());
        assert_eq!(lasting(by_reload), lasting(by_start), "{from}");
        let found = differences(by_start, restarted.orders.config(), &config(&edited), false);
        assert_eq!(found, [], "{from}");
        // And back, while it is down.
        reloaded.order(Order::reload(config(&whole())), By::new("file", None)).unwrap();
        restarted.restart(&whole(), 0);
        assert_eq!(lasting(reloaded.orders.state()), lasting(restarted.orders.state()), "{from}");
    }
    // Each of them is an edit that has an effect.
    let mut bench = ordered();
    let edited = whole().replace("\"192.0.2.3:80\"", "\"192.0.2.5:80\"").replace("= 5", "= 6");
    bench.restart(&edited, 0);
    assert_eq!(changed_upstreams(bench.orders.state()).len(), 0, "the file's list is in force");
    let flag = bench.orders.state().flag("beta").unwrap();
    assert_eq!((flag.percent.to_string(), &*flag.author), ("6".into(), "file"));
    assert_eq!(bench.split(), "blue=70 green=30", "which was not edited");
}

#[test]
fn no_reload_opens_a_listener_where_an_order_has_put_an_upstream() {
    let listens = whole().replace("127.0.0.1:0", "192.0.2.4:80");
    let admin = format!("{}[admin]\naddress = \"192.0.2.4:80\"\ntoken_file = \"t\"\n", whole());
    let reload = |bench: &mut Bench, text: &str| {
        bench.order(Order::reload(config(text)), By::new("file", None)).map(drop)
    };
    let mut bench = ordered();
    for (text, does) in [(&listens, "accepts requests"), (&admin, "has its admin API")] {
        let before = bench.orders.config().clone();
        let refused = reload(&mut bench, text).unwrap_err().to_string();
        assert_eq!(
            refused,
            format!(
                "by this file Pointsman {does} at `192.0.2.4:80`, which is an upstream of pool `green` of \
                 `shop` by order; `pointsman upstream remove shop/green 192.0.2.4:80` takes it out"
            )
        );
        assert!(Arc::ptr_eq(bench.orders.config(), &before));
    }
    // An edited list takes the order back.
    let mut edited = ordered();
    reload(&mut edited, &listens.replace("192.0.2.3:80", "192.0.2.5:80")).unwrap();
    // A start cannot be refused: nobody is asked there, and it is no reason against any reload from then on.
    let mut started = ordered();
    started.restart(&listens, 1);
    reload(&mut started, &listens.replace("percent = 5", "percent = 6")).unwrap();
    let shop = started.snapshot.service("shop").unwrap();
    let mut members = shop.pool("green").unwrap().members.list().iter();
    let own = members.find(|member| &*member.upstream.name == "192.0.2.4:80").unwrap();
    assert!(own.target.is_none());
    // And what it says to do is what to do.
    let upstream = Some("192.0.2.4:80".parse().unwrap());
    let place = Place { service: "shop".into(), pool: "green".into(), upstream };
    bench.order(Order::Upstream { place, what: UpstreamOrder::Remove }, ada()).unwrap();
    reload(&mut bench, &listens).unwrap();
}

#[test]
fn a_list_of_upstreams_that_an_older_version_has_stored_is_edited_from_then_on() {
    let mut bench = ordered();
    let state = bench.orders.state().clone();
    let mut old = state.order(&About::upstreams("shop", "green")).unwrap().clone();
    let What::Upstreams { in_file, .. } = &mut old.what else { unreachable!() };
    assert_eq!(in_file.take(), Some(vec![("192.0.2.3:80".to_string(), 100)]));
    bench.store.commit(&[Change::Order(old)], &[]).unwrap();
    bench.restart(&whole(), 1);
    assert_eq!(changed_upstreams(bench.orders.state()).len(), 1);
    bench.restart(&whole().replace("192.0.2.3:80", "192.0.2.5:80"), 1);
    assert_eq!(changed_upstreams(bench.orders.state()).len(), 0);
}

/// All that a reload may change in memory.
fn in_memory(bench: &Bench) -> (State, Arc<Config>, Vec<Address>, Vec<String>) {
    let mut names: Vec<Address> = bench.orders.resolved().keys().cloned().collect();
    names.sort();
    let of_service = |service: &crate::snapshot::Service| {
        let members = service.pools.iter().flat_map(|pool| pool.members.list());
        let members: Vec<&str> = members.map(|member| &*member.upstream.name).collect();
        format!("{} {} {:?} {members:?}", service.name, service.split, service.mode)
    };
    let services = bench.snapshot.services.iter().map(of_service).collect();
    (bench.orders.state().clone(), bench.orders.config().clone(), names, services)
}

#[test]
fn a_reload_happens_whole_or_not_at_all() {
    let name: Address = "shop.test:80".parse().unwrap();
    let target = DialAddress::Socket("192.0.2.77:80".parse().unwrap());
    let answer: Arc<[Resolution]> = [Resolution { target, weight: 100 }].into();
    let learnt: Resolved = [(name, answer)].into();
    let edited = whole()
        .replace("blue = 100", "blue = 90, green = 10")
        .replace("\"192.0.2.3:80\"", "\"shop.test:80\"")
        .replace("percent = 5", "percent = 6")
        .replace(API, "");
    let order = || {
        let (config, learnt) = (config(&edited), learnt.clone());
        Order::Reload { config, changes: Vec::new(), learnt, forgets: false }
    };
    let mut whole = ordered();
    whole.order(order(), By::new("file", None)).unwrap();
    let after = in_memory(&whole);
    assert!(after.3[0].contains("192.0.2.77:80"), "{:?}", after.3);
    let mut failed = 0;
    for at in 0..60 {
        let mut bench = ordered();
        let (before, stored) = (in_memory(&bench), bench.store.export().unwrap());
        bench.disk.fail_after(at, Failure::Once);
        match bench.order(order(), By::new("file", None)) {
            Ok(_) => assert_eq!(in_memory(&bench), after),
            Err(_) => {
                failed += 1;
                assert_eq!(in_memory(&bench), before, "at write {at}");
                assert_eq!(bench.store.export().unwrap(), stored);
                // And nothing comes of it later.
                bench.ticks(1);
                assert_eq!(in_memory(&bench), before);
            }
        }
    }
    assert!(failed > 3, "{failed}");
}
