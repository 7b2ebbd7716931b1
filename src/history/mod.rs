//! The last minutes of every pool: totals read once a second in, rates and quantiles out.

mod latencies;
mod rates;

pub use latencies::{Latencies, WINDOWS};
pub use rates::{PERIOD, PoolRate, Rates};
