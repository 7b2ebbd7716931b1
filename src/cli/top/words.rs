//! Numbers and times in, what people read out; as short as columns want it.

use crate::admin::wire;

/// What stands where nothing is known.
pub const NONE: &str = "-";

/// To three figures.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return NONE.into();
    }
    let size = value.abs();
    match size {
        _ if size >= 999_500.0 => format!("{}M", figures(value / 1e6)),
        _ if size >= 9_999.5 => format!("{}k", figures(value / 1e3)),
        _ => figures(value),
    }
}

fn figures(value: f64) -> String {
    let places = match value.abs() {
        size if size >= 99.95 || size == 0.0 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.places$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    }
}

/// Requests a second.
pub fn rate(value: f64) -> String {
    format!("{}/s", number(value))
}

/// A share in percent.
pub fn percent(value: f64) -> String {
    match value {
        _ if value > 0.0 && value < 0.01 => "<0.01 %".into(),
        // Never all of it while some is missing.
        _ if value < 100.0 && value > 99.99 => ">99.9 %".into(),
        _ => format!("{} %", figures(value)),
    }
}

/// Seconds as they are short to read.
pub fn took(seconds: Option<f64>) -> String {
    match seconds {
        None => NONE.into(),
        Some(seconds) if seconds < 0.001 => format!("{} µs", figures(seconds * 1e6)),
        Some(seconds) if seconds < 1.0 => format!("{} ms", figures(seconds * 1e3)),
        Some(seconds) => format!("{} s", figures(seconds)),
    }
}

/// A length of time, such as `4 min`.
pub fn length(seconds: f64) -> String {
    match seconds.max(0.0) {
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 6_000.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3_600.0),
        s => format!("{:.0} d", s / 86_400.0),
    }
}

/// Odds such as `250:1`.
pub fn odds(value: f64) -> String {
    match value {
        v if v >= 1e9 => ">1e9:1".into(),
        v if v < 0.01 => "<0.01:1".into(),
        v => format!("{}:1", number(v)),
    }
}

/// A Unix time as a clock shows it, in UTC; with its date where that is another day.
pub fn clock(at: f64, now: f64) -> String {
    let text = jiff::Timestamp::from_second(at as i64).unwrap_or_default().to_string();
    let (day, time) = text.split_once('T').unwrap_or(("", &text));
    let time = time.trim_end_matches('Z');
    let is_today = (at / 86_400.0).floor() == (now / 86_400.0).floor();
    if is_today { time.to_string() } else { format!("{day} {time}") }
}

/// One of something, or several.
pub fn several(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// How much of a budget is left, or that there is no reading of it.
pub fn budget(budget: Option<&wire::Budget>) -> String {
    match budget {
        None => NONE.into(),
        Some(wire::Budget { remaining: Some(left), .. }) if *left <= 0.0 => "spent".into(),
        Some(wire::Budget { remaining: Some(left), .. }) => percent(*left),
        Some(budget) => budget.state.name().into(),
    }
}

/// A word of a command, quoted where a shell would read it otherwise.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_figures_at_most() {
        let all = [0.0, 0.126, 1.0, 12.34, 999.6, 1_234.0, 12_345.0, 1_234_567.0, f64::NAN];
        let wanted = ["0", "0.13", "1", "12.3", "1000", "1234", "12.3k", "1.23M", "-"];
        assert_eq!(all.map(number), wanted);
        assert_eq!(
            [0.004, 99.998, 100.0, 97.25].map(percent),
            ["<0.01 %", ">99.9 %", "100 %", "97.2 %"]
        );
    }

    #[test]
    fn times_are_short() {
        assert_eq!(
            [Some(0.0003), Some(0.0213), Some(2.5), None].map(took),
            ["300 µs", "21.3 ms", "2.5 s", "-"]
        );
        assert_eq!([5.0, 240.0, 7_300.0, 400_000.0].map(length), ["5 s", "4 min", "2 h", "5 d"]);
        assert_eq!(clock(86_400.0 + 61.0, 86_400.0 * 1.5), "00:01:01");
        assert_eq!(clock(61.0, 86_400.0 * 1.5), "1970-01-01 00:01:01");
    }

    #[test]
    fn a_shell_reads_a_quoted_word_as_it_is() {
        assert_eq!(
            ["blue=90", "two words", "it's", ""].map(quoted),
            ["blue=90", "'two words'", r"'it'\''s'", "''"]
        );
    }
}
