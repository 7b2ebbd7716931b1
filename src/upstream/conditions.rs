//! Why an upstream takes no requests, or fewer: a set that fits a word.

/// A set of conditions under which an upstream takes no requests, or fewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions(pub(super) u32);

impl Conditions {
    /// An operator has taken it out.
    pub const DRAINING: Conditions = Conditions(1);
    /// Its probe asks for no new requests.
    pub const ADVISED_DRAIN: Conditions = Conditions(1 << 1);
    /// No probe has succeeded yet.
    pub const UNPROVEN: Conditions = Conditions(1 << 2);
    /// Its probes fail.
    pub const DOWN: Conditions = Conditions(1 << 3);
    /// It failed in a row and is out for a while.
    pub const EJECTED: Conditions = Conditions(1 << 4);
    /// Its breaker is not closed, or under orders.
    pub const BREAKER: Conditions = Conditions(1 << 5);
    /// It came in a short while ago and gets less than its share.
    pub const SLOW_START: Conditions = Conditions(1 << 6);
    /// Its probe asks for less than its share.
    pub const ADVISED_WEIGHT: Conditions = Conditions(1 << 7);

    /// It refused its last connection, or could not be reached.
    pub const REFUSING: Conditions = Conditions(1 << 8);
    /// All of a second's requests failed.
    pub const FAILING: Conditions = Conditions(1 << 9);

    /// Why an upstream is out for what it did; trials bring it back.
    pub const OUT: Conditions = Conditions::EJECTED
        .with(Conditions::BREAKER)
        .with(Conditions::REFUSING)
        .with(Conditions::FAILING);
    /// Why an upstream gets no request while another one is well.
    pub const NOT_WELL: Conditions = Conditions::OUT
        .with(Conditions::DRAINING)
        .with(Conditions::ADVISED_DRAIN)
        .with(Conditions::UNPROVEN)
        .with(Conditions::DOWN);

    /// Whether any of these holds.
    pub fn any(self, of: Conditions) -> bool {
        self.0 & of.0 != 0
    }

    /// Whether none holds at all.
    pub fn none(self) -> bool {
        self.0 == 0
    }

    /// All of both.
    pub const fn with(self, other: Conditions) -> Conditions {
        Conditions(self.0 | other.0)
    }

    /// All but those of the other.
    pub const fn without(self, other: Conditions) -> Conditions {
        Conditions(self.0 & !other.0)
    }
}
