//! Values that are no tables: the name of a declared key in, what is written there or its default out.

use std::fmt::Display;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::{Found, Section, wrong_kind};
use crate::clock::LONGEST;
use crate::config::key::Kind;
use crate::config::suggestion::nearest;
use crate::config::values::percent;
use crate::config::{Problem, Problems, duration, duration_or_zero};
use crate::split::BasisPoints;

/// A wait without end.
const NEVER: &str = "never";

impl Section<'_> {
    /// A text that `read` makes a value of: the default, if one is declared, of a key that is not
    /// there; none where it is wrong.
    pub fn text<T, E: Display>(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Found<T>> {
        let kind = self.kind(key);
        match (self.find(key), kind) {
            (Some(value), _) => text_of(problems, key, value, read),
            (None, Kind::Text(Some(default))) => {
                let value = read(default).ok();
                debug_assert!(value.is_some(), "the default of `{key}` cannot be read");
                value.map(|value| Found { value, span: self.span.clone() })
            }
            (None, _) => None,
        }
    }

    /// One of the words that are declared, as what it means.
    pub fn word<T>(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
        means: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let Kind::Word { known, has_default } = self.kind(key) else {
            debug_assert!(false, "`{key}` is declared as no word");
            return None;
        };
        let Some(value) = self.find(key) else {
            return known.first().filter(|_| has_default).and_then(|default| means(default));
        };
        let read = |text: &str| match known.contains(&text).then(|| means(text)).flatten() {
            Some(meaning) => Ok(meaning),
            None => Err(match nearest(text, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known are {}", known.join(", ")),
            }),
        };
        text_of(problems, key, value, read).map(|found| found.value)
    }

    /// A list of texts, or one text alone; the declared default if the key is not there.
    pub fn texts<T, E: Display>(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<Found<T>> {
        let kind = self.kind(key);
        let Some(value) = self.find(key) else {
            let Kind::Texts(default) = kind else { return Vec::new() };
            let found = default.iter().filter_map(|text| read(text).ok());
            return found.map(|value| Found { value, span: self.span.clone() }).collect();
        };
        match value.get_ref().as_array() {
            Some(list) => {
                list.iter().filter_map(|item| text_of(problems, key, item, &read)).collect()
            }
            None => text_of(problems, key, value, &read).into_iter().collect(),
        }
    }

    /// A whole number with a default.
    pub fn number<N: TryFrom<u64> + Default>(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
    ) -> N {
        let written = self.number_if_given(problems, key);
        let default = match self.kind(key) {
            Kind::Number { default: Some(default), .. }
            | Kind::Size { default: Some(default), .. } => default,
            _ => self.misdeclared(key),
        };
        written.or_else(|| N::try_from(default).ok()).unwrap_or_default()
    }

    /// A whole number, or a number of bytes.
    pub fn number_if_given<N: TryFrom<u64>>(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
    ) -> Option<N> {
        let kind = self.kind(key);
        let value = self.find(key)?;
        let (least, most, unit) = match kind {
            Kind::Number { least, most, .. } => (least, most, ""),
            Kind::Size { least, most, .. } => (least, most, " bytes"),
            _ => self.misdeclared(key),
        };
        let number = match (value.get_ref(), kind) {
            (DeValue::Integer(_), _) => whole(value),
            (DeValue::String(_), Kind::Size { .. }) => {
                let read =
                    |text: &str| size(text).ok_or("expected a size such as `64KiB` or `1MiB`");
                Some(text_of(problems, key, value, read)?.value)
            }
            (_, Kind::Size { .. }) => {
                problems.0.push(wrong_kind(key, value, "a size"));
                return None;
            }
            _ => {
                problems.0.push(wrong_kind(key, value, "a whole number"));
                return None;
            }
        };
        let fits = number.filter(|number| (least..=most).contains(number));
        let fits = fits.and_then(|number| N::try_from(number).ok());
        if fits.is_none() {
            let message = format!("`{key}` is out of range");
            let bounds = format!("from {least} to {most}{unit}");
            problems.0.push(Problem::error(value.span(), message).label(bounds));
        }
        fits
    }

    /// A length of time with a default.
    pub fn time(&mut self, problems: &mut Problems, key: &'static str) -> Duration {
        let written = self.time_if_given(problems, key);
        let default = match self.kind(key) {
            Kind::Time(Some(default)) | Kind::Idle(Some(default)) | Kind::Wait(default) => default,
            _ => self.misdeclared(key),
        };
        written.unwrap_or(default)
    }

    /// A length of time such as `500ms` or `1m 30s`.
    pub fn time_if_given(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
    ) -> Option<Duration> {
        let kind = self.kind(key);
        let value = self.find(key)?;
        if let Some(number) = value.get_ref().as_integer() {
            let problem = wrong_kind(key, value, "a text in quotes");
            let help = format!("with a unit, such as \"{number}s\" or \"{number}ms\"");
            problems.0.push(problem.help(help));
            return None;
        }
        let read = |text: &str| {
            if matches!(kind, Kind::Idle(_)) && text == NEVER {
                return Ok(Duration::MAX);
            }
            let (length, what) = match kind {
                Kind::Wait(_) => (duration_or_zero(text), "a wait"),
                _ => (duration(text), "a time-out"),
            };
            match length {
                Ok(length) if length > LONGEST => Err(match kind {
                    Kind::Idle(_) => format!("{what} lies within a day, or is \"{NEVER}\""),
                    _ => format!("{what} lies within a day"),
                }),
                Ok(length) => Ok(length),
                Err(error) if matches!(kind, Kind::Idle(_)) => {
                    Err(format!("{error}, or `{NEVER}`"))
                }
                Err(error) => Err(error.to_string()),
            }
        };
        text_of(problems, key, value, read).map(|found| found.value)
    }

    /// Percent with two decimals.
    pub fn share(&mut self, problems: &mut Problems, key: &'static str) -> BasisPoints {
        let kind = self.kind(key);
        let (least, most, default) = match kind {
            Kind::Share { least, most, default } => (least, most, default.unwrap_or_default()),
            _ => self.misdeclared(key),
        };
        let default = BasisPoints::new((default * 100.0).round() as u16).unwrap_or_default();
        let Some(value) = self.find(key) else { return default };
        let mistake = match percent(value) {
            Ok(share) if (least..=most).contains(&share.percent()) => return share,
            Ok(_) => format!("from {least} to {most} %"),
            Err(error) => error,
        };
        let problem = Problem::error(value.span(), format!("bad value for `{key}`"));
        problems.0.push(problem.label(mistake));
        default
    }

    /// A number with a fraction; none where it is wrong.
    pub fn decimal(&mut self, problems: &mut Problems, key: &'static str) -> Option<f64> {
        let (least, most, default) = match self.kind(key) {
            Kind::Decimal { least, most, default } => (least, most, default),
            _ => self.misdeclared(key),
        };
        let Some(value) = self.find(key) else { return default };
        let text = match value.get_ref() {
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
            DeValue::Float(float) => float.as_str(),
            _ => {
                problems.0.push(wrong_kind(key, value, "a number"));
                return default;
            }
        };
        match text.replace('_', "").parse() {
            Ok(number) if (least..=most).contains(&number) => Some(number),
            _ => {
                let bounds = match least == f64::MIN {
                    true => "expected a finite number".to_string(),
                    false => format!("from {least} to {most}"),
                };
                let message = format!("`{key}` is out of range");
                problems.0.push(Problem::error(value.span(), message).label(bounds));
                default
            }
        }
    }

    /// A boolean.
    pub fn boolean(&mut self, problems: &mut Problems, key: &'static str) -> bool {
        let default = match self.kind(key) {
            Kind::Boolean(default) => default,
            _ => self.misdeclared(key),
        };
        let Some(value) = self.find(key) else { return default };
        if value.get_ref().as_bool().is_none() {
            problems.0.push(wrong_kind(key, value, "`true` or `false`"));
        }
        value.get_ref().as_bool().unwrap_or(default)
    }
}

/// A value that is to be a text, which `read` makes a value of.
pub(in crate::config) fn text_of<T, E: Display>(
    problems: &mut Problems,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    read: impl Fn(&str) -> Result<T, E>,
) -> Option<Found<T>> {
    let Some(text) = value.get_ref().as_str() else {
        problems.0.push(wrong_kind(key, value, "a text in quotes"));
        return None;
    };
    match read(text) {
        Ok(read) => Some(Found { value: read, span: value.span() }),
        Err(error) => {
            let message = format!("bad value for `{key}`");
            problems.0.push(Problem::error(value.span(), message).label(error.to_string()));
            None
        }
    }
}

/// A whole number that is not below zero.
fn whole(value: &Spanned<DeValue<'_>>) -> Option<u64> {
    let integer = value.get_ref().as_integer()?;
    u64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
}

/// `512B`, `64KiB`, `1MiB` or `2GiB` in bytes.
pub(in crate::config) fn size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit.trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}
