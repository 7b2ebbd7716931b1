//! The start: what a process is to be in, all its parts running out, or why there are none.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::time::timeout;

use super::background::{keep_history, reload_on_change, resolve};
use super::certificates::watch_certificates;
use super::descriptors::Shares;
use super::fd_store::FdStore;
use super::inherit::Inherited;
use super::kept::{open_page, open_store, store_edits};
use super::leaving::{AdminDoor, upgrade_on_wish};
use super::listen::Listeners;
use super::memory::watch_memory;
use super::parts::{Parts, Workers, ended, on_duty, start_beside};
use super::shortage::watch_shortage;
use super::socket::Bound;
use super::tickets::{Keeper, speaks_tls};
use super::upgrade::{Binary, Predecessor, Upgrade};
use super::{Options, STORE, Server, admin_port, clock, descriptors, state_dir, supervisor};
use crate::access_log::Entries;
use crate::acme_client::AcmeClient;
use crate::admin::{self, Admin, Live};
use crate::config::{AdminPlace, Config, ListenAddress};
use crate::control::{self, BindError, Commits, Controller, Listening, NotUpgraded, Wiring};
use crate::event::{Event, Kind, Subject};
use crate::events::{Events, tell_states};
use crate::files::{FileError, Files, InForce, Loaded};
use crate::notify::{Caller, Notifier};
use crate::observe::{Lag, ListenerTally, Process, Writer, sample_lag};
use crate::orders::{Now, Orders};
use crate::otlp::Exporter;
use crate::outgoing::tls::make_ready;
use crate::probe;
use crate::record::{Refusals, Rings};
use crate::resolve::Resolver;
use crate::snapshot::Published;
use crate::store::StoreError;
use crate::traces::Waiting;
use crate::wire::clients::{Clients, Common};
use crate::wire::holds::call_at_ends;
use crate::wire::lane::{Lane, Means};
use crate::wire::mirror::{self, send_copies};
use crate::wire::readers::Readers;
use crate::wire::tls::tickets::TicketKeys;

/// How long a start waits for names: those that take longer come in when they come.
const FIRST_LOOK_UP: Duration = Duration::from_secs(1);

/// Connections to upstreams that are worth keeping, for each thread that moves requests.
const KEPT: usize = 512;

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The config cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// An address cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Other machines could give orders.
    #[error(
        "other machines can reach the admin address {0}: give it a `token_file` in the config's \
         [admin], or use 127.0.0.1 or a unix socket"
    )]
    Open(ListenAddress),
    /// What was remembered cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process that was to be taken over from has ended before it could be.
    #[error("the process that was to give its place has ended before it did")]
    Left,
    /// The system refuses threads, memory or random numbers.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

impl Server {
    /// Starts everything; once this returns, requests are served.
    pub async fn start(options: Options) -> Result<Server, StartError> {
        Server::start_with(options, Arc::default(), None).await
    }

    /// As [`Server::start`], with sockets that were there before.
    pub async fn start_on(
        options: Options,
        inherited: Arc<Inherited>,
    ) -> Result<Server, StartError> {
        Server::start_with(options, inherited, None).await
    }

    /// As [`Server::start_on`], with changes stored by this, if it is given. A process that is to be taken
    /// over from is told if that fails.
    pub(super) async fn start_with(
        options: Options,
        inherited: Arc<Inherited>,
        commits: Option<Commits>,
    ) -> Result<Server, StartError> {
        let mut predecessor = inherited.take_way().map(Predecessor::over).transpose()?;
        let started = Server::start_after(options, inherited, commits, &mut predecessor).await;
        if let (Err(error), Some(predecessor)) = (&started, &mut predecessor) {
            let why = match error {
                StartError::File(error) => error.in_one_line(),
                error => error.to_string(),
            };
            predecessor.refuse(&why).await;
        }
        started
    }

