use std::collections::BTreeMap;

use super::*;

fn at(seconds: u64) -> WallTime {
    WallTime::from_millis(1_700_000_000_000 + 1_000 * seconds)
}

fn opened() -> Incident {
    let opening = Opening {
        title: "checkout failing".into(),
        severity: Severity::High,
        services: vec!["shop".into(), "api".into(), "shop".into()],
        commander: None,
        channel: Some("#inc".into()),
        every: Duration::from_secs(1_800),
    };
    let origin = Origin { kind: OriginKind::Person, what: "ann".into(), event: 0 };
    let mut incident = Incident::open(7, opening, origin, at(300));
    incident.first_failure = Some(at(240));
    incident
}

fn event(at: WallTime, likeness: &str) -> Entry {
    let likeness = likeness.to_string();
    Entry { likeness, ..Entry::said(EntryKind::Event, at, None, "upstream ejected") }
}

#[test]
fn an_incident_goes_through_its_states_once() {
    let mut incident = opened();
    assert_eq!(incident.services, ["api", "shop"]);
    assert_eq!((incident.state(), incident.revision), ("open", 1));
    incident.note("ann", "looks like the cache", at(310)).unwrap();
    let update = Update { text: "rolled back".into(), ..Update::default() };
    incident.update("ann", update, at(320)).unwrap();
    incident.mitigate("bob", "no failures since", at(360)).unwrap();
    assert_eq!(incident.mitigate("bob", "again", at(361)), Err(NotNow::Mitigated));
    incident.close("ann", "revision 41 was broken", at(400)).unwrap();
    assert_eq!(incident.close("ann", "again", at(401)), Err(NotNow::Closed));
    assert_eq!(incident.update("ann", Update::default(), at(401)), Err(NotNow::Closed));
    // What is found out later belongs to it.
    incident.note("ann", "it was the new pool size", at(500)).unwrap();
    assert_eq!((incident.state(), incident.revision), ("closed", 6));
    assert_eq!(incident.time_to_detect(), Some(Duration::from_secs(60)));
    assert_eq!(incident.time_to_mitigate(), Some(Duration::from_secs(120)));
}

#[test]
fn an_update_is_due_after_its_time_and_then_again() {
    let mut incident = opened();
    assert!(!incident.is_due(at(300 + 1_799)));
    assert!(incident.is_due(at(300 + 1_800)));
    incident.remind(at(300 + 1_800));
    assert!(!incident.is_due(at(300 + 3_599)), "said once");
    assert!(incident.is_due(at(300 + 3_600)), "and again after as long");
    let every = Some(Duration::from_secs(60));
    let update = Update { text: "still".into(), every, ..Update::default() };
    incident.update("ann", update, at(4_000)).unwrap();
    assert!(!incident.is_due(at(4_059)) && incident.is_due(at(4_060)));
    incident.close("ann", "over", at(4_061)).unwrap();
    assert!(!incident.is_due(at(99_999)));
}

#[test]
fn a_storm_is_few_entries_and_pushes_out_no_word_of_people() {
    let mut incident = opened();
    incident.note("ann", "first", at(301)).unwrap();
    for n in 0..10_000 {
        // A third are alike, the others are not.
        let likeness = if n % 3 == 0 { "same".into() } else { format!("other {n}") };
        incident.timeline.gather(event(at(302 + n / 100), &likeness));
    }
    incident.note("ann", "last", at(500)).unwrap();
    let entries = incident.timeline.entries();
    assert_eq!(entries.len(), 3 + 120, "opened, two notes, and what is kept of the storm");
    let same = entries.iter().find(|entry| entry.likeness == "same").unwrap();
    assert_eq!((same.count, same.until), (3_334, Some(at(401))));
    let gathered: u64 =
        entries.iter().filter(|entry| entry.kind == EntryKind::Event).map(|e| e.count).sum();
    assert_eq!(gathered + incident.timeline.left_out(), 10_000);
    let stored = serde_json::to_string(&incident).unwrap();
    assert!(stored.len() < 64 * 1024, "{}", stored.len());
    assert_eq!(serde_json::from_str::<Incident>(&stored).unwrap(), incident);
}

