//! Where connections come in: addresses in, one task for each connection out.
//!
//! Each address has an accept loop of its own, so that listeners can come and go while others
//! run, port 0 can be asked what it became, connections are counted and bounded, and a panic
//! costs one connection. Connections outlive their listener: taking an address away stops
//! accepting on it and nothing else, and whoever had connected before is served.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::fd_store::FdStore;
use super::inherit::Inherited;
use super::socket::{Bound, Waiting};
use crate::certificate::Certificates;
use crate::config::{ListenAddress, Listener, ListenerTls};
use crate::control::{BindError, Listening};
use crate::observe::ListenerTally;
use crate::outgoing::dial::is_exhaustion;
use crate::wire::clients::{Arrival, Common, Serve, SharedTerms, Terms};
use crate::wire::socket::Socket;

/// How long to wait when the process lacks descriptors or memory: giving some back takes a moment,
/// and asking again at once would only spin.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// How long connections that are being opened when a listener stops may take: a round trip to most
/// clients.
const LAST_TO_COME: Duration = Duration::from_millis(100);

/// All listeners of the process.
pub struct Listeners<S> {
    serve: Arc<S>,
    runtime: Handle,
    inherited: Arc<Inherited>,
    fd_store: Arc<FdStore>,
    common: Common,
    /// What connections to the admin address get.
    admin: SharedTerms,
    open: Arc<AtomicUsize>,
    running: BTreeMap<ListenAddress, Running<S>>,
}

struct Running<S> {
    address: ListenAddress,
    door: Door<S>,
    task: JoinHandle<()>,
}

/// What it takes to let connections in at one address.
struct Door<S> {
    bound: Arc<Bound>,
    /// As it was asked for.
    listener: Arc<Listener>,
    serve: Arc<S>,
    terms: SharedTerms,
    tally: Arc<ListenerTally>,
    open: Arc<AtomicUsize>,
}

/// Sockets bound for a change that is not made yet.
#[derive(Debug)]
pub struct Prepared {
    /// Each with what its connections get.
    wanted: Vec<(Listener, Arc<Terms>)>,
    /// Those of the admin address.
    admin: Arc<Terms>,
    fresh: Vec<(Listener, Fresh)>,
}

/// A socket that is new.
#[derive(Debug)]
enum Fresh {
    /// It listens already.
    Bound(Bound),
    /// It listens when those give way that take its connections.
    Waiting(Waiting),
}

impl<S: Serve> Listeners<S> {
    /// None yet; connections will be served on `runtime`, with what is common to all. What was inherited is
    /// not bound again, and what listens is told to who keeps it over a crash.
    pub fn new(
        serve: Arc<S>,
        runtime: Handle,
        (inherited, fd_store): (Arc<Inherited>, Arc<FdStore>),
        common: Common,
    ) -> Listeners<S> {
        let (admin, open, running) = (SharedTerms::default(), Arc::default(), BTreeMap::new());
        Listeners { serve, runtime, inherited, fd_store, common, admin, open, running }
    }

    fn accept(&mut self, address: ListenAddress, door: Door<S>) {
        let task = self.runtime.spawn(door.clone().accept());
        let asked = door.listener.address.clone();
        self.running.insert(asked, Running { address, door, task });
    }

    /// A new socket that listens.
    fn listen(&self, (listener, fresh): (Listener, Fresh)) -> Option<(Listener, Bound)> {
        let _runtime = self.runtime.enter();
        let listening = match fresh {
            Fresh::Bound(bound) => Ok(bound),
            Fresh::Waiting(waiting) => waiting.listen(),
        };
        match listening {
            Ok(bound) => Some((listener, bound)),
            Err(error) => {
                let address = &listener.address;
                tracing::error!(%address, %error, "cannot listen there though it could be bound");
                None
            }
        }
    }

    /// The addresses in use, port 0 replaced.
    pub fn addresses(&self) -> Vec<ListenAddress> {
        self.running.values().map(|running| running.address.clone()).collect()
    }

    /// What connections to the admin address get, as of the last change.
    pub fn admin(&self) -> SharedTerms {
        self.admin.clone()
    }

    /// Connections open now, on all listeners and on those that are gone.
    pub fn open(&self) -> Arc<AtomicUsize> {
        self.open.clone()
    }
}

