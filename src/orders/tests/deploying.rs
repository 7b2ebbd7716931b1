//! Deploys: what a pool gets, what it gets back, and who is refused.

use super::*;
use crate::orders::deploy::DeployOrder;
use crate::rollout::{Outcome, Strategy};

mod doubts;

const NEW: &str = "192.0.2.43:80";
const OTHER: &str = "192.0.2.44:80";

fn to(addresses: &[&str]) -> DeployOrder {
    let at = addresses.iter().map(|address| (address.parse().unwrap(), None)).collect();
    DeployOrder { at, tag: None, within: None, wishes: Wishes::default() }
}

fn tagged(addresses: &[&str], tag: &str) -> DeployOrder {
    DeployOrder { tag: Some(tag.parse().unwrap()), ..to(addresses) }
}

fn in_pool(pool: &str, order: DeployOrder) -> DeployOrder {
    let wishes = Wishes { to: Some(pool.into()), ..order.wishes };
    DeployOrder { wishes, ..order }
}

impl Bench {
    fn deploy(&mut self, what: DeployOrder) -> Result<Answered, Refused> {
        self.deploy_by(what, ada())
    }

    fn deploy_by(&mut self, what: DeployOrder, by: By) -> Result<Answered, Refused> {
        self.order(Order::Deploy { service: "shop".into(), what: Box::new(what) }, by)
    }

    /// A version with all traffic, and its rollout over.
    fn promoted(&mut self, what: DeployOrder) {
        self.deploy(what).unwrap();
        let id = self.report().rollout.id;
        self.ticks(2);
        self.ended(id, after_promote(), agreed());
        self.ticks(9);
        assert_eq!(self.state(), "promoted", "{}", self.words());
    }

    /// The upstreams of a pool, and what the version there is called.
    fn runs(&self, pool: &str) -> (Vec<String>, Option<String>) {
        let pool = self.snapshot.service("shop").unwrap().pool(pool).unwrap();
        let names = pool.members.list().iter().map(|member| member.upstream.name.to_string());
        let tag = pool.version.as_ref().and_then(|version| version.tag.clone());
        (names.collect(), tag.map(|tag| tag.to_string()))
    }

    fn make_away(&mut self, upstreams: &[&str]) {
        self.away = upstreams.iter().map(|name| Arc::from(*name)).collect();
    }

    fn back_to(&mut self, to: Option<u64>, by: By) -> Result<Answered, Refused> {
        self.order(Order::Shift { service: "shop".into(), to: TrafficOrder::Back { to } }, by)
    }
}

fn of(addresses: &[&str], tag: Option<&str>) -> (Vec<String>, Option<String>) {
    (addresses.iter().map(ToString::to_string).collect(), tag.map(Into::into))
}

#[test]
fn a_version_gets_the_free_pool_and_then_the_traffic() {
    let mut bench = Bench::of(FILE);
    let answer = bench.deploy(tagged(&[NEW, OTHER], "v42")).unwrap().answer;
    let Made::Rollout(report) = answer else { panic!("{answer:?}") };
    assert_eq!((&*report.rollout.plan.to, report.status.state), ("green", "running"));
    assert_eq!(bench.runs("green"), of(&[NEW, OTHER], Some("v42")));
    assert_eq!(bench.split(), "blue=100", "nothing has proved well yet");
    bench.ticks(2);
    assert_eq!(bench.split(), "green=100");
    bench.ended(1, after_promote(), agreed());
    bench.ticks(9);
    assert_eq!(bench.state(), "promoted");
    let newest = bench.orders.state().newest("shop").unwrap().clone();
    assert_eq!(newest.versions["green"].words(), "v42", "{newest:?}");
    bench.assert_stored();
    // The next one takes the other pool, though a deploy has never put anything there.
    bench.promoted(tagged(&["192.0.2.50:80"], "v43"));
    assert_eq!(
        (bench.split().as_str(), bench.runs("blue").1.as_deref()),
        ("blue=100", Some("v43"))
    );
    assert_eq!(bench.runs("green").1.as_deref(), Some("v42"), "the way back");
    bench.back_to(None, ada()).unwrap();
    assert_eq!(bench.split(), "green=100");
    bench.assert_stored();
}

#[test]
fn all_upstreams_of_a_version_have_to_prove_well() {
    let mut bench = Bench::of(FILE);
    bench.make_away(&[OTHER]);
    bench.deploy(to(&[NEW, OTHER])).unwrap();
    bench.ticks(30);
    assert_eq!((bench.split().as_str(), bench.state()), ("blue=100", "running"));
    bench.make_away(&[]);
    bench.ticks(2);
    assert_eq!(bench.split(), "green=100");
}

