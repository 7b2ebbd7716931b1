//! What a client may send beyond what it is answered: the bytes of its frames in, the moment at which there
//! were too many out.
//!
//! A frame costs its sender nothing and us something: it is to be answered, or it undoes what was begun. So
//! each is charged, and what goes out to the client pays. Who asks and reads never comes near the end;
//! who sends frames for their own sake reaches it after as many as can be counted, whichever kind they
//! are: each of the known floods is one of these. Bytes of bodies are the windows' business and cost
//! nothing here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use super::super::limited::Limit;

/// What may be owed, so that a page's requests at once, or their end, never reach it.
const MOST: u32 = 2_000;

/// What is forgiven in a second: a connection may be quiet for long and still be asked whether it lives.
const A_SECOND: u32 = 200;

/// Bytes to the client that pay for one.
const PAY_ONE: u64 = 16;

/// What a client begins with, which is no frame.
const PREFACE: usize = 24;

/// The length of a frame's head.
const HEAD: usize = 9;

/// One connection's.
#[derive(Debug)]
pub(super) struct Allowance {
    signs: Arc<Signs>,
    now: fn() -> Instant,
    left: u32,
    /// What was charged in all, and for requests that were taken back.
    charged: u64,
    resets: u64,
    /// Until when what is forgiven has been counted.
    counted: Instant,
    /// Bytes that went out and have not paid for a whole one yet.
    change: u64,
    /// What has come of a head, ...
    head: [u8; HEAD],
    come: usize,
    /// ... and what is still to come of what is behind the last one.
    behind: usize,
}

/// What is told of a connection's bytes to those who serve it.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// 0 while something is left; which limit it was, in [`LIMITS`], and one.
    spent: AtomicU8,
    /// Bytes that have gone out.
    sent: AtomicU64,
    /// Whether more would, and there is no room.
    is_stuck: AtomicBool,
}

/// By which limit it is spent: what most of it went for.
const LIMITS: [Limit; 2] = [Limit::Frames, Limit::Resets];

/// Kinds of frames (RFC 9113, 6).
const DATA: u8 = 0;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;

/// The flag of what has padding.
const PADDED: u8 = 0x8;

/// What a frame with this head costs.
fn cost(kind: u8, flags: u8, length: usize) -> u32 {
    match kind {
        // Padding alone may be so long.
        DATA if length > 256 || (length > 0 && flags & PADDED == 0) => 0,
        // A request was begun for it, here and at an upstream.
        RST_STREAM => 10,
        // These are answered, and the answer is not to pay for them.
        SETTINGS | PING => 2,
        _ => 1,
    }
}

impl Allowance {
    /// A new connection's.
    pub(super) fn new(signs: Arc<Signs>, now: fn() -> Instant) -> Allowance {
        Allowance {
            signs,
            now,
            left: MOST,
            charged: 0,
            resets: 0,
            counted: now(),
            change: 0,
            head: [0; HEAD],
            come: 0,
            behind: PREFACE,
        }
    }

    /// Whether nothing is left: nothing more is to be read.
    pub(super) fn is_spent(&self) -> bool {
        self.signs.spent.load(Ordering::Relaxed) != 0
    }

