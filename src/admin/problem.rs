//! Errors as documents: a cause in, a problem of RFC 9457 out.

use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::wire::ConfigProblem;
use crate::config::{Role, suggest};
use crate::control::ReloadError;
use crate::files::FileError;
use crate::orders::Refused;
use crate::rollout::PlanRefused;
use crate::snapshot::Snapshot;
use crate::split::SplitError;

/// How many names of a query are told.
const NAMED: usize = 5;

/// An RFC 9457 problem document.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A name for programs, such as `lost-race`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The status code.
    pub status: u16,
    /// What went wrong, as a sentence.
    pub detail: String,
    /// What is wrong with a config, each with its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ConfigProblem>,
    /// Of an operation that needs another role: which one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<String>,
    /// And which one the token has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has: Option<String>,
    /// Of an order that came too late for its `If-Match`: whether the newest revision is what it
    /// would have made, by the same author and for the same reason. Then it is most likely this very
    /// order, whose answer was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_already: Option<bool>,
}

impl Problem {
    /// A problem of this status.
    pub fn new(status: StatusCode, kind: &str, detail: impl Into<String>) -> Problem {
        Problem {
            kind: kind.to_string(),
            title: status.canonical_reason().unwrap_or("Error").to_string(),
            status: status.as_u16(),
            detail: detail.into(),
            problems: Vec::new(),
            needs: None,
            has: None,
            made_already: None,
        }
    }

    /// Of a query where none is taken: what it asks for would not be done, and nobody would notice.
    pub fn unknown_query(query: &str) -> Problem {
        let names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
        let names: Vec<String> = names.take(NAMED).map(|name| format!("`{name}`")).collect();
        let detail = format!("this path takes no query: leave out {}", names.join(", "));
        Problem::new(StatusCode::BAD_REQUEST, "bad-query", detail)
    }

    /// Of an operation that needs another role than whoever asks has.
    pub fn of_roles(mut self, needs: Role, has: Role) -> Problem {
        self.needs = Some(needs.name().into());
        self.has = Some(has.name().into());
        self
    }

