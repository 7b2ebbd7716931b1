//! A plot for terminals: curves in, lines of blocks out, within 80 columns.

use super::curve::{Axis, Curve};
use crate::rehearsal::{Ending, Run};

/// Columns of the plot itself; the labels on its left take eight.
const WIDTH: usize = 68;

const HEIGHT: usize = 8;

/// Blocks that fill eighths of a line from its bottom.
const EIGHTHS: [char; 8] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇'];

/// What a share is drawn with, from the bottom to the top: an ending, its block and its colour.
const LAYERS: [(Ending, char, &str, &str); 3] = [
    (Ending::RolledBack, '█', "31", "rolled back"),
    (Ending::Promoted, '▒', "32", "promoted"),
    (Ending::Paused, '░', "33", "paused"),
];

/// The shares of the runs that had ended by then, one on top of the other.
pub fn plot(runs: &[Run], is_coloured: bool) -> String {
    let curves = LAYERS.map(|(ending, ..)| Curve::of(runs, ending));
    let axis = Axis::over(&curves);
    let mut lines = vec![legend(&curves, is_coloured)];
    for row in (0..HEIGHT).rev() {
        let label = match (row + 1 == HEIGHT, row + 1 == HEIGHT / 2) {
            (true, _) => " 100 % ┤",
            (_, true) => "  50 % ┤",
            _ => "       │",
        };
        let cells = (0..WIDTH).map(|column| {
            let until = axis.time((column + 1) as f64 / WIDTH as f64);
            cell(curves.each_ref().map(|curve| curve.at(until)), row)
        });
        lines.push(format!("{label}{}", painted(cells, is_coloured)));
    }
    let (ticks, names) = marks(&axis);
    lines.push(format!("   0 % └{ticks}"));
    lines.push(format!("        {names}"));
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

fn legend(curves: &[Curve; 3], is_coloured: bool) -> String {
    let there = LAYERS.iter().zip(curves).filter(|(_, curve)| curve.whole() > 0.0);
    let one = |(&(_, block, colour, name), _): (&(Ending, char, &str, &str), &Curve)| {
        format!("{} {name}", paint(&block.to_string(), colour, is_coloured))
    };
    let names: Vec<String> = there.map(one).collect();
    format!("Share of the rollouts by the time since their start:  {}", names.join("  "))
}

/// The block of a cell and the layer that it belongs to.
fn cell(shares: [f64; 3], row: usize) -> (char, usize) {
    let low = row as f64 / HEIGHT as f64;
    // How much of this cell each layer fills, in cells.
    let mut top = 0.0;
    let filled = shares.map(|share| {
        let bottom: f64 = top;
        top += share;
        let within = |at: f64| ((at - low) * HEIGHT as f64).clamp(0.0, 1.0);
        within(top) - within(bottom)
    });
    let largest = if filled[0] >= filled[1].max(filled[2]) { 0 } else { 1 };
    let layer = if filled[2] > filled[largest] { 2 } else { largest };
    let block = match (layer, filled[layer]) {
        (0, part) if part < 0.99 => EIGHTHS[((part * 8.0).round() as usize).min(7)],
        (_, part) if part < 0.5 => ' ',
        _ => LAYERS[layer].1,
    };
    (block, layer)
}

fn painted(cells: impl Iterator<Item = (char, usize)>, is_coloured: bool) -> String {
    let cells: Vec<(char, usize)> = cells.collect();
    let alike = cells.chunk_by(|one, next| one.1 == next.1);
    let paint_all = |alike: &[(char, usize)]| {
        let text: String = alike.iter().map(|(block, _)| block).collect();
        paint(&text, LAYERS[alike[0].1].2, is_coloured && !text.trim().is_empty())
    };
    alike.map(paint_all).collect()
}

fn paint(text: &str, colour: &str, is_coloured: bool) -> String {
    match is_coloured {
        true => format!("\x1b[{colour}m{text}\x1b[0m"),
        false => text.into(),
    }
}

/// The axis with its marks, and the names below them.
fn marks(axis: &Axis) -> (String, String) {
    let mut ticks = vec!['─'; WIDTH];
    let mut names = String::new();
    for (seconds, name) in axis.marks() {
        let at = (axis.place(seconds) * (WIDTH - 1) as f64).round() as usize;
        let from = at.min(WIDTH - name.len());
        if !names.is_empty() && names.len() + 2 > from {
            continue;
        }
        ticks[at] = '┴';
        names.push_str(&" ".repeat(from - names.len()));
        names.push_str(name);
    }
    (ticks.into_iter().collect(), names)
}

#[cfg(test)]
mod tests {
    use super::super::curve::tests::run;
    use super::*;

    #[test]
    fn what_is_drawn_is_what_ended() {
        let mut runs: Vec<Run> = (0..60).map(|at| run(Ending::RolledBack, 5 + at / 4)).collect();
        runs.extend((0..40).map(|at| run(Ending::Promoted, 1_000 + at)));
        let drawn = plot(&runs, false);
        println!("{drawn}");
        let lines: Vec<&str> = drawn.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{drawn}");
        assert_eq!(lines.len(), HEIGHT + 3);
        // Six tenths of eight rows were rolled back: four rows and the most of a fifth.
        let last: String =
            lines[1..=HEIGHT].iter().filter_map(|line| line.chars().last()).collect();
        assert_eq!(last, "▒▒▒▆████");
        assert!(lines[HEIGHT].starts_with("       │   "), "nothing ends at once");
        assert!(lines[HEIGHT + 2].contains("10 s") && lines[HEIGHT + 2].contains("10 min"));
        assert!(lines[0].ends_with("█ rolled back  ▒ promoted"), "{}", lines[0]);
    }

    #[test]
    fn colours_are_left_out_where_they_are_not_wanted() {
        let runs = [run(Ending::Paused, 1_800)];
        assert!(!plot(&runs, false).contains('\x1b'));
        assert!(plot(&runs, true).contains("\x1b[33m░"));
    }
}
