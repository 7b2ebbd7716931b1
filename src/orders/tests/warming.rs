//! Whose latencies a judge leaves out, and for how long.

use super::*;
use crate::upstream::Upstream;

const CANARY: &str = "steps = [10, 100]\nhold = \"1h\"\n";

fn file() -> String {
    FILE.replace("strategy = \"blue-green\"\n", CANARY)
}

fn upstream<'b>(bench: &'b Bench, pool: &str, address: &str) -> &'b Upstream {
    find_upstream(&bench.snapshot, "shop", pool, address).unwrap()
}

fn answer(bench: &Bench, pool: &str, address: &str) {
    let now = bench.snapshot.moment(bench.now.instant);
    upstream(bench, pool, address).note_answer(now);
}

/// Whether the first of blue, the second of blue and the one of green are cold.
fn cold(bench: &Bench) -> [bool; 3] {
    let all = [("blue", "192.0.2.1:80"), ("blue", "192.0.2.2:80"), ("green", "192.0.2.3:80")];
    all.map(|(pool, address)| upstream(bench, pool, address).warmth.is_cold())
}

#[test]
fn a_minute_after_its_first_answer_an_upstream_of_either_pool_is_warm() {
    let mut bench = Bench::of(&file());
    bench.pass(Duration::from_secs(5));
    answer(&bench, "blue", "192.0.2.1:80");
    bench.ticks(90);
    assert_eq!(cold(&bench), [false; 3], "there is nobody to judge");
    bench.start(&green());
    bench.ticks(1);
    assert_eq!(cold(&bench), [false, true, true], "who has answered nothing is cold");
    bench.abort().unwrap();
    assert_eq!(cold(&bench), [false; 3], "there is nobody to judge any more");
    bench.start(&green());
    bench.ticks(1);
    answer(&bench, "blue", "192.0.2.2:80");
    bench.ticks(30);
    answer(&bench, "green", "192.0.2.3:80");
    bench.ticks(29);
    assert_eq!(cold(&bench), [false, true, true]);
    bench.ticks(1);
    assert_eq!(cold(&bench), [false, false, true]);
    bench.ticks(30);
    assert_eq!(cold(&bench), [false; 3]);
}

#[test]
fn one_that_was_gone_is_cold_again_and_one_that_was_only_bad_is_not() {
    let mut bench = Bench::of(&file());
    bench.pass(Duration::from_secs(5));
    answer(&bench, "blue", "192.0.2.1:80");
    answer(&bench, "blue", "192.0.2.2:80");
    bench.pass(Duration::from_secs(90));
    bench.start(&green());
    bench.ticks(1);
    assert_eq!(cold(&bench), [false, false, true]);
    let now = bench.snapshot.moment(bench.now.instant);
    upstream(&bench, "blue", "192.0.2.1:80").note_refused(now);
    let bad = upstream(&bench, "blue", "192.0.2.2:80");
    bad.note_ejected(now);
    bad.set_draining(true);
    bench.away = ["192.0.2.1:80".into()].into();
    bench.ticks(3);
    bench.away.clear();
    answer(&bench, "blue", "192.0.2.1:80");
    answer(&bench, "blue", "192.0.2.2:80");
    bench.ticks(1);
    assert_eq!(cold(&bench), [true, false, true]);
    bench.ticks(60);
    assert_eq!(cold(&bench), [false, false, true]);
}

#[test]
fn a_restart_of_ours_makes_nobody_cold_who_was_warm() {
    let mut bench = Bench::of(&file());
    bench.pass(Duration::from_secs(5));
    answer(&bench, "blue", "192.0.2.1:80");
    bench.start(&green());
    bench.ticks(1);
    answer(&bench, "green", "192.0.2.3:80");
    // What a judge has heard is stored once a minute.
    bench.ticks(61);
    assert_eq!(cold(&bench), [false, true, false]);
    bench.restart(&file(), 1);
    answer(&bench, "green", "192.0.2.3:80");
    answer(&bench, "blue", "192.0.2.2:80");
    bench.ticks(1);
    assert_eq!(cold(&bench), [false, true, false]);
}

#[test]
fn where_nobody_is_to_warm_up_all_count() {
    let judge = "[services.shop.judge]\nwarm_up = \"0s\"\n\n[services.shop.pools]";
    let mut bench = Bench::of(&file().replace("[services.shop.pools]", judge));
    bench.start(&green());
    bench.ticks(1);
    assert_eq!(cold(&bench), [false; 3]);
}
