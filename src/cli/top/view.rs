//! What somebody looks at, and how keys change it: a key in, another view and what is to be done out.
//!
//! Who is chosen is known by name and not by row: rows move when something goes wrong.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::dialog::{Dialog, Pressed};
use super::keys;
use super::known::{Close, Known};
use super::wish::Request;
use crate::admin::wire;

/// How many rows a page of them is.
const PAGE: isize = 10;

/// What is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Page {
    /// All services.
    #[default]
    Overview,
    /// One closely.
    Service(String),
    /// What happened, of one service or of all.
    Events(Option<String>),
}

/// In which order services stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// What is wrong first.
    #[default]
    Wrong,
    /// By name.
    Name,
    /// The busiest first.
    Rate,
    /// The slowest first.
    Slow,
}

/// A pool or an upstream that is chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A pool, by its name.
    Pool(String),
    /// An upstream, by its pool and address.
    Upstream(String, String),
}

/// Something that is said in the last line but one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// What.
    pub text: String,
    /// Whether something was refused.
    pub is_bad: bool,
}

/// What somebody looks at.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// What is shown.
    pub page: Page,
    /// What was shown before the events.
    pub before: Page,
    /// The service that is chosen among all.
    pub chosen: Option<String>,
    /// What is chosen of a service.
    pub item: Option<Item>,
    /// How many events are below those that are shown.
    pub below: usize,
    /// What the names of services have to hold.
    pub filter: String,
    /// Whether that is being typed.
    pub is_filtering: bool,
    /// In which order services stand.
    pub sort: Sort,
    /// An order that is being given.
    pub dialog: Option<Dialog>,
    /// Whether keys are explained.
    pub is_helping: bool,
    /// What was said last.
    pub said: Said,
    /// Who gives orders, for their record.
    pub author: String,
    /// What leads a command to this proxy.
    pub flag: Vec<String>,
}

/// What a key asks for beside another view.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The end.
    Quit,
    /// Something else is to be watched: what [`View::watched`] says.
    Watch,
    /// An order is to be given.
    Give(Request),
}

impl View {
    /// The service that is to be watched closely.
    pub fn watched(&self) -> Option<&str> {
        match (&self.page, &self.before) {
            (Page::Service(name), _) | (Page::Events(_), Page::Service(name)) => Some(name),
            _ => None,
        }
    }

    /// Says something.
    pub fn say(&mut self, text: impl Into<String>, is_bad: bool) {
        self.said = Said { text: text.into(), is_bad };
    }

