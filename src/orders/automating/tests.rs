//! Rules on a disk that dies: what they do, what they leave alone, and what is left of it after a crash.

use std::time::Instant;

use super::super::drive::Drive;
use super::*;
use crate::config::Severity;
use crate::store::crash::{Failure, FrailDisk, Leaves};
use crate::upstream::Proof;

const HEAD: &str = "[server]\nallow_commands = true\n[[listeners]]\naddress = \"0.0.0.0:8080\"\n\
                    [[notify]]\nurl = \"http://a/\"\nname = \"pager\"\n\
                    [services.shop]\nsplit = { blue = 100 }\nlimits = { upstream_in_flight = 10 }\n\
                    [services.shop.health]\ntcp = true\n\
                    [services.shop.pools]\nblue.upstreams = [\"192.0.2.1:80\", \"192.0.2.2:80\"]\n\
                    green.upstreams = [\"192.0.2.3:80\"]\n";

/// A rule about upstreams that are down.
fn rule(then: &str, more: &str) -> String {
    format!(
        "{HEAD}[automation.r]\nservice = \"shop\"\npool = \"blue\"\nwhen = {{ down = 1 }}\nfor = \"2s\"\n\
         then = {then}\ncooldown = \"5s\"\nescalate_to = \"pager\"\n{more}\n"
    )
}

struct Bench {
    drive: Drive,
    config: Arc<Config>,
}

impl Bench {
    fn of(text: &str) -> Bench {
        let config = Arc::new(Config::parse(text).unwrap().0);
        let now = Now { instant: Instant::now(), wall: WallTime::from_millis(1_000_000_000) };
        let drive = Drive::open(FrailDisk::default(), config.clone(), now).unwrap();
        Bench { drive, config }
    }

    /// The next process, on what the disk holds.
    fn restart(&mut self, leaves: Leaves) {
        self.drive.pass(Duration::from_secs(1));
        let disk = self.drive.disk.survivor(leaves);
        self.drive = Drive::open(disk, self.config.clone(), self.drive.now).unwrap();
        self.drive.orders.resume_acts(self.drive.now);
        self.drive.settle();
    }

    fn prove(&self, address: &str, proof: Proof) {
        let found = find_upstream(&self.drive.snapshot, "shop", "blue", address).unwrap();
        found.set_proof(proof, self.drive.snapshot.moment(self.drive.now.instant));
    }

    fn ticks(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.drive.pass(Duration::from_secs(1));
            self.drive.tick();
        }
    }

    /// Calls that were begun since it was asked last.
    fn begun(&mut self) -> Vec<Arc<Act>> {
        let (begun, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.drive.effects)
            .into_iter()
            .partition(|effect| matches!(effect, Effect::Act(_)));
        self.drive.effects = rest;
        let act = |effect| match effect {
            Effect::Act(act) => Some(act),
            _ => None,
        };
        begun.into_iter().filter_map(act).collect()
    }

    fn ends(&mut self, id: u64, result: Result<Answer, String>) {
        let (snapshot, now) = (self.drive.snapshot.clone(), self.drive.now);
        self.drive.orders.on_acted(id, result, &snapshot, now);
        self.drive.run(Counts::Wait);
    }

    /// The codes of what rules said since it was asked last.
    fn said(&mut self) -> Vec<String> {
        let said = self.drive.said().into_iter();
        let of_rules = said.filter(|event| matches!(event.kind, Kind::Rule { .. }));
        of_rules.map(|event| event.kind.code().to_string()).collect()
    }

    fn kept(&self) -> &Kept {
        self.drive.orders.state().automation()
    }

    fn acts(&self) -> Vec<Arc<Act>> {
        self.kept().acts().filter(|act| act.deed != Deed::Escalate).cloned().collect()
    }

    fn drains(&self) -> Vec<String> {
        let orders = self.drive.orders.state().orders();
        let drain = |standing: &Override| match &standing.what {
            What::Drain { upstream, .. } => Some(format!("{upstream} by {}", standing.author)),
            _ => None,
        };
        orders.filter_map(drain).collect()
    }

    fn order(&mut self, what: UpstreamOrder, address: &str, author: &str) {
        let place = At { pool: "blue".into(), upstream: address.into(), ..At::service("shop") };
        let order = Order::Upstream { place: named(&place).unwrap(), what };
        self.drive.order(order, By::new(author, None)).unwrap();
    }
}