#[test]
fn there_is_always_room_to_close_it() {
    let mut incident = opened();
    let full = (0..1_000).find_map(|n| incident.note("ann", "x", at(n)).err());
    assert_eq!(full, Some(NotNow::Full));
    incident.close("ann", "over", at(2_000)).unwrap();
    let last = incident.timeline.entries().last().unwrap().kind;
    assert_eq!(last, EntryKind::Closed);
}

#[test]
fn what_came_is_counted_over_processes_and_again_and_again() {
    let services = ["shop".to_string()];
    let reading = |requests, failed| Reading { requests, failed, users: 0 };
    let mut counting = Counting { process: 1, ..Counting::default() };
    counting.from.insert("shop".into(), reading(1_000, 10));
    let mut impact = Impact::default();
    for _ in 0..2 {
        let now = |_: &str| Some(reading(1_500, 60));
        impact = counting.impact(&impact, 1, &services, now, |_| Some(0.9));
        assert_eq!(impact.came, reading(500, 50));
    }
    // Another process counts from nothing.
    for _ in 0..2 {
        let now = |_: &str| Some(reading(20, 5));
        impact = counting.impact(&impact, 2, &services, now, |_| Some(0.85));
        assert_eq!(impact.came, reading(520, 55));
    }
    let spent = impact.budget["shop"];
    assert!((spent - 0.05).abs() < 1e-9, "{spent}");
    assert_eq!(
        impact.words(),
        "55 of 520 requests failed (10.6 %), 5.0 % of the error budget spent"
    );
}

#[test]
fn its_messages_say_what_is_known_and_when_the_next_one_comes() {
    let mut incident = opened();
    incident.impact.came = Reading { requests: 200, failed: 20, users: 3 };
    incident.impact.tells_users = true;
    let message = Message::of(&incident, MessageKind::of(&incident), at(300));
    let expected = "INCIDENT 7 [HIGH]: checkout failing\nStarted: 2023-11-14T22:17:20Z\n\
                    Services: api, shop\nImpact: 20 of 200 requests failed (10.0 %), for at least 3 users\n\
                    Detected: opened by ann\nStatus: investigating\nChannel: #inc\n\
                    Next update: 2023-11-14T22:48:20Z";
    assert_eq!(message.text(), expected);
    let update = Update { text: "rolled back, watching".into(), ..Update::default() };
    incident.update("ann", update, at(600)).unwrap();
    let message = Message::of(&incident, MessageKind::of(&incident), at(600));
    assert_eq!(message.kind, MessageKind::Update);
    assert!(message.text().contains("\nStatus: rolled back, watching\n"), "{}", message.text());
    assert!(message.text().contains("Started: 2023-11-14T22:17:20Z, 6m ago"));
    incident.close("ann", "revision 41 was broken", at(900)).unwrap();
    let message = Message::of(&incident, MessageKind::of(&incident), at(900));
    let text = message.text();
    assert!(text.starts_with("RESOLVED: incident 7 [HIGH]: checkout failing\n"), "{text}");
    assert!(text.contains("\nResolution: revision 41 was broken\n"), "{text}");
    assert!(!text.contains("Next update") && !message.line().contains('\n'), "{text}");
}

fn change(change: Changed, author: &str, seconds: u64) -> Suspect {
    Suspect { change, author: author.into(), at: at(seconds) }
}

#[test]
fn the_last_change_is_what_is_to_be_taken_back_first() {
    let incident = opened();
    let shop = ServiceFacts {
        name: "shop".into(),
        changes: vec![
            change(Changed::Traffic(40, None), "ann", 60),
            change(Changed::Traffic(41, Some("v2".into())), "ci", 0),
            change(Changed::Traffic(39, None), "old", 300),
            change(Changed::Flag("fast".into(), "50".into()), "bob", 200),
        ],
        sick: vec![("blue".into(), "10.0.0.1:80".into(), "it is down".into())],
        serves: true,
        ..ServiceFacts::default()
    };
    let facts = Facts { services: vec![shop.clone()] };
    let lines: Vec<String> =
        suggest(&incident, &facts).iter().map(|it| format!("{}: {}", it.why, it.command)).collect();
    let expected = [
        "roll back shop: revision 40 by ann, 3m before the first failure: \
         pointsman rollback shop --reason \"incident 7\"",
        "take back a flag of shop: flag fast to 50 % by bob, 40s before the first failure: \
         pointsman flags fast --back",
        "drain 10.0.0.1:80 of shop/blue: it is down: pointsman drain shop/blue 10.0.0.1:80",
        "freeze rollouts of shop until it is understood: \
         pointsman freeze shop --reason \"incident 7\"",
    ];
    assert_eq!(lines, expected, "what came after the first failure is no cause");
    // What was taken back already is not taken back once more.
    let back = ServiceFacts { is_back: true, is_frozen: true, changes: Vec::new(), ..shop };
    let all = suggest(&incident, &Facts { services: vec![back] });
    assert!(all.iter().all(|it| it.command.starts_with("pointsman drain")), "{all:?}");
}

