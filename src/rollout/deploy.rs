//! What a rollout brings into its target before it goes there: the upstreams of a version, and what
//! people call that version.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A version that a rollout puts into its target pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deploy {
    /// What people call the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// Where it runs; the target has these upstreams and no others.
    pub upstreams: Vec<Arc<str>>,
}

impl Deploy {
    /// The version and where it runs, as people read it.
    pub fn words(&self) -> String {
        let upstreams = self.upstreams.join(", ");
        match &self.tag {
            Some(tag) => format!("{tag} at {upstreams}"),
            None => upstreams,
        }
    }
}

/// Which version of a service a pool runs, as far as a deploy has said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The rollout that has put it there.
    pub rollout: u64,
    /// What people call it, such as `v42`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
}

impl Version {
    /// Whether it is the same as another: put there at once, or called the same.
    pub fn is(&self, other: &Version) -> bool {
        self.rollout == other.rollout || self.tag.is_some() && self.tag == other.tag
    }

    /// As people name it.
    pub fn words(&self) -> String {
        match &self.tag {
            Some(tag) => tag.to_string(),
            None => format!("what rollout {} has deployed", self.rollout),
        }
    }
}

/// What people call a version, such as `v42` or an image with its digest. It is shown in tables and is
/// a label of metrics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(Arc<str>);

/// The longest tag, in characters.
pub const LONGEST_TAG: usize = 128;

/// That a text is no tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tag has 1 to {LONGEST_TAG} printable ASCII characters and no spaces")]
pub struct NoTag;

impl std::str::FromStr for Tag {
    type Err = NoTag;

    fn from_str(text: &str) -> Result<Tag, NoTag> {
        let is_tag = (1..=LONGEST_TAG).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_tag.then(|| Tag(text.into())).ok_or(NoTag)
    }
}

impl TryFrom<String> for Tag {
    type Error = NoTag;

    fn try_from(text: String) -> Result<Tag, NoTag> {
        text.parse()
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> String {
        tag.0.to_string()
    }
}

impl std::ops::Deref for Tag {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_one_word_that_a_table_can_show() {
        let image = "ghcr.io/shop/web:42@sha256:0f";
        assert_eq!(image.parse::<Tag>().unwrap().to_string(), image);
        let long = "v".repeat(LONGEST_TAG + 1);
        for text in ["", "two words", "tab\t", "é", "\u{1b}[2J", &*long] {
            assert_eq!(text.parse::<Tag>(), Err(NoTag), "{text}");
        }
        assert!("v".repeat(LONGEST_TAG).parse::<Tag>().is_ok());
    }
}
