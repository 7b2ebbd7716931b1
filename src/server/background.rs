//! What the process does over and over beside everything else: names are looked up, the file is watched,
//! history is kept.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::control::{Cause, Control, ReloadError};
use crate::events::Events;
use crate::files::{Files, InForce, Taken, watch as watch_files};
use crate::history::{History, PERIOD};
use crate::observe::Process;
use crate::orders::By;
use crate::resolve::{News, Resolver};
use crate::snapshot::Published;

/// Looks names up, for ever, and tells the writer and whoever listens what came of it.
pub(super) async fn resolve(
    resolver: Resolver,
    in_force: watch::Receiver<Arc<InForce>>,
    control: Control,
    events: Arc<Events>,
    process: Arc<Process>,
) {
    let tell = |resolved| {
        let control = control.clone();
        async move { control.resolved(resolved).await }
    };
    let heard = |news: Vec<News>, names| {
        process.set_names(names);
        news.into_iter().for_each(|News { name, kind }| events.say_of_name(&name, &kind));
    };
    resolver.run(in_force, tell, heard).await;
}

/// Takes the file in when it changes, for ever.
pub(super) async fn reload_on_change(files: Arc<Files>, clock: Clock, control: Control) {
    let reload = |is_last| {
        let control = control.clone();
        async move {
            match control.reload(By::new("file", None), Cause::Saved { is_last }).await {
                Err(ReloadError::Removes(_)) if !is_last => Taken::Waits,
                // The writer has said all there is to say about a refusal.
                _ => Taken::Done,
            }
        }
    };
    watch_files(files, clock, reload).await;
}

/// Notes what the pools do, for ever.
pub(super) async fn keep_history(history: Arc<History>, published: Arc<Published>, clock: Clock) {
    loop {
        history.look(&published.load(), clock.now(), clock.wall_time());
        sleep(PERIOD).await;
    }
}
