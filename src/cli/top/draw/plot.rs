//! Small plots of characters: numbers second by second in; rows of blocks out.

use crate::admin::wire;
use crate::cli::top::known::at;

/// Eighths of a character, from none to all of it.
const UP: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ACROSS: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// What is plotted of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Requests each second.
    Rate,
    /// The share that failed, in percent.
    Errors,
    /// What 99 % took at most, in seconds.
    P99,
}

/// One number a second, the newest last, of the `columns` seconds up to `end`. A second in which nothing
/// ended has no requests, and nothing else.
pub fn values(points: &[wire::Points], of: Of, end: f64, columns: usize) -> Vec<Option<f64>> {
    let mut values = vec![if of == Of::Rate { Some(0.0) } else { None }; columns];
    for point in points {
        let number = |nth: usize| point.get(nth).copied().flatten();
        let Some(ago) = at(point).map(|at| (end - at).round()) else { continue };
        if ago < 0.0 || ago as usize >= columns {
            continue;
        }
        let requests = number(1).unwrap_or_default();
        values[columns - 1 - ago as usize] = match of {
            Of::Rate => Some(requests),
            Of::Errors => {
                number(2).filter(|_| requests > 0.0).map(|failed| failed / requests * 100.0)
            }
            Of::P99 => number(5),
        };
    }
    values
}

/// The last second of all pools that is over.
pub fn end<'a>(all: impl Iterator<Item = &'a Vec<wire::Points>>) -> f64 {
    all.filter_map(|points| points.last()).filter_map(at).fold(0.0, f64::max)
}

/// Rows of blocks, the highest first. What is not nothing is seen, however little it is of `most`.
pub fn rows(values: &[Option<f64>], most: f64, rows: usize) -> Vec<String> {
    let steps = rows * 8;
    let height = |value: &Option<f64>| match value {
        Some(value) if *value > 0.0 && most > 0.0 => {
            ((value / most * steps as f64).round() as usize).clamp(1, steps)
        }
        _ => 0,
    };
    let heights: Vec<usize> = values.iter().map(height).collect();
    let row = |nth: usize| {
        let below = (rows - 1 - nth) * 8;
        heights.iter().map(|height| UP[height.saturating_sub(below).min(8)]).collect()
    };
    (0..rows).map(row).collect()
}

/// A bar of a share, 0 to 1, in so many columns; what is missing is dotted.
pub fn bar(share: f64, columns: usize) -> String {
    let eighths = (share.clamp(0.0, 1.0) * (columns * 8) as f64).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(ACROSS[eighths % 8]);
    }
    bar + &"·".repeat(columns - eighths.div_ceil(8))
}

/// How many of `columns` each share of a whole of 100 gets: all of them together, and one at least who has
/// any.
pub fn parts(shares: &[f64], columns: usize) -> Vec<usize> {
    let mut parts: Vec<usize> = shares
        .iter()
        .map(|share| match *share > 0.0 {
            true => ((share / 100.0 * columns as f64).round() as usize).max(1),
            false => 0,
        })
        .collect();
    let sum: usize = parts.iter().sum();
    if let Some(largest) = parts.iter_mut().max() {
        *largest = (*largest + columns).saturating_sub(sum);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_column() {
        let point = |at: f64, requests: f64, failed: f64| {
            vec![Some(at), Some(requests), Some(failed), None, None, Some(0.002)]
        };
        let points = [point(7.0, 10.0, 0.0), point(9.0, 20.0, 5.0), point(10.0, 40.0, 0.0)];
        let of = |of| values(&points, of, 10.0, 3);
        assert_eq!(of(Of::Rate), [Some(0.0), Some(20.0), Some(40.0)]);
        assert_eq!(of(Of::Errors), [None, Some(25.0), Some(0.0)]);
        assert_eq!(of(Of::P99), [None, Some(0.002), Some(0.002)]);
    }

    #[test]
    fn blocks_are_as_high_as_what_they_show_and_a_little_is_seen() {
        let values = [None, Some(0.0), Some(0.01), Some(50.0), Some(100.0)];
        assert_eq!(rows(&values, 100.0, 1), ["  ▁▄█"]);
        assert_eq!(rows(&values, 100.0, 2), ["    █", "  ▁██"]);
        assert_eq!(rows(&values, 0.0, 1), ["     "]);
    }

    #[test]
    fn bars_are_whole() {
        assert_eq!(
            [0.0, 0.5, 0.55, 1.0].map(|share| bar(share, 4)),
            ["····", "██··", "██▎·", "████"]
        );
        assert_eq!(parts(&[99.9, 0.1, 0.0], 10), [9, 1, 0]);
        assert_eq!(parts(&[33.3, 33.3, 33.4], 10).iter().sum::<usize>(), 10);
    }
}
