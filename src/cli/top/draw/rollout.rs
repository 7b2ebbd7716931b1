//! A rollout: its steps as a line, the evidence toward both verdicts as it grows, and what the judge says.

use ratatui::text::{Line, Span};

use super::Picture;
use super::paint::{Tone, clip, left, right, wrapped};
use super::plot;
use crate::admin::wire;
use crate::cli::top::known::Close;
use crate::cli::top::moments::{Moment, way, worst};
use crate::cli::top::words;

/// Columns of what leads a line.
const LEAD: usize = 9;

/// Columns of odds and of how much is enough.
const ODDS: usize = 17;

/// From so many rows on there is room for more words.
const HIGH: usize = 26;

/// Its lines; one that says that there is none.
pub(super) fn lines(
    picture: &Picture<'_>,
    close: &Close,
    columns: usize,
    rows: usize,
) -> Vec<Line<'static>> {
    let Some(rollout) = &close.rollout else {
        return vec![lead(picture, "rollout", vec![picture.palette.span(Tone::Faint, "none yet")])];
    };
    let rest = columns.saturating_sub(LEAD);
    let mut lines =
        vec![title(picture, rollout, rest), steps(picture, rollout, close.moments.reached(), rest)];
    let words = if rows > HIGH { 4 } else { 2 };
    let mut status = rollout.status.clone();
    if !rollout.waits_for.is_empty() {
        status.push_str(&format!(" (not yet: {})", rollout.waits_for.join(", ")));
    }
    let said = wrapped(&status, rest, words);
    lines.extend(told(picture, "", said, Tone::Plain));
    if let Some(judgement) = &rollout.judgement {
        let is_told = status.contains(&judgement.evidence);
        lines.extend(evidence(picture, judgement, close.moments.list(), rest, rows));
        if !is_told {
            let mut says = judgement.evidence.clone();
            if let Some(prometheus) = &judgement.prometheus {
                says.push_str(&format!(" Prometheus: {prometheus}"));
            }
            let most = if rows > HIGH { 4 } else { 2 };
            lines.extend(told(picture, "judge", wrapped(&says, rest, most), Tone::Plain));
        }
        for one in judgement.regressed.iter().take(if rows > HIGH { 4 } else { 1 }) {
            let text = format!(
                "{}: {} of {} failed before, {} of {} at the new pool",
                one.route,
                words::percent(one.stable.errors),
                one.stable.requests,
                words::percent(one.target.errors),
                one.target.requests
            );
            lines.push(lead(
                picture,
                "worse at",
                vec![picture.palette.span(Tone::Worse, clip(&text, rest))],
            ));
        }
    }
    lines
}

fn lead(picture: &Picture<'_>, text: &str, rest: Vec<Span<'static>>) -> Line<'static> {
    let mut spans = vec![picture.palette.span(Tone::Faint, left(text, LEAD))];
    spans.extend(rest);
    Line::from(spans)
}

