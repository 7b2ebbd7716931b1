use super::*;
use crate::config::key::{Key, Without, number, table, texts};
use crate::config::section::Section;
use crate::config::settings::Settings;

static MADE_UP: Table = Table {
    about: "",
    keys: &[number("waiting", (1, 9), 3), texts("names", &[])],
    gone: &[
        Gone { name: "queue", since: VERSION, instead: Instead::Key("waiting") },
        Gone { name: "line", since: (0, 0), instead: Instead::Key("waiting") },
        Gone { name: "fast", since: VERSION, instead: Instead::Nothing("it always is") },
        Gone { name: "slow", since: (0, 0), instead: Instead::Nothing("it never is") },
    ],
};

/// What is read of a made-up table, and what is said of it.
fn read(text: &str) -> (u32, Settings, String) {
    let mut root = DeTable::parse(text).unwrap();
    let mut problems = Problems::default();
    take_over(&MADE_UP, root.get_mut(), &mut problems);
    let mut section = Section::new("a", &MADE_UP, Some(root.get_ref()), 0..0);
    let waiting = section.number(&mut problems, "waiting");
    section.texts(&mut problems, "names", |text| Ok::<_, &str>(text.to_string()));
    section.close(&mut problems);
    (waiting, Settings::of(&MADE_UP, root.get_ref()), problems.render(text, "f", false))
}

#[test]
fn a_renamed_key_is_taken_with_a_warning_and_then_refused() {
    let (waiting, settings, said) = read("names = []\nqueue = 5\n");
    assert_eq!((waiting, settings), (5, read("waiting = 5").1));
    for part in
        ["warning: `queue` is called `waiting` now", "f:2:1", "^^^^^ since", "write `waiting = 5`"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (.., said) = read("line = 5\n");
    assert!(said.contains("error: `line` is called `waiting` now"), "{said}");
    assert!(said.contains("write `waiting = 5`"), "{said}");
    let (waiting, _, said) = read("queue = 5\nwaiting = 6\n");
    assert!(waiting == 6 && said.contains("error: `queue` is `waiting` since"), "{said}");
    // Its value is looked at as that of its successor.
    let (.., said) = read("queue = 10\n");
    assert!(said.contains("`waiting` is out of range"), "{said}");
}

#[test]
fn a_removed_key_is_passed_over_with_a_warning_and_then_refused() {
    let (waiting, settings, said) = read("fast = true\n");
    assert_eq!((waiting, settings), (3, read("").1));
    for part in ["warning: `fast` is gone", "f:1:1", "take it out: it always is"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (.., said) = read("slow = true\n");
    assert!(said.contains("error: `slow` is gone"), "{said}");
}

static OUTER: Table = Table {
    about: "",
    keys: &[Key::of("services", Kind::Named(&SERVICE)), table("limits", &INNER, Without::Defaults)],
    gone: &[],
};

static SERVICE: Table = Table {
    about: "",
    keys: &[
        table("old", &OLD, Without::Defaults),
        table("limits", &INNER, Without::DefaultsUnlessFalse),
    ],
    gone: &[],
};

static OLD: Table = Table {
    about: "",
    keys: &[number("other", (1, 9), 2)],
    gone: &[
        Gone { name: "line", since: VERSION, instead: Instead::Key("limits.waiting") },
        Gone { name: "another", since: (0, 0), instead: Instead::Key("other") },
    ],
};

static INNER: Table = Table::new("", &[number("waiting", (1, 9), 3)]);

/// The number at `limits.waiting` of a service, as it is read; what the service says beyond the
/// defaults; and what is said of it all.
fn read_service(lines: &str) -> (Option<u32>, Settings, String) {
    let text = format!("[services.shop]\n{lines}");
    let mut root = DeTable::parse(&text).unwrap();
    let mut problems = Problems::default();
    take_over(&OUTER, root.get_mut(), &mut problems);
    let mut file = Section::new("", &OUTER, Some(root.get_ref()), 0..0);
    assert!(!file.has("limits"), "a service's key goes to no table of the file");
    let (_, service) = file.named(&mut problems, "services").unwrap().remove(0);
    let mut service = service.unwrap();
    let mut old = service.table(&mut problems, "old");
    old.number::<u32>(&mut problems, "other");
    old.close(&mut problems);
    let limits = service.table_unless_false(&mut problems, "limits");
    let waiting = limits.map(|mut limits| limits.number(&mut problems, "waiting"));
    service.close(&mut problems);
    let services = root.get_ref().get("services").unwrap().get_ref().as_table().unwrap();
    let shop = services.get("shop").unwrap().get_ref().as_table().unwrap();
    (waiting, Settings::of(&SERVICE, shop), problems.render(&text, "f", false))
}

#[test]
fn a_key_that_went_to_another_table_is_taken_there() {
    let (waiting, settings, said) = read_service("old.line = 5\n");
    assert_eq!(waiting, Some(5));
    assert_ne!(settings, read_service("").1);
    for part in
        ["warning: `line` is called `limits.waiting` now", "f:2:5", "write `limits.waiting = 5`"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    // Into a table that is there, too.
    assert_eq!(read_service("old.line = 5\nlimits = {}\n").0, Some(5));
    // What is written holds, and both are shown.
    for (lines, holds) in [("limits.waiting = 6\n", Some(6)), ("limits = false\n", None)] {
        let (waiting, _, said) = read_service(&format!("old.line = 5\n{lines}"));
        assert_eq!(waiting, holds);
        assert!(said.contains("error: `line` is `limits.waiting` since"), "{said}");
        assert!(said.contains("which is here too"), "{said}");
    }
    // Its value is looked at as that of its successor.
    let (.., said) = read_service("old.line = 10\n");
    assert!(said.contains("`waiting` is out of range") && said.contains("f:2:12"), "{said}");
    // A name without dots is one of the same table.
    let (.., said) = read_service("old.another = 4\n");
    assert!(said.contains("error: `another` is called `other` now"), "{said}");
}
