//! What is declared of each check: its lines, and the table of the docs.

use super::super::*;

#[test]
fn lines_are_made_for_whom_they_are_about() {
    let remedy = check("two-upstreams").unwrap().remedy;
    assert_eq!(
        remedy.lines_for(Some("cart/v2")),
        ["pointsman upstream add cart/v2 10.0.0.12:9000"]
    );
    let several = Finding {
        check: check("health").unwrap(),
        found: Found::Missing { what: String::new(), of: vec!["cart".into(), "shop".into()] },
    };
    assert_eq!(several.lines()[0], "[services.cart.health]");
    let many: Vec<String> = (0..5).map(|at| at.to_string()).collect();
    assert_eq!((names(&many), names(&many[..3])), ("0, 1, 2 and 2 more".into(), "0, 1, 2".into()));
}

#[test]
fn lines_of_the_unit_are_those_of_ours_and_programs_are_known() {
    let unit = include_str!("../../../systemd/pointsman.service");
    let known = ["cp", "df", "install", "openssl", "systemctl"];
    for check in &CHECKS {
        match check.remedy {
            Remedy::Unit(text) => {
                text.lines().for_each(|line| assert!(unit.lines().any(|it| it == line), "{line}"));
            }
            Remedy::System(text) => text.lines().for_each(|line| {
                let program = line.split(' ').next().unwrap();
                assert!(known.contains(&program), "{}: {line}", check.id);
            }),
            Remedy::File(_) | Remedy::Commands(_) => {}
        }
    }
}

/// The table of docs/doctor.md.
fn table() -> String {
    let mut lines = vec![
        "| Check | Severity | Seen | Why | Mended |".to_string(),
        "|---|---|---|---|---|".to_string(),
    ];
    for check in &CHECKS {
        let Check { id, title, severity, why, remedy, seen, .. } = check;
        let seen = match seen {
            Seen::InFile => "in the file",
            Seen::ByProxy => "by the proxy",
            Seen::Here => "on its machine",
        };
        let mended: Vec<String> = remedy.text().lines().map(|line| format!("`{line}`")).collect();
        let place = match remedy {
            Remedy::File(_) => "in the file",
            Remedy::Commands(_) => "by command",
            Remedy::Unit(_) => "in the unit",
            Remedy::System(_) => "on the machine",
        };
        let mended = mended.join("<br>");
        lines
            .push(format!("| `{id}`: {title} | {severity} | {seen} | {why} | {place}: {mended} |"));
    }
    lines.join("\n")
}

#[test]
fn the_table_of_the_docs_is_this_one() {
    let text = include_str!("../../../docs/doctor.md");
    let table = table();
    assert!(text.contains(&table), "docs/doctor.md is to have this table:\n{table}");
}