/// A text of several lines, the first behind its lead.
fn told(picture: &Picture<'_>, text: &str, lines: Vec<String>, tone: Tone) -> Vec<Line<'static>> {
    let line = |(nth, line): (usize, String)| {
        lead(picture, if nth == 0 { text } else { "" }, vec![picture.palette.span(tone, line)])
    };
    lines.into_iter().enumerate().map(line).collect()
}

fn title(picture: &Picture<'_>, rollout: &wire::Rollout, columns: usize) -> Line<'static> {
    let (sign, tone) = match &*rollout.state {
        "running" => ("▶", Tone::Fine),
        "paused" => ("‖", Tone::Odd),
        "promoted" => ("✓", Tone::Fine),
        _ => ("✕", Tone::Bad),
    };
    let state = format!("{sign} {}", rollout.state);
    let tag = rollout.deploys.as_ref().and_then(|deploys| deploys.tag.as_ref());
    let tag = tag.map_or_else(String::new, |tag| format!(" ({tag})"));
    let (from, to, strategy) = (&rollout.from, &rollout.to, &rollout.strategy);
    let since = match rollout.ended {
        Some(ended) => format!("ended {} ago", words::length(picture.known.at - ended)),
        None => format!("for {}", words::length(picture.known.at - rollout.started)),
    };
    let all = &rollout.all;
    let counts = format!("{} of {} failed", all.failed, all.requests);
    let why = rollout.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    let text = format!(
        "  {} {from} → {to}{tag} · {counts} · {since} · {strategy}, by {}{why}",
        rollout.id, rollout.author
    );
    let room = columns.saturating_sub(super::paint::width(&state));
    lead(picture, "rollout", vec![picture.palette.span(tone, state), Span::raw(clip(&text, room))])
}

/// Its steps as a line with a stop for each share.
fn steps(
    picture: &Picture<'_>,
    rollout: &wire::Rollout,
    reached: f64,
    columns: usize,
) -> Line<'static> {
    let taken = rollout.steps_taken;
    let is_over = rollout.ended.is_some();
    let has_all = rollout.state == "promoted";
    let mut spans = Vec::new();
    let mut used = 0;
    for (nth, step) in rollout.steps.iter().enumerate() {
        let is_here = !is_over && nth + 1 == taken;
        let (sign, tone) = match nth {
            _ if has_all => ("✓", Tone::Fine),
            _ if is_here => ("◉", Tone::Strong),
            _ if is_over && *step <= reached => ("✕", Tone::Bad),
            nth if nth < taken && !is_over => ("✓", Tone::Fine),
            _ => ("○", Tone::Faint),
        };
        let joint = if nth > 0 { " ── " } else { "" };
        let text = format!("{sign} {}", words::percent(*step));
        used += joint.chars().count() + super::paint::width(&text);
        if used > columns {
            break;
        }
        spans.push(picture.palette.span(Tone::Faint, joint));
        spans.push(picture.palette.span(tone, text));
    }
    if is_over && !has_all && used + 14 <= columns {
        spans.push(picture.palette.span(Tone::Faint, "   taken back"));
    }
    lead(picture, "steps", spans)
}

/// Both verdicts: how far the evidence has come, and how it came there.
fn evidence(
    picture: &Picture<'_>,
    judgement: &wire::Judgement,
    moments: &[Moment],
    columns: usize,
    rows: usize,
) -> Vec<Line<'static>> {
    let worst = worst(judgement);
    let fine = match judgement.requests_missing {
        Some(missing) => format!("goes on: about {missing} good requests more"),
        None => "goes on".to_string(),
    };
    let mut lines =
        vec![verdict(picture, "fine", judgement.fine, &fine, Tone::Fine, moments, columns)];
    let others = if rows > HIGH { judgement.metrics.len() } else { 1 };
    let mut metrics: Vec<&wire::Judged> = judgement.metrics.iter().collect();
    metrics.sort_by(|one, other| way(other.worse).total_cmp(&way(one.worse)));
    match worst {
        None => lines.push(lead(
            picture,
            "worse",
            vec![picture.palette.span(Tone::Faint, "nothing is judged yet")],
        )),
        Some(worst) => {
            let driver = format!("taken back: {}", said(worst));
            lines.push(verdict(
                picture,
                "worse",
                worst.worse,
                &driver,
                Tone::Worse,
                moments,
                columns,
            ));
            for metric in
                metrics.into_iter().filter(|it| it.metric != worst.metric).take(others - 1)
            {
                if metric.says == "not-judged" {
                    continue;
                }
                lines.push(verdict(
                    picture,
                    "",
                    metric.worse,
                    &said(metric),
                    Tone::Worse,
                    &[],
                    columns,
                ));
            }
        }
    }
    lines
}

fn said(metric: &wire::Judged) -> String {
    let (old, new) = (words::percent(metric.stable.errors), words::percent(metric.target.errors));
    let name = &metric.metric;
    match (metric.stable_slow_ms, metric.target_slow_ms) {
        (Some(stable), Some(target)) => {
            let (stable, target) = (words::number(stable), words::number(target));
            format!("{name}: {old} over {stable} ms before, {new} over {target} ms now")
        }
        _ => format!("{name} {old} → {new}"),
    }
}

/// A verdict: a bar of how far it is, the odds, how it grew, and what it means.
fn verdict(
    picture: &Picture<'_>,
    name: &str,
    odds: wire::Odds,
    means: &str,
    tone: Tone,
    moments: &[Moment],
    columns: usize,
) -> Line<'static> {
    let (bar, grew) = if columns >= 110 { (24, 30) } else { (14, 0) };
    let told = format!("{} of {}", words::odds(odds.odds), words::odds(odds.enough));
    let mut spans = vec![
        picture.palette.span(tone, plot::bar(way(odds), bar)),
        Span::raw(format!(" {} ", right(&told, ODDS))),
    ];
    if grew > 0 {
        let newest = &moments[moments.len().saturating_sub(grew)..];
        let share = |it: &Moment| Some(if tone == Tone::Fine { it.fine } else { it.worse });
        let values: Vec<Option<f64>> = newest.iter().map(share).collect();
        let drawn = plot::rows(&values, 1.0, 1).remove(0);
        spans.push(picture.palette.span(tone, left(&drawn, grew)));
        spans.push(Span::raw(" "));
    }
    let used = bar + ODDS + 2 + if grew > 0 { grew + 1 } else { 0 };
    spans.push(Span::raw(clip(means, columns.saturating_sub(used))));
    lead(picture, name, spans)
}