#[test]
fn what_fails_before_its_first_request_gives_the_pool_back_what_it_had() {
    let mut bench = Bench::of(FILE);
    bench.make_away(&[OTHER]);
    bench.deploy(tagged(&[NEW, OTHER], "v42")).unwrap();
    bench.said();
    bench.ticks(125);
    assert_eq!(bench.state(), "failed");
    let words = bench.words();
    assert!(
        words.contains("`192.0.2.44:80` of pool `green` did not prove well within 2m"),
        "{words}"
    );
    assert!(!words.contains(NEW), "{words}");
    assert_eq!(bench.runs("green"), of(&["192.0.2.3:80"], None));
    assert_eq!((bench.standing(), bench.split().as_str()), (0, "blue=100"));
    let said: Vec<String> = bench.said().iter().map(|event| event.words()).collect();
    let back = "rollout 1: pool `green` has its upstreams back";
    assert!(said.iter().any(|words| words.contains(back)), "{said:?}");
    bench.assert_stored();
    // And where another version was, it gets that one back, with its tag.
    bench.make_away(&[]);
    bench.promoted(tagged(&["192.0.2.50:80"], "v43"));
    bench.back_to(None, ada()).unwrap();
    bench.make_away(&[NEW]);
    bench.deploy(tagged(&[NEW], "v44")).unwrap();
    assert_eq!(bench.runs("green"), of(&[NEW], Some("v44")));
    bench.abort().unwrap();
    assert_eq!(bench.runs("green"), of(&["192.0.2.50:80"], Some("v43")));
    bench.assert_stored();
}

#[test]
fn smoke_requests_that_fail_give_the_pool_back_also_where_it_would_switch_at_once() {
    let smoke = "[[services.shop.rollout.smoke]]\npath = \"/\"\n\n[services.shop.pools]";
    let mut bench = Bench::of(&FILE.replace("[services.shop.pools]", smoke));
    let wishes = Wishes { strategy: Some(Strategy::AllAtOnce), ..Wishes::default() };
    bench.deploy(DeployOrder { wishes, ..to(&[NEW]) }).unwrap();
    bench.ticks(2);
    assert_eq!(bench.begun(), [Task::Smoke]);
    bench.ended(1, Task::Smoke, Err(TaskError::NoHook));
    assert_eq!((bench.state(), bench.split().as_str()), ("failed", "blue=100"));
    assert_eq!(bench.runs("green"), of(&["192.0.2.3:80"], None));
}

#[test]
fn what_had_traffic_and_is_taken_back_stays_there_without() {
    let mut bench = Bench::of(FILE);
    bench.deploy(tagged(&[NEW], "v42")).unwrap();
    bench.ticks(2);
    assert_eq!(bench.split(), "green=100");
    bench.abort().unwrap();
    assert_eq!((bench.state(), bench.split().as_str()), ("aborted", "blue=100"));
    assert_eq!(bench.runs("green"), of(&[NEW], Some("v42")));
    bench.assert_stored();
    // It may come again: that it is there already is said only of what has the traffic.
    let answer = bench.deploy(tagged(&[NEW], "v42")).unwrap().answer;
    assert!(matches!(answer, Made::Rollout(_)), "{answer:?}");
}

#[test]
fn the_same_version_again_is_there_already_and_another_one_has_to_wait() {
    let mut bench = Bench::of(FILE);
    bench.deploy(tagged(&[NEW], "v42")).unwrap();
    let refused = bench.deploy(tagged(&[OTHER], "v43")).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "v42 is being deployed to `green` of `shop`: rollout 1 is under way"
    );
    assert!(bench.deploy(tagged(&[NEW], "v42")).is_err(), "it is not there before it is");
    bench.ticks(2);
    bench.ended(1, after_promote(), agreed());
    bench.ticks(9);
    let (stored, revision) = (bench.store.commits(), bench.newest());
    let again = bench.deploy(tagged(&[NEW], "v42")).unwrap().answer;
    let Made::Already(newest) = again else { panic!("{again:?}") };
    assert_eq!((newest.number, bench.store.commits()), (revision, stored), "nothing has changed");
    // Another tag at the same place is another version, and that place is taken.
    let refused = bench.deploy(tagged(&[NEW], "v43")).unwrap_err();
    let (pool, address) = ("green".to_string(), NEW.to_string());
    assert_eq!(refused, Refused::HasTraffic { pool, address });
}

