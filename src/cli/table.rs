//! Columns for people: rows in, aligned text out.

use comfy_table::{CellAlignment, Table, presets};

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

/// A percentage with as many decimals as it needs, at most two.
pub fn percent(value: f64) -> String {
    let text = format!("{value:.2}");
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Weights as `blue=90 % green=10 %`.
pub fn weights(weights: &std::collections::BTreeMap<String, f64>) -> String {
    let one = |(pool, weight): (&String, &f64)| format!("{pool}={}", percent(*weight));
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
