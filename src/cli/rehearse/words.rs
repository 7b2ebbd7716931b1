//! What a rehearsal has shown, for people: summaries in, a table and sentences out.

use std::time::Duration;

use super::super::table::{percent, table};
use super::Rehearsed;
use crate::clock::in_words;
use crate::rehearsal::{Group, Spread, Summary};

/// The table of both canaries, and what it says of false alarms.
pub fn told(rehearsed: &Rehearsed) -> String {
    let (from, identical) = (&rehearsed.from, &rehearsed.identical);
    let mut headings = vec!["".to_string(), format!("ONE AS GOOD AS {}", from.to_uppercase())];
    let mut summaries = vec![identical];
    if let Some(canary) = &rehearsed.canary {
        headings.insert(1, "THIS CANARY".into());
        summaries.insert(0, canary);
    }
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let of = |cell: fn(&Summary) -> String| summaries.iter().map(|s| cell(s)).collect::<Vec<_>>();
    let mut rows = vec![
        ("rolled back".to_string(), of(|s| share(&s.rolled_back, s.runs))),
        ("promoted".into(), of(|s| share(&s.promoted, s.runs))),
        ("paused".into(), of(|s| share(&s.paused, s.runs))),
        ("until rolled back".into(), of(|s| times(s.rolled_back.took))),
        ("until it has all traffic".into(), of(|s| times(s.whole))),
        ("until promoted".into(), of(|s| times(s.promoted.took))),
        ("until paused".into(), of(|s| times(s.paused.took))),
        ("requests at the canary".into(), of(|s| numbers(s.canary_requests))),
        (format!("failed beyond {from}'s"), of(|s| format!("{} a rollout", decimal(s.excess)))),
        ("users that saw a failure".into(), of(|s| s.users_hit.map_or("-".into(), numbers))),
        ("rolled back by".into(), of(by)),
    ];
    rows.retain(|(_, cells)| cells.iter().any(|cell| cell != "-"));
    let rows = rows.into_iter().map(|(name, cells)| std::iter::once(name).chain(cells).collect());
    format!("{}\n\n{}", table(&headings, rows), false_alarms(from, identical))
}

/// How likely a good release is taken back.
fn false_alarms(from: &str, identical: &Summary) -> String {
    let (_, [low, high]) = identical.chance_of_rollback();
    let (hits, runs) = (grouped(identical.rolled_back.count), grouped(identical.runs));
    let percent = |share: f64| percent(share * 100.0);
    let chance = match identical.rolled_back.count {
        0 => format!("at most {}", percent(high)),
        _ => format!("from {} to {}", percent(low), percent(high)),
    };
    format!(
        "False rollback: {hits} of {runs} canaries as good as `{from}` were rolled back;\n\
         the chance is {chance} (95 % confidence)."
    )
}

fn share(group: &Group, runs: u64) -> String {
    match group.count {
        0 => "0 %".into(),
        count => format!("{} ({})", percent(count as f64 / runs as f64 * 100.0), grouped(count)),
    }
}

fn times(spread: Spread<Duration>) -> String {
    match spread.median.zip(spread.p95) {
        Some((median, p95)) => format!("{}, p95 {}", in_words(median), in_words(p95)),
        None => "-".into(),
    }
}

fn numbers(spread: Spread<u64>) -> String {
    match spread.median.zip(spread.p95) {
        Some((median, p95)) => format!("{}, p95 {}", grouped(median), grouped(p95)),
        None => "-".into(),
    }
}

fn by(summary: &Summary) -> String {
    let all = summary.rolled_back.count.max(1) as f64;
    let one =
        |(what, count): &(String, u64)| format!("{what} {}", percent(*count as f64 / all * 100.0));
    match summary.by.is_empty() {
        true => "-".into(),
        false => summary.by.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}

/// A latency, as short as it is exact.
pub fn short(took: Duration) -> String {
    format!("{took:?}")
}

/// A share of requests, with all its decimals.
pub fn share_of(share: f64) -> String {
    let text = format!("{:.6}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// With one decimal where that says something.
fn decimal(number: f64) -> String {
    match number.abs() {
        0.05..100.0 => format!("{number:.1}"),
        0.0..0.05 => "0".into(),
        _ => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_people_read_them() {
        assert_eq!([0, 999, 1_000, 12_345_678].map(grouped), ["0", "999", "1,000", "12,345,678"]);
        assert_eq!([0.01, -0.3, 47.04, 2_993.6].map(decimal), ["0", "-0.3", "47.0", "2994"]);
        assert_eq!(in_words(Duration::from_secs(552)), "9m 12s");
        assert_eq!(
            [0.001, 0.02, 0.000_000_5, 0.0, 1.0].map(share_of),
            ["0.1 %", "2 %", "0.00005 %", "0 %", "100 %"]
        );
    }
}
