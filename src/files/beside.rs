//! Work on files beside the runtime: a disk or a file system that does not answer keeps one thread, and
//! nobody waits for it longer than this.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long files may take: much longer than the largest config needs.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Threads that may hang at once. Whoever comes after them is told so and takes no further one.
const THREADS: usize = 4;

/// The threads that read files.
#[derive(Clone, Debug)]
pub(super) struct Beside(Arc<Semaphore>);

/// The files have not been read in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it took longer than {} s: its file system does not answer", PATIENCE.as_secs())]
pub struct Hangs;

impl Default for Beside {
    fn default() -> Self {
        Beside(Arc::new(Semaphore::new(THREADS)))
    }
}

impl Beside {
    /// Does this on a thread of its own. The place is given back when it really ends.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Hangs> {
        self.run_within(PATIENCE, work).await
    }

    async fn run_within<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Hangs> {
        let places = self.0.clone();
        let done = timeout(patience, async move {
            let place = places.acquire_owned().await.ok()?;
            let work = move || {
                let done = work();
                drop(place);
                done
            };
            // A panic has been reported by itself.
            spawn_blocking(work).await.ok()
        });
        done.await.ok().flatten().ok_or(Hangs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn what_hangs_keeps_nobody_waiting_and_takes_a_few_threads_at_most() {
        let beside = Beside::default();
        let mut ends = Vec::new();
        for _ in 0..THREADS {
            let (end, hangs) = mpsc::channel::<()>();
            ends.push(end);
            let work = move || hangs.recv();
            assert_eq!(beside.run_within(Duration::from_millis(20), work).await, Err(Hangs));
        }
        assert_eq!(beside.0.available_permits(), 0);
        let soon = Duration::from_millis(20);
        assert_eq!(
            beside.run_within(soon, || panic!("there is no thread left")).await,
            Err::<(), _>(Hangs)
        );
        ends.clear();
        assert_eq!(beside.run(|| 5).await, Ok(5), "as soon as one has ended");
    }
}