    /// Takes a key.
    pub fn press(&mut self, key: KeyEvent, known: &Known) -> Effect {
        let has_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if has_control && matches!(key.code, KeyCode::Char('c')) {
            return Effect::Quit;
        }
        if let Some(dialog) = &mut self.dialog {
            return match dialog.press(key) {
                Pressed::On => Effect::None,
                Pressed::Cancel => {
                    self.dialog = None;
                    Effect::None
                }
                Pressed::Give(request) => Effect::Give(request),
            };
        }
        self.said = Said::default();
        if self.is_helping {
            self.is_helping = false;
            return Effect::None;
        }
        if self.is_filtering {
            self.type_filter(key.code);
            return Effect::None;
        }
        match key.code {
            KeyCode::Char('q') => return Effect::Quit,
            KeyCode::Char('?') | KeyCode::F(1) => self.is_helping = true,
            KeyCode::Char('e') if !matches!(self.page, Page::Events(_)) => self.open_events(),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1, known),
            KeyCode::Down | KeyCode::Char('j') => self.step(1, known),
            KeyCode::PageUp => self.step(-PAGE, known),
            KeyCode::PageDown => self.step(PAGE, known),
            KeyCode::Home | KeyCode::Char('g') => self.step(-1_000_000, known),
            KeyCode::End | KeyCode::Char('G') => self.step(1_000_000, known),
            KeyCode::Esc | KeyCode::Left | KeyCode::Backspace => return self.back(),
            KeyCode::Enter | KeyCode::Right if self.page == Page::Overview => {
                return self.open(known);
            }
            KeyCode::Char('/') if self.page == Page::Overview => self.is_filtering = true,
            KeyCode::Char('o') if self.page == Page::Overview => self.sort = self.sort.next(),
            KeyCode::Char(c) => self.order(c, known),
            _ => {}
        }
        Effect::None
    }

    fn type_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.is_filtering = false,
            KeyCode::Esc => {
                self.filter.clear();
                self.is_filtering = false;
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(c) => self.filter.push(c),
            _ => {}
        }
    }

    fn open(&mut self, known: &Known) -> Effect {
        let Some(name) = self.service(known) else { return Effect::None };
        self.chosen = Some(name.clone());
        (self.page, self.item) = (Page::Service(name), None);
        Effect::Watch
    }

    fn open_events(&mut self) {
        let of = match &self.page {
            Page::Service(name) => Some(name.clone()),
            _ => None,
        };
        (self.before, self.below) = (std::mem::replace(&mut self.page, Page::Events(of)), 0);
    }

    fn back(&mut self) -> Effect {
        match std::mem::take(&mut self.page) {
            Page::Overview => {
                self.filter.clear();
                Effect::None
            }
            Page::Service(_) => Effect::Watch,
            Page::Events(_) => {
                self.page = std::mem::take(&mut self.before);
                Effect::None
            }
        }
    }

    fn step(&mut self, by: isize, known: &Known) {
        match &self.page {
            Page::Overview => {
                let names: Vec<&str> = self.list(known).into_iter().map(|it| &*it.name).collect();
                let is = |name: &&str| self.chosen.as_deref() == Some(*name);
                let at = names.iter().position(is).unwrap_or(0);
                self.chosen = names.get(moved(at, by, names.len())).map(|name| name.to_string());
            }
            Page::Service(name) => {
                let Some(close) = known.close(name) else { return };
                let items = items(close);
                let at = items.iter().position(|item| self.item.as_ref() == Some(item));
                self.item = items.get(moved(at.unwrap_or(0), by, items.len())).cloned();
            }
            Page::Events(of) => {
                let all = events(known, of.as_deref()).count();
                self.below = moved(self.below, -by, all);
            }
        }
    }

    fn order(&mut self, key: char, known: &Known) {
        match keys::wish(key, self, known) {
            None => {}
            Some(Ok((wish, gains))) => {
                self.dialog = Some(Dialog::new(wish, gains, self.author.clone()));
            }
            Some(Err(why)) => self.say(why, true),
        }
    }

    /// The service that keys are about.
    pub fn service(&self, known: &Known) -> Option<String> {
        match &self.page {
            Page::Service(name) => Some(name.clone()),
            Page::Overview => {
                let list = self.list(known);
                let chosen = list.iter().find(|it| self.chosen.as_ref() == Some(&it.name));
                chosen.or(list.first()).map(|it| it.name.clone())
            }
            Page::Events(_) => None,
        }
    }

    /// Services as they are listed.
    pub fn list<'a>(&self, known: &'a Known) -> Vec<&'a wire::Glance> {
        let wanted = self.filter.to_lowercase();
        let all = known.services.iter().flat_map(|all| all.values());
        let mut list: Vec<_> = all.filter(|it| it.name.to_lowercase().contains(&wanted)).collect();
        // What is equal stays in the order of names.
        match self.sort {
            Sort::Name => {}
            Sort::Wrong => list.sort_by_key(|it| std::cmp::Reverse(badness(it))),
            Sort::Rate => {
                list.sort_by(|a, b| b.requests_per_second.total_cmp(&a.requests_per_second));
            }
            Sort::Slow => {
                let p99 = |it: &wire::Glance| it.p99.unwrap_or_default();
                list.sort_by(|a, b| p99(b).total_cmp(&p99(a)));
            }
        }
        list
    }
}

impl Sort {
    fn next(self) -> Sort {
        match self {
            Sort::Wrong => Sort::Name,
            Sort::Name => Sort::Rate,
            Sort::Rate => Sort::Slow,
            Sort::Slow => Sort::Wrong,
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Sort::Wrong => "what is wrong first",
            Sort::Name => "by name",
            Sort::Rate => "busiest first",
            Sort::Slow => "slowest first",
        }
    }
}

/// How much a severity matters, 1 to 4.
pub fn worth(severity: &str) -> u8 {
    match severity {
        "critical" => 4,
        "high" => 3,
        "medium" => 2,
        _ => 1,
    }
}

/// How bad it is with a service; 0 if nothing is wrong.
pub fn badness(glance: &wire::Glance) -> u8 {
    glance.wrong.iter().map(|wrong| worth(&wrong.severity)).max().unwrap_or(0)
}

/// Pools in the file's order, each before its upstreams; of those the ones that are not well first.
pub fn items(close: &Close) -> Vec<Item> {
    let mut items = Vec::new();
    for pool in close.in_order() {
        items.push(Item::Pool(pool.name.clone()));
        let mut upstreams: Vec<_> = close.upstreams(&pool.name).collect();
        upstreams.sort_by_key(|upstream| upstream.state == wire::UpstreamCondition::Active);
        let item = |it: &wire::Upstream| Item::Upstream(pool.name.clone(), it.address.clone());
        items.extend(upstreams.into_iter().map(item));
    }
    items
}

/// What happened, of one service or of all, the oldest first.
pub fn events<'a>(
    known: &'a Known,
    of: Option<&'a str>,
) -> impl DoubleEndedIterator<Item = &'a wire::Event> {
    known.events.iter().filter(move |event| of.is_none_or(|name| event.service == name))
}

/// A place among so many.
fn moved(at: usize, by: isize, of: usize) -> usize {
    at.saturating_add_signed(by).min(of.saturating_sub(1))
}