#[test]
fn the_pool_is_named_where_none_or_several_are_free() {
    let red = "red.upstreams = []\n";
    let three = format!("{FILE}{red}");
    let mut bench = Bench::of(&three);
    let refused = bench.deploy(to(&[NEW])).unwrap_err();
    let several = "several pools of `shop` are free for a version: `green`, `red`";
    assert_eq!(refused.to_string(), several);
    bench.drain("192.0.2.3:80", "green", ada()).unwrap();
    bench.deploy(to(&[NEW])).unwrap();
    assert_eq!((&*bench.report().rollout.plan.to, bench.runs("red").0.len()), ("red", 1));
    bench.abort().unwrap();
    assert_eq!(bench.runs("red"), of(&[], None), "it was empty");
    // A person's list is a person's.
    let place = |pool: &str| Place {
        service: "shop".into(),
        pool: pool.into(),
        upstream: Some("192.0.2.60:80".parse().unwrap()),
    };
    let what = || UpstreamOrder::Add { weight: None, labels: None };
    bench.order(Order::Upstream { place: place("red"), what: what() }, ada()).unwrap();
    let refused = bench.deploy(to(&[NEW])).unwrap_err().to_string();
    assert_eq!(
        refused,
        "no pool of `shop` is free for a version: `blue` gets 100 % of the traffic, `green` has an \
         order on it (drain of 192.0.2.3:80 by ada), `red` has an order on it (upstreams of red by \
         ada)"
    );
    assert_eq!(bench.standing(), 2);
    let refused = bench.deploy(in_pool("blue", to(&[NEW]))).unwrap_err();
    assert!(matches!(refused, Refused::Plan(PlanRefused::Already(_))), "{refused:?}");
    let refused = bench.deploy(in_pool("gold", to(&[NEW]))).unwrap_err();
    assert!(matches!(refused, Refused::Plan(PlanRefused::NoPool { .. })), "{refused:?}");
    bench.deploy(in_pool("red", to(&[NEW]))).unwrap();
    assert_eq!(bench.runs("red").0, [NEW]);
    bench.abort().unwrap();
    assert_eq!(bench.runs("red").0, ["192.0.2.60:80"], "which a person had put there");
}

#[test]
fn orders_that_would_keep_a_version_out_are_named_and_those_of_former_members_are_over() {
    let mut bench = Bench::of(FILE);
    bench.drain("192.0.2.3:80", "green", ada()).unwrap();
    let same = || in_pool("green", to(&["192.0.2.3:80"]));
    let refused = bench.deploy(same()).unwrap_err().to_string();
    assert!(refused.contains("drain of 192.0.2.3:80 by ada"), "{refused}");
    // Another address: what is drained leaves the pool, and its drain is of nobody.
    bench.promoted(in_pool("green", to(&[NEW])));
    bench.back_to(None, ada()).unwrap();
    assert_eq!(bench.standing(), 2);
    bench.deploy(same()).unwrap();
    bench.ticks(2);
    assert_eq!((bench.split().as_str(), bench.standing()), ("green=100", 1));
}

#[test]
fn what_another_version_has_shown_at_the_same_address_says_nothing_of_the_new_one() {
    let probed = FILE.replace("split = {", "health = { tcp = true }\nsplit = {");
    let mut bench = Bench::of(&probed);
    let prove = |bench: &Bench| {
        let now = bench.snapshot.moment(bench.now.instant);
        let pools = &bench.snapshot.service("shop").unwrap().pools;
        for member in pools.iter().flat_map(|pool| pool.members.list()) {
            member.upstream.set_proof(crate::upstream::Proof::Up, now);
        }
    };
    prove(&bench);
    bench.deploy(tagged(&["192.0.2.3:80"], "v42")).unwrap();
    bench.ticks(9);
    assert_eq!(bench.split(), "blue=100", "it was proved of the one before");
    prove(&bench);
    bench.ticks(2);
    assert_eq!(bench.split(), "green=100");
    // What the file or a person changes about it afterwards is no other version.
    let at = |bench: &Bench| {
        Arc::as_ptr(
            &bench.snapshot.service("shop").unwrap().pool("green").unwrap().members.list()[0]
                .upstream,
        ) as usize
    };
    let before = at(&bench);
    bench.ended(1, after_promote(), agreed());
    bench.ticks(9);
    let edited = probed.replace("\"192.0.2.3:80\"", "\"192.0.2.3:80\", \"192.0.2.4:80\"");
    bench.order(Order::reload(config(&edited)), By::new("file", None)).unwrap();
    assert_eq!((at(&bench), bench.runs("green").1), (before, None));
}