fn done() -> Result<Answer, String> {
    Ok(Answer { line: "done".into(), upstreams: Vec::new() })
}

const ONE: &str = "192.0.2.1:80";

#[test]
fn what_is_down_is_restarted_three_times_and_then_somebody_is_paged() {
    let mut bench = Bench::of(&rule("{ run = [\"restart\"] }", ""));
    bench.prove(ONE, Proof::Down);
    bench.ticks(2);
    assert!(bench.begun().is_empty(), "it has not lasted long enough");
    let mut ids = Vec::new();
    for _ in 0..3 {
        bench.ticks(7);
        let [act] = &bench.begun()[..] else { panic!("{:?}", bench.acts()) };
        assert_eq!((&*act.place.upstream, act.deed), (ONE, Deed::Command));
        assert_eq!(act.why, "it gets no requests");
        ids.push(act.id);
        bench.ticks(20);
        assert!(bench.begun().is_empty(), "one at a time");
        bench.ends(act.id, done());
    }
    assert_eq!(ids, [1, 2, 3]);
    assert!(!bench.said().contains(&"rule-escalated".to_string()));
    bench.ticks(100);
    assert!(bench.begun().is_empty());
    let said = bench.drive.said();
    let escalated: Vec<&Event> =
        said.iter().filter(|event| event.kind.code() == "rule-escalated").collect();
    let [escalated] = &escalated[..] else { panic!("{said:?}") };
    assert_eq!(escalated.severity(), Severity::Critical);
    assert_eq!(escalated.only_for().map(|to| &**to), Some("pager"));
    assert_eq!(escalated.author.as_deref(), Some("rule r"));
    assert!(escalated.words().contains("it has acted 3 times within 1h"), "{}", escalated.words());
    // An hour later it may again.
    bench.ticks(3_600);
    assert_eq!(bench.begun().len(), 1);
}

#[test]
fn what_fails_is_told_at_once_and_a_rule_may_wait_for_that() {
    let other = "[automation.after]\nservice = \"shop\"\nwhen = { failed = \"r\" }\nfor = \"0s\"\n\
                 then = \"maintenance\"\n";
    let mut bench = Bench::of(&rule("{ run = [\"restart\"] }", other));
    bench.prove(ONE, Proof::Down);
    bench.ticks(4);
    let id = bench.begun()[0].id;
    bench.ends(id, Err("`restart` ended with 1".into()));
    let said = bench.said();
    assert!(
        said.contains(&"rule-failed".into()) && said.contains(&"rule-escalated".into()),
        "{said:?}"
    );
    bench.ticks(2);
    let order = bench.drive.orders.state().order(&About::mode("shop")).cloned();
    let order = order.expect("it is in maintenance");
    assert_eq!(order.author, "rule after");
    assert!(order.reason.unwrap().contains("`restart` ended with 1"));
}

#[test]
fn a_rule_drains_once_and_what_a_person_takes_back_it_leaves_alone() {
    let mut bench = Bench::of(&rule("\"drain\"", ""));
    bench.prove(ONE, Proof::Down);
    bench.ticks(20);
    assert_eq!(bench.drains(), [format!("{ONE} by rule r")]);
    assert_eq!(bench.acts().len(), 1);
    bench.order(UpstreamOrder::Activate, ONE, "ann");
    bench.ticks(60);
    assert_eq!((bench.drains().len(), bench.acts().len()), (0, 1));
    assert!(bench.acts()[0].undone.is_some());
    // Its time is over an hour later.
    bench.ticks(3_600);
    assert_eq!(bench.drains().len(), 1);
}

