//! Texts of others and times for people: anything in, what may be kept and shown out.

use crate::clock::WallTime;

/// The longest title, in characters.
pub const LONGEST_TITLE: usize = 200;

/// The longest note, update or resolution, in characters.
pub const LONGEST_TEXT: usize = 4_096;

/// The longest name of a commander or a channel, in characters.
pub const LONGEST_NAME: usize = 100;

/// A text without what a terminal obeys: control characters become spaces, and those that turn the
/// direction of writing are left out (Unicode TR 36), so that no text can be shown as another.
pub fn tame(text: &str) -> String {
    let turns = |c: &char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let tamed = text.chars().filter(|c| !turns(c));
    tamed.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A tame text of at most so many characters.
pub fn clipped(text: &str, longest: usize) -> String {
    let text = tame(text.trim());
    match text.char_indices().nth(longest) {
        None => text,
        Some(_) => text.chars().take(longest.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// A moment for people, as `2026-11-24T12:00:00Z`.
pub fn moment(at: WallTime) -> String {
    let time = jiff::Timestamp::from_second((at.millis() / 1_000) as i64);
    time.unwrap_or_default().to_string()
}

/// A text that Markdown shows as it is: what marks something is written with a backslash.
pub(super) fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in tame(text).chars() {
        if matches!(
            c,
            '\\' | '`'
                | '*'
                | '_'
                | '{'
                | '}'
                | '['
                | ']'
                | '<'
                | '>'
                | '#'
                | '|'
                | '!'
                | '~'
                | '&'
                | '@'
        ) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A number of whole seconds in words, such as `4m 10s`.
pub(super) fn length(length: std::time::Duration) -> String {
    crate::clock::in_words(std::time::Duration::from_secs(length.as_secs()))
}