#[test]
fn the_file_takes_over_when_its_list_is_edited() {
    let edited = FILE.replace("\"192.0.2.3:80\"", "\"192.0.2.5:80\"");
    // Before its first request.
    let mut bench = Bench::of(FILE);
    bench.make_away(&[NEW]);
    bench.deploy(tagged(&[NEW], "v42")).unwrap();
    bench.order(Order::reload(config(&edited)), By::new("file", None)).unwrap();
    assert_eq!((bench.state(), bench.runs("green")), ("aborted", of(&["192.0.2.5:80"], None)));
    assert_eq!((bench.split().as_str(), bench.standing()), ("blue=100", 0));
    bench.assert_stored();
    // On its way: what it got goes back.
    let canary =
        FILE.replace("blue-green", "canary").replace("watch =", "min_requests = 0\nwatch =");
    let mut bench = Bench::of(&canary);
    bench.deploy(tagged(&[NEW], "v42")).unwrap();
    bench.ticks(2);
    assert_eq!(bench.split(), "blue=99 green=1");
    let edited = canary.replace("\"192.0.2.3:80\"", "\"192.0.2.5:80\"");
    bench.order(Order::reload(config(&edited)), By::new("file", None)).unwrap();
    assert_eq!((bench.state(), bench.split().as_str()), ("aborted", "blue=100"));
    let ended = bench.report().rollout.ended.clone().unwrap().0;
    assert!(matches!(ended, Outcome::Aborted { by, .. } if by == "file"));
    bench.assert_stored();
    // A start finds the same edit.
    let mut bench = Bench::of(&canary);
    bench.deploy(tagged(&[NEW], "v42")).unwrap();
    bench.ticks(2);
    bench.restart(&edited, 1);
    assert_eq!((bench.state(), bench.split().as_str()), ("aborted", "blue=100"));
    assert_eq!(bench.runs("green"), of(&["192.0.2.5:80"], None));
    bench.assert_stored();
}

#[test]
fn a_file_that_says_what_was_deployed_leaves_the_rollout_and_the_tag_as_they_are() {
    let mut bench = Bench::of(FILE);
    bench.deploy(tagged(&[NEW], "v42")).unwrap();
    let same = FILE.replace("192.0.2.3:80", NEW);
    bench.order(Order::reload(config(&same)), By::new("file", None)).unwrap();
    assert_eq!((bench.state(), bench.runs("green")), ("running", of(&[NEW], Some("v42"))));
    let abort = bench.abort();
    assert!(abort.is_ok());
    assert_eq!(bench.runs("green"), of(&[NEW], None), "it has what the file says");
    bench.promoted(tagged(&[NEW], "v42"));
    assert_eq!(bench.runs("green"), of(&[NEW], Some("v42")));
    bench.restart(&same, 1);
    assert_eq!(bench.runs("green"), of(&[NEW], Some("v42")));
}

#[test]
fn an_emptied_pool_gets_no_traffic_by_an_edit() {
    let mut bench = Bench::of(FILE);
    bench.promoted(tagged(&[NEW], "v42"));
    assert_eq!(bench.split(), "green=100");
    let emptied = FILE.replace("\"192.0.2.3:80\"", "");
    bench.order(Order::reload(config(&emptied)), By::new("file", None)).unwrap();
    assert_eq!((bench.split().as_str(), bench.runs("green")), ("blue=100", of(&[], None)));
    let newest = bench.orders.state().newest("shop").unwrap().clone();
    assert_eq!(
        newest.reason.as_deref(),
        Some(&*format!("pool `green` of revision {} has no upstreams any more", newest.number - 1))
    );
    bench.assert_stored();
}

#[test]
fn a_pool_that_waits_for_its_first_upstream_has_the_traffic_of_its_file() {
    let only = format!("{FILE}{}", API.replace("\"192.0.2.9:80\"", ""));
    let mut bench = Bench::of(&only);
    let number = |bench: &Bench| bench.orders.state().newest("api").unwrap().number;
    bench.order(Order::reload(config(&only)), By::new("file", None)).unwrap();
    bench.restart(&only, 1);
    assert_eq!(number(&bench), 1, "nothing has changed");
}

