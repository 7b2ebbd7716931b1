use std::future::ready;

use hickory_resolver::proto::rr::RecordType;
use tokio::sync::mpsc;

use super::name_server::NameServer;
use super::*;
use crate::config::Texts;
use crate::files::InForce;
use crate::server::clock;

/// A config with these upstreams and this name server.
fn config(server: &NameServer, upstreams: &[&str]) -> Config {
    let upstreams: Vec<String> = upstreams.iter().map(|name| format!("\"{name}\"")).collect();
    let text = format!(
        "[server]\nresolvers = [\"{}\"]\n[[listeners]]\naddress = \":0\"\n\
         [services.a.pools.p]\nupstreams = [{}]\n",
        server.address,
        upstreams.join(", ")
    );
    Config::parse(&text).unwrap().0
}

/// A resolver at work, seen from whom it tells.
struct Running {
    in_force: watch::Sender<Arc<InForce>>,
    told: mpsc::UnboundedReceiver<Resolved>,
    known: Resolved,
}

impl Running {
    fn start(config: Config) -> Running {
        let (in_force, follows) = watch::channel(in_force(config));
        let (tell, told) = mpsc::unbounded_channel();
        let tell = move |known| {
            tell.send(known).unwrap();
            ready(())
        };
        tokio::spawn(Resolver::new(clock::system()).run(follows, tell, |_, _| {}));
        Running { in_force, told, known: Resolved::new() }
    }

    /// The next answer that is told of this name.
    async fn next(&mut self, name: &str) -> Vec<(String, u16)> {
        let before = answers(&self.known, name);
        loop {
            self.known = self.told.recv().await.expect("it goes on until the config ends");
            let now = answers(&self.known, name);
            if now != before {
                return now;
            }
        }
    }
}

fn in_force(config: Config) -> Arc<InForce> {
    let texts = Texts::of("", "");
    Arc::new(InForce { config: Arc::new(config), texts, changed: Changed::new(), asked: 0 })
}

fn answers(known: &Resolved, name: &str) -> Vec<(String, u16)> {
    let answers = known.get(&name.parse().unwrap()).cloned().unwrap_or_default();
    let text = |answer: &Resolution| match &answer.target {
        crate::upstream::DialAddress::Socket(socket) => (socket.to_string(), answer.weight),
        _ => unreachable!("names lead to sockets"),
    };
    answers.iter().map(text).collect()
}

fn sockets<const N: usize>(sockets: [&str; N]) -> Vec<(String, u16)> {
    sockets.map(|socket| (socket.to_string(), 100)).into()
}

#[tokio::test]
async fn a_name_that_does_not_resolve_leaves_the_others_alone() {
    let server = NameServer::start().await;
    let config = config(&server, &["localhost:81", "no-such-host.test:80", "192.0.2.1:80"]);
    let mut resolver = Resolver::new(clock::system());
    assert!(resolver.look_up(&config).await);
    let known: Vec<_> = resolver.known().keys().map(ToString::to_string).collect();
    assert_eq!(known, ["localhost:81"]);
    assert!(!resolver.look_up(&config).await, "nothing new to look up");
}

