//! Deadlines that are kept whoever listens: a future and a connection in, the future's end or the
//! deadline's out.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::futures::OwnedNotified;
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
    /// What wakes the connection when the process stops; asked once, as its task stays the same.
    called: Option<Pin<Box<OwnedNotified>>>,
    is_asked: bool,
}

impl<F: Future> Watch<F> {
    /// Watches over `inner`, which serves this connection.
    pub fn new(inner: F, connection: Arc<Connection>) -> Watch<F> {
        let called = Some(Box::pin(connection.stop.called()));
        let (inner, alarm) = (Box::pin(inner), Alarm::default());
        Watch { inner, connection, alarm, called, is_asked: false }
    }

    /// Tells the connection once that the process stops.
    fn poll_stop(&mut self, cx: &mut Context<'_>) {
        let Some(called) = &mut self.called else { return };
        if !self.is_asked {
            self.is_asked = true;
            // Whether it has been called is seen below.
            let _ = called.as_mut().poll(cx);
        }
        if self.connection.stop.bounds().is_some() {
            self.called = None;
            self.connection.on_stop();
        }
    }
}

impl<F: Future> Future for Watch<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.poll_stop(cx);
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
