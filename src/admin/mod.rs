//! The admin API: HTTP in, reads of the snapshot and of the state, and orders to the controller out.
//!
//! JSON under `/v1`, errors as problem documents (RFC 9457), the description at `/openapi.json`
//! made from the handlers themselves. Nothing here writes: changes go through [`Control`].

mod alerts;
mod answer;
mod audit;
mod automation;
mod capacity;
mod config;
mod deploys;
mod description;
mod doctor;
mod explain;
mod forms;
mod guard;
mod incidents;
mod live;
mod logs;
mod me;
mod mirror;
mod notify;
mod operations;
mod page;
mod problem;
mod recording;
mod requests;
mod roles;
mod rollouts;
mod services;
mod slo;
mod source;
mod status;
mod strangers;
mod upgrade;
pub mod wire;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Router;
use axum::http::header;
use axum::middleware::from_fn_with_state;
use bytes::Bytes;
use tokio::sync::watch;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::clock::Clock;
use crate::control::{Control, Upgrades};
use crate::events::Events;
use crate::files::{Files, InForce};
use crate::history::History;
use crate::notify::Notifier;
use crate::observe::Process;
use crate::orders::Refused;
use crate::record::Rings;
use crate::snapshot::Published;
use crate::state::State;

use audit::Refusals;
use guard::Guard;
use problem::Problem;

pub use explain::explained;
pub use live::Live;
pub(crate) use roles::is_question;
pub use source::{Shown, Source};

/// What the handlers read and whom they ask.
#[derive(Clone)]
pub struct Admin {
    /// What requests see.
    pub published: Arc<Published>,
    /// The way to change it.
    pub control: Control,
    /// The way to have another process take over.
    pub upgrades: Upgrades,
    /// The process's own counts.
    pub process: Arc<Process>,
    /// What the pools did lately.
    pub history: Arc<History>,
    /// What happened.
    pub events: Arc<Events>,
    /// Who is told of what happens.
    pub notifier: Arc<Notifier>,
    /// What happened to the last requests.
    pub last: Arc<Rings>,
    /// What outlasts the process: history, rollouts, orders that stand, flags.
    pub state: watch::Receiver<Arc<State>>,
    /// The config in force and its text.
    pub in_force: watch::Receiver<Arc<InForce>>,
    /// Where the config comes from, and all that it names.
    pub files: Arc<Files>,
    /// Set once the process is to end.
    pub is_stopping: Arc<AtomicBool>,
    /// Time.
    pub clock: Clock,
    /// Those who watch.
    pub live: Arc<Live>,
    /// Whether only this machine can connect.
    pub is_local: bool,
}

impl Admin {
    /// Why a change of a service was refused.
    fn problem(&self, refused: Refused, service: &str) -> Problem {
        Problem::of(refused, service, &self.published.load())
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Pointsman admin API",
        description = "Moves live traffic between versions of a service."
    ),
    tags(
        (name = "traffic", description = "Services, pools, splits"),
        (name = "rollouts", description = "Moves over time, and back"),
        (name = "operations", description = "Upstreams, breakers, holds, maintenance, events"),
        (name = "automation", description = "What is done by itself"),
        (name = "incidents", description = "Incidents, and alerts of others"),
        (name = "config", description = "The file"),
        (name = "process", description = "Health and status"),
    )
)]
struct Description;

/// All paths with their description.
pub fn api() -> (Router<Admin>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(status::livez))
        .routes(routes!(status::readyz))
        .routes(routes!(status::metrics))
        .routes(routes!(status::status))
        .routes(routes!(me::show))
        .routes(routes!(live::show))
        .routes(routes!(services::list))
        .routes(routes!(services::show))
        .routes(routes!(services::split, services::put_split))
        .routes(routes!(services::flip))
        .routes(routes!(services::revisions))
        .routes(routes!(rollouts::rollback))
        .routes(routes!(rollouts::start, rollouts::show))
        .routes(routes!(deploys::deploy))
        .routes(routes!(rollouts::command))
        .routes(routes!(rollouts::list))
        .routes(routes!(rollouts::one))
        .routes(routes!(rollouts::report))
        .routes(routes!(recording::show))
        .routes(routes!(capacity::show))
        .routes(routes!(slo::show))
        .routes(routes!(slo::put_freeze, slo::delete_freeze))
        .routes(routes!(rollouts::flags))
        .routes(routes!(rollouts::flag, rollouts::put_flag))
        .routes(routes!(rollouts::export))
        .routes(routes!(services::pools))
        .routes(routes!(services::pool))
        .routes(routes!(mirror::show))
        .routes(routes!(requests::list))
        .routes(routes!(requests::show))
        .routes(routes!(explain::show))
        .routes(routes!(operations::put_upstream_state))
        .routes(routes!(operations::put_labelled_state))
        .routes(routes!(operations::post_upstream))
        .routes(routes!(operations::delete_upstream))
        .routes(routes!(operations::put_breaker))
        .routes(routes!(operations::put_upstream_breaker))
        .routes(routes!(operations::put_mode))
        .routes(routes!(operations::events))
        .routes(routes!(config::show))
        .routes(routes!(config::check))
        .routes(routes!(config::diff))
        .routes(routes!(explain::show_with))
        .routes(routes!(config::reload))
        .routes(routes!(upgrade::upgrade))
        .routes(routes!(logs::show, logs::put))
        .routes(routes!(doctor::show))
        .routes(routes!(notify::test))
        .routes(routes!(automation::show))
        .routes(routes!(automation::stop))
        .routes(routes!(automation::start))
        .routes(routes!(incidents::list, incidents::open))
        .routes(routes!(incidents::show))
        .routes(routes!(incidents::note))
        .routes(routes!(incidents::update))
        .routes(routes!(incidents::mitigate))
        .routes(routes!(incidents::close))
        .routes(routes!(incidents::suggestions))
        .routes(routes!(incidents::draft))
        .routes(routes!(alerts::list, alerts::take))
        .split_for_parts()
}

/// The API, ready to be served. A copy of it shares everything.
pub fn router(admin: Admin) -> Router {
    let (router, description) = api();
    let document = Bytes::from(description::whole(&description).to_string());
    let document = move || {
        let document = document.clone();
        async { ([(header::CONTENT_TYPE, "application/json")], document) }
    };
    let guard = Guard { admin: admin.clone(), refusals: Arc::new(Refusals::default()) };
    router
        .route("/openapi.json", axum::routing::get(document))
        .route("/", axum::routing::get(page::front))
        .route("/page/{file}", axum::routing::get(page::file))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn_with_state(guard, guard::check))
        .with_state(admin)
}
