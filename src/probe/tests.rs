use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use ::http::uri::PathAndQuery;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::Config;
use crate::snapshot::{Blueprint, RunTime};
use crate::split::Secret;
use crate::upstream::{Health, HttpProbe, Proof, Upstream};

/// How long anything may take before a test gives up. Never a measure of speed.
const PATIENCE: Duration = Duration::from_secs(20);

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// An origin that does this with each connection, and how many there were.
async fn origin<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, Arc<AtomicU64>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::<AtomicU64>::default());
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(serve(stream));
        }
    });
    (address, count)
}

async fn answer(mut stream: TcpStream, reply: &[u8]) {
    let _ = stream.read(&mut [0; 4096]).await;
    let _ = stream.write_all(reply).await;
}

/// Sends a good answer that never ends, byte by byte.
async fn drip(mut stream: TcpStream) {
    let mut bytes = b"HTTP/1.1 200 OK\r\nx-a: ".iter().chain(std::iter::repeat(&b'a'));
    while let Some(byte) = bytes.next()
        && stream.write_all(&[*byte]).await.is_ok()
    {
        sleep(Duration::from_millis(1)).await;
    }
}

/// HTTP probes without end, a hundred a second.
fn health() -> Health {
    let probe = HttpProbe::get(PathAndQuery::from_static("/"));
    Health {
        interval: Duration::from_millis(10),
        timeout: PATIENCE,
        ..Health::new(Probe::Http(probe))
    }
}

/// A service of these pools, each with these upstreams.
fn snapshot(
    pools: &[&[SocketAddr]],
    health: Option<Health>,
    before: Option<&Snapshot>,
) -> Snapshot {
    let mut text =
        "[[listeners]]\naddress = \":0\"\n[services.shop]\nsplit = { p0 = 100 }\n".to_string();
    for (place, addresses) in pools.iter().enumerate() {
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        text += &format!("[services.shop.pools.p{place}]\nupstreams = {addresses:?}\n");
    }
    let mut config = Config::parse(&text).unwrap().0;
    Arc::make_mut(&mut config.services[0].stability).health = health.map(Arc::new);
    let blueprint = Blueprint {
        config: Arc::new(config),
        run_time: &RunTime::default(),
        secret: Secret([1; 16]),
        now: Instant::now(),
    };
    Snapshot::build(&blueprint, before)
}

fn upstreams(snapshot: &Snapshot) -> Vec<Arc<Upstream>> {
    let members = snapshot.services[0].pools.iter().flat_map(|pool| pool.members.list());
    members.map(|member| member.upstream.clone()).collect()
}

/// The upstreams of a snapshot whose prober runs as long as the test.
fn probing(snapshot: Snapshot) -> Vec<Arc<Upstream>> {
    let upstreams = upstreams(&snapshot);
    let published = Arc::new(Published::of(Arc::new(snapshot)));
    tokio::spawn(run(published, crate::server::clock::system(), Arc::default()));
    upstreams
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain until {what}");
}

fn last_failure(upstream: &Upstream) -> String {
    upstream.probes.read().last_failure.unwrap().to_string()
}

