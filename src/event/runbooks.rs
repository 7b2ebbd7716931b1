//! Which runbook tells what to do about an event: what exactly happened in, a file of `docs/runbooks` out.
//!
//! By the code and not by the kind, so that an event of an earlier process has one as well.

/// By code. What is well, and what was ordered and did no harm, has none.
const RUNBOOKS: &[(&str, &[&str])] = &[
    ("access-refused", &["turned-away"]),
    (
        "automation",
        &["rule-failed", "rule-end-unknown", "rule-tells", "rule-escalated", "automation-stopped"],
    ),
    ("certificate", &["certificate-expires", "certificate-expired"]),
    ("certificate-orders", &["certificate-not-issued"]),
    ("circuit-breaker", &["breaker-opened", "breaker-set-to-open"]),
    ("config-refused", &["reload-refused"]),
    ("config-waits", &["removal-waits", "orders-kept"]),
    ("crash-loop", &["part-ended"]),
    ("descriptors", &["exhausted"]),
    ("drain", &["drained"]),
    (
        "error-budget",
        &["budget-caution", "budget-hold", "budget-frozen", "overridden", "started-despite"],
    ),
    (
        "incident",
        &["incident-opened", "incident-updated", "incident-mitigated", "incident-update-due"],
    ),
    ("judge-mistaken", &["judge-mistaken"]),
    ("maintenance", &["held", "in-maintenance"]),
    ("memory", &["memory-short"]),
    ("name-does-not-resolve", &["name-fails"]),
    ("no-upstream", &["panicked"]),
    ("release", &["rollout-promoted", "renewal-ended"]),
    (
        "rollout-taken-back",
        &[
            "rollout-rolled-back",
            "rollout-failed",
            "rollout-aborted",
            "rollout-task-failed",
            "rollout-superseded",
        ],
    ),
    (
        "rollout-waits",
        &[
            "rollout-paused",
            "rollout-held",
            "rollout-overloads",
            "rollout-unmeasured",
            "rollout-stepped-without-verdict",
            "rollout-step-begun-anew",
            "rollout-target-was-away",
            "upstream-stays-out",
        ],
    ),
    ("spans-lost", &["traces-lost"]),
    ("store", &["unstored", "disk-silent", "store-fails"]),
    ("turned-away", &["limit-bites"]),
    ("upgrade", &["upgrade-refused"]),
    ("upstreams-out", &["refuses-connections", "ejected", "down"]),
];

/// The runbook for what happened, as a file of the repository, and of the package below
/// `/usr/share/doc/pointsman`; none where nobody is wanted.
pub(super) fn runbook(code: &str) -> Option<String> {
    let found = RUNBOOKS.iter().find(|(_, codes)| codes.contains(&code));
    found.map(|(name, _)| format!("docs/runbooks/{name}.md"))
}

/// The codes in a file: what its `fn code` answers with.
#[cfg(test)]
fn codes(source: &str) -> Vec<&str> {
    let (_, from) = source.split_once("pub fn code(&self)").unwrap();
    let (body, _) = from.split_once("\n    }\n").unwrap();
    let quoted = body.lines().filter_map(|line| line.split_once("=> \""));
    quoted.filter_map(|(_, rest)| rest.split_once('"')).map(|(code, _)| code).collect()
}

/// All codes that there are, for tests.
#[cfg(test)]
pub(super) fn all_codes() -> Vec<&'static str> {
    let mut all = codes(include_str!("kind.rs"));
    all.extend(codes(include_str!("../rollout/event.rs")));
    all.extend(codes(include_str!("rule.rs")));
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// What wants nobody: it is well, or somebody meant it so and it hurts nobody.
    const NONE: [&str; 59] = [
        "accepts-connections",
        "activated",
        "added",
        "alerts-firing",
        "alerts-resolved",
        "asked",
        "automation-started",
        "breaker-closed",
        "breaker-half-open",
        "breaker-set-to-auto",
        "breaker-set-to-closed",
        "budget-open",
        "calmed",
        "came-back",
        "certificate-issued",
        "certificate-renewed",
        "deploy-given-back",
        "deploy-started",
        "disk-answers",
        "flag-set",
        "frozen",
        "incident-closed",
        "incident-noted",
        "limit-rests",
        "memory-enough",
        "name-resolves",
        "orders-back",
        "orders-forgotten",
        "override-ended",
        "relabelled",
        "reloaded",
        "removed",
        "renewal-started",
        "reweighted",
        "rolled-back",
        "rollout-let-go",
        "rollout-measured",
        "rollout-ordered",
        "rollout-paused-by-order",
        "rollout-resumed",
        "rollout-started",
        "rollout-stepped",
        "rule-began",
        "rule-ended",
        "rule-shrinks",
        "rule-withheld",
        "rule-would-act",
        "serves",
        "service-added",
        "service-removed",
        "shifted",
        "store-works",
        "stored",
        "thawed",
        "traces-taken",
        "unproven",
        "up",
        "upgraded",
        "upstream-renewed",
    ];

    #[test]
    fn each_code_has_a_runbook_that_is_there_or_wants_nobody() {
        let all = all_codes();
        assert!(all.len() > 90, "{all:?}");
        for code in &all {
            let (runbook, wants_nobody) = (runbook(code), NONE.contains(code));
            assert!(
                runbook.is_some() != wants_nobody,
                "`{code}` has a runbook in RUNBOOKS, or wants nobody and is in NONE"
            );
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            assert!(runbook.is_none_or(|file| root.join(file).is_file()), "{code}");
        }
        let all: BTreeSet<_> = all.into_iter().collect();
        let named = RUNBOOKS.iter().flat_map(|(_, codes)| *codes).chain(&NONE);
        for code in named {
            assert!(all.contains(code), "nothing that happens has the code `{code}`");
        }
    }

    /// What leads to a runbook: its first part.
    fn trigger(runbook: &str) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks");
        let text = std::fs::read_to_string(folder.join(runbook).with_extension("md")).unwrap();
        let (_, from) = text.split_once("## Trigger\n").unwrap();
        from.split_once("\n## ").unwrap().0.into()
    }

    #[test]
    fn each_runbook_names_the_events_that_lead_to_it_and_no_others() {
        let all: BTreeSet<&str> = RUNBOOKS.iter().flat_map(|(_, codes)| *codes).copied().collect();
        for (runbook, codes) in RUNBOOKS {
            let trigger = trigger(runbook);
            let marked = trigger.split('`').skip(1).step_by(2);
            let named: BTreeSet<&str> = marked.filter(|word| all.contains(word)).collect();
            let meant: BTreeSet<&str> = codes.iter().copied().collect();
            assert_eq!(named, meant, "the trigger of docs/runbooks/{runbook}.md");
        }
    }
}
