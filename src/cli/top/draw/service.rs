//! One service closely: its split, its rollout, what its pools did second by second, and its upstreams.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::paint::{FILLS, Tone, choose, clip, first, left, put, right, width};
use super::plot::{self, Of};
use super::{Picture, rollout};
use crate::admin::wire;
use crate::cli::top::known::Close;
use crate::cli::top::view::{Item, items, worth};
use crate::cli::top::words;

/// Rows that pools and upstreams have at least.
const LEAST: usize = 5;

/// Columns of a pool's name before its plots.
const NAME: usize = 12;

/// Columns of the number behind a plot.
const NUMBER: usize = 8;

/// Draws it.
pub(super) fn draw(picture: &Picture<'_>, name: &str, buffer: &mut Buffer, area: Rect) {
    let Some((close, service)) =
        picture.known.close(name).and_then(|close| Some((close, close.service.as_ref()?)))
    else {
        return put(buffer, area, 1, &Line::raw(format!("waiting for the first line of {name}")));
    };
    let (columns, room) = (usize::from(area.width), usize::from(area.height));
    let mut lines = vec![title(picture, close, service, columns), split(picture, close, columns)];
    for wrong in service.wrong.iter().take(if room > 26 { 4 } else { 1 }) {
        let (sign, tone) =
            if worth(&wrong.severity) > 2 { ("✕", Tone::Bad) } else { ("!", Tone::Odd) };
        lines.push(line(picture, tone, &format!("{sign} {}", wrong.what), columns));
    }
    for order in service.service.orders.iter().take(if room > 26 { 4 } else { 1 }) {
        lines.push(line(picture, Tone::Faint, &standing(order), columns));
    }
    if room > 26 {
        lines.push(Line::default());
    }
    lines.extend(rollout::lines(picture, close, columns, room));
    lines.push(Line::default());
    let pools = close.in_order();
    let left_rows = room.saturating_sub(lines.len() + 1 + LEAST);
    // Each pool has as many rows of each plot as there are, up to six.
    let high = (left_rows.saturating_sub(pools.len()) / pools.len().max(1)).clamp(1, 6);
    let list = items(close).len() + 1;
    let spare = room.saturating_sub(lines.len() + 1 + list + 1);
    let high = if list < room / 3 { (spare / pools.len().max(1)).clamp(1, 6) } else { high.min(2) };
    lines.extend(plots(picture, close, columns, high));
    lines.push(Line::default());
    for (row, line) in lines.iter().enumerate() {
        put(buffer, area, row, line);
    }
    let used = (lines.len() as u16).min(area.height);
    let rest = Rect { y: area.y + used, height: area.height - used, ..area };
    upstreams(picture, close, buffer, rest);
}

fn line(picture: &Picture<'_>, tone: Tone, text: &str, columns: usize) -> Line<'static> {
    Line::from(picture.palette.span(tone, clip(text, columns)))
}

fn title(
    picture: &Picture<'_>,
    close: &Close,
    live: &wire::LiveService,
    columns: usize,
) -> Line<'static> {
    let service = &live.service;
    let (mode, tone) = match service.mode {
        wire::Mode::Serve => ("serves".to_string(), Tone::Plain),
        wire::Mode::Hold => (format!("✕ held, {} wait", service.waiting), Tone::Bad),
        wire::Mode::Maintenance => ("✕ in maintenance".into(), Tone::Bad),
    };
    let failed: f64 = close.pools.values().map(|pool| pool.requests_per_second * pool.errors).sum();
    let rate = service.requests_per_second;
    let load = match rate > 0.0 {
        true => format!("{} · {} fail", words::rate(rate), words::percent(failed / rate)),
        false => "no requests".to_string(),
    };
    let mut text = format!(" · revision {} · {load}", service.revision);
    if let Some(budget) = &service.budget {
        text.push_str(&format!(" · budget {}", words::budget(Some(budget))));
    }
    if let Some(revision) = &close.revision {
        let since = words::length(picture.known.at - revision.at);
        text.push_str(&format!(" · so for {since}, by {}", revision.author));
        if let Some(reason) = &revision.reason {
            text.push_str(&format!(": {reason}"));
        }
    }
    let room = columns.saturating_sub(width(&service.name) + 2 + width(&mode));
    Line::from(vec![
        picture.palette.span(Tone::Strong, format!("{}  ", service.name)),
        picture.palette.span(tone, mode),
        Span::raw(clip(&text, room)),
    ])
}

