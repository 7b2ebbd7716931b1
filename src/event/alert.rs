//! Which events open an alert with who is on call, and which close it: what exactly happened in, the alert and
//! what becomes of it out.
//!
//! Declared once, by code as the runbooks are. An alert lives under its event's topic: what opens it and what
//! closes it tell the state of the same thing at the same place, which a test in `tests.rs` tries.

use crate::config::Severity::{self, Critical, High, Low, Medium};

/// An alert, and what an event does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What it is called there, such as `HealthCheckFails`.
    pub name: &'static str,
    /// What becomes of it.
    pub turn: Turn,
    /// All severities that it may be open with: where the severity is a part of what an alert is, these
    /// are to be closed.
    pub severities: &'static [Severity],
}

/// What an event does to its alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Opens it, until another event closes it.
    Opens,
    /// Opens it, and no event closes it: a person does, or time.
    Stays,
    /// Closes it: things are better, or somebody has decided.
    Closes,
}

impl Turn {
    /// Its word: `open`, `stays` or `closed`.
    pub const fn name(self) -> &'static str {
        match self {
            Turn::Opens => "open",
            Turn::Stays => "stays",
            Turn::Closes => "closed",
        }
    }
}

/// One alert, by the codes of events.
struct Row {
    name: &'static str,
    severities: &'static [Severity],
    opened_by: &'static [&'static str],
    closed_by: &'static [&'static str],
    /// Trouble that ends the trouble before it, and that nothing ends: why nothing does is said in a
    /// comment beside it.
    stays_by: &'static [&'static str],
}

const fn row(
    name: &'static str,
    severities: &'static [Severity],
    opened_by: &'static [&'static str],
    closed_by: &'static [&'static str],
) -> Row {
    Row { name, severities, opened_by, closed_by, stays_by: &[] }
}

/// An alert that no event closes.
const fn alone(
    name: &'static str,
    severity: &'static [Severity],
    by: &'static [&'static str],
) -> Row {
    Row { name, severities: severity, opened_by: &[], closed_by: &[], stays_by: by }
}

static ALERTS: &[Row] = &[
    row("HealthCheckFails", &[Medium], &["down"], &["up"]),
    row("ConnectionsRefused", &[Medium], &["refuses-connections"], &["accepts-connections"]),
    row("UpstreamEjected", &[Medium], &["ejected"], &["came-back"]),
    row("NobodyIsWell", &[High], &["panicked"], &["calmed"]),
    row(
        "BreakerOpen",
        &[Low, Medium, High],
        &["breaker-opened", "breaker-set-to-open"],
        &["breaker-closed", "breaker-set-to-auto", "breaker-set-to-closed"],
    ),
    row("UpstreamDrained", &[Low, Medium], &["drained"], &["activated"]),
    row("NameDoesNotResolve", &[Medium], &["name-fails"], &["name-resolves"]),
    row("ServiceHeld", &[Low], &["held", "in-maintenance"], &["serves"]),
    row("RateLimitRefuses", &[Low], &["limit-bites"], &["limit-rests"]),
    row(
        "ErrorBudgetSpent",
        &[Medium, High],
        &["budget-caution", "budget-hold", "budget-frozen"],
        &["budget-open"],
    ),
    row("ErrorBudgetOverridden", &[Medium], &["overridden"], &["override-ended"]),
    Row {
        name: "RolloutNeedsSomebody",
        severities: &[Medium, High, Critical],
        opened_by: &[
            "rollout-paused",
            "rollout-held",
            "rollout-overloads",
            "rollout-unmeasured",
            "rollout-stepped-without-verdict",
            "rollout-step-begun-anew",
            "rollout-target-was-away",
            "rollout-task-failed",
            "started-despite",
            "upstream-stays-out",
        ],
        closed_by: &[
            "rollout-resumed",
            "rollout-let-go",
            "rollout-measured",
            "rollout-ordered",
            "rollout-aborted",
            "rollout-superseded",
            "rollout-promoted",
            "renewal-ended",
        ],
        // It has ended by itself: nothing more happens to it, and somebody is to find out why.
        stays_by: &["rollout-rolled-back", "rollout-failed"],
    },
    row("ConfigNotInForce", &[Medium, High], &["reload-refused", "removal-waits"], &["reloaded"]),
    row("OrdersKept", &[Medium], &["orders-kept"], &["orders-back", "orders-forgotten"]),
    row("OrderNotStored", &[Critical], &["unstored"], &["stored"]),
    row("DiskSilent", &[High], &["disk-silent"], &["disk-answers"]),
    row("StoreFails", &[Critical], &["store-fails"], &["store-works"]),
    row("MemoryShort", &[High], &["memory-short"], &["memory-enough"]),
    row("SpansLost", &[Medium], &["traces-lost"], &["traces-taken"]),
    row("UpgradeRefused", &[Medium], &["upgrade-refused"], &["upgraded"]),
    row(
        "CertificateEnds",
        &[Medium, High, Critical],
        &["certificate-expires", "certificate-expired"],
        &["certificate-renewed"],
    ),
    row(
        "CertificateNotIssued",
        &[Medium, High],
        &["certificate-not-issued"],
        &["certificate-issued"],
    ),
    row("AutomationStopped", &[Medium], &["automation-stopped"], &["automation-started"]),
    // What a rule looks at may be well again long before somebody has looked why it could do no more.
    alone(
        "RuleNeedsSomebody",
        &[Medium, High, Critical],
        &["rule-failed", "rule-end-unknown", "rule-tells", "rule-escalated"],
    ),
    row(
        "IncidentOpen",
        &[Low, Medium, High, Critical],
        &["incident-opened", "incident-updated", "incident-mitigated", "incident-update-due"],
        &["incident-closed"],
    ),
    // It is said again as long as it goes on, and not that it does not.
    alone("MeansExhausted", &[High], &["exhausted"]),
    // The process ends by it, and another one begins.
    alone("PartEnded", &[Critical], &["part-ended"]),
    // It is told once for a week.
    alone("JudgeMistaken", &[Medium], &["judge-mistaken"]),
    // Whoever was refused may come again or not.
    alone("AccessRefused", &[Medium], &["turned-away"]),
];