#[test]
fn a_dead_pool_is_left_or_its_clients_are_spared() {
    let dead = ServiceFacts {
        name: "shop".into(),
        dead: vec!["blue".into()],
        spare: vec!["green".into()],
        rollout: Some((3, "blue".into())),
        has_fallback: true,
        serves: true,
        is_frozen: true,
        ..ServiceFacts::default()
    };
    let all = suggest(&opened(), &Facts { services: vec![dead] });
    let commands: Vec<&str> = all.iter().map(|it| &*it.command).collect();
    let expected = [
        "pointsman rollout abort shop",
        "pointsman flip shop green",
        "pointsman breaker shop/blue open --reason \"incident 7\"",
        "pointsman hold shop --for 20s --reason \"incident 7\"",
        "pointsman maintenance shop --reason \"incident 7\"",
    ];
    assert_eq!(commands, expected);
}

#[test]
fn its_report_blames_nobody_and_shows_texts_as_they_are() {
    let mut incident = opened();
    incident.title = "<script> | *x*".into();
    incident.impact.came = Reading { requests: 200, failed: 20, users: 0 };
    incident.timeline.gather(event(at(305), "a"));
    incident.timeline.gather(event(at(306), "a"));
    incident.close("ann", "mended", at(900)).unwrap();
    let changes = vec![change(Changed::Traffic(41, None), "carl", 0)];
    let shop = ServiceFacts { name: "shop".into(), changes, ..ServiceFacts::default() };
    let text = report(&incident, &Facts { services: vec![shop] }, at(1_000));
    for wanted in [
        "# Incident 7: \\<script\\> \\| \\*x\\*\n",
        "| Requests that failed | 20 |\n",
        "| Opened (time to detect) | 1m | 2023-11-14T22:18:20Z |\n",
        "| Mitigated (time to mitigate) | 11m | 2023-11-14T22:28:20Z |\n",
        "| 2023-11-14T22:18:25Z | upstream ejected (2 times, last 2023-11-14T22:18:26Z) |\n",
        "- shop: revision 41, 4m before the first failure\n",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    assert!(!text.contains("carl"), "{text}");
}

#[test]
fn alerts_are_tamed_and_known_again() {
    let texts = |of: &[(&str, &str)]| -> BTreeMap<String, String> {
        of.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    };
    let alert = Alert {
        fingerprint: "f1".into(),
        name: String::new(),
        service: String::new(),
        labels: texts(&[
            ("alertname", "Down\u{1b}[2J"),
            ("service", "shop"),
            ("severity", "critical"),
        ]),
        annotations: texts(&[("summary", "a\nb\u{202e}c")]),
        since: at(0),
        resolved: None,
        heard: at(1),
    };
    let alert = alert.tamed("service");
    assert_eq!((&*alert.name, &*alert.service), ("Down [2J", "shop"));
    assert_eq!(alert.words(), "Down [2J: a bc");
    let label = |name: &str, value: &str| (name.to_string(), value.to_string());
    assert!(alert.has_all(&[label("severity", "critical")]) && !alert.has_all(&[]));
    assert!(!alert.has_all(&[label("severity", "critical"), label("team", "x")]));
    let again = Alert { heard: at(60), ..alert.clone() };
    assert!(!again.is_news(&alert) && !again.has_turned(Some(&alert)) && alert.has_turned(None));
    let resolved = Alert { resolved: Some(at(70)), ..again };
    assert!(resolved.is_news(&alert) && resolved.has_turned(Some(&alert)));
    assert!(!resolved.is_gone(at(900)) && resolved.is_gone(at(970)));
}
