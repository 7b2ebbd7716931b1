//! Which risky changes are on for a client: a service's flags and what the client is recognised by
//! in, a set and the value of `x-feature-flags` out.
//!
//! A flag is on for a client whose hash lies below its share, under a salt of its own: growing the
//! share only ever adds clients, and neither another flag nor the split nor a rollout says anything
//! of it. A request that nobody can be recognised by is a client of its own.

use std::sync::Arc;

use http::header::HeaderValue;

use super::{BasisPoints, ClientHash, ClientKey, Secret};

/// The most flags that a service can have: a set is one word.
pub const MOST_FLAGS: usize = 64;

/// Up to so many flags the values of all sets are made beforehand: 16 of them.
const FEW: usize = 4;

/// The flags of one service.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    list: Vec<Flag>,
    /// By set, if the flags are few.
    values: Vec<Option<HeaderValue>>,
    always: FlagSet,
}

/// Some of a service's flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlagSet(u64);

#[derive(Clone, Debug)]
struct Flag {
    name: Arc<str>,
    percent: BasisPoints,
    hash: ClientHash,
}

impl Flags {
    /// These flags, each named once; those past [`MOST_FLAGS`] are never on.
    pub fn new(flags: impl IntoIterator<Item = (Arc<str>, BasisPoints)>, secret: Secret) -> Flags {
        let flag = |(name, percent): (Arc<str>, _)| Flag {
            hash: ClientHash::of_flag(secret, &name),
            name,
            percent,
        };
        let mut list: Vec<Flag> = flags.into_iter().map(flag).collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list.truncate(MOST_FLAGS);
        let always = FlagSet::of(&list, |flag| flag.percent == BasisPoints::WHOLE);
        let sets = if list.len() <= FEW { 1 << list.len() } else { 0 };
        let mut flags = Flags { list, values: Vec::new(), always };
        flags.values = (0..sets).map(|set| flags.make_value(FlagSet(set))).collect();
        flags
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Names and shares, in name order.
    pub fn list(&self) -> impl Iterator<Item = (&Arc<str>, BasisPoints)> {
        self.list.iter().map(|flag| (&flag.name, flag.percent))
    }

    /// Those that are on for a client.
    pub fn on(&self, client: &ClientKey<'_>) -> FlagSet {
        FlagSet::of(&self.list, |flag| flag.hash.cohort(client).get() < flag.percent.get())
    }

    /// The value of `x-feature-flags`: names in order, commas between; none if none is on.
    pub fn value(&self, set: FlagSet) -> Option<HeaderValue> {
        match self.values.get(set.0 as usize) {
            Some(made) => made.clone(),
            None => self.make_value(set),
        }
    }

    /// Whether every client has these: what they are shown may be shown to anyone.
    pub fn are_for_everybody(&self, set: FlagSet) -> bool {
        set.0 & !self.always.0 == 0
    }

    fn make_value(&self, set: FlagSet) -> Option<HeaderValue> {
        let on = || self.list.iter().enumerate().filter(|(nth, _)| set.0 >> nth & 1 == 1);
        let length: usize = on().map(|(_, flag)| flag.name.len() + 1).sum();
        let mut text = String::with_capacity(length);
        for (_, flag) in on() {
            text.push_str(&flag.name);
            text.push(',');
        }
        text.pop()?;
        HeaderValue::try_from(text).ok()
    }
}

impl FlagSet {
    fn of(list: &[Flag], is_in: impl Fn(&Flag) -> bool) -> FlagSet {
        let bits = list.iter().enumerate().map(|(nth, flag)| u64::from(is_in(flag)) << nth);
        FlagSet(bits.fold(0, |set, bit| set | bit))
    }

    /// Whether no flag is on.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: Secret = Secret([3; 16]);

    fn flags(shares: &[(&str, u16)]) -> Flags {
        let share = |&(name, percent): &(&str, u16)| {
            (Arc::from(name), BasisPoints::new(percent * 100).unwrap())
        };
        Flags::new(shares.iter().map(share), SECRET)
    }

    fn named(flags: &Flags, client: u64) -> Option<String> {
        let value = flags.value(flags.on(&ClientKey::Draw(client)));
        value.map(|value| value.to_str().unwrap().to_string())
    }

    #[test]
    fn those_that_are_on_are_named_in_order() {
        let some = flags(&[("c", 100), ("a", 100), ("b", 0)]);
        assert_eq!(named(&some, 1).as_deref(), Some("a,c"));
        assert_eq!(named(&flags(&[("a", 0)]), 1), None);
        assert_eq!(named(&flags(&[]), 1), None);
    }

    #[test]
    fn many_flags_are_named_like_few() {
        let names: Vec<String> = (0..MOST_FLAGS).map(|n| format!("flag{n:02}")).collect();
        let shares: Vec<(&str, u16)> = names.iter().map(|name| (name.as_str(), 100)).collect();
        assert_eq!(named(&flags(&shares), 1), Some(names.join(",")));
        let nothing: Vec<(&str, u16)> = names.iter().map(|name| (name.as_str(), 0)).collect();
        assert_eq!(named(&flags(&nothing), 1), None);
        // Whether values are made beforehand or not must not be seen.
        for client in 0..200 {
            let few = flags(&[("a", 50), ("b", 50), ("c", 50), ("d", 50)]);
            let more = flags(&[("a", 50), ("b", 50), ("c", 50), ("d", 50), ("e", 0)]);
            assert_eq!(named(&few, client), named(&more, client));
        }
    }

    #[test]
    fn what_everybody_has_is_for_everybody() {
        let some = flags(&[("half", 50), ("whole", 100)]);
        let shown = |is_for_everybody: bool| {
            let on = |client| some.on(&ClientKey::Draw(client));
            (0..100).map(on).filter(|set| some.are_for_everybody(*set) == is_for_everybody).count()
        };
        assert_eq!(
            (shown(true) + shown(false), shown(true) > 20, shown(false) > 20),
            (100, true, true)
        );
        let half_on =
            some.on(&ClientKey::Draw((0..).find(|c| named(&some, *c).unwrap().len() > 5).unwrap()));
        assert!(!some.are_for_everybody(half_on) && some.are_for_everybody(FlagSet::default()));
    }
}
