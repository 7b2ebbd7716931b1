//! The file's changes: a path in, a call whenever its content differs from the last seen out.
//!
//! The folder is watched, not the file: editors put a new file in its place, and Kubernetes swaps
//! a link beside it. What the system does not report (network file systems, a link that points
//! far away) is found by looking every two seconds. Content decides, not time stamps.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// A change is taken once nothing has stirred for this long: saving takes several steps.
const QUIET: Duration = Duration::from_millis(100);

/// How long stirring may put a change off.
const LONGEST_STIR: usize = 20;

/// How often the file is looked at without being told.
const LOOK: Duration = Duration::from_secs(2);

/// Calls whenever the file's content differs from `seen`, the content that is in force.
pub async fn watch<F: Future<Output = ()>>(
    path: PathBuf,
    mut seen: String,
    changed: impl Fn() -> F,
) {
    // One place is enough: a stir that is not noted any more is followed by a look anyway.
    let (stirred, mut stirs) = mpsc::channel::<()>(1);
    let _watcher = match folder_watcher(&path, stirred.clone()) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(%error, "cannot watch the config's folder; looking every two seconds");
            None
        }
    };
    loop {
        if let Ok(None) = timeout(LOOK, stirs.recv()).await {
            return;
        }
        for _ in 0..LONGEST_STIR {
            sleep(QUIET).await;
            if stirs.try_recv().is_err() {
                break;
            }
        }
        // A file that is missing or half there is looked at again in a moment.
        let Ok(text) = tokio::fs::read_to_string(&path).await else { continue };
        if text != seen {
            seen = text;
            changed().await;
        }
    }
}

fn folder_watcher(
    path: &Path,
    stirred: mpsc::Sender<()>,
) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let reads = event.is_ok_and(|event| event.kind.is_access());
        if !reads {
            // Full means a stir is noted already.
            let _ = stirred.try_send(());
        }
    })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    watcher.watch(folder.unwrap_or(Path::new(".")), RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
