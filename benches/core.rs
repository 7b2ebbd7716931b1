//! What a decision, a config and a publication cost, without any I/O.

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Method};
use pointsman::clock::Draws;
use pointsman::config::Config;
use pointsman::http::fields::Fields;
use pointsman::route::Facts;
use pointsman::snapshot::{Asks, Blueprint, Published, RunTime, Snapshot};
use pointsman::split::Secret;

/// A config of this many routes, each with its own host and path, and one service of 20 upstreams.
fn file(routes: usize) -> String {
    let mut text = "[[listeners]]\naddress = \"127.0.0.1:0\"\n".to_string();
    for n in 0..routes {
        let (host, path) = (n % 100, n / 100);
        let _ = write!(
            text,
            "[[routes]]\nhosts = [\"h{host}.shop.test\"]\npath_prefix = \"/api/v1/p{path}\"\n\
             service = \"shop\"\n"
        );
    }
    let upstreams = |net: u8| {
        let list = (1..=10).map(|n| format!("\"10.0.{net}.{n}:80\"")).collect::<Vec<_>>();
        list.join(", ")
    };
    let _ = write!(
        text,
        "[services.shop]\nsplit = {{ blue = 90, green = 10 }}\n\
         sticky = {{ header = \"x-user-id\", client_ip = true }}\n[services.shop.pools]\n\
         blue.upstreams = [{}]\ngreen.upstreams = [{}]\n",
        upstreams(0),
        upstreams(1)
    );
    text
}

fn snapshot(config: Arc<Config>, before: Option<&Snapshot>) -> Snapshot {
    let (run_time, now) = (RunTime::default(), Instant::now());
    let blueprint = Blueprint { config, run_time: &run_time, secret: Secret([7; 16]), now };
    Snapshot::build(&blueprint, before)
}

fn parse(routes: usize) -> Arc<Config> {
    Arc::new(Config::parse(&file(routes)).expect("the file is valid").0)
}

fn decide(c: &mut Criterion) {
    for routes in [1_000, 10_000] {
        let snapshot = snapshot(parse(routes), None);
        let mut headers = HeaderMap::new();
        headers.insert("host", "h42.shop.test".parse().expect("a field value"));
        headers.insert("x-user-id", "user-1234567".parse().expect("a field value"));
        let path = format!("/api/v1/p{}/items/17", routes / 100 - 1);
        let facts = Facts {
            path_and_query: "",
            tester: None,
            is_doubtful: false,
            method: &Method::GET,
            host: "h42.shop.test",
            path: &path,
            fields: Fields::new(&headers),
            client: Some([192, 0, 2, 1].into()),
        };
        let mut draws = Draws::seeded(1);
        let now = snapshot.moment(Instant::now());
        c.bench_function(&format!("decide, {routes} routes, 20 upstreams"), |b| {
            b.iter(|| {
                black_box(snapshot.choose(black_box(&facts), Asks::default(), now, &mut draws))
            })
        });
    }
}

fn config(c: &mut Criterion) {
    let mut group = c.benchmark_group("config");
    group.sample_size(10);
    for routes in [100, 10_000] {
        let text = file(routes);
        group.bench_function(format!("parse and check, {routes} routes"), |b| {
            b.iter(|| Config::parse(black_box(&text)).is_ok())
        });
    }
    group.finish();
}

fn publish(c: &mut Criterion) {
    let first = snapshot(parse(10_000), None);
    let published = Published::of(Arc::new(first));
    c.bench_function("build and publish a shift, 10000 routes", |b| {
        b.iter(|| {
            let before = published.load();
            published.publish(snapshot(before.config.clone(), Some(&before)));
        })
    });
    c.bench_function("load the snapshot", |b| b.iter(|| black_box(published.load())));
}

criterion_group!(benches, decide, config, publish);
criterion_main!(benches);
