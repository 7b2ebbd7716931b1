//! The `[flags]` of the file: its table in, the flags with their shares and services out.

use std::sync::Arc;

use super::key::{Key, Kind, Table, texts};
use super::section::{Found, Section};
use super::suggestion::nearest;
use super::values::{checked_name, percent};
use super::{Flag, Problem, Problems};
use crate::split::{BasisPoints, MOST_FLAGS};

pub(super) static FLAG: Table = Table::new(
    "Feature flags: upstreams of the services are told in x-feature-flags which are on for the \
     client, in name order, such as \"dark_mode,new_checkout\". Clients are recognised as by the \
     service's `sticky`, without it each request is drawn. A growing share only adds clients, \
     whatever the split does. The field never passes from a client to an upstream, with flags or \
     without. Names: letters, digits, _ and -; at most 64 flags for a service.",
    &[
        Key::of("percent", Kind::Share { least: 0.0, most: 100.0, default: None })
            .example("10")
            .about("of the clients, two decimals"),
        texts("services", &[]).example("[\"shop\"]"),
    ],
);

/// All flags in name order; `services` are the names there are.
pub(super) fn flags(
    file: &mut Section<'_>,
    problems: &mut Problems,
    services: &[&str],
) -> Vec<Flag> {
    let mut flags = Vec::new();
    let mut count = vec![0; services.len()];
    for (name, section) in file.named(problems, "flags").unwrap_or_default() {
        let checked = checked_name(problems, &name, "flag");
        let Some(section) = section else { continue };
        let (percent, of) = flag(section, problems, &name, services);
        for &place in &of {
            count[place] += 1;
            if count[place] == MOST_FLAGS + 1 {
                let service = services[place];
                let message =
                    format!("service `{service}` has more flags than the {MOST_FLAGS} it can have");
                problems.0.push(Problem::error(name.span.clone(), message).label("one too many"));
            }
        }
        let (Some(name), Some(percent)) = (checked, percent) else { continue };
        let services = of.iter().map(|&place| Arc::from(services[place])).collect();
        flags.push(Flag { name, percent, services });
    }
    flags.sort_by(|a, b| a.name.cmp(&b.name));
    flags
}

/// A flag's share, and the places of its services in name order.
fn flag(
    mut section: Section<'_>,
    problems: &mut Problems,
    name: &Found<&str>,
    services: &[&str],
) -> (Option<BasisPoints>, Vec<usize>) {
    let share = section.value("percent").and_then(|value| match percent(value) {
        Ok(share) => Some(share),
        Err(error) => {
            let message = format!("bad share for flag `{}`", name.value);
            problems.0.push(Problem::error(value.span(), message).label(error));
            None
        }
    });
    // Each of many mistakes would be compared with each of many names.
    let are_many = problems.are_many();
    let given = section.texts(problems, "services", |wanted| {
        // They are in name order.
        let place = services.binary_search(&wanted).ok();
        place.ok_or_else(|| match nearest(wanted, services.iter().copied().filter(|_| !are_many)) {
            Some(near) => format!("no service is named `{wanted}`; did you mean `{near}`?"),
            None => format!("no service is named `{wanted}`"),
        })
    });
    for (key, example) in [("percent", "percent = 10"), ("services", "services = [\"shop\"]")] {
        if section.value(key).is_none() {
            let message = format!("flag `{}` has no `{key}`", name.value);
            let problem = Problem::error(name.span.clone(), message);
            problems.0.push(problem.help(format!("for example `{example}`")));
        }
    }
    let mut places: Vec<usize> = given.into_iter().map(|found| found.value).collect();
    places.sort_unstable();
    places.dedup();
    section.close(problems);
    (share, places)
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Live, diff};

    const FILE: &str = r#"
[[listeners]]
address = "127.0.0.1:8080"
[services.shop.pools]
blue.upstreams = ["a:1"]
[flags.new_checkout]
percent = 12.5
services = ["shop"]
[flags.dark]
percent = 0
services = []
"#;

    fn problems(text: &str) -> Vec<String> {
        match Config::parse(text) {
            Ok((_, warnings)) => warnings.lines(text, "t"),
            Err(problems) => problems.lines(text, "t"),
        }
    }

    #[test]
    fn flags_have_shares_and_services() {
        let (config, warnings) = Config::parse(FILE).unwrap();
        assert!(warnings.0.is_empty());
        let flags: Vec<_> = config
            .flags
            .iter()
            .map(|flag| (&*flag.name, flag.percent.to_string(), flag.services.len()))
            .collect();
        assert_eq!(flags, [("dark", "0".into(), 0), ("new_checkout", "12.5".into(), 1)]);
    }

    #[test]
    fn what_is_wrong_with_a_flag_is_said_where() {
        let cases = [
            ("percent = 12.5", "percent = 101", "t:7:11: bad share for flag `new_checkout`"),
            ("percent = 12.5\n", "", "t:6:8: flag `new_checkout` has no `percent`"),
            ("services = []", "", "t:9:8: flag `dark` has no `services`"),
            ("[\"shop\"]", "[\"shpo\"]", "t:8:13: bad value for `services`"),
            ("new_checkout", "\"a,b\"", "t:6:8: bad flag name"),
        ];
        for (from, to, message) in cases {
            let text = FILE.replacen(from, to, 1);
            assert_ne!(text, FILE, "{from}");
            assert_eq!(problems(&text), [message], "{to}");
        }
        let many: String =
            (0..70).map(|n| format!("[flags.f{n}]\npercent = 1\nservices = \"shop\"\n")).collect();
        let found = problems(&format!("{FILE}{many}"));
        assert!(found.len() == 1 && found[0].contains("more flags than the 64"), "{found:?}");
    }

    #[test]
    fn a_changed_flag_is_a_change() {
        let parse = |text: &str| Config::parse(text).unwrap().0;
        let changes = |new: &str| -> Vec<String> {
            diff(&parse(FILE), &parse(new), &Live::default())
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        assert_eq!(changes(FILE), [""; 0]);
        let edited = FILE.replace("12.5", "25").replace("services = []", "services = [\"shop\"]");
        assert_eq!(
            changes(&edited),
            [
                "flag dark: services none → shop",
                "flag new_checkout: 12.5 % → 25 % of clients; 12.5 % get it"
            ]
        );
        let renamed = FILE.replace("flags.dark", "flags.light");
        assert_eq!(
            changes(&renamed),
            [
                "flag dark: removed; nobody had it",
                "flag light: added, on for 0 % of clients of none"
            ]
        );
    }
}
