//! `flags`: nothing in, all flags out; a flag and a share in, the flag set out.

use clap::Args;
use http::Method;

use super::api::{Api, Call, segment};
use super::table::{percent, table};
use super::{Ending, Reach, Why, print};
use crate::admin::wire;
use crate::split::BasisPoints;

/// Show feature flags, or give one to another share of clients.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman flags\n  pointsman flags new_checkout 25\n  \
                        pointsman flags new_checkout --back")]
pub struct Flags {
    /// The flag; all are shown if left out.
    flag: Option<String>,
    /// The share of clients that is to have it, in percent.
    #[arg(value_parser = share, conflicts_with = "back", value_name = "PERCENT")]
    percent: Option<serde_json::Number>,
    /// As it was before the last order; what was taken back already stays so.
    #[arg(long, requires = "flag")]
    back: bool,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn share(text: &str) -> Result<serde_json::Number, String> {
    let share = BasisPoints::from_percent(text).map_err(|error| error.to_string())?;
    share.to_string().parse().map_err(|_| "not a number".to_string())
}

impl Flags {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let api = Api(&self.reach);
        let flags: Vec<wire::Flag> = match &self.flag {
            None => api.ask(Call::get("/v1/flags")).await?,
            Some(flag) => {
                let path = format!("/v1/flags/{}", segment(flag));
                let body = wire::PutFlag {
                    percent: self.percent.clone(),
                    back: self.back,
                    reason: self.why.reason.clone(),
                    author: Some(super::author()),
                };
                let call = match self.percent.is_some() || self.back {
                    true => Call::json(Method::PUT, &path, &body).if_match(self.why.if_revision),
                    false => Call::get(&path),
                };
                vec![api.ask(call).await?]
            }
        };
        let row = |flag: &wire::Flag| {
            vec![
                flag.name.clone(),
                percent(flag.percent),
                flag.services.join(" "),
                flag.revision.to_string(),
                flag.author.clone().unwrap_or_else(|| "file".into()),
                flag.reason.clone().unwrap_or_default(),
            ]
        };
        print(&match self.reach.json {
            true => serde_json::to_string_pretty(&flags)?,
            false => {
                if let Some(flag) = flags.iter().find(|flag| flag.unchanged) {
                    let back = if self.back { "already taken back" } else { "so already" };
                    eprintln!("{} is {back}; nothing was changed", flag.name);
                }
                let headings = ["FLAG", ">SHARE", "SERVICES", ">REVISION", "BY", "WHY"];
                table(&headings, flags.iter().map(row))
            }
        });
        Ok(Ending::Done)
    }
}
