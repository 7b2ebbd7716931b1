//! One picture: what is known and a width in; plain text, or JSON for programs, out.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::{Value, json};

use super::draw::{LEAST, Palette, Picture};
use super::known::Known;
use super::view::{Page, View, items};
use crate::admin::wire;

/// Columns of what is no terminal.
pub const COLUMNS: usize = 100;

/// Rows beside services or upstreams that a picture takes at most.
const BESIDE: usize = 40;

/// The most rows of a picture.
const MOST: usize = 5_000;

/// So many of the last events go into JSON.
const EVENTS: usize = 20;

/// As text, without blanks at the ends.
pub fn text(known: &Known, view: &View, columns: usize, now: f64) -> String {
    let rows = match &view.page {
        Page::Service(name) => known.close(name).map_or(0, |close| items(close).len()),
        _ => view.list(known).len(),
    };
    let columns = columns.clamp(LEAST.0.into(), u16::MAX.into()) as u16;
    let rows = (rows + BESIDE).min(MOST).min(usize::from(u16::MAX)) as u16;
    let area = Rect::new(0, 0, columns, rows);
    let mut buffer = Buffer::empty(area);
    let palette = Palette { is_coloured: false };
    Picture { known, view, now, palette, has_keys: false }.draw(&mut buffer, area);
    let cells = buffer.content();
    let line = |row: &[ratatui::buffer::Cell]| {
        let text: String = row.iter().map(|cell| cell.symbol()).collect();
        text.trim_end().to_string()
    };
    let lines: Vec<String> = cells.chunks(columns.into()).map(line).collect();
    lines.join("\n").trim_end().to_string()
}

/// All there is of it, for programs: services as `GET /v1/live` has them, the worst first; or one service
/// closely.
pub fn json(known: &Known, view: &View) -> Value {
    let newest = |of: Option<&str>| -> Vec<wire::Event> {
        let all: Vec<_> = super::view::events(known, of).cloned().collect();
        all[all.len().saturating_sub(EVENTS)..].to_vec()
    };
    let (at, status, config) = (known.at, &known.status, &known.config);
    let Page::Service(name) = &view.page else {
        let services = view.list(known);
        return json!({"at": at, "status": status, "config": config, "services": services, "events": newest(None)});
    };
    let Some(close) = known.close(name) else { return Value::Null };
    let pools = close.in_order().into_iter().map(|pool| {
        let upstreams = close.upstreams(&pool.name).cloned().collect();
        wire::Pool { upstreams, ..pool.clone() }
    });
    let pools: Vec<wire::Pool> = pools.collect();
    json!({
        "at": at,
        "status": status,
        "config": config,
        "service": close.service,
        "pools": pools,
        "rollout": close.rollout,
        "revision": close.revision,
        "slo": close.slo,
        "seconds": close.seconds,
        "events": newest(Some(name)),
    })
}
