//! An hour of seconds as it is kept: seconds in, texts out, and back.
//!
//! `50` are fifty requests that all went well, `50/12` fifty of which twelve failed, `-` is a second in which
//! nobody looked; `0*9` are nine alike. Versions before gaps read a text to its first `-`, and those before
//! runs to its first `*`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Filling, PIECE, PIECES, Piece, Row, Second, Seconds};

/// The most that is read of what a version has written that keeps more: a day.
const MOST_PIECES: usize = 24 * PIECES;

/// Of each upstream its seconds in a text, the oldest first, and of which piece the first is; and the seconds
/// since the last whole piece.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Stored {
    pieces: usize,
    upstreams: Vec<(Arc<str>, usize, String)>,
    seconds: usize,
    filling: Vec<(Arc<str>, String)>,
}

/// A text that says no seconds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("piece {piece} of {upstream:?}: {why}")]
pub(super) struct NotRead {
    upstream: Arc<str>,
    /// Counts from 1; the one after the last is that which was being filled.
    piece: usize,
    why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Why {
    #[error("{0:?} is no second; one is `50`, `50/12` or `-`, and `50*3` are three")]
    NoSecond(String),
    #[error("{found} seconds follow from there on, {wanted} are wanted")]
    Length { found: usize, wanted: usize },
}

impl From<Seconds> for Stored {
    fn from(seconds: Seconds) -> Stored {
        let pieces = seconds.pieces.len();
        let newest = seconds.pieces.back().into_iter().flat_map(|newest| &newest.0);
        let names = newest.map(|(name, _)| name.clone());
        let upstreams = names.zip(seconds.series()).map(|(name, rows)| {
            (name, pieces - rows.len(), written(rows.iter().copied().flatten()))
        });
        let Filling { seconds: filled, rows } = &seconds.filling;
        let filling = rows.iter().map(|(name, row)| (name.clone(), written(&row[..*filled])));
        Stored {
            pieces,
            upstreams: upstreams.collect(),
            seconds: *filled,
            filling: filling.collect(),
        }
    }
}

impl TryFrom<Stored> for Seconds {
    type Error = NotRead;

