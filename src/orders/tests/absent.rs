//! What vanishes from the file, and comes back.

use super::*;
use crate::orders::absent;
use crate::split::BasisPoints;
use crate::state::FilePart;

const FLAG: &str = "[flags.beta]\npercent = 5\nservices = [\"shop\"]\n";

/// Services shop and api, and a flag.
fn whole() -> String {
    format!("{FILE}{API}{FLAG}")
}

fn reload(bench: &mut Bench, text: &str) {
    bench.order(Order::reload(config(text)), By::new("file", None)).unwrap();
}

/// Something was ordered of each part of the file that can vanish.
fn ordered() -> Bench {
    let mut bench = Bench::of(&whole());
    let maintenance = ModeOrder::Maintenance { message: None };
    bench.order(Order::Mode { service: "api".into(), what: maintenance }, ada()).unwrap();
    bench.drain("192.0.2.3:80", "green", ada()).unwrap();
    let percent = Some(BasisPoints::new(4_000).unwrap());
    bench.order(Order::Flag { name: "beta".into(), percent }, ada()).unwrap();
    bench
}

/// What stands and counts: orders by key, and the flag's share.
fn counts(bench: &Bench) -> (Vec<String>, Option<String>) {
    let state = bench.orders.state();
    let orders = state.orders().filter(|standing| !state.is_dormant(&standing.what));
    let about = |standing: &Override| standing.what.about().as_str().to_string();
    let flag = bench.orders.config().flags.first().and_then(|flag| state.flag(&flag.name));
    (orders.map(about).collect(), flag.map(|state| state.percent.to_string()))
}

fn all() -> (Vec<String>, Option<String>) {
    (vec!["mode api".into(), "drain shop green 192.0.2.3:80".into()], Some("40".into()))
}

/// The file without the service api, the pool green and the flag.
fn cut() -> String {
    FILE.replace("green.upstreams = [\"192.0.2.3:80\"]\n", "")
}

fn codes(bench: &mut Bench) -> Vec<String> {
    let codes = bench.said().into_iter().map(|event| event.kind.code().to_string());
    codes.filter(|code| code.starts_with("orders-")).collect()
}

#[test]
fn what_was_ordered_of_what_vanishes_is_in_force_again_when_it_comes_back() {
    for is_down in [false, true] {
        let mut bench = ordered();
        assert_eq!(counts(&bench), all());
        bench.said();
        let take = |bench: &mut Bench, text: &str| match is_down {
            true => bench.restart(text, 60),
            false => reload(bench, text),
        };
        take(&mut bench, &cut());
        assert_eq!(counts(&bench), (vec![], None));
        bench.settle();
        assert_eq!(codes(&mut bench), ["orders-kept"; 3], "down {is_down}");
        bench.restart(&cut(), 60);
        assert_eq!(counts(&bench), (vec![], None));
        bench.said();
        take(&mut bench, &whole());
        assert_eq!(counts(&bench), all());
        assert_eq!(
            bench.snapshot.service("api").unwrap().mode,
            Mode::Maintenance { message: None }
        );
        let drained = find_upstream(&bench.snapshot, "shop", "green", "192.0.2.3:80");
        assert!(drained.unwrap().is_draining());
        bench.settle();
        assert_eq!(codes(&mut bench), ["orders-back"; 3]);
    }
}

