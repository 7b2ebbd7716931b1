//! What a rollout has done beside it: a task in, how it ended out, each cause as a type and in
//! words.
//!
//! Whoever does a task says why it failed by one of these causes; what a library or the system has
//! to say of it is kept in its own words.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::HookPoint;
use crate::clock::in_words;
use crate::upstream::Address;

/// Something that takes a while and is done beside the controller; each may be asked for again
/// after a crash, so each must bear being done twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// The hook of this point.
    Hook(HookPoint),
    /// The smoke requests.
    Smoke,
    /// The question to the Prometheus server.
    Measure,
}

/// How a task ended well.
#[derive(Clone, Debug, PartialEq)]
pub enum Finished {
    /// A hook lets the rollout go on, and says this line, which may be empty.
    Agreed(String),
    /// Every upstream of the target answered every smoke request as expected.
    Answered {
        /// How many were made to each upstream.
        requests: usize,
        /// How many upstreams were asked.
        upstreams: usize,
    },
    /// What the Prometheus server answers to the question; finite.
    Measured(f64),
}

/// Why a task did not end well.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TaskError {
    /// The config in force has no hook for the point.
    #[error("the config in force declares no hook for this point (any more)")]
    NoHook,
    /// The config in force names no Prometheus server.
    #[error("the config in force names no Prometheus server (any more)")]
    NoQuestion,
    /// Smoke requests have nobody to go to.
    #[error("the target has no upstream that could be asked")]
    NoUpstream,
    /// A webhook's address is none.
    #[error("bad address of a hook: {0}")]
    Address(&'static str),
    /// A webhook did not agree.
    #[error("POST {address}: {why}")]
    Webhook {
        /// Without its path, which may be a secret.
        address: String,
        /// Why.
        why: WebhookError,
    },
    /// A command did not agree.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A smoke request was not answered as expected.
    #[error("{request} at {upstream}: {why}")]
    Smoke {
        /// Its method and path.
        request: String,
        /// Who was asked.
        upstream: Address,
        /// Why.
        why: SmokeError,
    },
    /// The Prometheus server told no number.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// Nobody has told its end for so long that nobody will.
    #[error("nobody has told its end for {}", in_words(*.0))]
    Lost(Duration),
}

impl TaskError {
    /// As it is told: each text of others in it as this says it, so that what the file takes from outside is
    /// as it is written there.
    pub fn told(self, within: impl Fn(String) -> String) -> TaskError {
        match self {
            TaskError::Webhook { address, why: WebhookError::Refused { status, line } } => {
                let why = WebhookError::Refused { status, line: within(line) };
                TaskError::Webhook { address, why }
            }
            TaskError::Smoke { request, upstream, why } => {
                let why = match why {
                    SmokeError::Request(why) => SmokeError::Request(within(why)),
                    SmokeError::Body { expected, got } => {
                        SmokeError::Body { expected: within(expected), got: within(got) }
                    }
                    why => why,
                };
                TaskError::Smoke { request: within(request), upstream, why }
            }
            TaskError::Command(CommandError::NotRun { program, why }) => {
                CommandError::NotRun { program: within(program), why: within(why) }.into()
            }
            TaskError::Command(CommandError::Failed { program, end, complaints }) => {
                let (program, complaints) = (within(program), within(complaints));
                CommandError::Failed { program, end, complaints }.into()
            }
            TaskError::Measure(MeasureError::Address { address, why }) => {
                MeasureError::Address { address: within(address), why: within(why) }.into()
            }
            TaskError::Measure(MeasureError::Refused(why)) => {
                MeasureError::Refused(within(why)).into()
            }
            error => error,
        }
    }
}

/// Why somebody who is called gives no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The request cannot be written or signed, so it was not made.
    #[error("{0}")]
    NotSent(String),
    /// There is no connection.
    #[error("{0}")]
    Unreachable(String),
    /// What came is no whole answer.
    #[error("{0}")]
    Broken(String),
    /// No whole answer came within this time.
    #[error("timed out after {0:?}")]
    TimedOut(Duration),
}

