//! Columns for people: rows in, aligned text out.

use comfy_table::{CellAlignment, Table, presets};

use super::terminal::clipped;

/// Between two columns.
const GAP: usize = 2;

/// A column that is cut keeps so much.
const NARROW: usize = 8;

/// A table with these headings; columns whose heading begins with `>` are aligned right.
pub fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(headings.iter().map(|heading| heading.trim_start_matches('>')));
    for row in rows {
        table.add_row(row);
    }
    for (at, heading) in headings.iter().enumerate() {
        if let Some(column) = table.column_mut(at) {
            column.set_padding((0, 2));
            if heading.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table.lines().map(|line| line.trim_end().to_string()).collect::<Vec<_>>().join("\n")
}

/// A table of at most so many columns of text. A heading with question marks before it names a column
/// that is left out where there is no room, those with more of them first; then the widest of those
/// that are aligned left are cut.
pub fn fitted(headings: &[&str], mut rows: Vec<Vec<String>>, columns: Option<usize>) -> String {
    let mut headings: Vec<String> = headings.iter().map(|heading| heading.to_string()).collect();
    let bare = |heading: &str| heading.trim_start_matches('?').to_string();
    let is_right = |heading: &str| heading.trim_start_matches('?').starts_with('>');
    let width = |at: usize, headings: &[String], rows: &[Vec<String>]| {
        let heading = headings[at].trim_start_matches(['?', '>']).chars().count();
        rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0).max(heading)
    };
    while let Some(columns) = columns {
        let widths: Vec<usize> =
            (0..headings.len()).map(|at| width(at, &headings, &rows)).collect();
        let whole = widths.iter().sum::<usize>() + GAP * (widths.len() - 1);
        let Some(over) = whole.checked_sub(columns).filter(|over| *over > 0) else { break };
        let marks = |heading: &str| heading.len() - heading.trim_start_matches('?').len();
        let least = (0..headings.len()).rev().max_by_key(|at| marks(&headings[*at]));
        if let Some(at) = least.filter(|at| marks(&headings[*at]) > 0) {
            headings.remove(at);
            rows.iter_mut().for_each(|row| drop(row.remove(at)));
            continue;
        }
        let left = (0..headings.len()).filter(|at| !is_right(&headings[*at]));
        let Some(widest) = left.max_by_key(|at| widths[*at]).filter(|at| widths[*at] > NARROW)
        else {
            break;
        };
        // A step at a time, so that of two wide ones both give.
        let to = widths[widest].saturating_sub(over.min(4)).max(NARROW);
        rows.iter_mut().for_each(|row| row[widest] = clipped(&row[widest], to));
        headings[widest] = clipped(&headings[widest], to);
    }
    let headings: Vec<String> = headings.iter().map(|heading| bare(heading)).collect();
    table(&headings.iter().map(String::as_str).collect::<Vec<_>>(), rows)
}

/// A percentage with as many decimals as it needs, at most two.
pub fn percent(value: f64) -> String {
    let text = format!("{value:.2}");
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Weights as `blue=90 % green=10 %`.
pub fn weights(weights: &std::collections::BTreeMap<String, f64>) -> String {
    tagged(weights, &Default::default())
}

/// Weights as `blue=90 % green=10 % (v42)`, with what the pools' versions are called.
pub fn tagged(
    weights: &std::collections::BTreeMap<String, f64>,
    tags: &std::collections::BTreeMap<String, String>,
) -> String {
    let one = |(pool, weight): (&String, &f64)| match tags.get(pool) {
        Some(tag) => format!("{pool}={} ({tag})", percent(*weight)),
        None => format!("{pool}={}", percent(*weight)),
    };
    weights.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// A text short enough for a table; all of it is in `--json`.
pub fn shortened(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_least_goes_first_and_then_what_is_long_is_cut() {
        let headings = ["NAME", "?>REV", "??>P50", ">REQ/S", "STATE"];
        let row = || ["a-rather-long-name", "12", "3.4 ms", "100.0", "2 of 3 are well, and so on"];
        let rows = || vec![row().map(String::from).to_vec()];
        let wide = fitted(&headings, rows(), None);
        assert!(wide.contains("P50") && wide.contains("and so on"), "{wide}");
        for columns in [70, 60, 52, 40, 34] {
            let text = fitted(&headings, rows(), Some(columns));
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{columns}: {text}");
            assert!(text.contains("100.0"), "{text}");
        }
        let narrow = fitted(&headings, rows(), Some(60));
        assert!(!narrow.contains("P50") && narrow.contains("so on"), "{narrow}");
    }
}
