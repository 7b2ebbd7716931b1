//! What travels about the config: its text, what is wrong with it, what it changes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::{Change, Level, Problem, Problems, Text, Texts};

/// A config as it is written.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConfigText {
    /// The file it was read from.
    pub path: String,
    /// The text as it was read.
    pub text: String,
    /// What it includes. Whoever sends a text that includes files has to send them, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub included: Option<Vec<ConfigPart>>,
}

/// A file that a config includes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConfigPart {
    /// The file it was read from.
    pub path: String,
    /// The text as it was read.
    pub text: String,
}

/// What a config says, checked.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Checked {
    /// Whether it can be used.
    pub valid: bool,
    /// What is wrong or odd, in the order of the file.
    pub problems: Vec<ConfigProblem>,
}

/// One thing that is wrong or odd in a config.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConfigProblem {
    /// `error` or `warning`.
    pub level: String,
    /// What is wrong.
    pub message: String,
    /// Where, if it is in a file that the file includes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Where, from 1.
    pub line: Option<usize>,
    /// Where in the line, from 1, in characters.
    pub column: Option<usize>,
    /// More words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// What a reload changed or would change.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Changes {
    /// One for each difference.
    pub changes: Vec<ConfigChange>,
    /// The generation in force afterwards.
    pub generation: u64,
}

/// One difference between two configs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConfigChange {
    /// What it concerns.
    pub subject: String,
    /// What becomes of it.
    pub what: String,
    /// Whether it waits for the next start.
    pub needs_restart: bool,
}

impl From<Change> for ConfigChange {
    fn from(change: Change) -> ConfigChange {
        let Change { subject, what, needs_restart } = change;
        ConfigChange { subject, what, needs_restart }
    }
}

impl From<Texts> for ConfigText {
    fn from(texts: Texts) -> ConfigText {
        let part = |Text { path, text }| ConfigPart { path, text };
        let Text { path, text } = texts.main;
        let included = Some(texts.included.into_iter().map(part).collect());
        ConfigText { path, text, included }
    }
}

impl ConfigProblem {
    /// The problems of a text: as many as anybody reads, errors first if there are more.
    pub fn all(problems: &Problems, texts: &Texts) -> Vec<ConfigProblem> {
        let one = |problem: &Problem| {
            let place = problem.place(texts);
            let file = place.map(|place| place.path).filter(|path| *path != texts.main.path);
            ConfigProblem {
                level: match problem.level {
                    Level::Error => "error".into(),
                    Level::Warning => "warning".into(),
                },
                message: problem.message.clone(),
                file: file.map(str::to_string),
                line: place.map(|place| place.line),
                column: place.map(|place| place.column),
                label: problem.label.clone(),
                help: problem.help.clone(),
            }
        };
        problems.shown().into_iter().map(one).collect()
    }
}
