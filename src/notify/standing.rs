//! What Alertmanager was told of and is still open: notices that were taken in, those that it has to be reminded of
//! out.
//!
//! Alertmanager keeps no alert over a start of its own: whoever opened one is to post it again and again. What is
//! lost when we start anew lasts there until its end, or until it is closed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Notice;
use super::message::lasts;
use crate::clock::WallTime;
use crate::event::Turn;

/// How often it is reminded: an Alertmanager that started anew knows nothing for so long.
pub const AGAIN: Duration = Duration::from_secs(300);

/// So many are kept; more are told once.
const ROOM: usize = 1_000;

/// Alerts that are open, by their keys.
#[derive(Debug, Default)]
pub struct Standing(BTreeMap<String, Arc<Notice>>);

impl Standing {
    /// A notice was taken.
    pub fn note(&mut self, notice: &Arc<Notice>) {
        let key = notice.key();
        match notice.turn() {
            Turn::Closes => {
                self.0.remove(&key);
            }
            Turn::Opens | Turn::Stays if self.0.len() < ROOM || self.0.contains_key(&key) => {
                self.0.insert(key, notice.clone());
            }
            Turn::Opens | Turn::Stays => {}
        }
    }

    /// Whether nothing is open.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is open now; what has ended by itself is forgotten.
    pub fn open(&mut self, now: WallTime) -> Vec<Arc<Notice>> {
        self.0.retain(|_, notice| notice.at + lasts(notice) > now);
        self.0.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::notice;
    use super::*;
    use crate::config::Severity;
    use crate::event::Alert;

    fn of(topic: &str, turn: Turn) -> Arc<Notice> {
        let alert = Alert { name: "A", turn, severities: &[Severity::High] };
        Arc::new(Notice { alert: Some(alert), ..notice(Severity::High, topic) })
    }

    #[test]
    fn what_was_opened_is_open_until_it_is_closed_or_has_ended() {
        let (mut standing, begun) = (Standing::default(), of("a", Turn::Opens).at);
        let hours = |hours: u64| begun + Duration::from_secs(hours * 3_600);
        standing.note(&of("a", Turn::Opens));
        standing.note(&of("b", Turn::Stays));
        standing.note(&of("c", Turn::Opens));
        standing.note(&of("c", Turn::Closes));
        standing.note(&of("d", Turn::Closes));
        let topics = |standing: &mut Standing, now| -> Vec<String> {
            standing.open(now).iter().map(|notice| notice.topic.clone()).collect()
        };
        assert_eq!(topics(&mut standing, hours(3)), ["a", "b"]);
        assert_eq!(topics(&mut standing, hours(5)), ["a"]);
        assert_eq!(topics(&mut standing, hours(24 * 8)), [""; 0]);
        assert!(standing.is_empty());
    }

    #[test]
    fn there_is_an_end_to_how_many_are_kept() {
        let mut standing = Standing::default();
        (0..2 * ROOM).for_each(|n| standing.note(&of(&n.to_string(), Turn::Opens)));
        assert_eq!(standing.0.len(), ROOM);
    }
}
