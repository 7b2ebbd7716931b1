//! Time in which nobody looked: the time of each look in, a rollout whose moments are moved out.
//!
//! Holds, watches and time-outs are counted in wall time, which outlasts the process. But a process
//! that was down has watched nothing, and a clock that was set tells nothing of how long something
//! took. So whatever passes between two looks counts for a few ticks at most, and nothing if the
//! clock went back: all moments that something is counted from move with it.

use std::time::Duration;

use super::Rollout;
use crate::clock::WallTime;

/// What counts at most between two looks, which come once a second: a process that is busy may be
/// a little late.
const LONGEST: Duration = Duration::from_secs(3);

/// How moments move.
#[derive(Clone, Copy, Debug)]
enum Move {
    Forward(Duration),
    Back(Duration),
}

impl Move {
    fn apply(self, to: &mut WallTime) {
        *to = match self {
            Move::Forward(length) => *to + length,
            Move::Back(length) => {
                let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
                WallTime::from_millis(to.millis().saturating_sub(length))
            }
        };
    }
}

impl Rollout {
    /// Leaves out what passed since the last look beyond what nobody could have watched.
    pub(super) fn keep_time(&mut self, now: WallTime) {
        let Some(before) = self.looked.replace(now) else { return };
        if now < before {
            let back = Move::Back(before.elapsed_since(now));
            back.apply(&mut self.entered);
            let stills = self.paused.iter_mut().chain(&mut self.held);
            stills.for_each(|still| back.apply(&mut still.at));
            self.move_rest(back);
            self.move_heard(|at| back.apply(at));
            return;
        }
        let left_out = now.elapsed_since(before).saturating_sub(LONGEST);
        if left_out.is_zero() {
            return;
        }
        let forward = Move::Forward(left_out);
        // A pause is left out as a whole when it ends.
        if !self.stands_still() {
            forward.apply(&mut self.entered);
        }
        // How the target is has to be found out anew.
        self.unready_since = None;
        self.move_rest(forward);
    }

    fn move_rest(&mut self, by: Move) {
        let since = self.traffic_since.iter_mut().chain(&mut self.unready_since);
        since.for_each(|since| by.apply(since));
        self.pending.iter_mut().for_each(|pending| by.apply(&mut pending.since));
        self.rolling.since_mut().for_each(|since| by.apply(since));
    }
}