#[test]
fn the_split_that_was_ordered_of_a_service_comes_back_with_it_but_not_that_of_a_rollout() {
    let two = whole().replace("only.upstreams", "old.upstreams = []\nonly.upstreams");
    let two = two.replace(
        "[services.api.pools]",
        "[services.api]\nsplit = { only = 100 }\n[services.api.pools]",
    );
    let mut bench = Bench::of(&whole());
    let half = BasisPoints::new(5_000).unwrap();
    let weights = [("blue".to_string(), half), ("green".to_string(), half)].into();
    let order = Order::Shift { service: "shop".into(), to: TrafficOrder::Weights(weights) };
    bench.order(order, ada()).unwrap();
    assert_eq!(bench.split(), "blue=50 green=50");
    let without = two.replace("services.shop", "services.web").replace("\"shop\"", "\"web\"");
    reload(&mut bench, &without);
    assert!(bench.snapshot.service("shop").is_none());
    reload(&mut bench, &two);
    assert_eq!(bench.split(), "blue=50 green=50");
    // What the file says now goes before what was ordered once.
    reload(&mut bench, &without);
    let edited = two.replace("split = { blue = 100 }", "split = { blue = 90, green = 10 }");
    let told = |after: &str| -> Vec<String> {
        let changes = differences(bench.orders.state(), &config(&without), &config(after), false);
        let back = |line: &String| line.contains("in force again");
        changes.iter().map(ToString::to_string).filter(back).collect()
    };
    assert_eq!(told(&two), ["service shop: in force again: split blue=50 green=50"]);
    assert_eq!(told(&edited), [""; 0]);
    reload(&mut bench, &edited);
    assert_eq!(bench.split(), "blue=90 green=10");
}

#[test]
fn a_rollout_ends_with_its_service_and_its_share_does_not_come_back_unwatched() {
    let text = whole().replace("strategy = \"blue-green\"\n", "steps = [10, 100]\nhold = \"1h\"\n");
    let mut bench = Bench::of(&text);
    let without = text.replace("services.shop", "services.web").replace("\"shop\"", "\"web\"");
    bench.start(&Wishes::default());
    bench.ticks(3);
    assert_eq!(bench.split(), "blue=90 green=10");
    reload(&mut bench, &without);
    reload(&mut bench, &text);
    assert_eq!((bench.split().as_str(), bench.state()), ("blue=100", "superseded"));
    // What one has come to stays.
    let strategy = Some(crate::rollout::Strategy::AllAtOnce);
    bench.start(&Wishes { strategy, ..Wishes::default() });
    bench.ticks(6);
    assert_eq!((bench.split().as_str(), bench.state()), ("green=100", "promoted"));
    reload(&mut bench, &without);
    reload(&mut bench, &text);
    assert_eq!(bench.split(), "green=100");
}

#[test]
fn what_has_been_gone_for_a_day_is_forgotten() {
    let mut bench = ordered();
    reload(&mut bench, &cut());
    bench.said();
    bench.pass(absent::KEPT - Duration::from_secs(5));
    bench.ticks(2);
    assert_eq!(codes(&mut bench), [""; 0]);
    bench.ticks(4);
    assert_eq!(codes(&mut bench), ["orders-forgotten"; 3]);
    bench.ticks(2);
    assert_eq!((bench.standing(), bench.orders.state().absent().count()), (0, 0));
    bench.assert_stored();
    reload(&mut bench, &whole());
    assert_eq!(counts(&bench), (vec![], None));
    // Also where nobody was there to look.
    let mut bench = ordered();
    reload(&mut bench, &cut());
    bench.restart(&whole(), absent::KEPT.as_secs() + 1);
    assert_eq!(counts(&bench), (vec![], None));
}

#[test]
fn what_has_been_gone_for_a_day_is_forgotten_though_the_clock_was_set_back_by_years() {
    let mut bench = ordered();
    let start = bench.now.wall;
    bench.0.now.wall = start + absent::KEPT * 1_000;
    reload(&mut bench, &cut());
    bench.0.now.wall = start;
    bench.ticks(1);
    bench.assert_stored();
    bench.pass(absent::KEPT - Duration::from_secs(5));
    bench.ticks(2);
    assert_eq!(bench.orders.state().absent().count(), 3);
    bench.ticks(4);
    assert_eq!((bench.standing(), bench.orders.state().absent().count()), (0, 0));
    bench.assert_stored();
}

