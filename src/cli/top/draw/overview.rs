//! All services, what is wrong first.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::paint::{FILLS, Tone, choose, clip, first, left, put, right, width};
use super::{Picture, events, plot};
use crate::admin::wire;
use crate::cli::top::view::{badness, worth};
use crate::cli::top::words;

/// How many things that are wrong stand above the services, and how many with more room.
const LISTED: (usize, usize) = (3, 8);

/// From so many columns on there is a bar of the split, and what a service does or suffers from.
const WIDE: usize = 100;

/// Columns of the bar.
const BAR: usize = 12;

/// Columns of numbers: requests, errors, p99, budget, upstreams.
const NUMBERS: [usize; 5] = [8, 7, 8, 7, 5];

/// Draws it.
pub(super) fn draw(picture: &Picture<'_>, buffer: &mut Buffer, area: Rect) {
    let (known, view, palette) = (picture.known, picture.view, picture.palette);
    let columns = usize::from(area.width);
    let Some(all) = &known.services else {
        return put(buffer, area, 1, &Line::raw("waiting for the first line"));
    };
    put(buffer, area, 0, &Line::from(palette.span(Tone::Plain, clip(&sum(picture), columns))));
    let mut row = 1;
    let room = usize::from(area.height);
    let most = if room > 30 { LISTED.1 } else { LISTED.0 };
    for line in wrong(picture, most, columns) {
        put(buffer, area, row, &line);
        row += 1;
    }
    row += 1;
    let name = name_columns(all.keys().map(|name| width(name)).max().unwrap_or(0), columns);
    put(buffer, area, row, &headings(picture, name, columns));
    row += 1;
    let list = view.list(known);
    // What happened stands below where there is room for all.
    let spare = room.saturating_sub(row + list.len().max(1) + 2);
    let happened = if spare >= 3 { spare.min(12).min(known.events.len()) } else { 0 };
    let rows = room.saturating_sub(row + if happened > 0 { happened + 2 } else { 0 });
    let is_chosen = |it: &&wire::Glance| view.chosen.as_ref() == Some(&it.name);
    let chosen = list.iter().position(is_chosen).unwrap_or(0);
    let top = first(chosen, list.len(), rows);
    for (nth, glance) in list.iter().enumerate().skip(top).take(rows) {
        put(buffer, area, row + nth - top, &service(picture, glance, name, columns));
        if nth == chosen && picture.has_keys {
            choose(buffer, area, row + nth - top);
        }
    }
    if list.is_empty() {
        let none = match all.is_empty() {
            true => "the config has no service".to_string(),
            false => format!("no service is called like `{}`", view.filter),
        };
        put(buffer, area, row, &Line::from(palette.span(Tone::Faint, none)));
    }
    if happened > 0 {
        let height = happened + 1;
        // On a screen at its foot, where it does not move; else right below.
        let at = if picture.has_keys { room - height } else { row + list.len() + 1 };
        let below = Rect { y: area.y + at as u16, height: height as u16, ..area };
        put(buffer, below, 0, &Line::from(palette.span(Tone::Faint, "LATELY")));
        let list = Rect { y: below.y + 1, height: happened as u16, ..below };
        events::list(picture, None, 0, buffer, list);
    }
}

/// All of them in a line.
fn sum(picture: &Picture<'_>) -> String {
    let all: Vec<_> = picture.known.services.iter().flat_map(|all| all.values()).collect();
    let rate: f64 = all.iter().map(|it| it.requests_per_second).sum();
    let failed: f64 = all.iter().map(|it| it.requests_per_second * it.errors).sum();
    let errors = if rate > 0.0 { failed / rate } else { 0.0 };
    let rollouts = all.iter().filter(|it| it.rollout.is_some()).count();
    let rollouts = match rollouts {
        0 => "no rollout under way".to_string(),
        some => words::several(some, "rollout under way", "rollouts under way"),
    };
    let services = words::several(all.len(), "service", "services");
    let (rate, errors) = (words::rate(rate), words::percent(errors));
    let mut text = format!("{services} · {rate} · {errors} fail · {rollouts}");
    let (view, order) = (picture.view, picture.view.sort.words());
    if picture.has_keys {
        match (view.is_filtering, &*view.filter) {
            (false, "") => text.push_str(&format!(" · {order}")),
            (true, filter) => text.push_str(&format!(" · find: {filter}▏")),
            (false, filter) => text.push_str(&format!(" · only `{filter}`")),
        }
    }
    text
}

