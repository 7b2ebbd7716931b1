//! How each wanted certificate stands: whether it is there, when it is to be replaced, and how its orders
//! went.

use std::path::Path;

use super::failure::Failure;
use super::holds::Holds;
use super::issue::is_for;
use super::kept::{Kept, Progress, short};
use super::{WINDOWS, ordered_of};
use crate::acme::{Attempts, Holder, Wanted, Window, due};
use crate::wire::clients::Common;
use crate::wire::tls::ordered::Ordered;

/// One certificate.
#[derive(Debug)]
pub(super) struct Standing {
    pub wanted: Wanted,
    /// The last good one; none before the first.
    pub ordered: Option<Ordered>,
    /// What another authority gave, until this one has given any.
    stand_in: Option<Ordered>,
    /// When its authority would like it replaced, if it has said so.
    pub window: Option<Window>,
    /// When it is to be asked, in seconds since the epoch, as it was noted.
    pub look_at: u64,
    pub progress: Progress,
}

/// All that are wanted.
#[derive(Debug, Default)]
pub(super) struct Standings {
    all: Vec<Standing>,
    holds: Holds,
}

impl Standing {
    /// As it was left.
    fn read(wanted: Wanted, state: Option<&Path>) -> Standing {
        let kept = Kept::of(state, &wanted.authority.directory);
        let ordered = read(&wanted, &kept);
        let mut progress = kept.progress(&wanted.holder);
        // What has gone wrong may go well with other settings.
        let settings = short(&format!("{:?} {:?}", wanted.authority, wanted.ways));
        if progress.settings != settings {
            if progress.attempts.failed > 0 {
                progress.attempts = Attempts::default();
            }
            progress = Progress { settings, begun: None, ..progress };
        }
        Standing { wanted, ordered, stand_in: None, window: None, look_at: 0, progress }
    }

    /// Takes over what is in use by now, if there is nothing of its own: a reload takes no certificate away,
    /// nor does a disk that cannot be read, or that there is not.
    fn inherit(&mut self, other: &Standing) {
        let Some(theirs) = other.shown() else { return };
        if self.ordered.is_some() || !is_for_some(theirs, &self.wanted.holder) {
            return;
        }
        let mut ours = theirs.clone();
        let (directory, holder) = (&self.wanted.authority.directory, &self.wanted.holder);
        (ours.directory, ours.holder) = (directory.clone(), holder.clone());
        match other.ordered.is_some() && other.wanted.authority.directory == *directory {
            true => (self.ordered, self.stand_in) = (Some(ours), None),
            false => self.stand_in = Some(ours),
        }
    }

    /// What handshakes take.
    pub fn shown(&self) -> Option<&Ordered> {
        self.ordered.as_ref().or(self.stand_in.as_ref())
    }

    /// When something is to be done, in seconds since the epoch: ordering first.
    fn at(&self, now: u64) -> u64 {
        let order = self.order_at(now);
        match &self.ordered {
            Some(_) => order.min(self.look_at(now)),
            None => order,
        }
    }

    /// When its authority is to be asked. What is further away than is ever waited was noted by a clock that
    /// was ahead.
    fn look_at(&self, now: u64) -> u64 {
        match self.look_at > now.saturating_add(WINDOWS.1) {
            true => 0,
            false => self.look_at,
        }
    }

    fn order_at(&self, now: u64) -> u64 {
        let (own, attempts) = (self.ordered.as_ref(), &self.progress.attempts);
        match own.filter(|own| is_for(&own.pair, &self.wanted.holder)) {
            Some(own) => attempts.allow(due(&own.pair.about, self.window), now),
            // Lost, or for fewer names than are wanted by now: what was ordered last is not this one.
            None if attempts.failed == 0 => 0,
            None => attempts.allow(0, now),
        }
    }

    /// Whether it is its authority that is to be asked now.
    pub fn is_look(&self, now: u64) -> bool {
        self.ordered.is_some() && self.look_at(now) <= now && self.order_at(now) > now
    }

    /// There is another one in its place.
    pub fn take(&mut self, ordered: Ordered) {
        (self.ordered, self.stand_in) = (Some(ordered), None);
        (self.window, self.look_at) = (None, 0);
    }

    /// Its authority would like it replaced then.
    pub fn window(&mut self, start: u64, end: u64, draw: u64) {
        let new = || Window::new(start, end, draw);
        self.window = Some(self.window.map_or_else(new, |known| known.followed(start, end, draw)));
    }
}

