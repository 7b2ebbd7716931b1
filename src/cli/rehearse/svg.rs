//! A drawing of a rehearsal: curves in, one SVG file out that needs nothing else.

use std::fmt::Write;

use super::Rehearsed;
use super::curve::{Axis, Curve};
use super::words::grouped;
use crate::clock::in_words;
use crate::rehearsal::{Ending, Group, Summary};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 440.0;

/// The plot's edges: left, top, right, bottom.
const EDGES: [f64; 4] = [64.0, 118.0, 876.0, 384.0];

/// Letters of the title that fit in for sure.
const LONGEST_TITLE: usize = 80;

const INK: &str = "#1f2933";
const FAINT: &str = "#e4e7eb";
const SOFT: &str = "#616e7c";

/// A line of the drawing.
struct Line<'a> {
    name: String,
    curve: Curve,
    group: &'a Group,
    colour: &'static str,
    is_dashed: bool,
}

/// The whole file.
pub fn draw(rehearsed: &Rehearsed) -> String {
    let mut text = String::new();
    // Writing into a text does not fail.
    let _ = write_all(&mut text, rehearsed);
    text
}

fn write_all(text: &mut String, rehearsed: &Rehearsed) -> std::fmt::Result {
    let lines = lines(rehearsed);
    let axis = Axis::over(lines.iter().map(|line| &line.curve));
    writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" font-family=\"system-ui, sans-serif\" \
         font-size=\"13\" fill=\"{INK}\">"
    )?;
    let title = escaped(&shortened(rehearsed.title(), LONGEST_TITLE));
    writeln!(text, "<title>{title}</title>")?;
    writeln!(text, "<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>")?;
    writeln!(text, "<text x=\"24\" y=\"30\" font-size=\"17\" font-weight=\"600\">{title}</text>")?;
    let what = escaped(&rehearsed.behaves);
    writeln!(text, "<text x=\"24\" y=\"50\" fill=\"{SOFT}\">{what}</text>")?;
    write_axes(text, &axis)?;
    for (at, line) in lines.iter().enumerate() {
        write_line(text, &axis, line)?;
        write_legend(text, at, line)?;
    }
    writeln!(text, "</svg>")
}

/// This canary's endings, and when one as good as the old version is promoted or taken back.
fn lines(rehearsed: &Rehearsed) -> Vec<Line<'_>> {
    let endings = |of: &'static str, is_dashed: bool| {
        [
            (Ending::RolledBack, "rolled back", if is_dashed { "#d98880" } else { "#c0392b" }),
            (Ending::Promoted, "promoted", if is_dashed { "#7b8794" } else { "#1e7e34" }),
            (Ending::Paused, "paused", if is_dashed { "#d6b36a" } else { "#b7791f" }),
        ]
        .map(move |(ending, name, colour)| (ending, format!("{of}{name}"), colour, is_dashed))
    };
    let mut lines = Vec::new();
    let mut add = |summary, runs, of, is_dashed| {
        for (ending, name, colour, is_dashed) in endings(of, is_dashed) {
            let (curve, group) = (Curve::of(runs, ending), group(summary, ending));
            if group.count > 0 {
                lines.push(Line { name, curve, group, colour, is_dashed });
            }
        }
    };
    match &rehearsed.canary {
        Some(canary) => {
            add(canary, &rehearsed.canary_runs, "this canary: ", false);
            add(&rehearsed.identical, &rehearsed.identical_runs, "one as good as the old: ", true);
        }
        None => add(&rehearsed.identical, &rehearsed.identical_runs, "", false),
    }
    lines
}

fn group(summary: &Summary, ending: Ending) -> &Group {
    match ending {
        Ending::RolledBack => &summary.rolled_back,
        Ending::Promoted => &summary.promoted,
        Ending::Paused => &summary.paused,
    }
}

fn x(axis: &Axis, seconds: f64) -> f64 {
    let [left, _, right, _] = EDGES;
    left + axis.place(seconds) * (right - left)
}

fn y(share: f64) -> f64 {
    let [_, top, _, bottom] = EDGES;
    bottom - share * (bottom - top)
}

/// Its beginning and its end, if it is longer than this.
fn shortened(text: String, longest: usize) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= longest {
        return text;
    }
    let (head, tail) = (longest / 2, longest - longest / 2 - 1);
    let head: String = letters[..head].iter().collect();
    let tail: String = letters[letters.len() - tail..].iter().collect();
    format!("{head}…{tail}")
}

fn write_axes(text: &mut String, axis: &Axis) -> std::fmt::Result {
    let [left, top, right, bottom] = EDGES;
    for percent in [0, 25, 50, 75, 100] {
        let y = y(f64::from(percent) / 100.0);
        writeln!(text, "<path d=\"M{left} {y:.1}H{right}\" stroke=\"{FAINT}\"/>")?;
        writeln!(
            text,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{SOFT}\">{percent} %</text>",
            left - 8.0,
            y + 4.5
        )?;
    }
    for (seconds, name) in axis.marks() {
        let x = x(axis, seconds);
        writeln!(text, "<path d=\"M{x:.1} {top}V{bottom}\" stroke=\"{FAINT}\"/>")?;
        writeln!(
            text,
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"{SOFT}\">{name}</text>",
            bottom + 19.0
        )?;
    }
    writeln!(text, "<path d=\"M{left} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"{SOFT}\"/>")?;
    writeln!(
        text,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"{SOFT}\">time since the start of the \
         rollout (logarithmic)</text>",
        (left + right) / 2.0,
        bottom + 42.0
    )?;
    let middle = (top + bottom) / 2.0;
    writeln!(
        text,
        "<text transform=\"translate(18 {middle}) rotate(-90)\" text-anchor=\"middle\" \
         fill=\"{SOFT}\">share of the rollouts</text>"
    )
}

fn write_line(text: &mut String, axis: &Axis, line: &Line<'_>) -> std::fmt::Result {
    let [left, _, right, bottom] = EDGES;
    let mut path = format!("M{left} {bottom}");
    for (seconds, share) in line.curve.steps() {
        write!(path, "H{:.1}V{:.1}", x(axis, *seconds), y(*share))?;
    }
    write!(path, "H{right}")?;
    if !line.is_dashed {
        let (colour, area) = (line.colour, format!("{path}V{bottom}Z"));
        writeln!(text, "<path d=\"{area}\" fill=\"{colour}\" fill-opacity=\"0.12\"/>")?;
    }
    let dashes = if line.is_dashed { " stroke-dasharray=\"6 4\"" } else { "" };
    writeln!(
        text,
        "<path d=\"{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2.2\" \
         stroke-linejoin=\"round\"{dashes}/>",
        line.colour
    )
}

/// Its place in the list above the plot, two a row, as many as there are endings.
fn write_legend(text: &mut String, at: usize, line: &Line<'_>) -> std::fmt::Result {
    let (x, y) = (24.0 + 430.0 * (at % 2) as f64, 74.0 + 19.0 * (at / 2) as f64);
    let dashes = if line.is_dashed { " stroke-dasharray=\"6 4\"" } else { "" };
    writeln!(
        text,
        "<path d=\"M{x} {:.1}h24\" stroke=\"{}\" stroke-width=\"2.6\"{dashes}/>",
        y - 4.5,
        line.colour
    )?;
    let median = line.group.took.median.map_or_else(String::new, in_words);
    let count = grouped(line.group.count);
    writeln!(
        text,
        "<text x=\"{}\" y=\"{y}\">{}, {count} (median {median})</text>",
        x + 32.0,
        escaped(&line.name)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
