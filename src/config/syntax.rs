//! A text that is no TOML: what its parser says in, problems that begin with the cause out.
//!
//! After a quote that is not closed everything looks wrong, and the parser tells that first. So such a
//! quote is told by itself, where it opens.

use std::ops::Range;

use toml::de::Error;

use super::Problem;

/// The problems of a broken text, in its order; none if it is not.
pub(super) fn broken(text: &str, errors: &[Error]) -> Vec<Problem> {
    let mut errors: Vec<(Range<usize>, &str)> =
        errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message())).collect();
    errors.sort_by_key(|(span, message)| (span.start, !is_quote(message)));
    let mut problems = Vec::new();
    for (span, message) in errors {
        if is_quote(message) {
            problems.push(open_quote(text, span, message));
            // What follows may be all right.
            break;
        }
        problems.push(Problem::error(span, message));
    }
    problems
}

/// Whether the parser has found a text without an end, or without a beginning.
fn is_quote(message: &str) -> bool {
    let lacks_one = message.ends_with("expected `\"`") || message.ends_with("expected `'`");
    lacks_one && (message.starts_with("invalid ") || message.contains(" quote"))
}

fn open_quote(text: &str, span: Range<usize>, message: &str) -> Problem {
    let before = text.get(..span.start).unwrap_or_default();
    let place = match message.contains("multi-line") {
        true => before.rfind("\"\"\"").max(before.rfind("'''")).map(|at| at..at + 3),
        false => last_opened(before),
    };
    match place {
        Some(place) => Problem::error(place, "this quote is not closed"),
        None => {
            Problem::error(span, message).help("is a quote missing on this line, or one too many?")
        }
    }
}

/// The quote of the last line that nothing closes.
fn last_opened(before: &str) -> Option<Range<usize>> {
    let line = before.rfind('\n').map_or(0, |at| at + 1);
    let (mut open, mut is_escaped) = (None::<(usize, char)>, false);
    for (at, c) in before.get(line..)?.char_indices() {
        match (open, c) {
            (None, '"' | '\'') => open = Some((line + at, c)),
            (None, '#') => break,
            (None, _) => {}
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some((_, '"')), '\\') => is_escaped = true,
            (Some((_, quote)), c) if quote == c => open = None,
            (Some(_), _) => {}
        }
    }
    open.map(|(at, _)| at..at + 1)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn told(text: &str) -> Vec<String> {
        Config::parse(text).unwrap_err().lines(text, "t")
    }

    #[test]
    fn an_unclosed_quote_is_told_where_it_opens_and_nothing_of_what_follows() {
        let rest = "[services.a.pools]\nb.upstreams = [\"a:1\"]\n";
        let listener = |address: &str| format!("[[listeners]]\naddress = {address}\n{rest}");
        assert_eq!(told(&listener("\":80")), ["t:2:11: this quote is not closed"]);
        assert_eq!(told(&listener("':80")), ["t:2:11: this quote is not closed"]);
        assert_eq!(told(&listener("\"\"\":80")), ["t:2:11: this quote is not closed"]);
        let list = "x = [\"a:1\", \"b\\\"]\ny = [\"c\"]\n[z]\nw = 1\n";
        assert_eq!(told(list), ["t:1:13: this quote is not closed"]);
        // One too few within a line shifts all after it.
        let shifted = told("x = [\"a:1\", \"b:2, \"c:3\"]\n");
        assert_eq!(shifted.len(), 1, "{shifted:?}");
        assert!(shifted[0].starts_with("t:1:"), "{shifted:?}");
    }

    #[test]
    fn what_is_broken_before_a_quote_is_told_too() {
        let told = told("x = = 1\ny = \"z\nw = [1\n");
        assert_eq!(told.last().unwrap(), "t:2:5: this quote is not closed");
        assert!(told.len() > 1 && told[0].starts_with("t:1:"), "{told:?}");
    }
}
