//! The acceptance tests P1 to P9 of `judge.md` 2.6, and the judge as a whole.
//!
//! What must hold where failures come together (`bursts.md` 2.3), and what shows it:
//!
//! | | what | shown by |
//! |---|---|---|
//! | P1 | golden vectors, of causes and of a clean history | `golden`; the guard's in `absolute` |
//! | P2 | no bet on causes or on bad seconds gains on average | `enumeration`, `properties` |
//! | P3 | identical versions are taken back at most once in a hundred times | `rehearsal::tests` (C2, B4, G3, E2: 50 each), `benches/judge_tables` (all worlds: 500 each) |
//! | P4 | a clean history costs at most a fifth of the time | `rehearsal::tests::rollouts_are_taken_back_as_fast_as_the_tables_say`, `benches/judge_tables` (A1, A2) |
//! | P5 | regressions beside bursts are found as soon as before | `rehearsal::tests::beside_many_hosts_that_stall_a_regression_is_found_in_two_minutes`, `benches/judge_tables` (B, C, G) |
//! | P6 | more failures of the stable pool never raise the evidence, more of the canary never lower it | `properties` |
//! | P7 | two proxies' readings added up are one proxy's | `properties` |
//! | P8 | one restart of 2 s is no rollback and a crash loop is one | `whole`, `absence`, `rehearsal::tests`; `benches/stories` before real sockets |
//! | P9 | what is known outlasts the process | `bursts`, `whole`; `store::tests` on disk |
//! | P10 | what it costs | `benches/judge` |

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
