//! The new process of an upgrade: what the one before says in, its place taken out.

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;

use tokio::sync::watch;

use super::Yours;
use super::words::{COUNTED, PREPARED, READY, REFUSED, SERVE, SERVING, STANDS, Way, YOURS};
use crate::snapshot::Published;
use crate::state::State;
use crate::store::told;

/// The process before this one.
#[derive(Debug)]
pub(in crate::server) struct Predecessor(Way);

impl Predecessor {
    /// At the other end of this. Must run within a runtime.
    pub fn over(stream: StdUnixStream) -> io::Result<Predecessor> {
        Way::over(stream).map(Predecessor)
    }

    /// The config is checked and the sockets are there. Waits until the store is free; none if the one before
    /// has ended instead, which then is as if it had ended without us.
    pub async fn prepared(&mut self) -> Option<Yours> {
        self.0.says.say(PREPARED, "").await.ok()?;
        let yours = self.wait_for(YOURS).await?;
        // Of another version it may be that nothing is understood: then all begins as after a start.
        Some(serde_json::from_str(&yours).unwrap_or_default())
    }

    /// All is there. Waits for the word to serve, or until the one before is gone: then nobody else does.
    pub async fn ready(&mut self) {
        if self.0.says.say(READY, &std::process::id().to_string()).await.is_err() {
            return;
        }
        // That it is gone is word enough.
        let _ = self.wait_for(SERVE).await;
    }

    /// What belongs to this word, once it is said; none if the one before has ended instead.
    async fn wait_for(&mut self, word: &str) -> Option<String> {
        loop {
            match self.0.hears.hear().await? {
                (heard, rest) if heard == word => return Some(rest),
                _ => {}
            }
        }
    }

    /// Whoever comes is served here.
    pub async fn serving(&mut self) {
        // Nobody else has to know.
        let _ = self.0.says.say(SERVING, "").await;
    }

    /// It will not do.
    pub async fn refuse(&mut self, why: &str) {
        // Whoever is gone does not need to know.
        let _ = self.0.says.say(REFUSED, why).await;
    }

    /// Tells what was decided since this state, with which it began, and takes in what the one before has still served; for ever.
    pub async fn keep_told(
        self,
        published: Arc<Published>,
        begun: Arc<State>,
        mut states: watch::Receiver<Arc<State>>,
    ) {
        let Way { mut hears, mut says } = self.0;
        let tell = async {
            let mut before = begun;
            loop {
                let state = states.borrow_and_update().clone();
                if !state.is_same_as(&before) {
                    match told(&state, state.services_unlike(&before)) {
                        Ok(what) if says.say(STANDS, &what).await.is_err() => return,
                        Ok(_) => {}
                        Err(error) => tracing::error!(%error, "the process before is told nothing"),
                    }
                }
                before = state;
                if states.changed().await.is_err() {
                    return;
                }
            }
        };
        let hear = async {
            while let Some((word, counted)) = hears.hear().await {
                if word == COUNTED
                    && let Ok(counted) = serde_json::from_str(&counted)
                {
                    published.load().count(&counted);
                }
            }
        };
        // Who has ended hears nothing, and has said all.
        tokio::select! {
            () = async { tokio::join!(tell, std::future::pending::<()>()); } => {}
            () = hear => {}
        }
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallTime;
    use crate::config::Config;
    use crate::snapshot::{Blueprint, RunTime, Snapshot};
    use crate::split::Secret;
    use crate::state::{Change, Override, What};
    use crate::store::heard;

    fn published() -> Arc<Published> {
        let text = "[[listeners]]\naddress = \":0\"\n[services.s.pools.a]\nupstreams = [\"a:1\"]\n";
        let blueprint = Blueprint {
            config: Arc::new(Config::parse(text).unwrap().0),
            run_time: &RunTime::default(),
            secret: Secret([1; 16]),
            now: crate::server::clock::system().now(),
        };
        Arc::new(Published::of(Arc::new(Snapshot::build(&blueprint, None))))
    }

    #[tokio::test]
    async fn what_was_decided_before_the_telling_begins_is_told_too() {
        let (ours, theirs) = StdUnixStream::pair().unwrap();
        let predecessor = Predecessor::over(ours).unwrap();
        let mut before = Way::over(theirs).unwrap();
        let begun = Arc::new(State::default());
        let freeze = Change::Order(Override {
            what: What::Freeze { service: "s".into() },
            author: "ada".into(),
            reason: None,
            at: WallTime::from_millis(5),
            until: None,
        });
        let mut state = State::default();
        state.apply(&freeze);
        let (_decides, states) = watch::channel(Arc::new(state));
        let hears = tokio::select! {
            () = predecessor.keep_told(published(), begun.clone(), states) => None,
            heard = before.hears.hear() => heard,
        };
        let (word, what) = hears.unwrap();
        assert_eq!((word.as_str(), heard(&what, &begun)), (STANDS, vec![freeze]));
    }
}
