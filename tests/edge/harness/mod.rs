//! What the tests are played with.

pub mod chance;
pub mod client;
pub mod deployer;
pub mod edge;
pub mod installed;
pub mod load;
pub mod origin;
pub mod process;
pub mod proxy;
pub mod running;

pub use client::{Client, connect};
pub use deployer::Deployer;
pub use edge::Edge;
pub use installed::Installed;
pub use load::{Load, alone};
pub use origin::{Gate, Origin, Reply};
pub use process::Process;
pub use proxy::Proxy;
pub use running::Running;

use std::time::Duration;

/// How long anything may take before a test gives up. Never a measure of speed: with nothing wrong
/// it is enough on a machine that does ten other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something holds.
pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain until {what}");
}