    fn try_from(stored: Stored) -> Result<Seconds, NotRead> {
        // A version that keeps more has written it: the newest are read.
        let written = stored.pieces.min(MOST_PIECES);
        let skipped = written.saturating_sub(PIECES);
        let mut pieces = vec![Piece::default(); written - skipped];
        for (name, first, text) in stored.upstreams {
            // Of one that begins behind the last piece nothing is wanted, however far behind that is.
            let first = first.min(written);
            let wanted = written - first;
            for (place, row) in read(&name, first, wanted * PIECE, &text)?.into_iter().enumerate() {
                let piece = (first + place).checked_sub(skipped).and_then(|at| pieces.get_mut(at));
                piece.into_iter().for_each(|piece| piece.0.push((name.clone(), row)));
            }
        }
        let filled = stored.seconds.min(PIECE - 1);
        let row = |(name, text): (Arc<str>, String)| {
            let rows = read(&name, written, filled, &text)?;
            Ok((name, rows.first().copied().unwrap_or_default()))
        };
        let rows = stored.filling.into_iter().map(row).collect::<Result<_, NotRead>>()?;
        let filling = Filling { seconds: filled, rows };
        Ok(Seconds { pieces: pieces.into_iter().map(Arc::new).collect(), filling })
    }
}

fn written<'s>(seconds: impl IntoIterator<Item = &'s Option<Second>>) -> String {
    let mut runs: Vec<(&Option<Second>, usize)> = Vec::new();
    for second in seconds {
        match runs.last_mut() {
            Some((last, times)) if *last == second => *times += 1,
            _ => runs.push((second, 1)),
        }
    }
    let word = |(second, times): &(&Option<Second>, usize)| {
        let times = if *times == 1 { String::new() } else { format!("*{times}") };
        match second {
            None => format!("-{times}"),
            Some(Second { total, bad: 0 }) => format!("{total}{times}"),
            Some(Second { total, bad }) => format!("{total}/{bad}{times}"),
        }
    };
    runs.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// So many seconds of an upstream, in rows that begin with a piece; the last may be less than whole.
fn read(name: &Arc<str>, first: usize, wanted: usize, text: &str) -> Result<Vec<Row>, NotRead> {
    let wrong = |seconds: usize, why: Why| NotRead {
        upstream: name.clone(),
        piece: first + seconds / PIECE + 1,
        why,
    };
    let (mut rows, mut found) = (Vec::<Row>::with_capacity(wanted.min(PIECES * PIECE) / PIECE), 0);
    for word in text.split_ascii_whitespace() {
        // What somebody else has written may be of any length.
        let no_second = || wrong(found, Why::NoSecond(word.chars().take(40).collect()));
        let (one, times) = word.split_once('*').unwrap_or((word, "1"));
        let times = times.parse().ok().filter(|times: &usize| *times > 0).ok_or_else(no_second)?;
        let second = Second::read(one).ok_or_else(no_second)?;
        if times > wanted - found {
            return Err(wrong(found, Why::Length { found: found.saturating_add(times), wanted }));
        }
        for at in found..found + times {
            if at % PIECE == 0 {
                rows.push(Row::default());
            }
            rows.last_mut().into_iter().for_each(|row| row[at % PIECE] = second);
        }
        found += times;
    }
    match found == wanted {
        true => Ok(rows),
        false => Err(wrong(found, Why::Length { found, wanted })),
    }
}

impl Second {
    /// A second, or a gap; none for a word that is neither.
    fn read(word: &str) -> Option<Option<Second>> {
        if word == "-" {
            return Some(None);
        }
        let (total, bad) = word.split_once('/').unwrap_or((word, "0"));
        let (total, bad): (u32, u32) = (total.parse().ok()?, bad.parse().ok()?);
        (bad <= total).then_some(Some(Second { total, bad }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: &str) -> String {
        serde_json::from_str::<Seconds>(json).unwrap_err().to_string()
    }

    #[test]
    fn what_an_older_version_wrote_of_each_second_is_read() {
        let runs = r#"{"pieces":2,"upstreams":[["a",0,"3*12 4/1*8"],["b",1,"-*9 2"]],
            "seconds":2,"filling":[["a","9 -"]]}"#;
        let each = r#"{"pieces":2,"upstreams":[["a",0,"3 3 3 3 3 3 3 3 3 3 3 3 4/1 4/1 4/1 4/1 4/1 4/1 4/1 4/1"],
            ["b",1,"- - - - - - - - - 2"]],"seconds":2,"filling":[["a","9 -"]]}"#;
        let [runs, each] = [runs, each].map(|text| serde_json::from_str::<Seconds>(text).unwrap());
        assert_eq!(runs, each);
        let text = serde_json::to_string(&each).unwrap();
        assert!(text.contains(r#"["b",1,"-*9 2"]"#) && text.contains(r#"["a","9 -"]"#), "{text}");
        assert_eq!(serde_json::from_str::<Seconds>(&text).unwrap(), each);
        assert_eq!(serde_json::from_str::<Seconds>("{}").unwrap(), Seconds::default());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_piece() {
        let of = |text: &str| told(&format!(r#"{{"pieces":3,"upstreams":[["a:1",1,"{text}"]]}}"#));
        for wrong in ["x", "5/6", "5*0", "5*-1", "-5", "1*99999999999999999999"] {
            let told = of(&format!("3*12 {wrong} 3*7"));
            let piece = format!("piece 3 of \"a:1\": {wrong:?} is no second");
            assert!(told.starts_with(&piece), "{told}");
        }
        assert_eq!(
            of("3*19"),
            "piece 3 of \"a:1\": 19 seconds follow from there on, 20 are wanted"
        );
        assert!(of("3*99999999999").starts_with("piece 2 of \"a:1\": 99999999999 seconds"));
        let filling = told(r#"{"pieces":0,"seconds":3,"filling":[["a:1","3 y"]]}"#);
        assert!(filling.starts_with("piece 1 of \"a:1\": \"y\" is no second"), "{filling}");
    }

    #[test]
    fn one_that_begins_behind_the_last_piece_has_no_seconds_however_far_behind() {
        for first in [4, u64::MAX] {
            let of =
                |text: &str| format!(r#"{{"pieces":3,"upstreams":[["a:1",{first},"{text}"]]}}"#);
            let wanted = "piece 4 of \"a:1\": 1 seconds follow from there on, 0 are wanted";
            assert_eq!(told(&of("1")), wanted, "{first}");
            let read: Seconds = serde_json::from_str(&of("")).unwrap();
            assert_eq!((read.pieces.len(), read.asked()), (3, 0), "{first}");
        }
    }

    #[test]
    fn of_more_than_is_kept_the_newest_is_read() {
        let text = r#"{"pieces":362,"upstreams":[["a",0,"1*20 2*3600"]]}"#;
        let read: Seconds = serde_json::from_str(text).unwrap();
        assert_eq!((read.pieces.len(), read.mean()), (PIECES, 2.0));
    }
}