impl<S: Serve> Listening for Listeners<S> {
    type Prepared = Prepared;

    fn prepare(
        &self,
        wanted: &[Listener],
        (admin_address, admin): (&ListenAddress, Option<&ListenerTls>),
        certificates: &Certificates,
    ) -> Result<Prepared, BindError> {
        let admin = Terms::of_admin(admin, certificates, &self.common).map_err(|error| {
            BindError { address: admin_address.clone(), error: io::Error::other(error) }
        })?;
        let orders =
            |listener: &Listener| listener.tls.as_ref().is_some_and(|tls| tls.acme.is_some());
        let is_looked_at = wanted.iter().any(orders);
        let ready = |listener: &Listener| {
            let failed = |error| {
                let (address, error) = (listener.address.clone(), io::Error::other(error));
                BindError { address, error }
            };
            let terms = Terms::of(listener, certificates, &self.common, is_looked_at);
            let terms = terms.map_err(failed)?;
            Ok((listener.clone(), Arc::new(terms)))
        };
        let ready = wanted.iter().map(ready).collect::<Result<Vec<_>, BindError>>()?;
        let _runtime = self.runtime.enter();
        let is_bound = |listener: &&Listener| self.running.contains_key(&listener.address);
        let missing = wanted.iter().filter(|listener| !is_bound(listener));
        let bind = |listener: &Listener| {
            let address = &listener.address;
            if let Some(bound) = self.inherited.take(address) {
                return Ok((listener.clone(), Fresh::Bound(bound?)));
            }
            let is_wanted =
                |asked: &ListenAddress| wanted.iter().any(|other| other.address == *asked);
            let gives_way = |(asked, running): &(&ListenAddress, &Running<S>)| {
                running.address.meets(address) && !is_wanted(asked)
            };
            let others = self.running.iter().filter(gives_way);
            let others: Vec<_> = others.map(|(_, running)| running.door.bound.clone()).collect();
            let fresh = match others.is_empty() {
                true => Fresh::Bound(Bound::to(address)?),
                false => Fresh::Waiting(Waiting::beside(address, others)?),
            };
            Ok((listener.clone(), fresh))
        };
        let fresh = missing.map(bind).collect::<Result<_, BindError>>()?;
        Ok(Prepared { wanted: ready, admin: Arc::new(admin), fresh })
    }

    /// A listener that is the same is not touched; one that has other settings goes on with its
    /// socket, so that nobody is refused.
    fn commit(&mut self, prepared: Prepared) {
        let Prepared { wanted, admin, fresh } = prepared;
        self.admin.store(admin);
        // Before those are closed that give way: at no moment is nobody there.
        let fresh: Vec<_> = fresh.into_iter().filter_map(|fresh| self.listen(fresh)).collect();
        let of = |asked: &ListenAddress| wanted.iter().find(|(other, _)| other.address == *asked);
        let same = |asked: &ListenAddress| of(asked).map(|(listener, _)| listener);
        // Certificates may be others where nothing else has changed.
        for (asked, running) in &self.running {
            if let Some((_, terms)) = of(asked) {
                running.door.terms.store(terms.clone());
            }
        }
        let (stay, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.running).into_iter().partition(|(asked, running)| {
                same(asked).is_some_and(|wanted| *wanted == *running.door.listener)
            });
        self.running = stay;
        for (asked, running) in gone {
            running.task.abort();
            match same(&asked) {
                Some(wanted) => {
                    let listener = Arc::new(wanted.clone());
                    self.accept(running.address, Door { listener, ..running.door });
                }
                None => {
                    let _runtime = self.runtime.enter();
                    running.door.bound.refuse_new();
                    running.door.accept_waiting();
                }
            }
        }
        for (listener, bound) in fresh {
            let address = bound.address(&listener.address);
            let tally = Arc::new(ListenerTally::new(address.to_string()));
            tracing::info!(%address, "listening");
            let (bound, serve, open) = (Arc::new(bound), self.serve.clone(), self.open.clone());
            let terms = of(&listener.address).map(|(_, terms)| terms.clone()).unwrap_or_default();
            let (listener, terms) = (Arc::new(listener), Arc::new(ArcSwap::new(terms)));
            self.accept(address, Door { bound, listener, serve, terms, tally, open });
        }
        self.fd_store.keep(self.running.values().map(|running| &running.door.bound));
    }

    fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        let ours = self.running.values().map(|running| &running.door.bound);
        ours.filter(|bound| !bound.is_held()).map(|bound| bound.descriptor()).collect()
    }

    fn hand_on(&self) {
        self.running.values().for_each(|running| running.door.bound.hand_on());
    }

    async fn stop(&mut self) {
        // Who goes on with them keeps them himself.
        if self.running.values().any(|running| !running.door.bound.is_held()) {
            self.fd_store.keep(std::iter::empty());
        }
        let mut closing = JoinSet::new();
        for running in std::mem::take(&mut self.running).into_values() {
            closing.spawn_on(running.close(), &self.runtime);
        }
        closing.join_all().await;
    }

    fn tallies(&self) -> Vec<Arc<ListenerTally>> {
        self.running.values().map(|running| running.door.tally.clone()).collect()
    }
}

impl<S: Serve> Running<S> {
    /// Accepts those who have connected, and closes. Where somebody else goes on, those are his.
    async fn close(self) {
        self.task.abort();
        if !self.door.bound.is_held() {
            self.door.bound.refuse_new();
            // It goes on until the time is over.
            let _ = timeout(LAST_TO_COME, self.door.clone().accept()).await;
            self.door.accept_waiting();
        }
        // It shares the socket, which is to be closed when this is over.
        let _ = self.task.await;
    }
}

impl<S> Clone for Door<S> {
    fn clone(&self) -> Door<S> {
        Door {
            bound: self.bound.clone(),
            listener: self.listener.clone(),
            serve: self.serve.clone(),
            terms: self.terms.clone(),
            tally: self.tally.clone(),
            open: self.open.clone(),
        }
    }
}

impl<S: Serve> Door<S> {
    /// Lets in whoever comes, for ever.
    async fn accept(self) {
        loop {
            match self.bound.accept().await {
                Ok(accepted) => self.let_in(accepted),
                Err(error) => {
                    self.tally.refused.fetch_add(1, Ordering::Relaxed);
                    // What is lacking every other connection needs too; anything else concerns this one.
                    if is_exhaustion(&error) {
                        self.tally.lacked.fetch_add(1, Ordering::Relaxed);
                        sleep(PAUSE).await;
                    }
                }
            }
        }
    }

    /// Lets in those who stand at the door. Must run within a runtime.
    fn accept_waiting(&self) {
        loop {
            match self.bound.accept_now() {
                Ok(Some(accepted)) => self.let_in(accepted),
                Ok(None) => return,
                Err(error) => {
                    self.tally.refused.fetch_add(1, Ordering::Relaxed);
                    if is_exhaustion(&error) {
                        return;
                    }
                }
            }
        }
    }

    fn let_in(&self, (socket, source): (Socket, Option<SocketAddr>)) {
        let counted = Counted::take(&self.open, &self.tally);
        if self.open.load(Ordering::Relaxed) > self.serve.most_connections() {
            self.tally.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.tally.accepted.fetch_add(1, Ordering::Relaxed);
        let (serve, listener) = (self.serve.clone(), self.listener.clone());
        let (terms, handshakes) = (self.terms.load_full(), self.tally.handshakes.clone());
        tokio::spawn(async move {
            let _counted = counted;
            serve.serve(Arrival { socket, source, listener, terms, handshakes }).await;
        });
    }
}

/// One open connection; given back on drop, also by a panic.
struct Counted {
    open: Arc<AtomicUsize>,
    tally: Arc<ListenerTally>,
}

impl Counted {
    fn take(open: &Arc<AtomicUsize>, tally: &Arc<ListenerTally>) -> Counted {
        open.fetch_add(1, Ordering::Relaxed);
        tally.open.fetch_add(1, Ordering::Relaxed);
        Counted { open: open.clone(), tally: tally.clone() }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.tally.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    /// Panics for a client that says `!`, greets any other.
    struct Fragile;

    impl Serve for Fragile {
        async fn serve(self: Arc<Self>, arrival: Arrival) {
            let Socket::Tcp(mut tcp) = arrival.socket else {
                unreachable!("only TCP is bound here")
            };
            assert_ne!(tcp.read_u8().await.unwrap(), b'!', "as a bug would");
            tcp.write_all(b"hello").await.unwrap();
        }

        fn most_connections(&self) -> usize {
            2
        }
    }

    async fn say(address: &ListenAddress, byte: u8) -> Vec<u8> {
        let ListenAddress::Tcp(socket) = address else { unreachable!("only TCP is bound here") };
        let mut tcp = TcpStream::connect(socket).await.unwrap();
        let mut answer = Vec::new();
        // A refused connection may be gone before the byte is written.
        let _ = tcp.write_all(&[byte]).await;
        let _ = tcp.read_to_end(&mut answer).await;
        answer
    }

    static ADMIN: ListenAddress =
        ListenAddress::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));

