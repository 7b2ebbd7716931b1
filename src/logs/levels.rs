//! What is said by whom: `info,wire=debug` in, a filter of lines out, and the same in words.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// Our rooms that say anything.
pub const ROOMS: [&str; 13] = [
    "acme_client",
    "cli",
    "control",
    "events",
    "files",
    "logs",
    "notify",
    "observe",
    "otlp",
    "resolve",
    "server",
    "store",
    "wire",
];

/// What our own targets begin with.
pub const OURS: &str = "pointsman";

/// Whoever has no level of its own.
pub const REST: &str = "default";

/// The most targets with a level of their own.
pub const MOST: usize = 64;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    Off,
    /// What does not work.
    Error,
    /// What is wrong.
    Warn,
    /// What happens.
    Info,
    /// What is done for it.
    Debug,
    /// Each step.
    Trace,
}

/// One target's new level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// None for all that have none of their own.
    target: Option<String>,
    /// None to have none of its own any more.
    level: Option<Level>,
}

/// Everybody's level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    /// Of whoever has none of its own.
    pub rest: Level,
    /// By target.
    pub targets: BTreeMap<String, Level>,
}

/// Why a text is no level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLevel {
    /// It is another word.
    #[error("`{0}` is no level; levels are off, error, warn, info, debug and trace")]
    Level(String),
    /// It cannot be a target.
    #[error(
        "`{0}` is no target; targets are rooms such as `wire`, crates such as `h2`, and their modules such \
         as `wire::lane`"
    )]
    Target(String),
    /// What it writes out may be secret.
    #[error(
        "`{0}` is not ours: its lines go to `debug` at most, `trace` may have what clients send"
    )]
    Foreign(String),
    /// There would be too many.
    #[error("more than {MOST} targets have a level of their own")]
    TooMany,
}

impl Level {
    /// All, from nothing to everything.
    pub const ALL: [Level; 6] =
        [Level::Off, Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Level::Off => "off",
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }

    fn filter(self) -> LevelFilter {
        match self {
            Level::Off => LevelFilter::OFF,
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        }
    }
}

impl FromStr for Level {
    type Err = BadLevel;

    fn from_str(text: &str) -> Result<Level, BadLevel> {
        let found = Level::ALL.into_iter().find(|level| level.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| BadLevel::Level(text.to_string()))
    }
}

impl FromStr for Wish {
    type Err = BadLevel;

    /// `TARGET=LEVEL`, `TARGET=default`, or a level alone for all that have none of their own.
    fn from_str(text: &str) -> Result<Wish, BadLevel> {
        let (target, level) = match text.split_once('=') {
            Some((target, level)) => (target.trim(), level.trim()),
            None => (REST, text.trim()),
        };
        Wish::of(target, level)
    }
}

impl Wish {
    /// This level for this target; `default` is all that have none of their own, or none of its own.
    pub fn of(target: &str, level: &str) -> Result<Wish, BadLevel> {
        let target = if target == REST { None } else { Some(whole_name(target)?) };
        let level = match level {
            REST if target.is_some() => None,
            level => Some(level.parse()?),
        };
        match target {
            Some(foreign) if level == Some(Level::Trace) && !is_ours(&foreign) => {
                Err(BadLevel::Foreign(foreign))
            }
            target => Ok(Wish { target, level }),
        }
    }
}

/// A room of ours is known without the name of the crate before it.
fn whole_name(target: &str) -> Result<String, BadLevel> {
    let fits = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if target.len() > 100 || !target.split("::").all(fits) {
        return Err(BadLevel::Target(target.to_string()));
    }
    let first = target.split("::").next().unwrap_or_default();
    match ROOMS.contains(&first) {
        true => Ok(format!("{OURS}::{target}")),
        false => Ok(target.to_string()),
    }
}

fn is_ours(target: &str) -> bool {
    target.split("::").next() == Some(OURS)
}

impl Default for Levels {
    fn default() -> Self {
        Levels { rest: Level::Info, targets: BTreeMap::new() }
    }
}

impl FromStr for Levels {
    type Err = BadLevel;

