//! The acceptance tests P1 to P9 of `judge.md` 2.6, and the judge as a whole.

mod chance;
mod enumeration;
mod golden;
mod properties;
mod simulation;
mod whole;

use super::absolute::AbsoluteGuard;
use super::buckets::bucket_of;
use super::bursts::Bursts;
use super::causes::Causes;
use super::e_process::Spending;
use super::gate::Gate;
use super::more_errors::{ErrorTest, Tolerance, Weighing};
use super::slower::{LatencyTest, Slack, Threshold};
use super::{Counts, Distribution};
use crate::clock::Draws;