    fn admin() -> (&'static ListenAddress, Option<&'static ListenerTls>) {
        (&ADMIN, None)
    }

    fn listeners() -> Listeners<Fragile> {
        let mut listeners =
            Listeners::new(Arc::new(Fragile), Handle::current(), <_>::default(), Common::default());
        let any_port = ListenAddress::Tcp(([127, 0, 0, 1], 0).into());
        let prepared =
            listeners.prepare(&[any_port.into()], admin(), &Certificates::default()).unwrap();
        listeners.commit(prepared);
        listeners
    }

    #[tokio::test]
    async fn a_panic_costs_one_connection_and_not_the_process() {
        let listeners = listeners();
        let address = &listeners.addresses()[0];
        assert_eq!(say(address, b'!').await, b"");
        assert_eq!(say(address, b'?').await, b"hello");
        let open = listeners.open();
        while open.load(Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(listeners.tallies()[0].accepted.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_are_closed_at_once() {
        let listeners = listeners();
        let ListenAddress::Tcp(socket) = listeners.addresses()[0] else { unreachable!() };
        let _one = TcpStream::connect(socket).await.unwrap();
        let _two = TcpStream::connect(socket).await.unwrap();
        assert_eq!(say(&listeners.addresses()[0], b'?').await, b"");
        assert_eq!(listeners.tallies()[0].refused.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn an_address_in_use_changes_nothing() {
        let listeners = listeners();
        let taken = listeners.addresses()[0].clone();
        let free = ListenAddress::Tcp(([127, 0, 0, 1], 0).into());
        let error = listeners
            .prepare(&[free.into(), taken.clone().into()], admin(), &Certificates::default())
            .unwrap_err();
        assert_eq!(error.address, taken);
        assert_eq!(say(&taken, b'?').await, b"hello");
    }

    #[tokio::test]
    async fn a_listener_moves_between_addresses_that_take_the_same_connections() {
        let mut listeners = listeners();
        let ListenAddress::Tcp(first) = listeners.addresses()[0] else { unreachable!() };
        let port = first.port();
        let address = |ip: &str| format!("{ip}:{port}").parse::<ListenAddress>().unwrap();
        let mut kept = TcpStream::connect(first).await.unwrap();
        let has_v6 = std::net::TcpListener::bind("[::1]:0").is_ok();
        let all = ["0.0.0.0", "127.0.0.1", "[::]", "0.0.0.0", "[::]", "127.0.0.1"];
        for ip in all.into_iter().filter(|ip| has_v6 || !ip.starts_with('[')) {
            // A change that is not made leaves nothing behind.
            drop(
                listeners
                    .prepare(&[address(ip).into()], admin(), &Certificates::default())
                    .unwrap(),
            );
            let prepared = listeners
                .prepare(&[address(ip).into()], admin(), &Certificates::default())
                .unwrap();
            listeners.commit(prepared);
            assert_eq!(listeners.addresses(), [address(ip)]);
            assert_eq!(say(&address("127.0.0.1"), b'?').await, b"hello", "{ip}");
            // Nobody else gets in beside it.
            let other = Bound::to(&address("127.0.0.1")).unwrap_err();
            assert_eq!(other.error.kind(), io::ErrorKind::AddrInUse, "{ip}");
        }
        kept.write_all(b"?").await.unwrap();
        let mut answer = Vec::new();
        kept.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"hello", "who has connected stays");
        // One that stays does not give way.
        let both = [address("127.0.0.1").into(), address("0.0.0.0").into()];
        assert_eq!(
            listeners.prepare(&both, admin(), &Certificates::default()).unwrap_err().address,
            address("0.0.0.0")
        );
    }
}
