//! Pointsman: an edge load balancer that moves live traffic between versions of a service.
//!
//! # Words
//!
//! A **listener** is an address we accept on. A **route** leads requests to one **service**, which
//! owns **pools** and a **split**: how its traffic divides among them, in basis points. A pool is a
//! named set of **upstreams**, each one address, that run one version. A client hashes to a
//! **cohort**, a stable number that the split cuts. Each traffic state of a service is a numbered
//! **revision**. To **drain** is to give no new requests and let old ones finish. The **snapshot**
//! is the whole immutable picture that one request sees. The **state** is what must outlast the
//! process, a **change** one durable step of it, and an **order** what somebody wants changed.
//!
//! # Four walks
//!
//! 1. *A request.* [`server::listen`] accepts, [`wire::lane`] bounds its waits, moves its bytes and
//!    asks [`exchange`] what to do, which asks [`snapshot::Snapshot::choose`]: [`route`] → service,
//!    [`split`] → pool, [`balance`] → upstream. At the end one [`record::Record`] goes to the totals.
//! 2. *A change of the file.* [`files::watch`] sees it, the controller reads and checks it with
//!    [`config`], binds new listeners, builds the next snapshot and publishes it.
//! 3. *A change of traffic.* [`cli`] → [`admin`] → [`control::Control`] → the controller, the only
//!    writer → [`orders::Orders`] decides which changes → the commit thread has the [`store`] keep
//!    them → [`state::State::apply`] → a new snapshot → the answer with its revision. What takes
//!    traffic from something sick is in force first and stored then.
//! 4. *A look.* [`admin`] reads the snapshot, the totals of its pools and upstreams, the rates that
//!    [`history::History`] keeps, and the state; it never asks the writer.
//!
//! # Rooms
//!
//! The core ([`clock`], [`sampling`], [`certificate`], [`rate`], [`auth`], [`config`], [`route`], [`split`], [`upstream`],
//! [`balance`], [`fallback`], [`mirror`], [`acme`], [`automation`], [`snapshot`], [`judge`], [`slo`], [`rollout`], [`event`],
//! [`recording`], [`rehearsal`], [`aa`], [`capacity`], [`doctor`], [`http`], [`exchange`], [`record`], [`access_log`], [`traces`], [`state`], [`history`], [`orders`]) knows no
//! runtime, no file and no socket, and takes time and chance as arguments. The rim ([`logs`], [`crypto`],
//! [`wire`], [`probe`], [`resolve`], [`files`], [`outgoing`], [`acme_client`], [`store`], [`control`], [`events`],
//! [`notify`], [`otlp`], [`observe`], [`admin`], [`server`], [`cli`]) has them all.

#![allow(
    rustdoc::private_intra_doc_links,
    reason = "this documentation is read by whoever changes the code, private items and all"
)]
#![cfg_attr(fuzzing, allow(dead_code, reason = "what only tests ask of the simulations"))]

pub mod clock;

mod sampling;
mod rate;
mod certificate;
mod auth;
pub mod config;
pub mod route;
pub mod split;
mod upstream;
mod balance;
mod fallback;
mod mirror;
mod acme;
mod automation;
pub mod snapshot;
pub mod judge;
pub mod slo;
pub mod rollout;
mod incident;
mod event;
pub mod recording;
pub mod rehearsal;
pub mod aa;
mod capacity;
mod doctor;
pub mod http;
pub mod exchange;
pub mod record;
mod access_log;
mod traces;
pub mod state;
mod history;
mod orders;

pub mod logs;
pub mod crypto;
pub mod wire;
mod probe;
mod resolve;
pub mod files;
mod outgoing;
mod acme_client;
pub mod store;
mod control;
pub mod events;
mod notify;
mod otlp;
mod observe;
mod admin;
pub mod server;
pub mod cli;

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
