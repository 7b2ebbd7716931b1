//! When a certificate is to be replaced: how long it is good and when its authority would like it in, a
//! time out.

use crate::certificate::Certificate;

/// When an authority would like to see a certificate replaced (RFC 9773), in seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    start: u64,
    end: u64,
    /// When it is done within it.
    chosen: u64,
}

impl Window {
    /// From `start` to `end`; `draw` chooses a time within it, so that not everybody comes at once.
    pub fn new(start: u64, end: u64, draw: u64) -> Window {
        let length = end.saturating_sub(start);
        let within = (u128::from(draw) * u128::from(length)) >> 64;
        Window { start, end, chosen: start.saturating_add(within as u64) }
    }

    /// What an authority says now, who may say the same as before: what was chosen stands then. Choosing
    /// again each time would always end early.
    pub fn followed(self, start: u64, end: u64, draw: u64) -> Window {
        match (self.start, self.end) == (start, end) {
            true => self,
            false => Window::new(start, end, draw),
        }
    }
}

/// When a certificate is to be replaced, in seconds since the epoch: when two thirds of its time are over,
/// which leaves a short one some tries as well; or when its authority would like it, if that is earlier.
pub fn due(about: &Certificate, window: Option<Window>) -> u64 {
    let life = about.until.saturating_sub(about.from);
    let usual = about.from.saturating_add(life - life / 3);
    window.map_or(usual, |window| usual.min(window.chosen))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    fn good(from: u64, until: u64) -> Certificate {
        Certificate { names: vec![], subject: String::new(), from, until }
    }

    #[test]
    fn a_certificate_is_due_when_two_thirds_of_its_time_are_over() {
        let cases = [(90 * DAY, 60 * DAY), (6 * DAY, 4 * DAY), (3, 2), (0, 0)];
        for (life, after) in cases {
            assert_eq!(due(&good(7 * DAY, 7 * DAY + life), None), 7 * DAY + after, "{life}");
        }
        assert_eq!(due(&good(9, 5), None), 9, "one that was never good is due");
        assert_eq!(due(&good(0, u64::MAX), None), u64::MAX - u64::MAX / 3);
    }

    #[test]
    fn an_authority_can_have_it_earlier_and_not_later() {
        let about = good(0, 90 * DAY);
        let at = |start, end, draw| due(&about, Some(Window::new(start, end, draw)));
        assert_eq!(at(10 * DAY, 12 * DAY, 0), 10 * DAY);
        assert_eq!(at(10 * DAY, 12 * DAY, u64::MAX / 2), 11 * DAY - 1);
        assert_eq!(at(10 * DAY, 12 * DAY, u64::MAX), 12 * DAY - 1);
        assert_eq!(at(80 * DAY, 82 * DAY, 0), 60 * DAY);
        assert_eq!(at(0, 0, u64::MAX), 0, "it has been withdrawn");
        assert_eq!(at(12 * DAY, 10 * DAY, u64::MAX), 12 * DAY, "an odd window");
    }

    #[test]
    fn a_window_that_stays_the_same_is_chosen_in_once() {
        let first = Window::new(100, 200, u64::MAX / 2);
        assert_eq!(first.followed(100, 200, 0), first);
        assert_eq!(first.followed(100, 201, 0), Window::new(100, 201, 0));
    }
}