fn split(picture: &Picture<'_>, close: &Close, columns: usize) -> Line<'static> {
    let pools = close.in_order();
    let weights: Vec<f64> = pools.iter().map(|pool| pool.weight).collect();
    let bar = if columns >= 100 { 40 } else { 14 };
    let mut spans = vec![picture.palette.span(Tone::Faint, "split    ")];
    for (at, part) in plot::parts(&weights, bar).into_iter().enumerate() {
        let text: String = std::iter::repeat_n(FILLS[at % FILLS.len()], part).collect();
        spans.push(picture.palette.span(Tone::Pool(at), text));
    }
    let mut used = 9 + bar;
    for (at, pool) in pools.iter().enumerate() {
        let tag = pool.tag.as_ref().map_or_else(String::new, |tag| format!(" ({tag})"));
        let measured = match pool.measured {
            Some(measured) if columns >= 100 => format!(", measured {}", words::percent(measured)),
            Some(measured) => format!(" ({})", words::number(measured)),
            None => String::new(),
        };
        let set = words::percent(pool.weight);
        let text =
            clip(&format!(" {}{tag} {set}{measured}", pool.name), columns.saturating_sub(used + 3));
        used += 3 + width(&text);
        spans.push(Span::raw("  "));
        spans.push(picture.palette.sign(at));
        spans.push(Span::raw(text));
    }
    Line::from(spans)
}

/// What was ordered and stands.
fn standing(order: &wire::Standing) -> String {
    let place = match (&order.pool, &order.upstream) {
        (Some(pool), Some(upstream)) => format!("{pool} {upstream}: "),
        (Some(pool), None) => format!("{pool}: "),
        _ => String::new(),
    };
    let why = order.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    format!("ordered  {place}{}, by {}{why}", order.what, order.author)
}

/// What the pools did, second by second: requests, errors and p99 beside each other.
fn plots(picture: &Picture<'_>, close: &Close, columns: usize, high: usize) -> Vec<Line<'static>> {
    let pools = close.in_order();
    let each = columns.saturating_sub(NAME + 2) / 3;
    let wide = each.saturating_sub(NUMBER + 2).clamp(4, 120);
    let end = plot::end(close.seconds.values());
    let none = Vec::new();
    let of = |pool: &wire::Pool, of: Of| {
        plot::values(close.seconds.get(&pool.name).unwrap_or(&none), of, end, wide)
    };
    // All pools by one measure: so they can be compared.
    let most = |kind: Of| {
        let all = pools.iter().flat_map(|pool| of(pool, kind)).flatten();
        all.fold(0.0, f64::max)
    };
    let (rate, errors, p99) = (most(Of::Rate), most(Of::Errors), most(Of::P99));
    let heading = |text: String| left(&clip(&text, wide + NUMBER + 1), wide + NUMBER + 2);
    let mut text = left(&format!("LAST {}", words::length(wide as f64)), NAME + 2);
    text.push_str(&heading(format!("REQUESTS up to {}", words::rate(rate))));
    text.push_str(&heading(format!("ERRORS up to {}", words::percent(errors))));
    text.push_str(&heading(format!("P99 up to {}", words::took(Some(p99).filter(|it| *it > 0.0)))));
    let mut lines = vec![line(picture, Tone::Faint, &text, columns)];
    for (at, pool) in pools.iter().enumerate() {
        let plots = [(Of::Rate, rate), (Of::Errors, errors.max(1.0)), (Of::P99, p99)];
        let drawn = plots.map(|(kind, most)| plot::rows(&of(pool, kind), most, high));
        let latency = pool.latency.first().and_then(|latency| latency.p99);
        let has_any = pool.requests_per_second > 0.0;
        let errors = if has_any { words::percent(pool.errors) } else { words::NONE.into() };
        let numbers = [words::rate(pool.requests_per_second), errors, words::took(latency)];
        let tones = [Tone::Plain, tone(pool.errors, has_any), Tone::Plain];
        for row in 0..high {
            let is_last = row == high - 1;
            let mut spans = match is_last {
                true => {
                    let name = left(&pool.name, NAME - 1);
                    vec![picture.palette.sign(at), Span::raw(format!(" {name} "))]
                }
                false => vec![Span::raw(" ".repeat(NAME + 2))],
            };
            for (nth, plot) in drawn.iter().enumerate() {
                spans.push(picture.palette.span(Tone::Pool(at), plot[row].clone()));
                let number =
                    if is_last { right(&numbers[nth], NUMBER) } else { " ".repeat(NUMBER) };
                spans.push(picture.palette.span(tones[nth], format!("{number}  ")));
            }
            lines.push(Line::from(spans));
        }
    }
    lines
}

fn tone(errors: f64, has_any: bool) -> Tone {
    match errors {
        _ if !has_any => Tone::Plain,
        errors if errors >= 5.0 => Tone::Bad,
        errors if errors >= 1.0 => Tone::Odd,
        _ => Tone::Plain,
    }
}

/// Columns of an upstream's numbers: requests, errors, latency, in flight, weight.
const NUMBERS: [usize; 5] = [8, 7, 8, 6, 6];

/// From so many columns on there is room for all numbers, and before for two.
const WIDE: usize = 110;

/// How many numbers there is room for.
fn numbers(columns: usize) -> usize {
    if columns >= WIDE { NUMBERS.len() } else { 2 }
}

/// Columns of an address and of a state with its time.
fn places(columns: usize) -> (usize, usize, usize) {
    let numbers = numbers(columns);
    let used: usize = NUMBERS.iter().take(numbers).sum::<usize>() + numbers;
    let rest = columns.saturating_sub(2 + used);
    let (address, state) = if columns >= WIDE { (26, 24) } else { (19, 20) };
    (address, state, rest.saturating_sub(address + state + 2))
}

fn upstreams(picture: &Picture<'_>, close: &Close, buffer: &mut Buffer, area: Rect) {
    let columns = usize::from(area.width);
    let (address, state, failure) = places(columns);
    let mut text = format!(
        "  {} {} {}",
        left("POOL, UPSTREAM", address),
        left("STATE, SINCE", state),
        left("LAST FAILURE", failure)
    );
    let shown = self::numbers(columns);
    let names = ["REQUESTS", "ERRORS", "LATENCY", "FLIGHT", "WEIGHT"];
    for (heading, columns) in names.iter().zip(NUMBERS).take(shown) {
        text.push_str(&format!(" {}", right(heading, columns)));
    }
    put(buffer, area, 0, &line(picture, Tone::Faint, &text, columns));
    let items = items(close);
    let rows = usize::from(area.height).saturating_sub(1);
    let chosen = picture.view.item.as_ref().and_then(|item| items.iter().position(|it| it == item));
    let top = first(chosen.unwrap_or(0), items.len(), rows);
    for (nth, item) in items.iter().enumerate().skip(top).take(rows) {
        let row = 1 + nth - top;
        let drawn = match item {
            Item::Pool(name) => pool(picture, close, name, columns),
            Item::Upstream(pool, address) => {
                let found = close.upstreams(pool).find(|it| it.address == *address);
                found.map(|it| upstream(picture, it, columns)).unwrap_or_default()
            }
        };
        put(buffer, area, row, &drawn);
        if chosen == Some(nth) && picture.has_keys {
            choose(buffer, area, row);
        }
    }
    let hidden = items.len().saturating_sub(top + rows);
    if hidden > 0 {
        let more = format!(" {hidden} more ↓ ");
        let x = area.x + area.width.saturating_sub(width(&more) as u16);
        let style = picture.palette.style(Tone::Faint);
        buffer.set_string(x, area.y + area.height - 1, &more, style);
    }
}

fn pool(picture: &Picture<'_>, close: &Close, name: &str, columns: usize) -> Line<'static> {
    let pools = close.in_order();
    let Some((at, pool)) = pools.iter().enumerate().find(|(_, pool)| pool.name == name) else {
        return Line::default();
    };
    let order = match pool.breaker.order {
        wire::BreakerOrder::Auto => "",
        _ => " by order",
    };
    let (state, tone) = match pool.breaker.state {
        wire::BreakerState::Open => (format!("✕ breaker open{order}"), Tone::Bad),
        wire::BreakerState::HalfOpen => (format!("◐ breaker half-open{order}"), Tone::Odd),
        wire::BreakerState::Closed if !order.is_empty() => {
            (format!("! breaker closed{order}"), Tone::Odd)
        }
        wire::BreakerState::Closed if !pool.available => ("✕ takes no requests".into(), Tone::Bad),
        wire::BreakerState::Closed if pool.panic => ("✕ nobody is well".into(), Tone::Bad),
        wire::BreakerState::Closed => ("● up".into(), Tone::Plain),
    };
    let took = pool.latency.first();
    let rest = format!(
        "p50 {}, p95 {}, {} in flight",
        words::took(took.and_then(|it| it.p50)),
        words::took(took.and_then(|it| it.p95)),
        pool.in_flight
    );
    let (address, states, _) = places(columns);
    let (state, name) = (left(&state, states), left(&pool.name, address));
    let room = columns.saturating_sub(2 + address + states + 2);
    Line::from(vec![
        picture.palette.sign(at),
        picture.palette.span(Tone::Strong, format!(" {name} ")),
        picture.palette.span(tone, format!("{state} ")),
        picture.palette.span(Tone::Faint, clip(&rest, room)),
    ])
}

/// A state in words, with a sign.
fn condition(upstream: &wire::Upstream) -> (&'static str, &'static str, Tone) {
    use wire::UpstreamCondition as Is;
    match upstream.state {
        Is::Active => ("●", "active", Tone::Plain),
        Is::SlowStart => ("↑", "slow start", Tone::Odd),
        Is::Draining => ("↓", "draining", Tone::Odd),
        Is::Unresolved => ("?", "unresolved", Tone::Odd),
        Is::Unproven => ("?", "unproven", Tone::Odd),
        Is::Down => ("✕", "down", Tone::Bad),
        Is::Refusing => ("✕", "refusing", Tone::Bad),
        Is::Failing => ("✕", "failing", Tone::Bad),
        Is::Ejected => ("✕", "ejected", Tone::Bad),
        Is::BreakerOpen => ("✕", "breaker open", Tone::Bad),
        Is::BreakerHalfOpen => ("◐", "breaker half-open", Tone::Odd),
    }
}

fn upstream(picture: &Picture<'_>, upstream: &wire::Upstream, columns: usize) -> Line<'static> {
    let now = picture.known.at;
    let (address, states, failures) = places(columns);
    let (sign, state, tone) = condition(upstream);
    let since =
        upstream.since.map_or_else(String::new, |at| format!(" {}", words::length(now - at)));
    let state = format!("{sign} {state}{since}");
    let failure = upstream.last_error.as_ref().or(upstream.last_probe_failure.as_ref());
    let failure = match (failure, upstream.last_error_at) {
        (Some(failure), Some(at)) => format!("{failure}, {} ago", words::length(now - at)),
        (Some(failure), None) => failure.clone(),
        (None, _) => words::NONE.into(),
    };
    let labels = upstream.labels.iter().map(|(name, value)| format!(" {name}={value}"));
    let who = format!("{}{}", upstream.address, labels.collect::<String>());
    let has_any = upstream.requests_per_second > 0.0;
    let errors = if has_any { words::percent(upstream.errors_percent) } else { words::NONE.into() };
    let numbers = [
        (Tone::Plain, words::rate(upstream.requests_per_second)),
        (self::tone(upstream.errors_percent, has_any), errors),
        (Tone::Plain, words::took(Some(upstream.latency_seconds).filter(|it| *it > 0.0))),
        (Tone::Plain, upstream.in_flight.to_string()),
        (Tone::Plain, upstream.weight.to_string()),
    ];
    let mut spans = vec![
        Span::raw(format!("  {} ", left(&who, address))),
        picture.palette.span(tone, format!("{} ", left(&state, states))),
        Span::raw(left(&failure, failures)),
    ];
    let shown = self::numbers(columns);
    for ((tone, text), columns) in numbers.into_iter().zip(NUMBERS).take(shown) {
        spans.push(picture.palette.span(tone, format!(" {}", right(&text, columns))));
    }
    Line::from(spans)
}