    fn from_str(text: &str) -> Result<Levels, BadLevel> {
        let mut levels = Levels::default();
        let wishes = text.split(',').map(str::trim).filter(|text| !text.is_empty());
        for wish in wishes {
            levels.set(&wish.parse()?);
        }
        levels.check()?;
        Ok(levels)
    }
}

impl Levels {
    /// The same with a wish granted.
    pub fn set(&mut self, wish: &Wish) {
        match (&wish.target, wish.level) {
            (None, Some(level)) => self.rest = level,
            (Some(target), Some(level)) => drop(self.targets.insert(target.clone(), level)),
            (Some(target), None) => drop(self.targets.remove(target)),
            (None, None) => {}
        }
    }

    /// Refuses more than anybody means.
    pub fn check(&self) -> Result<(), BadLevel> {
        if self.targets.len() > MOST { Err(BadLevel::TooMany) } else { Ok(()) }
    }

    /// Which lines are said. What is not ours is traced for nobody.
    pub fn filter(&self) -> Targets {
        let rest = self.rest.min(Level::Debug).filter();
        let all = self.targets.iter().map(|(target, level)| (target.as_str(), level.filter()));
        let filter = Targets::new().with_default(rest).with_target(OURS, self.rest.filter());
        filter.with_targets(all)
    }
}

impl Display for Levels {
    /// As it is taken: `info,pointsman::wire=debug`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rest.name())?;
        self.targets.iter().try_for_each(|(target, level)| write!(f, ",{target}={}", level.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level as At;

    #[test]
    fn a_room_is_known_by_its_name_alone_and_the_closest_target_holds() {
        let levels: Levels = "warn, wire=debug,wire::lane=trace,h2=off,".parse().unwrap();
        let shown = "warn,h2=off,pointsman::wire=debug,pointsman::wire::lane=trace";
        assert_eq!(levels.to_string(), shown);
        assert_eq!(shown.parse::<Levels>().unwrap(), levels, "it is taken as it is shown");
        let filter = levels.filter();
        for (target, at, is_said) in [
            ("pointsman::wire::tls", At::DEBUG, true),
            ("pointsman::wire::tls", At::TRACE, false),
            ("pointsman::wire::lane::pump", At::TRACE, true),
            ("pointsman::store", At::WARN, true),
            ("pointsman::store", At::INFO, false),
            ("h2::proto", At::ERROR, false),
            ("rustls", At::WARN, true),
            ("rustls", At::INFO, false),
        ] {
            assert_eq!(filter.would_enable(target, &at), is_said, "{target} {at}");
        }
    }

    #[test]
    fn what_is_not_ours_is_never_traced() {
        let levels: Levels = "trace".parse().unwrap();
        assert!(levels.filter().would_enable("pointsman::wire", &At::TRACE));
        assert!(levels.filter().would_enable("h2::hpack", &At::DEBUG));
        assert!(!levels.filter().would_enable("h2::hpack", &At::TRACE));
        assert_eq!("h2=trace".parse::<Wish>(), Err(BadLevel::Foreign("h2".into())));
        assert_eq!(
            "pointsmanage=trace".parse::<Wish>(),
            Err(BadLevel::Foreign("pointsmanage".into()))
        );
    }

    #[test]
    fn a_level_is_taken_back() {
        let mut levels: Levels = "wire=debug".parse().unwrap();
        for wish in ["wire=default", "error"] {
            levels.set(&wish.parse().unwrap());
        }
        assert_eq!(levels.to_string(), "error");
        levels.set(&"default=INFO".parse().unwrap());
        assert_eq!(levels, Levels::default());
    }

    #[test]
    fn what_is_no_level_or_target_is_told() {
        for text in ["loud", "wire=", "wire=loud", "default=default"] {
            assert!(matches!(text.parse::<Wish>(), Err(BadLevel::Level(_))), "{text}");
        }
        for text in ["=info", "a b=info", "wire::=info", "wire[x]=info"] {
            assert!(matches!(text.parse::<Wish>(), Err(BadLevel::Target(_))), "{text}");
        }
        let many: String = (0..=MOST).map(|nth| format!("c{nth}=info,")).collect();
        assert_eq!(many.parse::<Levels>(), Err(BadLevel::TooMany));
    }
}