    async fn start_after(
        options: Options,
        inherited: Arc<Inherited>,
        commits: Option<Commits>,
        predecessor: &mut Option<Predecessor>,
    ) -> Result<Server, StartError> {
        // Before anybody can take us for ready and put another program in its place.
        let binary = Binary::of_process();
        let binary = binary.map_err(|error| NotUpgraded::NotStarted(error.to_string()));
        let clock = clock::system();
        let files = Arc::new(Files::of(options.source, clock));
        if let Some(instead) = &options.admin {
            files.set_admin(AdminPlace::Instead(instead.clone()));
        }
        let Loaded { mut config, texts } = files.load().await?;
        let folder = state_dir(files.source(), &config);
        // The one before has it for now, if there is one.
        let store = match predecessor {
            None => Some(open_store(folder.as_deref())?),
            Some(_) => None,
        };
        let admin_address = config.admin.address.clone();
        if config.admin.tokens.is_none() && !admin_address.is_local() {
            return Err(StartError::Open(admin_address));
        }
        let admin_bound = match inherited.take(&admin_address) {
            Some(inherited) => inherited?,
            None => Bound::to_private(&admin_address, config.admin.group.as_deref())?,
        };
        let admin_address = admin_bound.address(&admin_address);
        // Port 0 is another one by now, and no upstream either.
        Arc::make_mut(&mut config).admin.address = admin_address.clone();
        files.set_admin(match &options.admin {
            Some(_) => AdminPlace::Instead(admin_address.clone()),
            None => AdminPlace::Now(admin_address.clone()),
        });
        let changed = Default::default();
        let in_force = Arc::new(InForce { config: config.clone(), texts, changed, asked: 0 });
        let (control, commands) = control::channel();

        let mut resolver = Resolver::new(clock);
        if timeout(FIRST_LOOK_UP, resolver.look_up(&config)).await.is_err() {
            tracing::warn!("some names have not resolved yet; their upstreams join when they do");
        }
        let mut yours = None;
        if let Some(predecessor) = predecessor {
            inherited.secure(&config.listeners)?;
            yours = Some(predecessor.prepared().await.ok_or(StartError::Left)?);
        }
        let store = match store {
            Some(store) => store,
            None => open_store(folder.as_deref())?,
        };
        let store = Arc::new(store);
        store.secret(|| clock::secret().map(|secret| secret.0))?;
        let now = clock.unix_seconds();
        let stored = store.events()?;
        let moment = Now { instant: clock.now(), wall: clock.wall_time() };
        let (mut orders, edits) =
            Orders::open(store.recall()?, config.clone(), resolver.known().clone(), moment);
        // A start that finds everything as it was has nothing to write. What another process may have to go
        // on from stays as it is; but that something can be written is found before that one has gone.
        let mut unstored = None;
        match predecessor {
            None if edits.is_empty() => {}
            None => unstored = store_edits(&store, &edits)?,
            Some(_) => store.commit(&[], &[])?,
        }
        let first = orders.build(None, moment);
        let (page, noted) = open_page(folder.as_deref())?;
        orders.heed(&noted, &first, moment);
        if let Some(yours) = &yours {
            first.take_over(&yours.carried, first.moment(clock.now()));
            first.count(&yours.counted);
        }
        make_ready(&first);
        let published = Arc::new(Published::of(Arc::new(first)));

        let process = Arc::new(Process::default());
        folder.iter().for_each(|folder| process.set_state_dir(folder.clone()));
        process.update(|gauges| {
            gauges.started = now;
            gauges.last_reload_successful = true;
            gauges.is_store_writable = true;
            gauges.last_reload_success = now;
        });

        let threads = workers(&config);
        let given = descriptors::given();
        let shares = Shares::of(descriptors::raise(), threads * KEPT);
        process.set_client_room(shares.clients);
        let workers = Workers::start(threads)?;
        let lag = Arc::new(Lag::new(clock.now()));
        workers.handle.spawn(sample_lag(lag.clone(), clock));
        process.set_lag(lag);
        process.set_workers(workers.handle.clone());
        let (mirrors, copies) = mirror::channel();
        let last = Arc::new(Rings::new(config.server.remember, threads));
        let refusals = Arc::new(Refusals::default());
        process.set_requests(last.clone(), refusals.clone());
        let access = Arc::new(Entries::new(threads));
        process.set_access_log(access.clone());
        let access_log = Writer::start(access.clone(), published.clone(), clock)?;
        let traces = Arc::new(Waiting::new(threads));
        process.set_traces(traces.clone());
        let readers = Readers::new(last.clone(), refusals, access, traces.clone(), clock);
        let readers = Arc::new(readers);
        let means = Means { workers: threads, kept: shares.kept };
        let lane = Lane::new(published.clone(), readers, clock, means, mirrors);
        let tickets = Arc::new(TicketKeys::default());
        let mut keeper = Keeper::new(folder.as_deref(), tickets.clone(), clock);
        if speaks_tls(&config) {
            keeper.turn();
        }
        let common = Common { tickets: tickets.clone(), ..Common::default() };
        let acme_client = AcmeClient::new(folder.clone(), common.clone(), clock);
        acme_client.recall(&config);
        process.set_ordered(common.ordered.clone());
        let clients = Arc::new(Clients::new(published.clone(), lane, clock, shares.clients));
        let workers_of = workers.handle.clone();
        let fd_store = Arc::<FdStore>::default();
        let mut listeners = Listeners::new(
            clients.clone(),
            workers_of,
            (inherited.clone(), fd_store.clone()),
            common.clone(),
        );
        let admin = (&config.admin.address, config.admin.tls.as_ref());
        let prepared = listeners.prepare(&config.listeners, admin, &config.certificates)?;
        inherited.tell_unwanted();
        if let Some(predecessor) = predecessor {
            predecessor.ready().await;
            inherited.claim();
        }
        listeners.commit(prepared);
        if let Some(predecessor) = predecessor {
            predecessor.serving().await;
            unstored = store.commit(&edits, &[]).err().map(|error| error.to_string());
        }
        if let Some(why) = unstored.filter(|_| !edits.is_empty()) {
            orders.go_on_unstored(edits, why);
        }
        process.set_listeners(listeners.tallies());
        let (addresses, open) = (listeners.addresses(), listeners.open());
        let admin_terms = listeners.admin();

        // A thousand upstreams mean thousands of wake-ups a second, which cost half as much where
        // none of them crosses a thread.
        let checks = Arc::new(Notify::new());
        let (duty, ours) = watch::channel(true);
        let probe = {
            let (published, checks) = (published.clone(), checks.clone());
            on_duty(ours.clone(), move || probe::run(published.clone(), clock, checks.clone()))
        };
        let (probes, probes_end) = start_beside("probes", probe)?;
        let (copies, copies_end) =
            start_beside("copies", send_copies(copies, published.clone(), clock))?;
        let (in_force_sender, in_force) = watch::channel(in_force);
        let (state_sender, state) = watch::channel(Arc::new(orders.state().clone()));
        let (begun, history) = (state.borrow().clone(), orders.history().clone());
        let is_stopping = Arc::new(AtomicBool::new(false));
        let notifier = Arc::new(Notifier::new(clock, process.clone()));
        let host = host_name();
        let events = Events::new(clock, host, published.clone(), notifier.clone(), stored);
        let events = Arc::new(events.with_traces(traces.clone()));
        let commits = match commits {
            Some(commits) => commits,
            None => Commits::start(store.clone())?,
        };
        let wiring = Wiring {
            published: published.clone(),
            listeners,
            files: files.clone(),
            process: process.clone(),
            in_force: in_force_sender,
            state: state_sender,
            events: events.clone(),
            notifier: notifier.clone(),
            caller: Arc::new(Caller::new(clock).with_descriptors(given)),
            checks,
            control: control.clone(),
            is_admin_local: admin_address.is_local(),
            clock,
        };
        // Whoever else has it keeps it from being given back.
        drop(store);
        let controller = Controller::new(wiring, orders, commits, page);
        let (upgrades, wishes) = control::upgrades();
        let admin = Admin {
            published: published.clone(),
            control: control.clone(),
            upgrades: upgrades.clone(),
            process: process.clone(),
            history: history.clone(),
            events: events.clone(),
            notifier: notifier.clone(),
            last,
            state: state.clone(),
            in_force: in_force.clone(),
            files: files.clone(),
            is_stopping: is_stopping.clone(),
            clock,
            live: Arc::new(Live::new(shares.admin)),
            is_local: admin_address.is_local(),
        };
        let mut parts = Parts::default();
        parts.start(
            "the writer",
            async move { controller.run(commands).await.unwrap_or("the writer") },
        );
        let orders = {
            let (published, in_force, events) =
                (published.clone(), in_force.clone(), events.clone());
            let run = move || {
                acme_client.clone().run(published.clone(), in_force.clone(), events.clone())
            };
            on_duty(ours.clone(), run)
        };
        parts.start_as("the orders of certificates", orders);
        let exporter = Exporter::new(traces, published.clone(), events.clone(), clock);
        let exporter = Arc::new(exporter);
        parts.start_as("the traces", exporter.clone().run(in_force.clone()));
        let names = resolve(resolver, in_force, control.clone(), events.clone(), process.clone());
        parts.start_as("the resolver", names);
        parts.start_as("the history", keep_history(history, published.clone(), clock));
        let states = {
            let (published, events) = (published.clone(), events.clone());
            on_duty(ours, move || tell_states(published.clone(), events.clone(), clock))
        };
        parts.start_as("the watch of states", states);
        let ends = call_at_ends(published.clone(), state.clone(), clock);
        parts.start_as("the ends of holds", ends);
        let admin_tally = Arc::new(ListenerTally::new(admin_address.to_string()));
        let most = shares.admin.max(1);
        let (leaves, left) = watch::channel(false);
        let leaves = Arc::new(leaves);
        let places = Arc::new(Semaphore::new(most));
        let admin_door = AdminDoor { leaves: leaves.clone(), places, most };
        let admin_bound = Arc::new(admin_bound);
        let port = admin_port::serve(
            admin_bound.clone(),
            (admin::router(admin), admin_terms),
            admin_door.places.clone(),
            admin_tally.clone(),
            left,
        );
        parts.start_as("the admin API", port);
        let own = folder.ok_or(NotUpgraded::NoFile).and_then(|folder| Ok((folder, binary?)));
        let upgrade = own.map(|(folder, binary)| Upgrade {
            binary,
            control: control.clone(),
            admin: Arc::downgrade(&admin_bound),
            inherited,
            published: published.clone(),
            clock,
            duty,
            store: folder.join(STORE),
            is_stopping: is_stopping.clone(),
        });
        drop(admin_bound);
        let (tells, succeeded) = oneshot::channel();
        let wishes = upgrade_on_wish(upgrade, wishes, (leaves, tells), events.clone());
        parts.start_as("the watch for upgrades", wishes);
        if let Some(predecessor) = predecessor.take() {
            let version = env!("CARGO_PKG_VERSION");
            events.say(Event::by_itself(Kind::Upgraded { version }, Subject::default()));
            let told = predecessor.keep_told(published.clone(), begun, state.clone());
            parts.start_as("the word with the process before", told);
        }
        let (counts, tally) = (process.clone(), admin_tally);
        let shortage =
            watch_shortage(counts, tally, published.clone(), events.clone(), shares, clock);
        parts.start_as("the watch of shortages", shortage);
        process.set_limited(clients.limited().clone());
        let memory =
            watch_memory(published.clone(), clients.clone(), process.clone(), events.clone());
        parts.start_as("the watch of memory", memory);
        let watch = watch_certificates(published.clone(), common.ordered, events.clone(), clock);
        parts.start_as("the watch of certificates", watch);
        parts.start_as("the keys of tickets", keeper.keep(published.clone()));
        parts.start_as("the kept connections", clients.clone().sweep());
        let watched = supervisor::keep_watched(
            process.clone(),
            published.clone(),
            is_stopping.clone(),
            clock,
        );
        parts.start_as("the watchdog's watch", watched);
        parts.start_as("the probes", ended(probes_end));
        parts.start_as("the copies", ended(copies_end));
        if files.path().is_some() && options.watches_file {
            let watch = reload_on_change(files, clock, control.clone());
            parts.start_as("the watch of the file", watch);
        }
        Ok(Server {
            published,
            state,
            control,
            process,
            clients,
            addresses,
            admin_address,
            open,
            is_stopping,
            events,
            notifier,
            exporter,
            upgrades,
            succeeded,
            successor: None,
            admin_door,
            fd_store,
            parts,
            _beside: [probes, copies],
            _workers: workers,
            access_log,
        })
    }
}

/// What the machine is called, for who is told something by several Pointsmen. Of the system and not of
/// `/proc`, which a sandbox may hide.
fn host_name() -> Arc<str> {
    let system = rustix::system::uname();
    match system.nodename().to_string_lossy().trim() {
        "" => "pointsman".into(),
        name => name.into(),
    }
}

fn workers(config: &Config) -> usize {
    let cores = || std::thread::available_parallelism();
    let workers = config.server.workers.or_else(|| cores().ok());
    workers.map_or(1, NonZeroUsize::get)
}