#[test]
fn a_rule_takes_back_what_it_ordered_for_a_time() {
    let mut bench = Bench::of(&rule("\"drain\"", "back = \"30s\"\nat_most = 1"));
    bench.prove(ONE, Proof::Down);
    bench.ticks(6);
    assert_eq!(bench.drains().len(), 1);
    bench.prove(ONE, Proof::Up);
    bench.ticks(20);
    assert_eq!(bench.drains().len(), 1);
    bench.ticks(10);
    assert_eq!(bench.drains().len(), 0);
    assert!(bench.acts()[0].is_back && bench.acts()[0].undone.is_none());
}

#[test]
fn what_a_person_has_ordered_is_left_alone() {
    let mut bench = Bench::of(&rule("{ run = [\"restart\"] }", ""));
    bench.order(UpstreamOrder::Drain, ONE, "ann");
    bench.prove(ONE, Proof::Down);
    bench.ticks(10);
    assert!(bench.acts().is_empty(), "it is drained");
    bench.order(UpstreamOrder::Activate, ONE, "ann");
    let hold = ModeOrder::Maintenance { message: None };
    let order = Order::Mode { service: "shop".into(), what: hold };
    bench.drive.order(order, By::new("ann", None)).unwrap();
    bench.said();
    bench.ticks(10);
    assert_eq!(bench.said(), ["rule-withheld"], "once");
    assert!(bench.acts().is_empty());
    let order = Order::Mode { service: "shop".into(), what: ModeOrder::Serve { from: None } };
    bench.drive.order(order, By::new("ann", None)).unwrap();
    bench.ticks(2);
    assert_eq!(bench.acts().len(), 1);
}

#[test]
fn a_person_keeps_a_breaker_closed_and_a_freeze_keeps_a_rollout_where_it_is() {
    let text = rule("\"open-breaker\"", "");
    let mut bench = Bench::of(&text);
    let place =
        Place { service: "shop".into(), pool: "blue".into(), upstream: Some(ONE.parse().unwrap()) };
    let order = |what| Order::Breaker { place: place.clone(), what };
    bench.drive.order(order(BreakerOrder::Closed), By::new("ann", None)).unwrap();
    bench.prove(ONE, Proof::Down);
    bench.ticks(10);
    assert!(bench.acts().is_empty());
    bench.drive.order(order(BreakerOrder::Auto), By::new("ann", None)).unwrap();
    bench.ticks(5);
    let about = About::breaker("shop", "blue", Some(ONE));
    assert_eq!(bench.drive.orders.state().order(&about).unwrap().author, "rule r");
}

#[test]
fn all_rules_stop_durably_and_a_dry_run_only_tells() {
    let mut bench = Bench::of(&rule("\"drain\"", ""));
    bench.drive.order(Order::Automation { stops: true }, By::new("ann", Some("night"))).unwrap();
    bench.restart(Leaves::EveryWrite);
    assert_eq!(bench.kept().stopped().unwrap().by, "ann");
    bench.prove(ONE, Proof::Down);
    bench.ticks(20);
    assert!(bench.acts().is_empty() && bench.drains().is_empty());
    bench.drive.order(Order::Automation { stops: false }, By::new("ann", None)).unwrap();
    bench.ticks(2);
    assert_eq!(bench.drains().len(), 1);

    let mut dry = Bench::of(&rule("\"drain\"", "dry_run = true"));
    dry.prove(ONE, Proof::Down);
    dry.ticks(30);
    assert_eq!((dry.drains().len(), dry.said()), (0, vec!["rule-would-act".to_string()]));
    assert_eq!(dry.acts()[0].end, Some(End::DryRun));
}

