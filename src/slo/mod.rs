//! Error budgets: counts of requests and time in; burn rates, what is left and whether rollouts may
//! go on out.
//!
//! An [`Objective`] says which requests are bad and how many of them may be. Its [`Budget`] keeps
//! samples of two counters that only grow in three [`Rings`], so that any window is one subtraction;
//! [`Alarms`] make states of burn rates and of what is left, slowly enough that nothing flaps.
//! A service's [`Standing`] is the worst of its objectives and what people have said above them.
//!
//! Rates, windows and least counts are those of the Google SRE workbook, chapter 5 (multiwindow,
//! multi-burn-rate alerts). Nothing here acts: orders refuse and hold by what a standing says.

mod goal;
mod objective;
mod tally;
mod ring;
mod samples;
mod burn;
mod alarms;
mod budget;
mod standing;
mod blame;

pub use alarms::{Alarms, Fire, State};
pub use blame::Blame;
pub use budget::{Budget, Kept, Reading};
pub use burn::{Burns, Span, TIERS, Tier};
pub use goal::{Goal, GoalError};
pub use objective::{DEFAULT_WINDOW, Objective, Quantile, Slo};
pub use ring::{Block, Grain, Rings, Sample};
pub use standing::{Decree, Shown, Standing};
pub use tally::{Tally, Totals};
