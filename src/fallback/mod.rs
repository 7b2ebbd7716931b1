//! stub
use std::sync::Arc;
/// stub
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fallback {
    /// s
    pub pool: Option<Arc<str>>,
}