#[tokio::test]
async fn a_changed_answer_is_followed_once_its_ttl_is_over() {
    let server = NameServer::start().await;
    server.host("shop.test", 1, &["2001:db8::1", "192.0.2.2", "192.0.2.1"]);
    let mut running = Running::start(config(&server, &["shop.test:80"]));
    let first = sockets(["192.0.2.1:80", "192.0.2.2:80", "[2001:db8::1]:80"]);
    assert_eq!(running.next("shop.test:80").await, first);
    // Shuffled is the same; only what is different is told.
    server.host("shop.test", 1, &["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
    server.asked_again("shop.test", RecordType::A, 2).await;
    server.host("shop.test", 1, &["192.0.2.3"]);
    assert_eq!(running.next("shop.test:80").await, sockets(["192.0.2.3:80"]));
    assert!(running.told.try_recv().is_err());
}

#[tokio::test]
async fn addresses_of_no_host_are_refused() {
    let server = NameServer::start().await;
    let none = ["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1", "::ffff:0.0.0.0"];
    server.host("shop.test", 1, &[&none[..], &["192.0.2.1"]].concat());
    let mut running = Running::start(config(&server, &["shop.test:80"]));
    assert_eq!(running.next("shop.test:80").await, sockets(["192.0.2.1:80"]));
    server.host("shop.test", 1, &none);
    server.asked_again("shop.test", RecordType::A, 2).await;
    server.host("shop.test", 1, &["192.0.2.2"]);
    assert_eq!(
        running.next("shop.test:80").await,
        sockets(["192.0.2.2:80"]),
        "the last one stayed"
    );
    server.host("blocked.test", 1, &["0.0.0.0"]);
    let config = config(&server, &["blocked.test:80"]);
    let mut resolver = Resolver::new(clock::system());
    assert!(!resolver.look_up(&config).await);
    let why = format!("{:?}", resolver.news);
    assert!(why.contains("none of a host: 0.0.0.0"), "{why}");
}

#[tokio::test]
async fn a_name_does_not_lead_to_our_own_admin_api() {
    let server = NameServer::start().await;
    let here = ["127.0.0.1", "::ffff:127.0.0.1"];
    server.host("shop.test", 1, &[&here[..], &["192.0.2.1"]].concat());
    server.host("other.test", 1, &here);
    let config = config(&server, &["shop.test:9900", "other.test:9900", "other.test:9901"]);
    assert_eq!(config.admin.address.to_string(), "127.0.0.1:9900");
    let mut resolver = Resolver::new(clock::system());
    assert!(resolver.look_up(&config).await);
    assert_eq!(answers(resolver.known(), "shop.test:9900"), sockets(["192.0.2.1:9900"]));
    assert_eq!(answers(resolver.known(), "other.test:9900"), []);
    assert_ne!(answers(resolver.known(), "other.test:9901"), [], "another port is another matter");
    let why = format!("{:?}", resolver.news);
    assert!(why.contains("this Pointsman's own admin API at 127.0.0.1:9900"), "{why}");
    let found = look_up_new(&config, &Resolved::new(), Duration::from_secs(60)).await;
    assert_eq!(found, *resolver.known());
}

#[tokio::test]
async fn the_last_good_answer_stays_while_there_is_none() {
    let server = NameServer::start().await;
    server.host("shop.test", 1, &["192.0.2.1"]);
    let mut running = Running::start(config(&server, &["shop.test:80"]));
    assert_eq!(running.next("shop.test:80").await, sockets(["192.0.2.1:80"]));
    server.forget("shop.test");
    server.asked_again("shop.test", RecordType::A, 2).await;
    server.host("shop.test", 1, &[]);
    server.asked_again("shop.test", RecordType::A, 1).await;
    server.ignore("shop.test", RecordType::A);
    server.ignore("shop.test", RecordType::AAAA);
    server.asked_again("shop.test", RecordType::A, 1).await;
    server.host("shop.test", 1, &["192.0.2.2"]);
    // Had any of these taken the answer away, that would have been the next thing told.
    assert_eq!(running.next("shop.test:80").await, sockets(["192.0.2.2:80"]));
}

#[tokio::test]
async fn a_family_that_is_not_answered_for_stays_as_it_was() {
    let server = NameServer::start().await;
    server.host("shop.test", 1, &["192.0.2.1", "2001:db8::1"]);
    let mut running = Running::start(config(&server, &["shop.test:80"]));
    let both = sockets(["192.0.2.1:80", "[2001:db8::1]:80"]);
    assert_eq!(running.next("shop.test:80").await, both);
    server.host("shop.test", 1, &["192.0.2.2"]);
    server.ignore("shop.test", RecordType::AAAA);
    let both = sockets(["192.0.2.2:80", "[2001:db8::1]:80"]);
    assert_eq!(running.next("shop.test:80").await, both);
}

#[tokio::test]
async fn srv_records_bring_ports_weights_and_priorities() {
    let server = NameServer::start().await;
    let records = [
        (10, 60, 8001, "a.test"),
        (10, 0, 8002, "b.test"),
        (10, 30, 8003, "gone.test"),
        (20, 1, 8004, "backup.test"),
    ];
    server.service("_http._tcp.shop.test", 1, &records, &[("b.test", "192.0.2.2")]);
    server.host("a.test", 1, &["192.0.2.1"]);
    server.host("backup.test", 1, &["192.0.2.4", "2001:db8::4"]);
    let name = "srv:_http._tcp.shop.test";
    let mut running = Running::start(config(&server, &[name]));
    let expected = [("192.0.2.1:8001".to_string(), 60), ("192.0.2.2:8002".to_string(), 1)];
    assert_eq!(running.next(name).await, expected);
    // Once nothing of the first priority has an address, the second counts.
    server.forget("a.test");
    server.service("_http._tcp.shop.test", 1, &records, &[]);
    let expected = [("192.0.2.4:8004".to_string(), 1), ("[2001:db8::4]:8004".to_string(), 1)];
    assert_eq!(running.next(name).await, expected);
}

#[tokio::test]
async fn a_target_that_is_not_answered_for_stays_as_it_was() {
    let server = NameServer::start().await;
    let records = [(10, 5, 8001, "a.test"), (10, 5, 8002, "b.test"), (20, 5, 8003, "c.test")];
    server.service("_http._tcp.shop.test", 1, &records, &[]);
    server.host("a.test", 1, &["192.0.2.1"]);
    server.host("b.test", 1, &["192.0.2.2"]);
    server.host("c.test", 1, &["192.0.2.3"]);
    let address = "srv:_http._tcp.shop.test".parse().unwrap();
    let dns = Dns::of(&[server.address]);
    let first = dns.look_up(&address, &[]).await.unwrap();
    for kind in [RecordType::A, RecordType::AAAA] {
        server.ignore("b.test", kind);
    }
    server.host("a.test", 1, &["192.0.2.9"]);
    let known = |found: &Found| {
        let known = [(address.clone(), found.answers.clone())].into();
        answers(&known, "srv:_http._tcp.shop.test")
    };
    let second = dns.look_up(&address, &first.answers).await.unwrap();
    let expected = [("192.0.2.2:8002".to_string(), 5), ("192.0.2.9:8001".to_string(), 5)];
    assert_eq!(known(&second), expected);
    // Nor is it a reason to step down to the next priority.
    server.forget("a.test");
    assert!(dns.look_up(&address, &second.answers).await.is_err());
}

#[tokio::test]
async fn a_name_that_is_never_answered_for_delays_no_other() {
    let server = NameServer::start().await;
    server.host("quick.test", 1, &["192.0.2.1"]);
    for kind in [RecordType::A, RecordType::AAAA] {
        server.ignore("silent.test", kind);
    }
    let config = config(&server, &["silent.test:80", "quick.test:80"]);
    let mut resolver = Resolver::new(clock::system());
    resolver.follow(&config, &Changed::new());
    // Looked up twice while the other one is still under way for the first time.
    for _ in 0..2 {
        sleep_until(resolver.next_due().unwrap()).await;
        resolver.start_due();
        let done = resolver.under_way.join_next().await.unwrap();
        assert_eq!(done.as_ref().unwrap().0, "quick.test:80".parse().unwrap());
        resolver.note(done);
        assert_eq!(resolver.under_way.len(), 1);
    }
    assert_eq!(answers(resolver.known(), "quick.test:80"), sockets(["192.0.2.1:80"]));
}

#[tokio::test]
async fn a_reload_brings_other_names_and_other_name_servers() {
    let (old, new) = (NameServer::start().await, NameServer::start().await);
    old.host("shop.test", 300, &["192.0.2.1"]);
    new.host("shop.test", 300, &["192.0.2.2"]);
    new.host("more.test", 300, &["192.0.2.3"]);
    let mut running = Running::start(config(&old, &["shop.test:80"]));
    assert_eq!(running.next("shop.test:80").await, sockets(["192.0.2.1:80"]));
    let reloaded = config(&new, &["shop.test:80", "more.test:80"]);
    // As the controller does: what it knows already is not asked for.
    let patience = Duration::from_secs(60);
    let found = look_up_new(&reloaded, &running.known, patience).await;
    assert_eq!(found.len(), 1);
    assert_eq!(answers(&found, "more.test:80"), sockets(["192.0.2.3:80"]));
    running.in_force.send_replace(in_force(reloaded));
    assert_eq!(running.next("shop.test:80").await, sockets(["192.0.2.2:80"]));
}
