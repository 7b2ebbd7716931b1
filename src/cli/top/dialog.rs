//! An order that is being given: keys in; what it would do, the command that does the same, and the order
//! once it has a reason out.

use std::collections::BTreeMap;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::known::Known;
use super::wish::{By, Request, What, Wish, parsed};
use super::words;

/// By how much a key moves a share, in percent.
const STEP: f64 = 5.0;

/// What a breaker can be told, in the order of its keys.
const STATES: [&str; 3] = ["auto", "open", "closed"];

/// The longest text that is taken, in characters.
const LONGEST: usize = 500;

/// An order that is being given.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// What is wished.
    pub wish: Wish,
    /// Why, by whom, and whether in spite of what was refused.
    pub by: By,
    /// Whether the reason is being typed, and not what stands before it.
    pub is_at_reason: bool,
    /// Whether it was refused and can be given all the same.
    pub may_force: bool,
    /// What is wrong with it.
    pub problem: String,
    /// Whether it is on its way.
    pub is_sent: bool,
    /// The pool that gets more by a key.
    gains: Option<String>,
}

/// What a key has come to.
#[derive(Debug, PartialEq)]
pub enum Pressed {
    /// It goes on.
    On,
    /// It is not given.
    Cancel,
    /// It is given.
    Give(Request),
}

impl Dialog {
    /// For a wish; `gains` is the pool that gets more by a key.
    pub fn new(mut wish: Wish, gains: Option<String>, author: String) -> Dialog {
        let is_at_reason = wish.what.text().is_none();
        let by = By { author, ..By::default() };
        let problem = String::new();
        Dialog { wish, by, is_at_reason, may_force: false, problem, is_sent: false, gains }
    }

    /// Takes a key.
    pub fn press(&mut self, key: KeyEvent) -> Pressed {
        let has_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Esc => return Pressed::Cancel,
            // Once more would be another order.
            _ if self.is_sent => {}
            KeyCode::Enter if !self.is_at_reason => self.is_at_reason = true,
            KeyCode::Enter => return self.give(),
            KeyCode::Tab | KeyCode::BackTab => {
                self.is_at_reason = !self.is_at_reason || self.wish.what.text().is_none();
            }
            KeyCode::Up => self.step(1),
            KeyCode::Down => self.step(-1),
            KeyCode::Char('f') if has_control && self.may_force => self.by.force = !self.by.force,
            KeyCode::Char('u') if has_control => self.typed(|text| text.clear()),
            KeyCode::Backspace => self.typed(|text| {
                text.pop();
            }),
            KeyCode::Char(c) if !has_control => self.typed(|text| {
                if text.chars().count() < LONGEST {
                    text.push(c);
                }
            }),
            _ => {}
        }
        Pressed::On
    }

    fn typed(&mut self, change: impl FnOnce(&mut String)) {
        self.problem.clear();
        match self.wish.what.text().filter(|_| !self.is_at_reason) {
            Some((_, text)) => change(text),
            None => change(&mut self.by.reason),
        }
    }

    fn give(&mut self) -> Pressed {
        if self.by.reason.trim().is_empty() {
            self.problem = "say why: it is kept with what it changes".into();
            return Pressed::On;
        }
        self.by.reason = self.by.reason.trim().into();
        match self.wish.request(&self.by) {
            Ok(request) => {
                (self.is_sent, self.problem) = (true, String::new());
                Pressed::Give(request)
            }
            Err(problem) => {
                (self.is_at_reason, self.problem) = (false, problem);
                Pressed::On
            }
        }
    }

    /// It was refused; `may_force` if that can be overruled.
    pub fn refused(&mut self, why: String, may_force: bool) {
        (self.is_sent, self.problem) = (false, why);
        self.may_force |= may_force && self.wish.what.force().is_some();
    }

    /// One step of a share, or the next word, whatever is being typed.
    fn step(&mut self, by: i32) {
        match &mut self.wish.what {
            What::Shift { weights } => {
                let Some(gains) = &self.gains else { return };
                if let Ok(split) = parsed(weights) {
                    let share = |it: serde_json::Number| it.as_f64().unwrap_or_default();
                    let split = split.into_iter().map(|(pool, it)| (pool, share(it))).collect();
                    *weights = shifted(&split, gains, f64::from(by) * STEP);
                    self.problem.clear();
                }
            }
            What::Breaker { state, .. } => {
                let at = STATES.iter().position(|known| known == state).unwrap_or(0) as i32;
                *state = STATES[(at - by).rem_euclid(STATES.len() as i32) as usize].into();
            }
            _ => {}
        }
    }
}

/// A split in which one pool gets so much more, of the others or for them, the largest first.
fn shifted(split: &BTreeMap<String, f64>, gains: &str, by: f64) -> String {
    let mut next = split.clone();
    let is = split.get(gains).copied().unwrap_or_default();
    let to = (is + by).clamp(0.0, 100.0);
    next.insert(gains.into(), to);
    let mut others: Vec<_> = split.iter().filter(|(name, _)| *name != gains).collect();
    others.sort_by(|one, other| other.1.total_cmp(one.1));
    let mut rest = to - is;
    for (name, share) in others {
        let share_then = (share - rest).clamp(0.0, 100.0);
        rest -= share - share_then;
        next.insert(name.clone(), share_then);
    }
    let part =
        |(name, share): (&String, &f64)| format!("{name}={}", (share * 100.0).round() / 100.0);
    next.iter().map(part).collect::<Vec<_>>().join(" ")
}

