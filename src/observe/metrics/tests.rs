use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::Moment;
use crate::config::Config;
use crate::snapshot::{Blueprint, RunTime};
use crate::split::Secret;
use crate::upstream::{BreakerOrder, StatusClass};

/// So many services of two pools with two upstreams each, with this said of each.
fn snapshot(services: usize, lines: &str, server: &str) -> Arc<Snapshot> {
    let mut text = format!("[server]\n{server}\n[[listeners]]\naddress = \":0\"\n");
    for n in 0..services {
        text.push_str(&format!(
            "[[routes]]\nhosts = [\"s{n}.test\"]\nservice = \"s{n}\"\n\
             [services.s{n}]\nsplit = {{ blue = 100, green = 0 }}\n{lines}\n\
             [services.s{n}.pools]\n\
             blue.upstreams = [{{ address = \"192.0.2.1:80\", labels = {{ zone = \"a\" }} }}, \
                               \"192.0.2.2:80\"]\n\
             green.upstreams = [\"192.0.2.3:80\", \"192.0.2.4:80\"]\n"
        ));
    }
    let config = Arc::new(Config::parse(&text).map_err(|p| p.render(&text, "t", false)).unwrap().0);
    let run_time = RunTime::default();
    let now = Instant::now();
    let blueprint = Blueprint { config, run_time: &run_time, secret: Secret([0; 16]), now };
    Arc::new(Snapshot::build(&blueprint, None))
}

fn text(snapshot: &Snapshot) -> String {
    encode(&Scrape {
        snapshot,
        process: &Process::default(),
        took: &|_, _| Distribution::default(),
        capacity: &|_| Default::default(),
        events: Vec::new(),
        now: (Instant::now(), WallTime::default()),
        form: Form::Text,
    })
}

#[test]
fn what_a_service_does_not_use_has_no_series_and_a_state_has_one() {
    let lines = |services| text(&snapshot(services, "", "")).lines().count();
    let each = (lines(21) - lines(1)) / 20;
    assert!(each <= 50, "an idle service of two pools with two upstreams each has {each} lines");
    let snapshot = snapshot(1, "", "");
    let service = &snapshot.services[0];
    let idle = text(&snapshot);
    let absent = [
        "queue",
        "shed",
        "fallbacks",
        "rollout",
        "slo",
        "duration_seconds_b",
        "health",
        "connections_opened",
        "stale",
    ];
    for absent in absent {
        let found = idle.lines().find(|line| line.contains(absent) && line.contains("s0"));
        assert_eq!(found, None, "{absent}");
    }
    for line in [
        "pointsman_requests_total{service=\"s0\",pool=\"blue\",code=\"5xx\"} 0",
        "pointsman_pool_failed_attempts_total{service=\"s0\",pool=\"blue\"} 0",
        "pointsman_retries_total{service=\"s0\"} 0",
        "pointsman_breaker_state{service=\"s0\",pool=\"blue\",upstream=\"\"} 0",
        "pointsman_service_mode{service=\"s0\"} 0",
    ] {
        assert!(idle.contains(&format!("{line}\n")), "{line}\n{idle}");
    }
    let of_upstream = "pointsman_upstream_requests_total{service=\"s0\",pool=\"blue\",\
                       upstream=\"192.0.2.1:80\"";
    assert!(!idle.contains(of_upstream));
    let upstream = &service.pools[0].members.list()[0].upstream;
    upstream.tally.record(Outcome::Status(StatusClass::Success), Duration::from_millis(1));
    let asked = text(&snapshot);
    for outcome in ["2xx\"} 1", "5xx\"} 0", "error\"} 0"] {
        assert!(asked.contains(&format!("{of_upstream},outcome=\"{outcome}\n")), "{asked}");
    }
    let breaker = &service.pools[0].state.breaker;
    breaker.set_order(BreakerOrder::Open, Moment::default());
    let pool = "pointsman_breaker_state{service=\"s0\",pool=\"blue\",upstream=\"\"}";
    assert!(text(&snapshot).contains(&format!("{pool} 2\n")));
}

#[test]
fn what_exists_once_goes_on_existing() {
    let snapshot = snapshot(1, "breaker = false", "");
    let breaker = &snapshot.services[0].pools[0].state.breaker;
    let has = || text(&snapshot).contains("pointsman_breaker_state{");
    assert!(!has());
    breaker.set_order(BreakerOrder::Open, Moment::default());
    assert!(has());
    breaker.set_order(BreakerOrder::Auto, Moment::default());
    assert!(has());
}

#[test]
fn labels_of_upstreams_are_labels_of_metrics_only_where_the_config_says_so() {
    let up = "pointsman_upstream_up{service=\"s0\",pool=\"blue\",upstream=\"192.0.2.1:80\"";
    assert!(text(&snapshot(1, "", "")).contains(&format!("{up}}} 1\n")));
    let told = text(&snapshot(1, "", "metric_labels = [\"zone\"]"));
    assert!(told.contains(&format!("{up},zone=\"a\"}} 1\n")), "{told}");
    assert!(told.contains("upstream=\"192.0.2.2:80\"} 1\n"), "it has no zone");
}
