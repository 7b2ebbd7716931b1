//! What the tables are and how their keys are made.
//!
//! Every table maps a readable key to JSON, so that any later version can read what an older one
//! wrote without its types.

use redb::TableDefinition;

/// A table of JSON under readable keys.
pub(super) type Texts = TableDefinition<'static, &'static str, &'static str>;

/// `format`, `commits`, `secret`.
pub(super) const META: Texts = TableDefinition::new("meta");
/// By service and number.
pub(super) const REVISIONS: Texts = TableDefinition::new("revisions");
/// By service.
pub(super) const ROLLOUTS: Texts = TableDefinition::new("rollouts");
/// What the judge of the rollout under way has heard, by service.
pub(super) const HEARINGS: Texts = TableDefinition::new("hearings");
/// By service and id.
pub(super) const PAST_ROLLOUTS: Texts = TableDefinition::new("past_rollouts");
/// By what they are about.
pub(super) const OVERRIDES: Texts = TableDefinition::new("overrides");
/// By name and revision.
pub(super) const FLAGS: Texts = TableDefinition::new("flags");
/// By number.
pub(super) const EVENTS: Texts = TableDefinition::new("events");

/// What the file said when it was read last, by what it said it of.
pub(super) const IN_FILE: Texts = TableDefinition::new("in_file");
/// Since when the file does not have a part of it any more, of which something is kept.
pub(super) const ABSENT: Texts = TableDefinition::new("absent");

/// Where error budgets are, by service and objective.
pub(super) const BUDGETS: Texts = TableDefinition::new("budgets");
/// What was counted for them, by service, objective, grain and stretch of time.
pub(super) const SAMPLES: Texts = TableDefinition::new("samples");

/// How the failures of pools' upstreams come together, by service and pool.
pub(super) const BURSTS: Texts = TableDefinition::new("bursts");

/// What upstreams did in the last hour, by service and a minute's place in it.
pub(super) const RECORDED: Texts = TableDefinition::new("recorded");

/// How often the judge would have taken back what is as good as the rest, by service.
pub(super) const CHECKED: Texts = TableDefinition::new("checked");

/// What pools carried, by service, pool and day.
pub(super) const CARRIED: Texts = TableDefinition::new("carried");

/// What rules did, what they have added, and whether they are stopped; by kind, then by number or rule.
pub(super) const AUTOMATION: Texts = TableDefinition::new("automation");

/// By number.
pub(super) const INCIDENTS: Texts = TableDefinition::new("incidents");

/// What others have said is wrong, by fingerprint.
pub(super) const ALERTS: Texts = TableDefinition::new("alerts");

/// All there are.
pub(super) const TABLES: [Texts; 19] = [
    META,
    REVISIONS,
    ROLLOUTS,
    HEARINGS,
    PAST_ROLLOUTS,
    OVERRIDES,
    FLAGS,
    EVENTS,
    IN_FILE,
    ABSENT,
    BUDGETS,
    SAMPLES,
    BURSTS,
    RECORDED,
    CHECKED,
    CARRIED,
    AUTOMATION,
    INCIDENTS,
    ALERTS,
];

/// Those of them that a version of this format may not know, and does without: what was measured, and is
/// again, and what rules did and what incidents there were, of which it has none.
pub(super) const BESIDE: [Texts; 7] =
    [BURSTS, RECORDED, CHECKED, CARRIED, AUTOMATION, INCIDENTS, ALERTS];

/// Where commits are counted, in [`META`]: how it is known whether one that failed has happened.
pub(super) const COMMITS: &str = "commits";

/// Where the events of the last commit's own order are, in [`META`]: they are numbered when they are
/// said, and then stored like all others.
pub(super) const UNNUMBERED: &str = "unnumbered_events";

/// The key of what is numbered within a name. Names have no `/`; the number is as wide as any, so
/// that keys sort by it.
pub(super) fn key(name: &str, number: u64) -> String {
    format!("{name}/{number:020}")
}
