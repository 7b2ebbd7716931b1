//! Holds that are over: modes and the time in, orders to serve again out.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Control;
use crate::clock::Clock;
use crate::orders::{By, ModeName, ModeOrder, Order};
use crate::snapshot::{Mode, Published};

/// How late a hold may end.
const LOOK: Duration = Duration::from_millis(250);

/// Lets holds end in time, until the task is ended.
pub async fn end_holds(published: Arc<Published>, control: Control, clock: Clock) {
    loop {
        let snapshot = published.load();
        let now = snapshot.moment(clock.now());
        for service in &snapshot.services {
            if let Mode::Hold { until, .. } = service.mode
                && now >= until
            {
                let what = ModeOrder::Serve { from: Some(ModeName::Hold) };
                let order = Order::Mode { service: service.name.to_string(), what };
                let by = By::new("pointsman", Some("the time of the hold is over"));
                // A service that is gone meanwhile holds nothing any more.
                let _ = control.order(order, by).await;
            }
        }
        sleep(LOOK).await;
    }
}