impl Dialog {
    /// What it is called.
    pub fn title(&self) -> String {
        let service = &self.wish.service;
        match &self.wish.what {
            What::Shift { .. } => format!("Shift {service}"),
            What::Flip { to } => format!("Flip {service} to {to}"),
            What::Rollback => format!("Roll {service} back"),
            What::Start { to } => format!("Start a rollout of {service} to {to}"),
            What::Verb(verb) => format!("{} the rollout of {service}", capital(verb)),
            What::Drain { address, undo: true, .. } => format!("Let {address} back"),
            What::Drain { address, .. } => format!("Drain {address}"),
            What::Breaker { pool, address, .. } => {
                format!("The circuit breaker of {}", address.as_ref().unwrap_or(pool))
            }
            What::Hold { .. } => format!("Hold {service}"),
            What::Release => format!("Let {service} go on"),
            What::Maintenance { .. } => format!("Put {service} into maintenance"),
            What::EndMaintenance => format!("End the maintenance of {service}"),
            What::Freeze { .. } => format!("Freeze rollouts of {service}"),
            What::Lift => format!("Lift the freeze of {service}"),
        }
    }

    /// What it would do.
    pub fn foresees(&self, known: &Known) -> String {
        let service = &self.wish.service;
        let rollout = known.close(service).and_then(|close| close.under_way());
        match &self.wish.what {
            What::Shift { weights } => moves(weights, service, known),
            What::Flip { to } => {
                format!("Everything goes to {to} at once. A rollback takes it back.")
            }
            What::Rollback => {
                "The split becomes what it was before the last change; the steps of one rollout \
                               are one change. A rollout that is under way ends."
                    .into()
            }
            What::Start { to } => format!(
                "{to} gets traffic step by step, as the file says; after each step the judge compares it with \
                 the old pool. Where it is worse, everything goes back by itself."
            ),
            What::Verb("pause") => "It stays at its share until it is resumed.".into(),
            What::Verb("resume") => "It goes on from where it is.".into(),
            What::Verb("step") => {
                let next = rollout.and_then(|it| it.steps.get(it.steps_taken)).copied();
                let to = next.map_or_else(|| "its next share".into(), words::percent);
                format!("It goes to {to} now, whatever the judge still waits for.")
            }
            What::Verb("promote") => {
                "Everything goes to the new pool now. The old one is kept warm for a while.".into()
            }
            What::Verb(_) => "Everything goes back to the old pool at once.".into(),
            What::Drain { undo: true, .. } => "It gets requests again.".into(),
            What::Drain { .. } => "It gets no new requests; those that it holds end.".into(),
            What::Breaker { state, .. } => match state.trim() {
                "open" => "It lets nothing through until it is told otherwise.",
                "closed" => {
                    "It lets everything through, whatever fails, until it is told otherwise."
                }
                _ => "It decides by itself.",
            }
            .into(),
            What::Hold { .. } => {
                "New requests wait at the door, those under way end. When the time is over \
                                  they go on by themselves."
                    .into()
            }
            What::Release => "Requests that wait go on at once.".into(),
            What::Maintenance { .. } => {
                "New requests are told to come back later, until it serves again.".into()
            }
            What::EndMaintenance => "Requests go to its pools again.".into(),
            What::Freeze { .. } => {
                "No rollout starts or goes on. Shifts and rollbacks by hand are still possible."
                    .into()
            }
            What::Lift => "Rollouts go on again, as far as error budgets let them.".into(),
        }
    }
}

/// What a shift would move.
fn moves(weights: &str, service: &str, known: &Known) -> String {
    let split = match parsed(weights) {
        Ok(split) => split,
        Err(problem) => return problem,
    };
    let glance = known.glance(service).map(|glance| glance.requests_per_second);
    let close = known.close(service).and_then(|close| close.service.as_ref());
    let rate = close.map(|close| close.service.requests_per_second).or(glance).unwrap_or_default();
    let is: BTreeMap<String, f64> = match (known.close(service), known.glance(service)) {
        (Some(close), _) => close.pools.values().map(|it| (it.name.clone(), it.weight)).collect(),
        (None, Some(glance)) => {
            glance.pools.iter().map(|it| (it.name.clone(), it.weight)).collect()
        }
        (None, None) => BTreeMap::new(),
    };
    let change = |pool: &String| {
        let to = split.get(pool).and_then(serde_json::Number::as_f64).unwrap_or_default();
        to - is.get(pool).copied().unwrap_or_default()
    };
    let names: std::collections::BTreeSet<&String> = is.keys().chain(split.keys()).collect();
    let told = names.into_iter().filter(|pool| change(pool) != 0.0).map(|pool| {
        let by = change(pool);
        let gets = if by > 0.0 { "gets" } else { "gives" };
        let (share, rate) = (words::percent(by.abs()), words::rate(rate * by.abs() / 100.0));
        format!("{pool} {gets} {share} of the clients, about {rate}")
    });
    let told: Vec<String> = told.collect();
    match told.is_empty() {
        true => "This is the split as it is; up and down move it by 5 %.".into(),
        false => format!("{}.", told.join("; ")),
    }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
