//! Changes of the config's file, and of static answers, tokens and keys that it names: a path in, a
//! call whenever a content differs from the last seen out.
//!
//! The folder is watched, not the file: editors put a new file in its place, and Kubernetes swaps
//! a link beside it. What the system does not report (network file systems, a link that points
//! far away) is found by looking every two seconds. Content decides, not time stamps.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use notify::{RecursiveMode, Watcher};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::Text;
use super::read::{read, read_text};
use super::source::{LARGEST, LARGEST_NAMED};

/// A change is taken once nothing has stirred for this long: saving takes several steps.
const QUIET: Duration = Duration::from_millis(100);

/// How long stirring may put a change off.
const LONGEST_STIR: usize = 20;

/// How often the file is looked at without being told.
const LOOK: Duration = Duration::from_secs(2);

/// Calls whenever the content of the config's file or of what is part of it (static answers, tokens,
/// keys) differs from what is in force, at first from `text`.
pub async fn watch<F: Future<Output = ()>>(path: PathBuf, text: String, changed: impl Fn() -> F) {
    // One place is enough: a stir that is not noted any more is followed by a look anyway.
    let (stirred, mut stirs) = mpsc::channel::<()>(1);
    let _watcher = match folder_watcher(&path, stirred.clone()) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(%error, "cannot watch the config's folder; looking every two seconds");
            None
        }
    };
    let mut seen = Seen::of(&path, text);
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
        let path = path.clone();
        let look = move || {
            let is_changed = seen.look(&path);
            (seen, is_changed)
        };
        let Ok((looked, is_changed)) = spawn_blocking(look).await else { return };
        seen = looked;
        if is_changed {
            changed().await;
        }
    }
}

/// What was there at the last look.
#[derive(Debug)]
struct Seen {
    text: String,
    contents: Vec<Content>,
}

/// A file whose content is part of the config.
#[derive(Debug)]
struct Content {
    path: PathBuf,
    /// Length and time of the last change: as long as they stay, its content is not read again.
    stamp: Option<(u64, SystemTime)>,
    content: Option<[u8; 32]>,
}

impl Seen {
    fn of(path: &Path, text: String) -> Seen {
        let text = Text { path: path.display().to_string(), text };
        let mut contents: Vec<Content> = text.contents().into_iter().map(Content::new).collect();
        for content in &mut contents {
            content.look();
        }
        Seen { text: text.text, contents }
    }

    /// Looks again; whether anything is different. What is missing or cannot be read is looked at
    /// again in a moment.
    fn look(&mut self, path: &Path) -> bool {
        let Ok(text) = read_text(path, LARGEST) else { return false };
        if text != self.text {
            *self = Seen::of(path, text);
            return true;
        }
        let mut is_changed = false;
        for content in &mut self.contents {
            is_changed |= content.look();
        }
        is_changed
    }
}

impl Content {
    fn new(path: PathBuf) -> Content {
        Content { path, stamp: None, content: None }
    }

    fn look(&mut self) -> bool {
        let stamp =
            std::fs::metadata(&self.path).and_then(|file| Ok((file.len(), file.modified()?)));
        let Ok(stamp) = stamp else { return false };
        if self.stamp == Some(stamp) {
            return false;
        }
        let Ok(bytes) = read(&self.path, LARGEST_NAMED) else { return false };
        self.stamp = Some(stamp);
        let content = Some(Sha256::digest(&bytes).into());
        std::mem::replace(&mut self.content, content) != content
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::write;

    const CONFIG: &str = "[[listeners]]\naddress = \":80\"\n[services.a]\n\
        fallback.answer.file = \"sorry/down.html\"\n[services.a.pools.b]\nupstreams = [\"a:1\"]\n";

    #[tokio::test]
    async fn a_change_of_an_answer_that_the_config_names_is_a_change_of_the_config() {
        let folder = tempfile::tempdir().unwrap();
        let (path, answer) = (folder.path().join("c.toml"), folder.path().join("sorry/down.html"));
        std::fs::create_dir(answer.parent().unwrap()).unwrap();
        write(&path, CONFIG).unwrap();
        write(&answer, "down").unwrap();
        let mut seen = Seen::of(&path, CONFIG.into());
        assert!(!seen.look(&path), "all is as it was");
        write(&answer, "back at noon").unwrap();
        assert!(seen.look(&path));
        assert!(!seen.look(&path), "told once");
        std::fs::remove_file(&answer).unwrap();
        assert!(!seen.look(&path), "it may be there again in a moment");
        write(&answer, "back at noon").unwrap();
        assert!(!seen.look(&path), "the content decides, not the time stamp");
        write(&path, CONFIG.replace("sorry/", "")).unwrap();
        assert!(seen.look(&path));
        write(&answer, "nobody names it any more").unwrap();
        assert!(!seen.look(&path));
        write(folder.path().join("down.html"), "back at one").unwrap();
        assert!(seen.look(&path));
    }

    #[tokio::test]
    async fn a_change_of_a_key_is_a_change_of_the_config() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("c.toml"), folder.path().join("alerts.key"));
        let text = format!(
            "[[notify]]\nurl = \"http://a/\"\nsecret_file = \"alerts.key\"\n{}",
            CONFIG.replace("fallback.answer.file = \"sorry/down.html\"\n", "")
        );
        write(&path, &text).unwrap();
        let mut seen = Seen::of(&path, text);
        assert!(!seen.look(&path), "it is not there yet");
        for content in ["one", "another"] {
            write(&key, content).unwrap();
            assert!(seen.look(&path), "{content}");
            assert!(!seen.look(&path), "told once");
        }
    }
}