#[tokio::test]
async fn an_upstream_goes_up_and_down_with_its_answers() {
    static IS_WELL: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(true);
    let (address, _) = origin(async |stream| match IS_WELL.load(Ordering::Relaxed) {
        true => answer(stream, OK).await,
        false => answer(stream, b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").await,
    })
    .await;
    let upstream = &probing(snapshot(&[&[address]], Some(health()), None))[0];
    assert_eq!(upstream.proof(), Proof::Unproven);
    until("it is up", || upstream.proof() == Proof::Up).await;
    IS_WELL.store(false, Ordering::Relaxed);
    until("it is down", || upstream.proof() == Proof::Down).await;
    assert_eq!(last_failure(upstream), "status 503");
    IS_WELL.store(true, Ordering::Relaxed);
    until("it is up again", || upstream.proof() == Proof::Up).await;
}

#[tokio::test]
async fn pools_that_share_an_address_share_its_probes() {
    let (address, count) = origin(|stream| answer(stream, OK)).await;
    let pool = [address];
    let upstreams = probing(snapshot(&[&pool, &pool, &pool], Some(health()), None));
    let successes = |upstream: &Arc<Upstream>| upstream.probes.read().successes;
    until("there are results", || successes(&upstreams[0]) >= 5).await;
    assert!(upstreams.iter().all(|upstream| upstream.proof() == Proof::Up));
    // One more may be under way.
    let (least, connections) = (successes(&upstreams[2]), count.load(Ordering::Relaxed));
    assert!((least..=least + 1).contains(&connections), "{connections} for {least} results");
}

#[tokio::test]
async fn an_answer_that_drips_is_late_as_a_whole() {
    let (address, _) = origin(drip).await;
    let health = Health { timeout: Duration::from_millis(50), ..health() };
    let upstream = &probing(snapshot(&[&[address]], Some(health), None))[0];
    until("it is down", || upstream.proof() == Proof::Down).await;
    assert_eq!(last_failure(upstream), "no complete answer within 50ms");
}

#[tokio::test]
async fn upstreams_that_drip_delay_nobody() {
    let mut addresses = Vec::new();
    for _ in 0..40 {
        addresses.push(origin(drip).await.0);
    }
    for _ in 0..80 {
        addresses.push(origin(|stream| answer(stream, OK)).await.0);
    }
    // Far longer than the test: what drips holds its place to the end.
    let health = Health { timeout: PATIENCE * 100, ..health() };
    let upstreams = probing(snapshot(&[&addresses], Some(health), None));
    let (dripping, well) = upstreams.split_at(40);
    until("the others have results", || {
        well.iter().all(|upstream| upstream.probes.read().successes >= 3)
    })
    .await;
    assert!(dripping.iter().all(|upstream| upstream.proof() == Proof::Unproven));
}

#[tokio::test]
async fn an_agent_is_heard_where_the_service_says_so() {
    let reply = b"HTTP/1.1 200 OK\r\nx-pointsman-weight: 30\r\nx-pointsman-drain: 1\r\n\r\n";
    let (address, _) = origin(|stream| answer(stream, reply)).await;
    for (agent, expected) in [(false, (None, false)), (true, (Some(30), true))] {
        let health = Health { agent, ..health() };
        let upstream = &probing(snapshot(&[&[address]], Some(health), None))[0];
        until("it is up", || upstream.proof() == Proof::Up).await;
        assert_eq!(upstream.advice(), expected);
    }
}

#[tokio::test]
async fn a_tcp_probe_needs_a_listener_only() {
    let (address, _) = origin(async |stream| drop(stream)).await;
    // Bound and not listening: nobody else can come to answer there.
    let deaf = tokio::net::TcpSocket::new_v4().unwrap();
    deaf.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let gone = deaf.local_addr().unwrap();
    let health = Health { probe: Probe::Tcp, ..health() };
    let upstreams = probing(snapshot(&[&[address, gone]], Some(health), None));
    until("one is up and one down", || {
        [Proof::Up, Proof::Down] == [upstreams[0].proof(), upstreams[1].proof()]
    })
    .await;
    assert_eq!(last_failure(&upstreams[1]), "connection refused");
}

/// A prober that has seen these snapshots and sends nothing.
fn follower() -> Prober {
    let first = snapshot(&[&[address(9)]], None, None);
    let clock = crate::server::clock::system();
    Prober::new(Arc::new(Published::of(Arc::new(first))), clock, Dialer::default())
}

fn address(last: u8) -> SocketAddr {
    ([192, 0, 2, last], 80).into()
}

#[tokio::test]
async fn a_new_snapshot_adds_forgets_and_keeps() {
    let (mut prober, now) = (follower(), Instant::now());
    let before = snapshot(&[&[address(1), address(2)]], Some(health()), None);
    prober.follow(&before, now);
    let ids = |prober: &Prober| {
        let ids = prober.addresses.iter().map(|(id, probed)| (probed.subject.target.clone(), *id));
        ids.collect::<HashMap<_, _>>()
    };
    let first = ids(&prober);
    let after = snapshot(&[&[address(2), address(3)]], Some(health()), Some(&before));
    prober.follow(&after, now);
    let second = ids(&prober);
    let target = |last| crate::upstream::DialAddress::Socket(address(last));
    assert_eq!((first.len(), second.len()), (2, 2));
    assert_eq!((second.get(&target(1)), second[&target(2)]), (None, first[&target(2)]));
    assert!(second[&target(3)] > 1);
}

#[tokio::test]
async fn what_is_proved_outlives_new_settings_and_is_shared_with_newcomers() {
    let (mut prober, now) = (follower(), Instant::now());
    let before = snapshot(&[&[address(1)]], Some(health()), None);
    prober.follow(&before, now);
    upstreams(&before)[0].set_proof(Proof::Down, before.moment(now));
    let health = Health { rise: 5, ..health() };
    let after = snapshot(&[&[address(1)], &[address(1)]], Some(health), Some(&before));
    prober.follow(&after, now);
    let proofs: Vec<_> = upstreams(&after).iter().map(|upstream| upstream.proof()).collect();
    assert_eq!(proofs, [Proof::Down, Proof::Down]);
}

#[tokio::test]
async fn without_probes_no_proof_is_needed() {
    let (mut prober, now) = (follower(), Instant::now());
    let before = snapshot(&[&[address(1)]], Some(health()), None);
    prober.follow(&before, now);
    let upstream = &upstreams(&before)[0];
    upstream.set_proof(Proof::Down, before.moment(now));
    upstream.set_advice(Some(0), true);
    prober.follow(&snapshot(&[&[address(1)]], None, Some(&before)), now);
    assert_eq!((upstream.proof(), upstream.advice()), (Proof::Up, (None, false)));
    assert!(prober.addresses.is_empty());
}
