//! What stands beside the snapshot, for who shows it: orders and rollouts under way.
//!
//! No request is decided by it, so it is not in the snapshot: a rollout's counts change every second
//! and would publish one each time.

use crate::rollout::Rollout;
use crate::store::Override;

/// What stands now.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// Orders of operators and rollouts that nobody has taken back, by what they are about.
    pub orders: Vec<Override>,
    /// Rollouts under way, by service.
    pub rollouts: Vec<Rollout>,
}