/// The worst that is wrong, in words.
fn wrong(picture: &Picture<'_>, most: usize, columns: usize) -> Vec<Line<'static>> {
    let all = picture.known.services.iter().flat_map(|all| all.values());
    let mut found: Vec<_> =
        all.flat_map(|it| it.wrong.iter().map(|wrong| (&it.name, wrong))).collect();
    found.sort_by_key(|(_, wrong)| std::cmp::Reverse(worth(&wrong.severity)));
    let mut lines: Vec<Line<'static>> = Vec::new();
    for (name, wrong) in found.iter().take(most) {
        let (sign, tone) = sign(worth(&wrong.severity));
        let severity = left(&wrong.severity, 8);
        let text = clip(&format!("{name}: {}", wrong.what), columns.saturating_sub(11));
        let marked = picture.palette.span(tone, format!("{sign} {severity} "));
        lines.push(Line::from(vec![marked, Span::raw(text)]));
    }
    if found.len() > most {
        let more = format!("  and {} more, in the list below", found.len() - most);
        lines.push(Line::from(picture.palette.span(Tone::Faint, more)));
    }
    lines
}

/// What says how bad it is beside colours.
fn sign(worth: u8) -> (&'static str, Tone) {
    match worth {
        0 => (" ", Tone::Plain),
        1 => ("·", Tone::Faint),
        2 => ("!", Tone::Odd),
        _ => ("✕", Tone::Bad),
    }
}

fn name_columns(longest: usize, columns: usize) -> usize {
    let most = if columns >= WIDE { 28 } else { 14 };
    longest.clamp(7, most)
}

/// Columns for the split in words, and for notes.
fn rest(name: usize, columns: usize) -> (usize, usize) {
    let numbers = NUMBERS.iter().sum::<usize>() + NUMBERS.len();
    let bar = if columns >= WIDE { BAR + 1 } else { 0 };
    let left = columns.saturating_sub(2 + name + 1 + bar + numbers);
    if columns < WIDE {
        return (left, 0);
    }
    let split = left.min(34);
    (split, (left - split).saturating_sub(2))
}

fn headings(picture: &Picture<'_>, name: usize, columns: usize) -> Line<'static> {
    let (split, note) = rest(name, columns);
    let bar = if columns >= WIDE { BAR + 1 } else { 0 };
    let mut text = format!("  {} {}", left("SERVICE", name), left("SPLIT (MEASURED)", bar + split));
    for (heading, columns) in ["REQUESTS", "ERRORS", "P99", "BUDGET", "WELL"].iter().zip(NUMBERS) {
        text.push_str(&format!(" {}", right(heading, columns)));
    }
    if note > 0 {
        text.push_str(&format!("  {}", left("NOW", note)));
    }
    Line::from(picture.palette.span(Tone::Faint, text))
}

fn service(
    picture: &Picture<'_>,
    glance: &wire::Glance,
    name: usize,
    columns: usize,
) -> Line<'static> {
    let palette = picture.palette;
    let (split, note) = rest(name, columns);
    let (mark, tone) = sign(badness(glance));
    let mut spans = vec![
        palette.span(tone, format!("{mark} ")),
        palette.span(Tone::Strong, format!("{} ", left(&glance.name, name))),
    ];
    if columns >= WIDE {
        spans.extend(bar(picture, glance));
    }
    spans.extend(shares(picture, glance, split));
    let tone = match glance.errors {
        _ if glance.requests_per_second == 0.0 => Tone::Plain,
        errors if errors >= 5.0 => Tone::Bad,
        errors if errors >= 1.0 => Tone::Odd,
        _ => Tone::Plain,
    };
    let has_any = glance.requests_per_second > 0.0;
    let errors = if has_any { words::percent(glance.errors) } else { words::NONE.into() };
    let well = format!("{}/{}", glance.well, glance.upstreams);
    let well_tone = if glance.well < glance.upstreams { Tone::Odd } else { Tone::Plain };
    let numbers = [
        (Tone::Plain, words::rate(glance.requests_per_second)),
        (tone, errors),
        (Tone::Plain, words::took(glance.p99)),
        (Tone::Plain, words::budget(glance.budget.as_ref())),
        (well_tone, well),
    ];
    for ((tone, text), columns) in numbers.into_iter().zip(NUMBERS) {
        spans.push(palette.span(tone, format!(" {}", right(&text, columns))));
    }
    if note > 0 {
        let (tone, text) = now(glance);
        spans.push(palette.span(tone, format!("  {}", clip(&text, note))));
    }
    Line::from(spans)
}

/// What a service does or suffers from.
fn now(glance: &wire::Glance) -> (Tone, String) {
    if let Some(rollout) = &glance.rollout {
        let sign = if rollout.state == "paused" { "‖" } else { "▶" };
        return (Tone::Plain, format!("{sign} {}", rollout.status));
    }
    match glance.wrong.first() {
        Some(wrong) => (sign(worth(&wrong.severity)).1, wrong.what.clone()),
        None => (Tone::Faint, "serves".into()),
    }
}

fn bar(picture: &Picture<'_>, glance: &wire::Glance) -> Vec<Span<'static>> {
    let weights: Vec<f64> = glance.pools.iter().map(|pool| pool.weight).collect();
    let parts = plot::parts(&weights, BAR);
    let part = |(at, columns): (usize, &usize)| {
        let text: String = std::iter::repeat_n(FILLS[at % FILLS.len()], *columns).collect();
        picture.palette.span(Tone::Pool(at), text)
    };
    parts.iter().enumerate().map(part).chain([Span::raw(" ")]).collect()
}

/// The split in words: of a rollout with an arrow, with what was measured where that is no matter of course.
fn shares(picture: &Picture<'_>, glance: &wire::Glance, columns: usize) -> Vec<Span<'static>> {
    let has_share = |pool: &&wire::GlancePool| pool.weight > 0.0 || pool.measured > Some(0.0);
    let told: Vec<_> = glance.pools.iter().enumerate().filter(|(_, it)| has_share(it)).collect();
    let one = |pool: &wire::GlancePool, level: u8| {
        let set = words::percent(pool.weight);
        let tag = pool.tag.as_ref().map_or_else(String::new, |tag| format!("({tag}) "));
        match (level, pool.measured.filter(|_| pool.weight < 100.0)) {
            (0, Some(measured)) => {
                format!("{} {tag}{set} ({})", pool.name, words::number(measured))
            }
            (0 | 1, _) => format!("{} {tag}{set}", pool.name),
            (2, _) => format!("{} {set}", pool.name),
            _ => set,
        }
    };
    // What matters least goes first where there is no room: what was measured, tags, names.
    let long = |level: &u8| told.iter().map(|(_, it)| width(&one(it, *level)) + 4).sum::<usize>();
    let level = (0..3).find(|level| long(level) <= columns + 2).unwrap_or(3);
    let (mut spans, mut used) = (Vec::new(), 0);
    for (nth, (at, pool)) in told.iter().enumerate() {
        let gap = if nth > 0 { "  " } else { "" };
        let text = format!(" {}", one(pool, level));
        let text = clip(&text, columns.saturating_sub(used + gap.len() + 1));
        if text.is_empty() {
            break;
        }
        used += gap.len() + 1 + width(&text);
        spans.push(Span::raw(gap));
        spans.push(picture.palette.sign(*at));
        spans.push(Span::raw(text));
    }
    spans.push(Span::raw(" ".repeat(columns.saturating_sub(used))));
    spans
}