#[test]
fn all_rules_together_are_bounded_and_a_second_looks_once_at_each_upstream() {
    let server = "allow_commands = true\nautomation_an_hour = 2";
    let text = rule("\"notify\"", "each = \"upstream\"\nat_most = 100");
    let mut bench = Bench::of(&text.replace("allow_commands = true", server));
    for _ in 0..5 {
        // Whatever happens meanwhile, a second looks once.
        for _ in 0..1_000 {
            bench.prove(ONE, Proof::Up);
            bench.prove(ONE, Proof::Down);
        }
        bench.ticks(10);
        bench.prove(ONE, Proof::Up);
        bench.ticks(10);
        let Drive { orders, snapshot, now, .. } = &mut bench.drive;
        let (rule, ledger) = (bench.config.automation[0].clone(), orders.ledger(*now));
        let looks = orders.readings(&rule, &ledger, snapshot, *now).len();
        assert_eq!(looks, 2, "upstreams of the pool");
    }
    let said = bench.said();
    let count = |code: &str| said.iter().filter(|said| **said == code).count();
    assert_eq!((count("rule-tells"), count("rule-escalated")), (2, 1), "{said:?}");
}

/// What one life and the next have done, when the first ends at this operation of its disk.
fn two_lives(text: &str, operation: u64, leaves: Leaves) -> (Bench, Vec<Arc<Act>>, bool) {
    let mut bench = Bench::of(text);
    bench.prove(ONE, Proof::Down);
    bench.ticks(1);
    bench.drive.disk.fail_after(operation, Failure::Killed);
    let mut begun = Vec::new();
    for _ in 0..12 {
        bench.drive.pass(Duration::from_secs(1));
        bench.drive.tick();
        begun.extend(bench.begun());
        if bench.drive.disk.is_dead() {
            break;
        }
    }
    let died = bench.drive.disk.is_dead();
    bench.restart(leaves);
    bench.prove(ONE, Proof::Down);
    begun.extend(bench.begun());
    bench.ticks(12);
    begun.extend(bench.begun());
    (bench, begun, died)
}

#[test]
fn what_changes_the_state_happens_once_whenever_the_process_is_killed() {
    let text = rule("\"drain\"", "");
    let mut operation = 0;
    loop {
        let (bench, _, died) = two_lives(&text, operation, Leaves::SomeWrites(operation));
        assert_eq!(bench.drains(), [format!("{ONE} by rule r")], "at {operation}");
        assert_eq!(bench.acts().len(), 1, "at {operation}");
        if !died {
            break;
        }
        operation += 1;
    }
    assert!(operation > 5, "it died {operation} times");
}

#[test]
fn a_command_is_begun_at_most_once_and_a_web_request_at_least_once_with_one_key() {
    let per = "per = \"1h\"\nat_most = 1";
    for (then, is_web) in [("{ run = [\"x\"] }", false), ("{ url = \"http://h/\" }", true)] {
        let mut operation = 0;
        loop {
            let leaves = Leaves::SomeWrites(operation);
            let (bench, begun, died) = two_lives(&rule(then, per), operation, leaves);
            let acts = bench.acts();
            assert_eq!(acts.len(), 1, "at {operation}: {acts:?}");
            let keys: BTreeSet<String> = begun.iter().map(|act| act.key()).collect();
            if is_web {
                assert!(!begun.is_empty(), "at {operation}: it is forgotten");
                assert_eq!(keys.len(), 1, "at {operation}: {begun:?}");
            } else {
                assert!(begun.len() <= 1, "at {operation}: {begun:?}");
                let escalated = bench.kept().acts().any(|act| act.deed == Deed::Escalate);
                let is_known = acts[0].end != Some(End::Unknown);
                assert!(is_known != escalated, "at {operation}: what nobody knows is told");
                assert!(!begun.is_empty() || !is_known, "at {operation}: it is forgotten");
            }
            if !died {
                break;
            }
            operation += 1;
        }
        assert!(operation > 5, "it died {operation} times");
    }
}

/// What another rule has failed at stands for what is too much: here are no requests.
const GROW: &str = "[automation.r]\nservice = \"shop\"\npool = \"blue\"\nwhen = { failed = \"t\" }\n\
                    for = \"0s\"\nthen = { run = [\"grow\"] }\ncooldown = \"2s\"\nat_most = 1\n\
                    adds = { instances = 2, networks = [\"192.0.2.0/24\", \"127.0.0.0/8\"], quiet = \"5s\" }\n";