    /// The client has sent these.
    pub(super) fn charge(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.behind > 0 {
                let length = self.behind.min(bytes.len());
                (self.behind, bytes) = (self.behind - length, &bytes[length..]);
                continue;
            }
            let length = (HEAD - self.come).min(bytes.len());
            self.head[self.come..self.come + length].copy_from_slice(&bytes[..length]);
            (self.come, bytes) = (self.come + length, &bytes[length..]);
            if self.come == HEAD {
                let [a, b, c, kind, flags, ..] = self.head;
                (self.come, self.behind) = (0, u32::from_be_bytes([0, a, b, c]) as usize);
                self.take(kind, cost(kind, flags, self.behind));
            }
        }
    }

    fn take(&mut self, kind: u8, cost: u32) {
        self.charged += u64::from(cost);
        if kind == RST_STREAM {
            self.resets += u64::from(cost);
        }
        if cost > self.left {
            // The clock is asked by those alone who come this far.
            let now = (self.now)();
            let since = now.saturating_duration_since(self.counted).as_secs_f64();
            self.left = (self.left + (since * f64::from(A_SECOND)) as u32).min(MOST);
            self.counted = now;
        }
        match self.left.checked_sub(cost) {
            Some(left) => self.left = left,
            None => {
                let is_for_resets = self.resets > self.charged / 2;
                self.signs.spent.store(1 + u8::from(is_for_resets), Ordering::Relaxed);
            }
        }
    }

    /// So many bytes have gone out to it.
    pub(super) fn pay(&mut self, bytes: u64) {
        self.change += bytes;
        let paid = u32::try_from(self.change / PAY_ONE).unwrap_or(MOST).min(MOST);
        (self.left, self.change) = ((self.left + paid).min(MOST), self.change % PAY_ONE);
        self.on_sent(bytes);
    }

    /// So many bytes have left, or there was no room for them.
    pub(super) fn on_sent(&self, bytes: u64) {
        if bytes > 0 {
            self.signs.sent.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Whether more would go out than there is room for.
    pub(super) fn set_stuck(&self, is_stuck: bool) {
        self.signs.is_stuck.store(is_stuck, Ordering::Relaxed);
    }
}

impl Signs {
    /// By which limit the connection is to end, if it is.
    pub(super) fn spent(&self) -> Option<Limit> {
        let at = usize::from(self.spent.load(Ordering::Relaxed));
        at.checked_sub(1).and_then(|at| LIMITS.get(at).copied())
    }

    /// How much had gone out when there was no more room, while there is none.
    pub(super) fn stuck(&self) -> Option<u64> {
        let is_stuck = self.is_stuck.load(Ordering::Relaxed);
        is_stuck.then(|| self.sent.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;
    use std::sync::atomic::AtomicU64;
    use std::time::Duration;

    use super::*;

    static START: LazyLock<Instant> = LazyLock::new(Instant::now);

    fn stopped() -> Instant {
        *START
    }

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let [_, a, b, c] = (length as u32).to_be_bytes();
        [&[a, b, c, kind, flags, 0, 0, 0, 1], &vec![7; length][..]].concat()
    }

    /// How many such frames are taken, in pieces of so many bytes.
    fn taken(frame: &[u8], piece: usize) -> usize {
        let mut allowance = Allowance::new(Arc::default(), stopped);
        allowance.charge(&[0; PREFACE]);
        for count in 0..5_000 {
            frame.chunks(piece).for_each(|piece| allowance.charge(piece));
            if allowance.is_spent() {
                return count;
            }
        }
        usize::MAX
    }

    #[test]
    fn a_frame_costs_the_same_however_it_is_cut() {
        let frames = [
            (frame(RST_STREAM, 0, 4), 200),
            (frame(PING, 0, 8), 1_000),
            (frame(SETTINGS, 0, 0), 1_000),
            (frame(DATA, 0, 0), 2_000),
            (frame(DATA, PADDED, 256), 2_000),
            (frame(0x16, 0, 300), 2_000),
            (frame(DATA, 0, 1), usize::MAX),
            (frame(DATA, PADDED, 257), usize::MAX),
        ];
        for (frame, most) in frames {
            for piece in [1, 5, 9, 13, 1_000] {
                assert_eq!(taken(&frame, piece), most, "{:?} by {piece}", &frame[..9]);
            }
        }
    }

    #[test]
    fn who_takes_back_and_who_floods_are_told_apart() {
        for (kind, limit) in [(RST_STREAM, Limit::Resets), (PING, Limit::Frames)] {
            let signs = Arc::<Signs>::default();
            let mut allowance = Allowance::new(signs.clone(), stopped);
            allowance.charge(&[0; PREFACE]);
            assert_eq!(signs.spent(), None);
            (0..1_001).for_each(|_| allowance.charge(&frame(kind, 0, 4)));
            assert_eq!(signs.spent(), Some(limit));
        }
    }

    #[test]
    fn what_goes_out_pays_and_so_does_time() {
        static SECONDS: AtomicU64 = AtomicU64::new(0);
        fn running() -> Instant {
            *START + Duration::from_secs(SECONDS.load(Ordering::Relaxed))
        }
        let mut allowance = Allowance::new(Arc::default(), running);
        allowance.charge(&[0; PREFACE]);
        let mut send = |count: usize, paid: u64| {
            for _ in 0..count {
                allowance.charge(&frame(PING, 0, 8));
                allowance.pay(paid);
            }
            allowance.is_spent()
        };
        // An answer of 32 bytes pays for what asks for it, in whichever number.
        assert!(!send(100_000, 32));
        assert!(!send(1_000, 0));
        SECONDS.store(5, Ordering::Relaxed);
        assert!(!send(500, 0));
        assert!(send(1, 0));
    }
}