    /// With whether an order has been carried out before.
    pub fn with_made(mut self, made: Option<bool>) -> Problem {
        if made == Some(true) {
            self.detail.push_str("; that one is what was ordered here, by the same author");
        }
        self.made_already = made;
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

impl Problem {
    /// A refusal, with the names that there are if it was for one that there is not. `service` is
    /// the one asked of.
    pub fn of(refused: Refused, service: &str, snapshot: &Snapshot) -> Problem {
        let pools = || snapshot.service(service).into_iter().flat_map(|service| &service.pools);
        let instead = match &refused {
            Refused::NoService(name) => {
                suggest(name, snapshot.services.iter().map(|service| &*service.name))
            }
            Refused::NoPool { pool, .. } => suggest(pool, pools().map(|pool| &*pool.name)),
            Refused::NoUpstream { pool, address } => {
                let pool = pools().filter(|known| &*known.name == pool.as_str());
                let members = pool.flat_map(|pool| pool.members.list());
                suggest(address, members.map(|member| &*member.upstream.name))
            }
            _ => String::new(),
        };
        let mut problem = Problem::from(refused);
        problem.detail.push_str(&instead);
        problem
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        let (status, kind) = match &refused {
            Refused::NoService(_) => (StatusCode::NOT_FOUND, "no-service"),
            Refused::NoPool { .. } => (StatusCode::NOT_FOUND, "no-pool"),
            Refused::NoUpstream { .. } => (StatusCode::NOT_FOUND, "no-upstream"),
            Refused::NoLabel { .. } => (StatusCode::NOT_FOUND, "no-label"),
            Refused::Split(SplitError::UnknownPool { .. }) => (StatusCode::NOT_FOUND, "no-pool"),
            Refused::Split(_) => (StatusCode::UNPROCESSABLE_ENTITY, "bad-split"),
            Refused::LostRace(_) => (StatusCode::PRECONDITION_FAILED, "lost-race"),
            Refused::DeadPool { .. } => (StatusCode::CONFLICT, "pool-not-available"),
            Refused::OtherMode { .. } => (StatusCode::CONFLICT, "other-mode"),
            Refused::Known { .. } => (StatusCode::CONFLICT, "upstream-known"),
            Refused::OwnAdmin { .. } => (StatusCode::CONFLICT, "own-admin"),
            Refused::OwnListener { .. } => (StatusCode::CONFLICT, "own-listener"),
            Refused::OrderedOwn { .. } => (StatusCode::CONFLICT, "own-upstream"),
            Refused::Last { .. } => (StatusCode::CONFLICT, "last-upstream"),
            Refused::Named { .. } => (StatusCode::CONFLICT, "upstream-of-a-name"),
            Refused::RolloutUnderWay { .. } => (StatusCode::CONFLICT, "rollout-under-way"),
            Refused::Frozen { .. } => (StatusCode::CONFLICT, "frozen"),
            Refused::NotFrozen { .. } => (StatusCode::CONFLICT, "not-frozen"),
            Refused::NoReason => (StatusCode::UNPROCESSABLE_ENTITY, "no-reason"),
            Refused::NothingMoved { .. } => (StatusCode::CONFLICT, "nothing-moved"),
            Refused::LastDrained { .. } => (StatusCode::CONFLICT, "last-upstream"),
            Refused::FlagAsInFile(_) => (StatusCode::CONFLICT, "nothing-before"),
            Refused::DeployUnderWay { .. } => (StatusCode::CONFLICT, "rollout-under-way"),
            Refused::NoFreePool { .. } | Refused::FreePools { .. } => {
                (StatusCode::CONFLICT, "no-free-pool")
            }
            Refused::DeployRolls(_) => (StatusCode::CONFLICT, "no-plan"),
            Refused::HasTraffic { .. } => (StatusCode::CONFLICT, "has-traffic"),
            Refused::KeptOut { .. } => (StatusCode::CONFLICT, "kept-out"),
            Refused::OtherUse { .. } => (StatusCode::CONFLICT, "other-use"),
            Refused::UnderDeploy { .. } => (StatusCode::CONFLICT, "rollout-under-way"),
            Refused::TakenByDeploy { .. } => (StatusCode::CONFLICT, "rollout-under-way"),
            Refused::OutOfReach { .. } => (StatusCode::FORBIDDEN, "other-network"),
            Refused::OtherVersion { .. } => (StatusCode::CONFLICT, "other-version"),
            Refused::NoRollout(_) => (StatusCode::CONFLICT, "no-rollout"),
            Refused::Plan(PlanRefused::NoPool { .. }) => (StatusCode::NOT_FOUND, "no-pool"),
            Refused::Plan(PlanRefused::Steps | PlanRefused::WhichPool(_)) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "no-plan")
            }
            // With another split, other upstreams or another config it could be planned.
            Refused::Plan(_) => (StatusCode::CONFLICT, "no-plan"),
            Refused::Rollout(_) => (StatusCode::CONFLICT, "not-now"),
            Refused::NoRevision { .. } => (StatusCode::NOT_FOUND, "no-revision"),
            Refused::NothingBefore(_) => (StatusCode::CONFLICT, "nothing-before"),
            Refused::Contracted { .. } => (StatusCode::CONFLICT, "contracted"),
            Refused::NoIncident(_) => (StatusCode::NOT_FOUND, "no-incident"),
            Refused::IncidentNot { .. } => (StatusCode::CONFLICT, "incident-not-now"),
            // Who sends alerts sends them again after this one.
            Refused::TooManyAlerts(_) => (StatusCode::SERVICE_UNAVAILABLE, "too-many-alerts"),
            Refused::NoFlag(_) => (StatusCode::NOT_FOUND, "no-flag"),
            Refused::Store(_) => (StatusCode::INSUFFICIENT_STORAGE, "store"),
            Refused::Withdrawn => (StatusCode::SERVICE_UNAVAILABLE, "withdrawn"),
            Refused::GaveWay { .. } => (StatusCode::SERVICE_UNAVAILABLE, "gave-way"),
            Refused::Overtaken { .. } => (StatusCode::CONFLICT, "overtaken"),
            Refused::Unknown { .. } => (StatusCode::SERVICE_UNAVAILABLE, "unknown"),
            Refused::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        };
        let hint = match &refused {
            Refused::DeadPool { .. } => {
                "; `--force` (in JSON `force`) does it all the same".to_string()
            }
            Refused::Contracted { .. } => {
                "; `--force` (in JSON `force`) sends traffic there all the same".to_string()
            }
            Refused::LastDrained { .. } => {
                "; `--force` (in JSON `force`) drains it all the same".to_string()
            }
            Refused::RolloutUnderWay { service, .. } => {
                format!("; `pointsman rollout abort {service}` ends it")
            }
            Refused::DeployUnderWay { service, .. } => format!(
                "; `pointsman rollout status {service} --watch` follows it, `pointsman rollout abort \
                 {service}` ends it"
            ),
            Refused::NoFreePool { .. } | Refused::FreePools { .. } => {
                "; name one with `--pool` (in JSON `pool`)".to_string()
            }
            Refused::DeployRolls(_) => {
                "; choose with `--strategy` (in JSON `strategy`): canary, blue-green or all-at-once"
                    .to_string()
            }
            Refused::NoReason => "; say why with `--reason TEXT` (in JSON `reason`)".to_string(),
            Refused::KeptOut { .. } => "; take that back first".to_string(),
            Refused::OtherUse { .. } => {
                "; name another one with `--pool` (in JSON `pool`)".to_string()
            }
            Refused::UnderDeploy { service, .. } => format!(
                "; reload when it has ended, or end it with `pointsman rollout abort {service}`"
            ),
            Refused::TakenByDeploy { service, .. } => format!(
                "; `pointsman rollout abort {service}` gives that back, then roll back, or `--force` (in \
                 JSON `force`) does it all the same"
            ),
            Refused::OtherVersion { .. } => {
                "; deploy that version again, or `--force` (in JSON `force`) sends traffic there all \
                 the same"
                    .to_string()
            }
            Refused::NothingMoved { service, .. } => format!(
                "; `pointsman rollout abort {service}` ends it, and `pointsman rollback {service} \
                 REVISION` goes back to another state"
            ),
            Refused::Frozen { .. } => "; if this one mends it: the same with `--override-freeze --reason \
                 TEXT` (in JSON `override_freeze` and `reason`)"
                .to_string(),
            Refused::NotFrozen { service, why: Some(_) } => format!(
                "; to let them go on all the same: `pointsman freeze {service} --lift --override \
                 --reason TEXT`"
            ),
            _ => String::new(),
        };
        Problem::new(status, kind, format!("{refused}{hint}"))
    }
}

