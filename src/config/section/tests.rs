use super::*;
use crate::config::key::{number, texts};
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
    let root = DeTable::parse(text).unwrap();
    let mut problems = Problems::default();
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
