//! Deadlines that are kept whoever listens: a future and a connection in, the future's end or the
//! deadline's out.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::Sleep;

use super::connection::Connection;

/// A timer that follows a moving deadline.
///
/// It runs to the earliest deadline it was ever set to and only then looks for the one in force:
/// deadlines move with every request, timers are too dear to move along.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Whether this time has come; if not, the task is woken when it does.
    pub(super) fn poll_due(&mut self, due: Instant, cx: &mut Context<'_>) -> bool {
        let due = tokio::time::Instant::from_std(due);
        let timer = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= due {
                return true;
            }
            timer.as_mut().reset(due);
        }
        false
    }
}

/// Whatever is done with a connection, ended if a wait outlasts its deadline and pingora is not
/// there to hear of it.
pub struct Watch<F> {
    inner: Pin<Box<F>>,
    connection: Arc<Connection>,
    alarm: Alarm,
}

impl<F: Future> Watch<F> {
    /// Watches over `inner`, which serves this connection.
    pub fn new(inner: F, connection: Arc<Connection>) -> Watch<F> {
        Watch { inner: Box::pin(inner), connection, alarm: Alarm::default() }
    }
}

impl<F: Future> Future for Watch<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            if this.inner.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if this.connection.is_overdue() {
                return match this.connection.is_told() {
                    // An answer is being written; what bounds that is the stream.
                    true => Poll::Pending,
                    // Nothing reads, so nothing will end it but this.
                    false => Poll::Ready(()),
                };
            }
            // None while nothing is waited for. After an overdue wait the request may have gone on
            // to another upstream, which has a deadline of its own.
            let Some(due) = this.connection.due() else { return Poll::Pending };
            if !this.alarm.poll_due(due, cx) {
                return Poll::Pending;
            }
            this.connection.set_overdue();
        }
    }
}
