//! What probes have shown of an upstream: one word, from which the balancer knows whether to ask it.

/// Whether an upstream has shown that it works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Proof {
    /// It is new and has neither succeeded nor failed often enough.
    #[default]
    Unproven = 0,
    /// It works.
    Up = 1,
    /// It fails.
    Down = 2,
}

impl Proof {
    /// The word for it in answers, labels and logs.
    pub fn name(self) -> &'static str {
        match self {
            Proof::Unproven => "unproven",
            Proof::Up => "up",
            Proof::Down => "down",
        }
    }
}
