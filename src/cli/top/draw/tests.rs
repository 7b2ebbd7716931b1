//! Whole screens, as `screens/*.txt` beside this file have them. Who changes one looks at both.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::{Palette, Picture};
use crate::cli::top::known::{Known, Link};
use crate::cli::top::sample::{self, NOW};
use crate::cli::top::view::{Page, View};

fn drawn(known: &Known, view: &View, columns: u16, rows: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    let palette = Palette { is_coloured: true };
    let picture = Picture { known, view, now: NOW, palette, has_keys: true };
    terminal
        .draw(|frame| {
            let area = frame.area();
            picture.draw(frame.buffer_mut(), area);
        })
        .unwrap();
    let buffer = terminal.backend().buffer();
    let line = |row: &[ratatui::buffer::Cell]| {
        let text: String = row.iter().map(|cell| cell.symbol()).collect();
        text.trim_end().to_string()
    };
    let lines: Vec<String> = buffer.content().chunks(columns.into()).map(line).collect();
    lines.join("\n") + "\n"
}

#[track_caller]
fn same(name: &str, drawn: &str) {
    let file = format!("{}/src/cli/top/draw/screens/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let wanted = std::fs::read_to_string(&file).unwrap();
    assert!(drawn == wanted, "{file} is drawn as\n=====\n{drawn}=====");
}

fn service() -> View {
    View { page: Page::Service("shop".into()), author: "cli:ann".into(), ..View::default() }
}

fn press(view: &mut View, known: &Known, keys: &str) {
    for key in keys.chars() {
        view.press(KeyEvent::from(KeyCode::Char(key)), known);
    }
}

#[test]
fn all_services_with_what_is_wrong_first() {
    let (known, view) = (sample::overview(), View::default());
    same("overview_80", &drawn(&known, &view, 80, 24));
    same("overview_120", &drawn(&known, &view, 120, 40));
}

#[test]
fn a_service_with_its_rollout_and_evidence() {
    let (known, view) = (sample::shop(), service());
    same("service_80", &drawn(&known, &view, 80, 24));
    same("service_120", &drawn(&known, &view, 120, 40));
}

#[test]
fn what_happened_with_who_and_why() {
    let view = View { page: Page::Events(None), ..View::default() };
    let known = sample::overview();
    same("events_80", &drawn(&known, &view, 80, 24));
}

#[test]
fn an_order_asks_why_and_shows_its_command() {
    let (known, mut view) = (sample::shop(), service());
    press(&mut view, &known, "s");
    view.press(KeyEvent::from(KeyCode::Up), &known);
    view.press(KeyEvent::from(KeyCode::Enter), &known);
    press(&mut view, &known, "it is fine");
    same("order_80", &drawn(&known, &view, 80, 24));
}

#[test]
fn keys_are_explained() {
    let (known, mut view) = (sample::overview(), View::default());
    press(&mut view, &known, "?");
    same("help_80", &drawn(&known, &view, 80, 24));
}

#[test]
fn who_is_away_is_said_with_what_was_known() {
    let (mut known, view) = (sample::overview(), View::default());
    known.lost("connection refused".into(), NOW - 12.0);
    known.lost("no route".into(), NOW - 2.0);
    let screen = drawn(&known, &view, 80, 24);
    assert!(screen.contains("✕ away since 18:43:53"), "{screen}");
    assert!(screen.contains("nobody answers for 12 s"), "{screen}");
    assert!(screen.contains("shop"), "{screen}");
    known.link = Link::Refused { why: "the token is not known".into() };
    assert!(drawn(&known, &view, 80, 24).contains("✕ the token is not known"));
}

#[test]
fn every_size_is_drawn() {
    let (all, shop) = (sample::overview(), sample::shop());
    let mut asked = service();
    press(&mut asked, &shop, "f");
    let helping = View { is_helping: true, ..View::default() };
    for (columns, rows) in
        [(1, 1), (20, 5), (60, 16), (61, 17), (79, 23), (99, 30), (250, 80), (80, 200)]
    {
        for (known, view) in
            [(&all, &View::default()), (&shop, &service()), (&shop, &asked), (&all, &helping)]
        {
            let screen = drawn(known, view, columns, rows);
            assert_eq!(screen.lines().count(), usize::from(rows));
        }
    }
}

#[test]
fn without_colours_nothing_is_coloured() {
    let known = sample::shop();
    let area = ratatui::layout::Rect::new(0, 0, 120, 40);
    let mut buffer = ratatui::buffer::Buffer::empty(area);
    let palette = Palette { is_coloured: false };
    let (view, now) = (service(), NOW);
    Picture { known: &known, view: &view, now, palette, has_keys: true }.draw(&mut buffer, area);
    let is_bare = |cell: &ratatui::buffer::Cell| {
        use ratatui::style::Color::Reset;
        cell.fg == Reset && cell.bg == Reset
    };
    assert!(buffer.content().iter().all(is_bare));
}
