//! How many in which time: a rate and the time in, a grant out.

mod bucket;

pub use bucket::{Bucket, Rate};