#[test]
fn a_rollback_does_not_bring_another_version_than_it_names() {
    let mut bench = Bench::of(FILE);
    bench.promoted(tagged(&[NEW], "v42"));
    bench.promoted(tagged(&["192.0.2.50:80"], "v43"));
    // Blue was the file's then, whatever it gets now.
    let refused = bench.back_to(Some(1), ada()).unwrap_err();
    assert!(matches!(refused, Refused::OtherVersion { .. }), "{refused:?}");
    bench.back_to(None, ada()).unwrap();
    assert_eq!(bench.split(), "green=100");
    let refused = bench.back_to(Some(1), ada()).unwrap_err().to_string();
    assert_eq!(refused, "pool `blue` has v43 by now; it had other upstreams in revision 1");
    bench.back_to(Some(1), By { force: true, ..ada() }).unwrap();
    assert_eq!(bench.split(), "blue=100");
    // Taken back before its first request, it is what it was.
    bench.back_to(None, ada()).unwrap();
    bench.deploy(tagged(&[OTHER], "v44")).unwrap();
    let was = bench.orders.state().history("shop").find(|it| it.split.to_string() == "green=100");
    let was = was.unwrap().number;
    bench.abort().unwrap();
    bench.back_to(Some(was), ada()).unwrap();
    assert_eq!(
        (bench.split().as_str(), bench.runs("green").1.as_deref()),
        ("green=100", Some("v42"))
    );
    bench.assert_stored();
}

#[test]
fn who_forces_traffic_to_a_version_on_its_way_keeps_it() {
    let mut bench = Bench::of(FILE);
    bench.make_away(&[NEW]);
    bench.deploy(tagged(&[NEW], "v42")).unwrap();
    let to = TrafficOrder::Flip { pool: "green".into() };
    let by = By { force: true, ..ada() };
    bench.order(Order::Shift { service: "shop".into(), to }, by).unwrap();
    assert_eq!((bench.state(), bench.split().as_str()), ("superseded", "green=100"));
    assert_eq!(bench.runs("green"), of(&[NEW], Some("v42")));
}

#[test]
fn a_token_takes_out_only_what_is_in_its_networks() {
    let mut bench = Bench::of(FILE);
    let within = Some(["192.0.2.40/29".parse().unwrap()].into());
    let what = DeployOrder { within, ..to(&[NEW]) };
    let refused = bench.deploy(what.clone()).unwrap_err();
    let (pool, address) = ("green".to_string(), "192.0.2.3:80".to_string());
    assert_eq!(refused, Refused::OutOfReach { pool, address });
    let within = Some(["192.0.2.0/24".parse().unwrap()].into());
    bench.deploy(DeployOrder { within, ..what }).unwrap();
}

#[test]
fn a_deploy_goes_to_another_pool_and_only_if_that_is_what_was_expected() {
    let mut bench = Bench::of(&FILE.replace("blue-green", "rolling"));
    assert_eq!(bench.deploy(to(&[NEW])), Err(Refused::DeployRolls("shop".into())));
    let wishes = Wishes { strategy: Some(Strategy::BlueGreen), ..Wishes::default() };
    let what = DeployOrder { wishes, ..to(&[NEW]) };
    let by = By { expected: Some(7), ..ada() };
    assert!(matches!(bench.deploy_by(what.clone(), by), Err(Refused::LostRace(_))));
    bench.deploy_by(what, By { expected: Some(1), ..ada() }).unwrap();
    assert_eq!(bench.runs("green").0, [NEW]);
}

#[test]
fn a_disk_that_fails_at_any_write_leaves_a_deploy_whole_or_not_there() {
    let mut failed = 0;
    for at in 0..40 {
        let mut bench = Bench::of(FILE);
        let stored = bench.store.export().unwrap();
        bench.disk.fail_after(at, Failure::Once);
        match bench.deploy(tagged(&[NEW], "v42")) {
            Ok(_) => assert_eq!(bench.runs("green"), of(&[NEW], Some("v42"))),
            Err(_) => {
                failed += 1;
                assert_eq!(bench.store.export().unwrap(), stored, "at write {at}");
                assert_eq!(bench.runs("green"), of(&["192.0.2.3:80"], None));
                assert!(bench.orders.state().rollout("shop").is_none());
            }
        }
    }
    assert!(failed > 3, "{failed}");
}

#[test]
fn a_process_that_begins_in_the_middle_goes_on_with_it() {
    // Before its first request, and after.
    for seconds in [0, 2] {
        let mut bench = Bench::of(FILE);
        bench.make_away(if seconds == 0 { &[NEW] } else { &[] });
        bench.deploy(tagged(&[NEW], "v42")).unwrap();
        bench.ticks(seconds);
        let split = bench.split();
        bench.restart(FILE, 5);
        assert_eq!((bench.split(), bench.runs("green")), (split, of(&[NEW], Some("v42"))));
        let now = bench.now;
        bench.orders.resume_rollouts(now);
        bench.ticks(3);
        bench.ended(1, after_promote(), agreed());
        bench.ticks(12);
        assert_eq!((bench.state(), bench.split().as_str()), ("promoted", "green=100"), "{seconds}");
    }
}
