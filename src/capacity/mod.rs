//! How much a pool carries: what it did in each second in; what it carried at most in four weeks, how much more
//! it could carry, and whether a change would give its upstreams more than one has ever carried well, out.
//!
//! [`Weeks`] is what is remembered of one pool, [`Day`] the part of it that is stored, [`Report`] what is told
//! of a pool and [`Overload`] what is told of a change. No clock and no counter of its own: whoever looks at
//! the pools once a second anyhow hands in what came.

mod bands;
mod day;
mod overload;
mod report;
mod weeks;
#[cfg(test)]
mod tests;

pub use day::{Day, DayNumber};
pub use overload::{FEWEST_HOURS, Overload, Target};
pub use report::{By, Ceiling, Now, Report};
pub use weeks::{Known, Look, LookAtUpstream, Weeks};
