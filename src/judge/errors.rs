//! What counts as bad: how an attempt ended in, yes or no out.

use serde::{Deserialize, Serialize};

/// How an attempt at an upstream ended, as it is judged. Attempts whose clients left say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With an answer.
    Answer {
        /// Its status.
        status: u16,
        /// The `grpc-status` that its head or its trailers told, if they did.
        grpc: Option<u8>,
    },
    /// Without a whole one.
    Fault(Fault),
}

/// Why there was no whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Fault {
    /// No connection was made.
    Connect = 0,
    /// It took too long, or the client gave up on a silent upstream.
    Timeout = 1,
    /// The connection ended before the answer.
    Reset = 2,
    /// The answer could not be passed on.
    BadResponse = 3,
    /// Nobody of the pool could be asked.
    NoUpstream = 4,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 5] =
        [Fault::Connect, Fault::Timeout, Fault::Reset, Fault::BadResponse, Fault::NoUpstream];

    /// Its word in the file and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::Connect => "connect",
            Fault::Timeout => "timeout",
            Fault::Reset => "reset",
            Fault::BadResponse => "bad-response",
            Fault::NoUpstream => "no-upstream",
        }
    }
}

/// What counts as bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errors {
    /// A bit for each status from 400 to 655.
    statuses: [u64; 4],
    /// A bit for each [`Fault`].
    faults: u8,
    /// A bit for each gRPC status code.
    grpc: u32,
}

/// The names of gRPC's status codes, by code.
const GRPC: [&str; 17] = [
    "ok",
    "cancelled",
    "unknown",
    "invalid-argument",
    "deadline-exceeded",
    "not-found",
    "already-exists",
    "permission-denied",
    "resource-exhausted",
    "failed-precondition",
    "aborted",
    "out-of-range",
    "unimplemented",
    "internal",
    "unavailable",
    "data-loss",
    "unauthenticated",
];

/// The codes that are the server's fault: unknown, deadline-exceeded, unimplemented, internal,
/// unavailable, data-loss, as OpenTelemetry's conventions for gRPC servers have it.
const GRPC_SERVER: u32 = 1 << 2 | 1 << 4 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 15;

impl Errors {
    /// Nothing.
    pub const NONE: Errors = Errors { statuses: [0; 4], faults: 0, grpc: 0 };

    /// These words: `5xx`, `4xx`, a status, a [`Fault`], `grpc` for what is the server's fault, or
    /// `grpc:CODE` for one code by its name or number.
    pub fn of<'w>(words: impl IntoIterator<Item = &'w str>) -> Result<Errors, String> {
        let mut errors = Errors::NONE;
        for word in words {
            errors.add(word)?;
        }
        Ok(errors)
    }

    fn add(&mut self, word: &str) -> Result<(), String> {
        if let Some(fault) = Fault::ALL.into_iter().find(|fault| fault.name() == word) {
            self.faults |= 1 << fault as u8;
        } else if let Some(code) = word.strip_prefix("grpc:") {
            let by_name = GRPC.iter().position(|name| *name == code);
            let code = by_name.or_else(|| code.parse().ok().filter(|code| *code < GRPC.len()));
            self.grpc |= 1 << code.ok_or_else(|| format!("gRPC has no status `{word}`"))?;
        } else {
            match word {
                "grpc" => self.grpc |= GRPC_SERVER,
                "4xx" => (400..500).for_each(|status| self.add_status(status)),
                "5xx" => (500..600).for_each(|status| self.add_status(status)),
                _ => match word.parse() {
                    Ok(status @ 400..=599) => self.add_status(status),
                    _ => return Err(unknown(word)),
                },
            }
        }
        Ok(())
    }

    fn add_status(&mut self, status: u16) {
        let bit = usize::from(status - 400);
        self.statuses[bit / 64] |= 1 << (bit % 64);
    }

    /// Whether an attempt that ended so was bad.
    pub fn count(&self, ending: Ending) -> bool {
        match ending {
            Ending::Fault(fault) => self.faults & (1 << fault as u8) != 0,
            Ending::Answer { status, grpc } => {
                let bit = usize::from(status.saturating_sub(400)).min(255);
                let by_status = status >= 400 && self.statuses[bit / 64] & (1 << (bit % 64)) != 0;
                by_status || grpc.is_some_and(|code| code < 32 && self.grpc & (1 << code) != 0)
            }
        }
    }
}

fn unknown(word: &str) -> String {
    let faults = Fault::ALL.map(Fault::name).join(", ");
    format!("`{word}` is none of 5xx, 4xx, a status such as 429, {faults}, grpc, grpc:unavailable")
}

impl Default for Errors {
    /// Any 5xx, and whatever is no whole answer.
    fn default() -> Errors {
        let mut errors = Errors::NONE;
        (500..600).for_each(|status| errors.add_status(status));
        errors.faults = Fault::ALL.into_iter().map(|fault| 1 << fault as u8).sum();
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> Ending {
        Ending::Answer { status, grpc: None }
    }

    #[test]
    fn by_default_it_is_server_errors_and_no_answer() {
        let errors = Errors::default();
        let bad = |ending| errors.count(ending);
        assert!([500, 503, 599].map(answer).into_iter().all(bad));
        assert!(![200, 304, 400, 404, 429, 499].map(answer).into_iter().any(bad));
        assert!(Fault::ALL.map(Ending::Fault).into_iter().all(bad));
    }

    #[test]
    fn words_choose_what_counts() {
        let errors = Errors::of(["429", "timeout", "grpc:unavailable", "grpc:13"]).unwrap();
        assert!(errors.count(answer(429)) && !errors.count(answer(500)));
        assert!(errors.count(Ending::Fault(Fault::Timeout)));
        assert!(!errors.count(Ending::Fault(Fault::Reset)));
        let grpc = |code| Ending::Answer { status: 200, grpc: Some(code) };
        assert!(errors.count(grpc(14)) && errors.count(grpc(13)) && !errors.count(grpc(5)));
        assert!(!errors.count(grpc(77)));
        let error = Errors::of(["5xx", "sloth"]).unwrap_err();
        assert!(error.starts_with("`sloth` is none of 5xx, 4xx"), "{error}");
        assert_eq!(Errors::of(["grpc:x"]).unwrap_err(), "gRPC has no status `grpc:x`");
    }
}