/// Why a webhook does not let a rollout go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// It did not answer.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// It says no.
    #[error("{}", answered(*.status, .line))]
    Refused {
        /// Not a 2xx.
        status: StatusCode,
        /// The first line of what it said, which may be empty.
        line: String,
    },
}

/// Why a command does not let a rollout go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// It names no program.
    #[error("the command of a hook is empty")]
    Empty,
    /// The system does not run it.
    #[error("cannot run `{program}`: {why}")]
    NotRun {
        /// Its program.
        program: String,
        /// In the system's words.
        why: String,
    },
    /// It did not end with 0.
    #[error("`{program}` {end}{}", after_colon(.complaints))]
    Failed {
        /// Its program.
        program: String,
        /// How it ended.
        end: CommandEnd,
        /// The last lines of its error output.
        complaints: String,
    },
}

/// How a command ended that did not end well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandEnd {
    /// By itself or by a signal.
    #[error("ended with {status}")]
    Exited {
        /// Its exit code; none if a signal ended it.
        code: Option<i32>,
        /// In the system's words: `exit status: 3`, or `signal: 9 (SIGKILL)`.
        status: String,
    },
    /// The system does not tell.
    #[error("cannot be waited for: {0}")]
    Unknown(String),
    /// It was killed when this time was over.
    #[error("timed out after {0:?}")]
    TimedOut(Duration),
    /// It was killed when this time was over, and is not gone.
    #[error("timed out after {0:?} and cannot be killed")]
    Undying(Duration),
}

/// Why a smoke request counts as failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SmokeError {
    /// What the plan says makes no request.
    #[error("the request cannot be made: {0}")]
    Request(String),
    /// Nobody answered.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// The answer's status is not the one expected.
    #[error("expected {}, got {}", expected_status(*.expected), answered(*.got, ""))]
    Status {
        /// None for any 2xx.
        expected: Option<u16>,
        /// What came.
        got: StatusCode,
    },
    /// The answer's body lacks what is expected.
    #[error("expected a body with `{expected}`, got {got}")]
    Body {
        /// The text it should have held.
        expected: String,
        /// Its first line, or how long it is.
        got: String,
    },
}

/// Why a question to a Prometheus server has no number for its answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeasureError {
    /// The server's address is none.
    #[error("`{address}` is no address: {why}")]
    Address {
        /// As configured.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// It did not answer.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// Who answered is no Prometheus server.
    #[error("{0} without an answer of Prometheus")]
    Foreign(StatusCode),
    /// It refuses the question.
    #[error("{0}")]
    Refused(String),
    /// It knows nothing of what it is asked.
    #[error("the answer holds no series")]
    NoSeries,
    /// It knows several.
    #[error("the answer holds {0} series, not one")]
    ManySeries(usize),
    /// It answers with something else than a number.
    #[error("the answer is no number")]
    NoNumber,
    /// It answers with what cannot be compared with a limit.
    #[error("the answer is {0}")]
    NotFinite(String),
}

impl Task {
    /// Whether it is of use when its rollout has ended.
    pub(super) fn outlasts(&self) -> bool {
        matches!(self, Task::Hook(HookPoint::AfterPromote | HookPoint::AfterRollback))
    }

    /// As people are told of it.
    pub fn words(&self) -> String {
        match self {
            Task::Smoke => "smoke requests".into(),
            Task::Measure => "question to Prometheus".into(),
            Task::Hook(HookPoint::Deploy { upstream }) => format!("hook deploy of `{upstream}`"),
            Task::Hook(point) => format!("hook {}", point.name()),
        }
    }
}

/// What somebody answered: `503 Service Unavailable: not now`.
pub fn answered(status: StatusCode, line: &str) -> String {
    let reason = status.canonical_reason().unwrap_or_default();
    let status = format!("{} {reason}", status.as_u16());
    format!("{}{}", status.trim_end(), after_colon(line))
}

fn after_colon(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

fn expected_status(expected: Option<u16>) -> String {
    expected.map_or("a 2xx".into(), |status| format!("status {status}"))
}
