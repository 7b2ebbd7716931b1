//! What travels about what was recorded of a service: an hour, second by second.
//!
//! It comes back from files that people keep and change, so whoever reads one finds each value in its range, or is
//! told where one is not ([`checked`]).

mod checked;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::WallTime;
use crate::judge::{Distribution, JudgeSettings};
use crate::recording::{self, Minute, PoolMinute};
use crate::rollout::RolloutSettings;

/// The most that an answer has of seconds, in bytes: the newest minutes are told.
const LARGEST: usize = 16 * 1024 * 1024;

/// What the upstreams of a service did in the last hour, and what its rollouts are like.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Recording {
    /// The service.
    pub service: String,
    /// How long it is, in seconds.
    pub seconds: u64,
    /// Minutes that are not told, for all of them are too many.
    #[serde(default)]
    pub minutes_left_out: usize,
    /// Its pools and how many upstreams they have now.
    #[serde(deserialize_with = "checked::pools")]
    pub pools: Vec<RecordedPool>,
    /// How its rollouts go.
    pub rollout: RecordedPlan,
    /// What was recorded, the oldest minute first.
    #[serde(deserialize_with = "checked::minutes")]
    pub minutes: Vec<RecordedMinute>,
}

/// A pool of a service.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RecordedPool {
    /// Its name.
    pub pool: String,
    /// How many upstreams it has.
    pub upstreams: usize,
}

/// How rollouts of a service go.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RecordedPlan {
    /// Shares of the target, in percent.
    #[serde(deserialize_with = "checked::steps")]
    pub steps: Vec<f64>,
    /// How long a step lasts at least, in seconds.
    #[serde(deserialize_with = "checked::wait")]
    pub hold_seconds: f64,
    /// Requests at the target that a step wants at least.
    #[serde(deserialize_with = "checked::requests")]
    pub min_requests: u64,
    /// How long a step waits for them, in seconds.
    #[serde(deserialize_with = "checked::wait")]
    pub longest_step_seconds: f64,
    /// How long the old pool is kept warm, in seconds.
    #[serde(deserialize_with = "checked::wait")]
    pub watch_seconds: f64,
    /// Whether clients keep to their side of the split.
    pub is_sticky: bool,
    /// How the judge is set.
    #[schema(value_type = Object)]
    #[serde(deserialize_with = "checked::judge")]
    pub judge: JudgeSettings,
}

/// A whole minute.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RecordedMinute {
    /// Counts up.
    pub number: u64,
    /// When it ended: Unix time in seconds.
    #[serde(deserialize_with = "checked::unix_time")]
    pub ended: f64,
    /// Whether it directly follows the one before.
    pub follows: bool,
    /// What each pool did.
    #[serde(deserialize_with = "checked::each_pool_once")]
    pub pools: Vec<RecordedPoolMinute>,
}

/// A whole minute of a pool.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RecordedPoolMinute {
    /// Its name.
    pub pool: String,
    /// From how many microseconds on an answer was slow: its p50, p95 and p99 of the minutes before.
    #[serde(deserialize_with = "checked::slow_from")]
    pub slow_from_micros: [u64; 3],
    /// How long its good answers took.
    #[schema(value_type = Object)]
    #[serde(deserialize_with = "checked::took")]
    pub took: Distribution,
    /// What each upstream did.
    #[serde(deserialize_with = "checked::each_upstream_once")]
    pub upstreams: Vec<RecordedUpstream>,
}

/// A whole minute of an upstream.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RecordedUpstream {
    /// Its address.
    pub upstream: String,
    /// Sixty seconds, each as `requests/failures+slow.slower.slowest`, such as `50`, `50/12` or
    /// `50/12+19.2.1`; `0*7` are seven alike, `50-` had answers whose time does not count yet. `-` is one of
    /// which nobody knows: it was not in the pool.
    #[serde(deserialize_with = "checked::seconds")]
    pub seconds: String,
}

impl Recording {
    /// Of a service: what was recorded, and what there is of it now.
    pub fn of(
        service: &str,
        recording: &recording::Recording,
        pools: Vec<RecordedPool>,
        plan: (&RolloutSettings, bool),
    ) -> Recording {
        let mut left = LARGEST;
        let newest = recording.minutes.iter().rev().take_while(|minute| {
            let fits = left.checked_sub(minute.bytes());
            left = fits.unwrap_or_default();
            fits.is_some()
        });
        let mut minutes: Vec<RecordedMinute> =
            newest.map(|minute| RecordedMinute::of(minute)).collect();
        minutes.reverse();
        let (settings, is_sticky) = plan;
        Recording {
            service: service.into(),
            seconds: (minutes.len() * recording::MINUTE) as u64,
            minutes_left_out: recording.minutes.len() - minutes.len(),
            pools,
            rollout: RecordedPlan::of(settings, is_sticky),
            minutes,
        }
    }

    /// What was recorded.
    pub fn read(&self) -> recording::Recording {
        let minutes = self.minutes.iter().map(|minute| Arc::new(minute.read()));
        recording::Recording { minutes: minutes.collect() }
    }
}

impl RecordedPlan {
    fn of(settings: &RolloutSettings, is_sticky: bool) -> RecordedPlan {
        RecordedPlan {
            steps: settings.steps.iter().map(|share| share.percent()).collect(),
            hold_seconds: settings.hold.as_secs_f64(),
            min_requests: settings.min_requests,
            longest_step_seconds: settings.longest_step.as_secs_f64(),
            watch_seconds: settings.watch.as_secs_f64(),
            is_sticky,
            judge: settings.judging.settings.clone(),
        }
    }

    /// What a plan is made of.
    pub fn read(&self) -> RolloutSettings {
        let seconds = |time: f64| {
            let longest = crate::clock::LONGEST;
            std::time::Duration::try_from_secs_f64(time).unwrap_or(longest).min(longest)
        };
        let steps = self.steps.iter().filter_map(|step| checked::step(*step));
        let mut settings = RolloutSettings {
            steps: steps.collect(),
            hold: seconds(self.hold_seconds),
            min_requests: self.min_requests,
            longest_step: seconds(self.longest_step_seconds),
            watch: seconds(self.watch_seconds),
            ..RolloutSettings::default()
        };
        settings.judging.settings = self.judge.clone();
        settings
    }
}

impl RecordedMinute {
    fn of(minute: &Minute) -> RecordedMinute {
        let upstream = |(name, seconds): &(Arc<str>, Box<str>)| RecordedUpstream {
            upstream: name.to_string(),
            seconds: seconds.to_string(),
        };
        let pool = |pool: &PoolMinute| RecordedPoolMinute {
            pool: pool.pool.to_string(),
            slow_from_micros: pool.slow_from,
            took: pool.took.clone(),
            upstreams: pool.upstreams.iter().map(upstream).collect(),
        };
        RecordedMinute {
            number: minute.number,
            ended: minute.ended.seconds(),
            follows: minute.follows,
            pools: minute.pools.iter().map(pool).collect(),
        }
    }

    fn read(&self) -> Minute {
        let upstream =
            |one: &RecordedUpstream| (one.upstream.as_str().into(), one.seconds.as_str().into());
        let pool = |pool: &RecordedPoolMinute| PoolMinute {
            pool: pool.pool.as_str().into(),
            slow_from: pool.slow_from_micros,
            took: pool.took.clone(),
            upstreams: pool.upstreams.iter().map(upstream).collect(),
        };
        Minute {
            number: self.number,
            ended: WallTime::from_millis((self.ended * 1e3) as u64),
            follows: self.follows,
            pools: self.pools.iter().map(pool).collect(),
        }
    }
}