impl Standings {
    /// Follows what a config wants: what is new is read from the state folder, what is not wanted any more
    /// is no longer shown, and stays there. With other settings, or of another authority, what is in use
    /// stays so until there is another. Waits for the disk.
    pub fn follow(&mut self, wanted: Vec<Wanted>, state: Option<&Path>, common: &Common) {
        self.holds.retain(|held| wanted.iter().any(|wanted| *wanted.authority == *held));
        let mut before = std::mem::take(&mut self.all);
        for wanted in wanted {
            let same = before.iter().position(|known| known.wanted == wanted);
            let same = same.map(|place| before.swap_remove(place));
            let new = || {
                let mut new = Standing::read(wanted, state);
                before.iter().chain(&self.all).for_each(|other| new.inherit(other));
                new
            };
            let standing = same.unwrap_or_else(new);
            self.all.push(standing);
        }
        self.show(common);
    }

    /// Somebody has put something right.
    pub fn hurry(&mut self) {
        self.holds.hurry();
        for standing in &mut self.all {
            standing.progress.attempts = standing.progress.attempts.hurried();
        }
    }

    /// Has handshakes take what is there.
    pub fn show(&self, common: &Common) {
        common.ordered.set(self.all.iter().map(|standing| {
            let Wanted { authority, holder, .. } = &standing.wanted;
            (authority.directory.clone(), holder, standing.shown().cloned())
        }));
    }

    /// Which one is next, and when, in seconds since the epoch.
    pub fn next(&self, now: u64) -> Option<(usize, u64)> {
        let at = |standing: &Standing| {
            standing.at(now).max(self.holds.until(&standing.wanted.authority, now))
        };
        let all = self.all.iter().enumerate().map(|(place, standing)| (place, at(standing)));
        all.min_by_key(|(_, at)| *at)
    }

    pub fn at(&mut self, place: usize) -> &mut Standing {
        &mut self.all[place]
    }

    /// What has come of asking an authority for this one.
    pub fn note(&mut self, place: usize, failure: Option<&Failure>, now: u64, draw: u64) {
        self.holds.note(&self.all[place].wanted.authority, failure, now, draw);
    }
}

/// The certificate that is kept; none if there is none for any of these names.
pub(super) fn read(wanted: &Wanted, kept: &Kept) -> Option<Ordered> {
    let pair = kept.certificate(&wanted.holder)?;
    let ordered = ordered_of(wanted, kept, pair).ok();
    ordered.filter(|ordered| is_for_some(ordered, &wanted.holder))
}

