//! What runs in the process: its parts, which must not end before it does, the threads that move
//! requests, and threads of their own beside them.

use std::collections::HashMap;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{oneshot, watch};
use tokio::task::{Id, JoinSet};

/// What must not end before the process does. Dropping it ends all of it.
#[derive(Default)]
pub(super) struct Parts {
    tasks: JoinSet<&'static str>,
    names: HashMap<Id, &'static str>,
}

impl Parts {
    pub(super) fn start_as(
        &mut self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        self.start(name, async move {
            work.await;
            name
        });
    }

    /// Starts one that says itself what has ended.
    pub(super) fn start(
        &mut self,
        name: &'static str,
        work: impl Future<Output = &'static str> + Send + 'static,
    ) {
        self.names.insert(self.tasks.spawn(work).id(), name);
    }

    /// Waits until one has ended, or has panicked; answers with its name.
    pub(super) async fn ended(&mut self) -> &'static str {
        match self.tasks.join_next().await {
            Some(Ok(name)) => name,
            Some(Err(error)) => self.names.get(&error.id()).copied().unwrap_or("a task"),
            None => std::future::pending().await,
        }
    }
}

/// The threads that move requests. tokio panics when a runtime is dropped where another one runs,
/// so this one is told to end by itself.
pub(super) struct Workers {
    pub(super) handle: Handle,
    runtime: Option<Runtime>,
}

impl Workers {
    pub(super) fn start(threads: usize) -> std::io::Result<Workers> {
        let mut builder = Builder::new_multi_thread();
        let builder = builder.worker_threads(threads).thread_name("worker").enable_all();
        let runtime = builder.build()?;
        let handle = runtime.handle().clone();
        Ok(Workers { handle, runtime: Some(runtime) })
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

/// Does this on a thread of its own, which ends when the sender is dropped; the receiver hears when
/// it has.
pub(super) fn start_beside(
    name: &str,
    work: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<(oneshot::Sender<()>, oneshot::Receiver<()>)> {
    let (running, ended) = oneshot::channel();
    let (works, end) = oneshot::channel::<()>();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let run = move || {
        runtime.block_on(async {
            // As a task: tokio wakes what `block_on` itself waits for through the system, two calls
            // for each probe that ends.
            let mut working = tokio::spawn(work);
            tokio::select! {
                _ = ended => working.abort(),
                _ = &mut working => {}
            }
        });
        runtime.shutdown_background();
        drop(works);
    };
    std::thread::Builder::new().name(name.into()).spawn(run)?;
    Ok((running, end))
}

/// Does this as long as it is our duty, and anew when it is again.
pub(super) async fn on_duty<F: Future<Output = ()>>(
    mut duty: watch::Receiver<bool>,
    work: impl Fn() -> F,
) {
    while duty.wait_for(|ours| *ours).await.is_ok() {
        tokio::select! {
            () = work() => return,
            // Where nobody is left to say otherwise, it stays ours.
            Ok(_) = duty.wait_for(|ours| !*ours) => {}
        }
    }
    // Nobody is left to say whose it is: it stays another's.
    std::future::pending().await
}

/// Waits for the end of a thread that does something beside.
pub(super) async fn ended(end: oneshot::Receiver<()>) {
    let _: Result<(), _> = end.await;
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn a_duty_that_nobody_can_take_away_is_begun_once() {
        let (says, duty) = watch::channel(true);
        drop(says);
        let begun = Cell::new(0);
        let work = async || {
            begun.set(begun.get() + 1);
            assert_eq!(begun.get(), 1, "it is begun again");
            for _ in 0..100 {
                yield_now().await;
            }
        };
        on_duty(duty, work).await;
        assert_eq!(begun.get(), 1);
    }
}