/// The alert that an event with this code opens or closes; none where nobody is wanted.
pub(super) fn alert(code: &str) -> Option<Alert> {
    ALERTS.iter().find_map(|row| {
        let turns = [
            (row.opened_by, Turn::Opens),
            (row.stays_by, Turn::Stays),
            (row.closed_by, Turn::Closes),
        ];
        let (_, turn) = turns.into_iter().find(|(codes, _)| codes.contains(&code))?;
        Some(Alert { name: row.name, turn, severities: row.severities })
    })
}

/// Whether who was told of trouble is told of an event with this code, however little it matters: the trouble is
/// over, or has become another.
pub(super) fn is_relief(code: &str) -> bool {
    let ends = |row: &Row| {
        let ends_badly = !row.opened_by.is_empty() && row.stays_by.contains(&code);
        row.closed_by.contains(&code) || ends_badly
    };
    ALERTS.iter().any(ends)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::runbooks::{self, all_codes};
    use super::*;

    #[test]
    fn whoever_wants_a_person_has_what_closes_it_or_says_that_nothing_does() {
        for code in all_codes() {
            let Some(found) = alert(code) else {
                let wants_nobody = runbooks::runbook(code).is_none();
                assert!(
                    wants_nobody,
                    "`{code}` wants a person: name in ALERTS what closes it, or that nothing does"
                );
                continue;
            };
            let row = ALERTS.iter().find(|row| row.name == found.name).unwrap();
            if found.turn == Turn::Opens {
                assert!(!row.closed_by.is_empty(), "nothing closes what `{code}` opens");
            }
            // Who is called for it finds what to do.
            let is_closing = found.turn == Turn::Closes;
            assert!(is_closing || runbooks::runbook(code).is_some(), "`{code}` has no runbook");
        }
    }

    #[test]
    fn a_code_is_of_one_alert_and_is_one_of_the_events() {
        let (all, mut seen): (BTreeSet<_>, _) =
            (all_codes().into_iter().collect(), BTreeSet::new());
        let mut names = BTreeSet::new();
        for row in ALERTS {
            assert!(names.insert(row.name) && !row.severities.is_empty(), "{}", row.name);
            for code in row.opened_by.iter().chain(row.closed_by).chain(row.stays_by) {
                assert!(all.contains(code), "nothing that happens has the code `{code}`");
                assert!(seen.insert(*code), "`{code}` is of two alerts");
            }
        }
    }
}