fn answer(addresses: &[(&str, bool)]) -> Result<Answer, String> {
    let offered = addresses.iter().map(|(address, is_here)| automation::Offered {
        address: address.parse().unwrap(),
        is_here: *is_here,
    });
    Ok(Answer { line: String::new(), upstreams: offered.collect() })
}

impl Bench {
    fn blue(&self) -> Vec<String> {
        let pool = self.drive.snapshot.service("shop").unwrap().pool("blue").unwrap();
        pool.members.list().iter().map(|member| member.upstream.name.to_string()).collect()
    }
}

#[test]
fn what_is_answered_is_added_and_taken_out_again_when_it_is_quiet() {
    let tell = "[automation.t]\nservice = \"shop\"\nwhen = { down = 1 }\nfor = \"0s\"\n\
                then = { run = [\"x\"] }\ncooldown = \"0s\"\nat_most = 1\nper = \"24h\"\n";
    let mut bench = Bench::of(&format!("{HEAD}{GROW}{tell}"));
    bench.prove(ONE, Proof::Down);
    bench.ticks(2);
    let first = bench.begun()[0].clone();
    assert_eq!(&*first.rule, "t");
    bench.ends(first.id, Err("no".into()));
    bench.ticks(1);
    let act = bench.begun().into_iter().find(|act| &*act.rule == "r").expect("it is called");
    // The place is that of what failed; addresses go to its pool.
    bench.ends(
        act.id,
        answer(&[("192.0.2.1:80", false), ("192.0.2.7:8080", true), ("192.0.2.8:80", false)]),
    );
    assert!(bench.blue().contains(&"192.0.2.8:80".to_string()), "{:?}", bench.blue());
    assert!(!bench.blue().contains(&"192.0.2.7:8080".to_string()), "that is we");
    let ended = bench.kept().act(act.id).unwrap().end.clone();
    let Some(End::Failed(why)) = ended else { panic!("{ended:?}") };
    assert!(why.contains("192.0.2.7:8080") && why.contains("itself"), "{why}");
    assert_eq!(bench.kept().grown("r").unwrap().instances.len(), 1);
    // An hour later nothing says any more that it is needed.
    bench.said();
    bench.ticks(3_610);
    let begun = bench.begun();
    let [removed] = &begun[..] else { panic!("{begun:?}") };
    assert_eq!(removed.removed.as_deref(), Some("192.0.2.8:80"));
    assert!(!bench.blue().contains(&"192.0.2.8:80".to_string()));
    assert!(bench.kept().grown("r").is_none());
    assert_eq!(bench.said(), ["rule-shrinks", "rule-began"]);
    bench.ends(removed.id, done());
    assert_eq!(bench.kept().act(removed.id).unwrap().end, Some(End::Done("done".into())));
}

#[test]
fn what_a_person_has_taken_out_is_theirs() {
    let tell = "[automation.t]\nservice = \"shop\"\nwhen = { down = 1 }\nfor = \"0s\"\n\
                then = { run = [\"x\"] }\ncooldown = \"0s\"\nat_most = 1\nper = \"24h\"\n";
    let mut bench = Bench::of(&format!("{HEAD}{GROW}{tell}"));
    bench.prove(ONE, Proof::Down);
    bench.ticks(2);
    let first = bench.begun()[0].id;
    bench.ends(first, Err("no".into()));
    bench.ticks(1);
    let act = bench.begun()[0].id;
    bench.ends(
        act,
        answer(&[("192.0.2.8:80", false), ("192.0.2.9:80", false), ("192.0.2.10:80", false)]),
    );
    let blue = bench.blue();
    assert_eq!(blue.len(), 4, "two at most: {blue:?}");
    bench.order(UpstreamOrder::Remove, "192.0.2.8:80", "ann");
    bench.order(UpstreamOrder::Drain, "192.0.2.9:80", "ann");
    bench.ticks(3_700);
    assert!(bench.begun().is_empty() && bench.blue().contains(&"192.0.2.9:80".to_string()));
    assert_eq!(bench.kept().grown("r").unwrap().instances.len(), 1, "that of a person is left");
}
