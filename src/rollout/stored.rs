//! A rollout as it is kept: where it is, which is small and written at every turn; and, apart, what
//! its judge has heard, which is large and written now and then.
//!
//! The form is told by fields that only grow. What was heard is told by its version: it follows the
//! judge's own numbers, so another version of them is let go of, and whatever else was heard with it
//! unless it can be read. The rollout goes on, and its step begins anew.

mod plan;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::pending::Pending;
use super::rolling::Rolling;
use super::{Deploy, Hearing, Outcome, Paused, Rollout, Stage};
use crate::clock::WallTime;
use crate::judge::Counts;
use plan::StoredPlan;

/// What this version writes of what a judge has heard.
const HEARING: u32 = 2;

/// And what it reads. Before 2 a judge knew nothing of causes: whoever goes on from that takes traffic back
/// for a burst, so only what was heard of an ended rollout is read whole.
const READ: std::ops::RangeInclusive<u32> = 1..=HEARING;

/// Where a rollout is.
#[derive(Serialize, Deserialize)]
pub struct StoredRollout {
    id: u64,
    service: Arc<str>,
    plan: StoredPlan,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deploy: Option<Deploy>,
    author: String,
    reason: Option<String>,
    started: WallTime,
    ended: Option<(Outcome, WallTime)>,
    stage: Stage,
    entered: WallTime,
    step: Option<usize>,
    next: usize,
    paused: Option<Paused>,
    #[serde(default)]
    held: Option<Paused>,
    #[serde(default)]
    asked: WallTime,
    #[serde(default)]
    pending: Vec<Pending>,
    #[serde(default)]
    looked: Option<WallTime>,
    has_failed: bool,
    has_passed: bool,
    counts: Counts,
    whole: Counts,
    traffic_since: Option<WallTime>,
    unready_since: Option<WallTime>,
    rolling: Rolling,
    /// Of an ended one, for whoever looks into it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    heard: Option<StoredHearing>,
}

/// What the judge of a rollout has heard.
#[derive(Serialize, Deserialize)]
pub struct StoredHearing {
    version: u32,
    /// The number of the rollout.
    rollout: u64,
    heard: Box<RawValue>,
}

impl StoredRollout {
    /// Where a rollout is, without what its judge has heard.
    pub fn of(rollout: &Rollout) -> StoredRollout {
        let Rollout {
            id,
            service,
            plan,
            deploy,
            author,
            reason,
            started,
            ended,
            stage,
            entered,
            step,
            next,
            paused,
            held,
            asked,
            pending,
            looked,
            has_failed,
            has_passed,
            counts,
            whole,
            traffic_since,
            unready_since,
            rolling,
            hearing: _,
        } = rollout.clone();
        StoredRollout {
            id,
            service,
            plan: plan.into(),
            deploy,
            author,
            reason,
            started,
            ended,
            stage,
            entered,
            step,
            next,
            paused,
            held,
            asked,
            pending,
            looked,
            has_failed,
            has_passed,
            counts,
            whole,
            traffic_since,
            unready_since,
            rolling,
            heard: None,
        }
    }

    /// An ended rollout with all that is known of it.
    pub fn whole(rollout: &Rollout) -> Result<StoredRollout, serde_json::Error> {
        let heard = StoredHearing::of(rollout.id, rollout.heard())?;
        Ok(StoredRollout { heard: Some(heard), ..StoredRollout::of(rollout) })
    }

    /// The rollout; one that is kept without what was heard has heard nothing.
    pub fn read(self) -> Result<Rollout, serde_json::Error> {
        let StoredRollout {
            id,
            service,
            plan,
            deploy,
            author,
            reason,
            started,
            ended,
            stage,
            entered,
            step,
            next,
            paused,
            held,
            asked,
            pending,
            looked,
            has_failed,
            has_passed,
            counts,
            whole,
            traffic_since,
            unready_since,
            rolling,
            heard,
        } = self;
        let heard = heard.map(StoredHearing::of_ended).transpose()?.flatten();
        let hearing = heard.map(|(_, heard)| heard).unwrap_or_default();
        Ok(Rollout {
            id,
            service,
            plan: plan.into(),
            deploy,
            author,
            reason,
            started,
            ended,
            stage,
            entered,
            step,
            next,
            paused,
            held,
            asked,
            pending,
            looked,
            has_failed,
            has_passed,
            counts,
            whole,
            traffic_since,
            unready_since,
            rolling,
            hearing,
        })
    }
}

impl StoredHearing {
    /// What a judge has heard in a rollout of this number.
    pub fn of(rollout: u64, heard: &Hearing) -> Result<StoredHearing, serde_json::Error> {
        let heard = serde_json::value::to_raw_value(heard)?;
        Ok(StoredHearing { version: HEARING, rollout, heard })
    }

    /// Of a rollout under way: its number and what was heard, without a judge of another version; nothing
    /// if it is of one not known here.
    pub fn read(self) -> Result<Option<(u64, Arc<Hearing>)>, serde_json::Error> {
        let is_current = self.version == HEARING;
        let mut read = self.of_ended()?;
        if let (Some((_, heard)), false) = (&mut read, is_current) {
            Arc::make_mut(heard).dismiss_judge();
        }
        Ok(read)
    }

    /// Of one that has ended: all that was heard.
    fn of_ended(self) -> Result<Option<(u64, Arc<Hearing>)>, serde_json::Error> {
        if !READ.contains(&self.version) {
            return Ok(None);
        }
        Ok(Some((self.rollout, Arc::new(serde_json::from_str(self.heard.get())?))))
    }
}
