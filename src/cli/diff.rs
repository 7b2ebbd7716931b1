//! `diff`: a config file and a running proxy in, what the one would change in the other out.

use std::path::PathBuf;

use axum::http::Method;
use clap::Args;

use super::api::{Api, Call};
use super::input::Input;
use super::{Ending, Reach, reload};
use crate::admin::wire;
use crate::config::includes;

/// Show what reading a config file would change.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman diff\n  pointsman diff next.toml")]
pub struct Diff {
    /// The file to compare with what runs [default: the file it was started with]
    file: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
}

impl Diff {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let texts = match &self.file {
            Some(file) => Some(Input::File(file.clone()).written()?.texts),
            None => None,
        };
        let call = match texts {
            Some(texts) if includes(&texts.main).is_empty() => {
                Call::config("/v1/config/diff", Some(texts.main.text))
            }
            Some(texts) => {
                Call::json(Method::POST, "/v1/config/diff", &wire::ConfigText::from(texts))
            }
            None => Call::config("/v1/config/diff", None),
        };
        let answer = Api(&self.reach).ask(call).await;
        reload::show(answer, self.reach.json, self.file.as_deref(), "no difference")
    }
}