impl From<ReloadError> for Problem {
    fn from(error: ReloadError) -> Problem {
        let (status, kind) = match &error {
            // These say themselves what has become of it.
            ReloadError::Refused(refused) if !matches!(refused, Refused::Store(_)) => {
                return refused.clone().into();
            }
            ReloadError::Open => (StatusCode::UNPROCESSABLE_ENTITY, "open-admin"),
            ReloadError::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
            ReloadError::NoFile => (StatusCode::CONFLICT, "no-file"),
            ReloadError::File(FileError::Read { .. } | FileError::Hangs { .. }) => {
                (StatusCode::CONFLICT, "file-not-readable")
            }
            ReloadError::Removes(_) => (StatusCode::CONFLICT, "removes"),
            ReloadError::File(FileError::Problems(_)) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "bad-config")
            }
            ReloadError::Bind(_) => (StatusCode::CONFLICT, "address-not-bindable"),
            ReloadError::Refused(_) => (StatusCode::INSUFFICIENT_STORAGE, "store"),
        };
        let mut problem = Problem::new(status, kind, format!("{error}; nothing has changed"));
        if let ReloadError::File(FileError::Problems(rejected)) = &error {
            problem.problems = ConfigProblem::all(&rejected.problems, &rejected.texts);
        }
        problem
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Problem {
        let text = rejection.body_text();
        // What follows names the field and what it takes.
        let detail =
            text.strip_prefix("Failed to deserialize the JSON body into the target type: ");
        Problem::new(rejection.status(), "bad-body", detail.unwrap_or(&text))
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Problem {
        let text = rejection.body_text();
        let detail = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
        Problem::new(rejection.status(), "bad-query", detail)
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Problem {
        Problem::new(rejection.status(), "bad-path", rejection.body_text())
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Problem {
        Problem::new(rejection.status(), "bad-body", rejection.body_text())
    }
}

/// The answer for paths that do not exist.
pub async fn not_found(uri: Uri) -> Problem {
    let detail = format!("there is no {}; see /openapi.json", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "no-path", detail)
}

/// The answer for methods that a path does not have.
pub async fn method_not_allowed(uri: Uri) -> Problem {
    let detail = format!("{} does not take this method; see /openapi.json", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no-method", detail)
}

impl From<FileError> for Problem {
    fn from(error: FileError) -> Problem {
        ReloadError::from(error).into()
    }
}
