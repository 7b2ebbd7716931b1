//! What upstreams are told apart by beside their address: pairs of names and texts.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How many an upstream may have.
pub const MOST_LABELS: usize = 8;

/// The longest name and the longest text, in characters.
const LONGEST: usize = 63;

/// Labels such as `zone=a`; empty for most upstreams, which costs nothing then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels(Option<Arc<BTreeMap<String, String>>>);

/// Why a text is no label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// It has no `=`.
    #[error("expected NAME=TEXT, such as zone=a")]
    Pair,
    /// Its name is none.
    #[error(
        "a label's name has lower-case letters, digits and `_`, begins with a letter, and is at most 63 bytes long"
    )]
    Name,
    /// Its text is empty, too long, or has control characters.
    #[error("a label's text has 1 to 63 characters and no control characters among them")]
    Text,
}

/// One label that is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Label {
    /// A label, if it can be one.
    pub fn new(name: &str, text: &str) -> Result<Label, LabelError> {
        let is_name = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.len() <= LONGEST
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        if !is_name(name) {
            return Err(LabelError::Name);
        }
        if text.is_empty() || text.chars().count() > LONGEST || text.contains(char::is_control) {
            return Err(LabelError::Text);
        }
        Ok(Label { name: name.into(), text: text.into() })
    }
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Label, LabelError> {
        let (name, text) = text.split_once('=').ok_or(LabelError::Pair)?;
        Label::new(name, text)
    }
}

impl Display for Label {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.name, self.text)
    }
}

impl FromIterator<Label> for Labels {
    fn from_iter<I: IntoIterator<Item = Label>>(labels: I) -> Labels {
        let all: BTreeMap<_, _> =
            labels.into_iter().map(|label| (label.name, label.text)).collect();
        Labels((!all.is_empty()).then(|| Arc::new(all)))
    }
}

impl Labels {
    /// The text of one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.as_ref()?.get(name).map(String::as_str)
    }

    /// Whether this is among them.
    pub fn has(&self, label: &Label) -> bool {
        self.get(&label.name) == Some(&label.text)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.iter().flat_map(|all| all.iter());
        all.map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// As a map, for who reads JSON.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.0.as_deref().cloned().unwrap_or_default()
    }
}

impl Display for Labels {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        for (place, (name, text)) in self.iter().enumerate() {
            let gap = if place == 0 { "" } else { " " };
            write!(f, "{gap}{name}={text}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_name_and_a_text() {
        let read = |text: &str| text.parse::<Label>().map(|label| label.to_string());
        assert_eq!(read("zone=eu-1=a"), Ok("zone=eu-1=a".into()));
        assert_eq!((read("zone"), read("Zone=a")), (Err(LabelError::Pair), Err(LabelError::Name)));
        assert_eq!((read("1=a"), read("zone=")), (Err(LabelError::Name), Err(LabelError::Text)));
        let labels: Labels =
            ["zone=a", "rack=2"].map(|text| text.parse().unwrap()).into_iter().collect();
        assert_eq!((labels.to_string(), labels.get("zone")), ("rack=2 zone=a".into(), Some("a")));
        assert!(labels.has(&"rack=2".parse().unwrap()) && !labels.has(&"rack=3".parse().unwrap()));
        assert!(Labels::default().is_empty() && Labels::from_iter([]).is_empty());
    }
}
