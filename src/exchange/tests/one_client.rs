//! What a rollout's ledger is told of one client whose requests fail: only what its version is at fault
//! for.

use super::*;
use crate::judge::Errors;
use crate::judge::ledger::Ledger;
use crate::snapshot::Observed;

const FILE: &str = r#"
[server]
trusted_proxies = "192.0.2.9"
[[listeners]]
address = "127.0.0.1:0"
[services.shop]
split = { blue = 50, green = 50 }
breaker = false
ejection = false
[services.shop.pools]
blue.upstreams = ["192.0.2.1:80", "192.0.2.2:80"]
green.upstreams = ["192.0.2.3:80", "192.0.2.4:80"]
"#;

/// So many clients ask in turn.
const CLIENTS: u32 = 20;

thread_local! {
    static DRAWN: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Draws that differ from request to request.
fn draw() -> u64 {
    DRAWN.set(DRAWN.get() + 1);
    DRAWN.get()
}

/// A rollout from blue to green under way.
fn under_way() -> (Arc<Snapshot>, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::new(Errors::default(), None, Vec::new(), false));
    let observed = Observed { ledger: ledger.clone(), from: "blue".into(), to: "green".into() };
    let observed = [("shop".into(), observed)].into_iter().collect();
    (build(FILE, RunTime { observed, ..RunTime::default() }), ledger)
}

/// How often an attempt at the canary failed, and what the ledger has of the old version and of the
/// canary, after many requests that are answered with this: of a client, of a pool, the nth.
fn told(answered: impl Fn(u32, &str, u32) -> u16) -> (u64, Counts, Counts) {
    let (snapshot, ledger) = under_way();
    let clock = Clock { draw, ..standing() };
    let mut failed = 0;
    for nth in 0..2_000 {
        let client = nth % CLIENTS;
        let address = format!("198.51.100.{client}");
        let mut exchange = open(clock, &snapshot);
        admit(&mut exchange, &[("x-forwarded-for", &address)]).unwrap();
        let status = loop {
            let asked = &*exchange.snapshot.services[0].pools[exchange.decision.unwrap().pool].name;
            let status = answered(client, asked, nth);
            failed += u64::from(asked == "green" && status >= 500);
            match head(&mut exchange, status, &HeaderMap::new(), true) {
                Err(Cause::Retried) => {}
                other => break other.map(|()| status).unwrap(),
            }
        };
        finish(&mut exchange, Some(status));
        pass(Duration::from_millis(5));
    }
    (failed, ledger.stable.read().attempts, ledger.target.read().attempts)
}

#[test]
fn who_fails_on_both_is_held_against_neither() {
    let (failed, stable, target) = told(|client, _, _| if client == 7 { 500 } else { 200 });
    assert!(failed > 20 && stable.total > 500 && target.total > 500, "{failed}, {target:?}");
    assert_eq!(target.bad, 0, "the shield's repeat failed too");
    assert!(stable.bad <= 5, "{stable:?}: only until the others contradict");
}

#[test]
fn a_customer_for_whom_only_the_new_version_fails_is_counted_every_time() {
    let (failed, stable, target) =
        told(|client, pool, _| if client == 7 && pool == "green" { 500 } else { 200 });
    assert!(failed > 20, "{failed}");
    assert_eq!((target.bad, stable.bad), (failed, 0));
}

#[test]
fn a_version_that_always_fails_is_not_excused_by_an_old_one_that_sometimes_does() {
    let (failed, _, target) = told(|_, pool, nth| match pool {
        "green" => 500,
        _ if nth % 50 == 0 => 500,
        _ => 200,
    });
    assert!(failed > 300, "{failed}");
    assert!(target.bad * 20 > failed * 19, "{} of {failed}", target.bad);
}