#[test]
fn what_vanishes_is_forgotten_at_once_where_that_is_wished_for() {
    let mut bench = ordered();
    let state = bench.orders.state().clone();
    let lines = |after: &str, forgets| -> Vec<String> {
        let changes = differences(&state, &config(&whole()), &config(after), forgets);
        let kept = |line: &String| line.contains("kept") || line.contains("forgotten");
        changes.iter().map(ToString::to_string).filter(kept).collect()
    };
    assert_eq!(
        lines(&cut(), false),
        [
            "service api: kept for a day, should it come back: maintenance by ada",
            "pool shop/green: kept for a day, should it come back: drain of 192.0.2.3:80 by ada",
            "flag beta: kept for a day, should it come back: share 40 %",
        ]
    );
    assert!(lines(&cut(), true)[0].ends_with("forgotten: maintenance by ada"));
    // What is gone already, and what goes now.
    reload(&mut bench, &whole().replace(API, ""));
    let (config, learnt) = (config(&cut()), Resolved::new());
    let order = Order::Reload { config, changes: Vec::new(), learnt, forgets: true };
    bench.order(order, By::new("file", None)).unwrap();
    assert_eq!((bench.standing(), bench.orders.state().absent().count()), (0, 0));
    reload(&mut bench, &whole());
    assert_eq!(counts(&bench), (vec![], None));
}

#[test]
fn only_what_is_in_use_is_told_as_a_removal() {
    let (bench, with) = (ordered(), config(&whole()));
    let told = |bench: &Bench, after: &str, is_asked: bool| {
        removals(bench.orders.state(), &with, &config(after), |_| is_asked)
    };
    assert_eq!(
        told(&bench, &cut(), true),
        [
            "service api: it had requests in the last minute, maintenance by ada",
            "pool shop/green: drain of 192.0.2.3:80 by ada",
            "flag beta: share 40 %",
        ]
    );
    let idle = Bench::of(&whole());
    assert_eq!(told(&idle, &cut(), false), [""; 0]);
    assert_eq!(told(&idle, &cut(), true).len(), 1);
    assert_eq!(told(&bench, &whole(), true), [""; 0], "nothing goes");
    let mut moving = Bench::of(&whole());
    moving.start(&Wishes::default());
    assert_eq!(
        told(&moving, &cut(), false),
        ["pool shop/green: a rollout from blue to green is under way"]
    );
    // Promoted, it has all traffic.
    let mut promoted = Bench::of(&whole());
    let strategy = Some(crate::rollout::Strategy::AllAtOnce);
    promoted.start(&Wishes { strategy, ..Wishes::default() });
    promoted.ticks(6);
    assert_eq!((promoted.split().as_str(), promoted.state()), ("green=100", "promoted"));
    assert_eq!(
        told(&promoted, &cut(), false),
        ["pool shop/green: it was given traffic at run time"]
    );
    let emptied = whole().replace("\"192.0.2.3:80\"", "");
    let told_of = |bench: &Bench| told(bench, &emptied, false);
    assert_eq!(told_of(&promoted), ["the upstreams of pool shop/green: it has traffic"]);
    assert_eq!(told_of(&idle), [""; 0], "it has none");
}

#[test]
fn what_is_forgotten_stays_so_though_the_disk_took_it_only_the_second_time() {
    let mut have_failed = 0;
    for at in 0..4 {
        let mut bench = ordered();
        reload(&mut bench, &cut());
        bench.pass(absent::KEPT - Duration::from_secs(2));
        bench.ticks(1);
        bench.disk.fail_after(at, Failure::Once);
        bench.ticks(8);
        have_failed += bench.failed;
        bench.assert_stored();
        bench.restart(&whole(), 60);
        assert_eq!((counts(&bench), bench.standing()), ((vec![], None), 0), "write {at}");
    }
    assert!(have_failed > 0, "no write of it failed");
}

#[test]
fn an_order_is_kept_with_the_part_that_it_is_about() {
    let bench = ordered();
    let pool = FilePart::Pool { service: "shop".into(), pool: "green".into() };
    for part in [FilePart::Service("api".into()), pool, FilePart::Flag("beta".into())] {
        assert_eq!(kept_of(bench.orders.state(), &part).len(), 1, "{part}");
        assert_eq!(FilePart::read(&part.to_string()), Some(part));
    }
}
