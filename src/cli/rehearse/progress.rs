//! How far long work is: a count that rises in, one line on a terminal's standard error out.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::words::grouped;

/// How often it is shown. What is over before the first time is not shown at all.
const SHOW: Duration = Duration::from_millis(200);

/// Works, and shows meanwhile how much of `total` is done.
pub fn shown<T>(total: u64, work: impl FnOnce(&AtomicU64) -> T) -> T {
    let (done, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    if !std::io::stderr().is_terminal() {
        return work(&done);
    }
    let show = || {
        let mut has_shown = false;
        loop {
            std::thread::park_timeout(SHOW);
            if is_over.load(Ordering::Acquire) {
                break;
            }
            has_shown = true;
            let now = done.load(Ordering::Relaxed);
            let percent = now * 100 / total.max(1);
            let line = format!("{} of {} rollouts ({percent} %)", grouped(now), grouped(total));
            // A terminal that is gone shows nothing.
            let _ = write!(std::io::stderr(), "\r{line}");
        }
        if has_shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    };
    std::thread::scope(|scope| {
        let shower = scope.spawn(show);
        let over = Over { is_over: &is_over, shower: shower.thread() };
        let worked = work(&done);
        drop(over);
        worked
    })
}

/// Ends the showing, also when the work has panicked: the scope waits for it.
struct Over<'a> {
    is_over: &'a AtomicBool,
    shower: &'a std::thread::Thread,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        self.shower.unpark();
    }
}
