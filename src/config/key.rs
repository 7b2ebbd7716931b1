//! A key of the file, declared once: reading, what is unknown, the words of a diff and the reference
//! all come from its [`Key`], so that none of them can be forgotten.
//!
//! A [`Table`] stands beside the code that reads it, which asks for its keys by name and gets what
//! is declared: the range is checked and the default filled in by [`Section`](super::section::Section).

use std::time::Duration;

/// A table of the file.
pub(super) struct Table {
    /// What stands before it in the reference: paragraphs, one a line.
    pub about: &'static str,
    /// In the order of the reference.
    pub keys: &'static [Key],
    /// What it had once.
    pub gone: &'static [Gone],
}

/// A key of a table.
#[derive(Clone, Copy)]
pub(super) struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// What the reference says of it.
    pub about: &'static str,
    /// What the reference shows as its value.
    pub shown: Shown,
    /// What holds without it, in words, for one without a default.
    pub absent: &'static str,
    pub effect: Effect,
    pub told: Told,
    /// What it may be, where its kind does not say.
    pub shape: Shape,
}

/// What values a key may have, and which it has when nothing is said.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A length of time above zero, at most a day.
    Time(Option<Duration>),
    /// A length of time that is waited on purpose, and may be zero.
    Wait(Duration),
    /// A length of time above zero, at most a day, or `never` for one without end.
    Idle(Option<Duration>),
    /// A whole number.
    Number {
        least: u64,
        most: u64,
        default: Option<u64>,
        unit: &'static str,
    },
    /// A number of bytes, also as a text such as `64KiB`.
    Size {
        least: u64,
        most: u64,
        default: Option<u64>,
    },
    /// Percent, with two decimals.
    Share {
        least: f64,
        most: f64,
        default: Option<f64>,
    },
    /// A number with a fraction.
    Decimal {
        least: f64,
        most: f64,
        default: Option<f64>,
    },
    Boolean(bool),
    /// One of these words; the default is the first, if there is any.
    Word {
        known: &'static [&'static str],
        has_default: bool,
    },
    /// A text that its reader checks.
    Text(Option<&'static str>),
    /// An address that is called, whose path may be a secret.
    Web,
    /// A text that is shown nowhere.
    Secret,
    /// A list of texts, or one text alone.
    Texts(&'static [&'static str]),
    /// What its reader takes apart; the default as TOML, empty for none.
    Free(&'static str),
    /// A table of its own.
    Table(&'static Table, Without),
    /// A list of tables.
    Tables(&'static Table),
    /// Tables under names that the operator chose.
    Named(&'static Table),
    /// A table, or a text that stands for a table with this key alone.
    Short(&'static Table, &'static str),
    /// Header fields: their values may be secrets.
    Fields,
}

/// What a value may be that its reader takes apart: for the schema.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// What its kind says.
    OfKind,
    /// A share for each name.
    Shares,
    /// A list of shares.
    Steps,
    /// Statuses and ranges of them, one or a list.
    Statuses,
    /// A text, or a list of texts.
    Texts,
    /// A text for each name.
    NamedTexts,
    /// A text or `true` for each name.
    Conditions,
    /// `true`, `false` or a text.
    FlagOrText,
    /// `true`, `false` or a table.
    FlagOrTable(&'static Table),
    /// A list, each a text or a table.
    TextsOrTables(&'static Table),
}

/// What a table means that is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Without {
    /// All its defaults.
    Defaults,
    /// What it is for is off.
    Off,
    /// All its defaults; `false` in its place turns off what it is for.
    DefaultsUnlessFalse,
}

/// What the reference shows of a key.
#[derive(Clone, Copy)]
pub(super) enum Shown {
    /// Its default.
    Default,
    /// An example, as TOML.
    Example(&'static str),
    /// An example in a comment: most go without.
    Option(&'static str),
    /// Lines of its own, as they are.
    Lines(&'static str),
}

/// When a change of the file takes effect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// When the file is read again.
    AtOnce,
    /// When the process starts again.
    NextStart,
}

/// How a diff tells a change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// By both values.
    Values,
    /// In words of its own, such as what it does to traffic: there is code for it.
    Apart,
}

/// A key that there was.
pub(super) struct Gone {
    pub name: &'static str,
    /// The minor version without it, which still takes it; later ones do not.
    pub since: (u16, u16),
    pub instead: Instead,
}

/// What to write in place of a key that is gone.
pub(super) enum Instead {
    /// The same value under another name of the same table; or, with dots in it, in another table. A
    /// path begins at the service, pool or item of a list that the table is in, else at the file.
    Key(&'static str),
    /// Nothing: what to know about it. Its value is not looked at.
    Nothing(&'static str),
}

impl Table {
    pub const fn new(about: &'static str, keys: &'static [Key]) -> Table {
        Table { about, keys, gone: &[] }
    }

    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// A length of time without a default.
pub(super) const fn time_option(name: &'static str, example: &'static str) -> Key {
    Key::of(name, Kind::Time(None)).option(example)
}

pub(super) const fn time(name: &'static str, default: Duration) -> Key {
    Key::of(name, Kind::Time(Some(default)))
}

pub(super) const fn wait(name: &'static str, default: Duration) -> Key {
    Key::of(name, Kind::Wait(default))
}

pub(super) const fn idle(name: &'static str, default: Duration) -> Key {
    Key::of(name, Kind::Idle(Some(default)))
}

/// The same without a default.
pub(super) const fn idle_option(name: &'static str, example: &'static str) -> Key {
    Key::of(name, Kind::Idle(None)).option(example)
}

pub(super) const fn number(name: &'static str, (least, most): (u64, u64), default: u64) -> Key {
    Key::of(name, Kind::Number { least, most, default: Some(default), unit: "" })
}

pub(super) const fn number_option(
    name: &'static str,
    (least, most): (u64, u64),
    example: &'static str,
) -> Key {
    Key::of(name, Kind::Number { least, most, default: None, unit: "" }).option(example)
}

/// Whole percent.
pub(super) const fn percent(name: &'static str, least: u64, default: u64) -> Key {
    Key::of(name, Kind::Number { least, most: 100, default: Some(default), unit: " %" })
}

pub(super) const fn size(name: &'static str, (least, most): (u64, u64), default: u64) -> Key {
    Key::of(name, Kind::Size { least, most, default: Some(default) })
}

/// A number of bytes without a default.
pub(super) const fn size_option(
    name: &'static str,
    (least, most): (u64, u64),
    example: &'static str,
) -> Key {
    Key::of(name, Kind::Size { least, most, default: None }).option(example)
}

pub(super) const fn share(name: &'static str, (least, most): (f64, f64), default: f64) -> Key {
    Key::of(name, Kind::Share { least, most, default: Some(default) })
}

pub(super) const fn decimal(name: &'static str, (least, most): (f64, f64), default: f64) -> Key {
    Key::of(name, Kind::Decimal { least, most, default: Some(default) })
}

pub(super) const fn boolean(name: &'static str, default: bool) -> Key {
    Key::of(name, Kind::Boolean(default))
}

/// The first word is the default.
pub(super) const fn word(name: &'static str, known: &'static [&'static str]) -> Key {
    Key::of(name, Kind::Word { known, has_default: true })
}

pub(super) const fn word_option(
    name: &'static str,
    known: &'static [&'static str],
    example: &'static str,
) -> Key {
    Key::of(name, Kind::Word { known, has_default: false }).option(example)
}

pub(super) const fn text(name: &'static str, default: &'static str) -> Key {
    Key::of(name, Kind::Text(Some(default)))
}

pub(super) const fn text_option(name: &'static str, example: &'static str) -> Key {
    Key::of(name, Kind::Text(None)).option(example)
}

pub(super) const fn texts(name: &'static str, default: &'static [&'static str]) -> Key {
    Key::of(name, Kind::Texts(default))
}

/// The default as TOML; empty for none.
pub(super) const fn free(name: &'static str, default: &'static str) -> Key {
    Key::of(name, Kind::Free(default))
}

pub(super) const fn table(name: &'static str, table: &'static Table, without: Without) -> Key {
    Key::of(name, Kind::Table(table, without))
}

impl Key {
    pub const fn of(name: &'static str, kind: Kind) -> Key {
        Key {
            name,
            kind,
            about: "",
            shown: Shown::Default,
            absent: "none",
            effect: Effect::AtOnce,
            told: Told::Values,
            shape: Shape::OfKind,
        }
    }

    /// What it may be, where its kind does not say.
    pub const fn shape(mut self, shape: Shape) -> Key {
        self.shape = shape;
        self
    }

    pub const fn about(mut self, about: &'static str) -> Key {
        self.about = about;
        self
    }

    /// What the reference shows, where the default says little.
    pub const fn example(mut self, value: &'static str) -> Key {
        self.shown = Shown::Example(value);
        self
    }

    /// What the reference shows in a comment.
    pub const fn option(mut self, value: &'static str) -> Key {
        self.shown = Shown::Option(value);
        self
    }

    /// What the reference shows in place of anything of its own making.
    pub const fn lines(mut self, lines: &'static str) -> Key {
        self.shown = Shown::Lines(lines);
        self
    }

    /// What holds without it.
    pub const fn absent(mut self, words: &'static str) -> Key {
        self.absent = words;
        self
    }

    pub const fn at_next_start(mut self) -> Key {
        self.effect = Effect::NextStart;
        self
    }

    pub const fn told_apart(mut self) -> Key {
        self.told = Told::Apart;
        self
    }
}

pub(super) const fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

pub(super) const fn secs(number: u64) -> Duration {
    Duration::from_secs(number)
}

pub(super) const fn mins(number: u64) -> Duration {
    Duration::from_secs(60 * number)
}