/// Whether a certificate is for any of the names that a holder has: all but one of some addresses are better
/// than none.
fn is_for_some(ordered: &Ordered, holder: &Holder) -> bool {
    let names = holder.names();
    let is_of_kind = match (&ordered.holder, holder) {
        (Holder::Host(theirs), Holder::Host(ours)) => theirs == ours,
        (Holder::Addresses(_), Holder::Addresses(_)) => true,
        _ => false,
    };
    is_of_kind && names.iter().any(|name| ordered.pair.about.names.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acme::wanted;
    use crate::config::Config;
    use crate::files::pair_in;

    const DAY: u64 = 24 * 60 * 60;

    /// What a listener wants that has these lines in its `tls.acme`.
    fn wants(lines: &str) -> Vec<Wanted> {
        let text = format!(
            "[[listeners]]\naddress = \":443\"\n[listeners.tls.acme]\n\
             names = [\"shop.test\", \"zoo.test\"]\n{lines}\n[[routes]]\nhosts = [\"shop.test\"]\nservice = \"a\"\n[services.a.pools.b]\n\
             upstreams = [\"a:1\"]\n"
        );
        let (config, _) = Config::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}"));
        wanted(&config)
    }

    /// A certificate for what is wanted.
    fn ordered(wanted: &Wanted) -> Ordered {
        let pem = concat!(
            include_str!("../outgoing/dial/test_server.pem"),
            include_str!("../outgoing/dial/test_server.key"),
        );
        let pair = pair_in("shop.test.pem".as_ref(), pem.as_bytes()).unwrap();
        ordered_of(wanted, &Kept::of(None, ""), pair).unwrap()
    }

    #[test]
    fn a_clock_that_was_ahead_keeps_no_authority_from_being_asked() {
        let wanted = wants("").remove(0);
        let mut standing = Standing::read(wanted, None);
        standing.take(ordered(&standing.wanted));
        let now = standing.ordered.as_ref().unwrap().pair.about.from;
        assert!(standing.is_look(now));
        standing.look_at = now + DAY;
        assert!(!standing.is_look(now) && standing.at(now) == now + DAY);
        standing.look_at = now + 365 * DAY;
        assert!(standing.is_look(now) && standing.at(now) <= now);
    }
    #[test]
    fn what_is_wrong_with_an_authority_keeps_all_its_certificates_waiting() {
        let now = 1_000_000;
        let mut standings = Standings::default();
        let other = wants("directory = \"https://other.test/\"");
        for wanted in [wants(""), other].concat() {
            standings.all.push(Standing::read(wanted, None));
        }
        let told = |problem: &str| {
            let kind = format!(r#"{{"type":"urn:ietf:params:acme:error:{problem}"}}"#);
            Failure::of_order(instant_acme::Error::Api(serde_json::from_str(&kind).unwrap()))
        };
        let mut next = |failure: Option<&Failure>| {
            standings.note(0, failure, now, 0);
            let held = |place: usize| {
                let authority = &standings.all[place].wanted.authority;
                standings.holds.until(authority, now).saturating_sub(now)
            };
            assert_eq!((held(1), held(2), held(3)), (held(0), 0, 0));
            (standings.next(now), held(0))
        };
        assert_eq!(next(Some(&told("dns"))), (Some((0, 0)), 0), "that is of one name");
        let unreachable = Failure::new("cannot reach it", "").of_authority();
        assert_eq!(next(Some(&unreachable)), (Some((2, 0)), 60));
        assert_eq!(next(Some(&told("rateLimited"))), (Some((2, 0)), 240));
        assert_eq!(next(None), (Some((0, 0)), 0));
        let after = Some(std::time::Duration::from_secs(7_200));
        let refused = crate::acme::Refused { is_limited: true, after };
        let limited = Failure { refused, ..unreachable };
        assert_eq!(next(Some(&limited)), (Some((2, 0)), 7_200), "of the account");
        assert_eq!(next(None), (Some((0, 0)), 0));
        let limited = Failure { refused, ..told("rateLimited") };
        assert_eq!(next(Some(&limited)), (Some((2, 0)), 60), "perhaps of the one name alone");
    }
    /// What handshakes take: from whom, and whether it is this one.
    fn shown(common: &Common, expected: &Ordered) -> Vec<(String, bool)> {
        let all = common.ordered.list();
        let shown = all.iter().map(|shown| {
            (shown.directory.to_string(), std::sync::Arc::ptr_eq(&shown.pair, &expected.pair))
        });
        shown.collect()
    }

    #[test]
    fn a_reload_takes_no_certificate_away() {
        let (mut standings, common) = (Standings::default(), Common::default());
        let ours = "directory = \"https://ours.test/\"";
        standings.follow(wants(ours), None, &common);
        let first = ordered(&standings.at(0).wanted);
        standings.at(0).take(first.clone());
        standings.follow(wants(ours), None, &common);
        let of = |directory: &str| vec![(directory.to_string(), true)];
        assert_eq!(shown(&common, &first), of("https://ours.test/"));

        let others = format!("{ours}\nemail = \"ada@example.com\"");
        standings.follow(wants(&others), None, &common);
        assert_eq!(shown(&common, &first), of("https://ours.test/"), "with another address");
        assert!(standings.at(0).ordered.is_some());

        let theirs = "directory = \"https://theirs.test/\"";
        for lines in [theirs.to_string(), format!("{theirs}\nprofile = \"classic\"")] {
            standings.follow(wants(&lines), None, &common);
            assert_eq!(shown(&common, &first), of("https://theirs.test/"), "until it gives one");
            let standing = standings.at(0);
            assert!(standing.ordered.is_none() && standing.at(0) == 0, "it is ordered");
        }
        let second = ordered(&standings.at(0).wanted);
        standings.at(0).take(second.clone());
        standings.show(&common);
        assert_eq!(shown(&common, &second), of("https://theirs.test/"));
        standings.follow(Vec::new(), None, &common);
        assert_eq!(shown(&common, &second), []);
    }
}
