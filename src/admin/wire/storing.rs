//! Whether the disk has what is in force, as it travels.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::orders::Stored;

/// That something is in force which the disk has not taken yet; empty where it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Storing {
    /// False while the disk has not taken it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<bool>,
    /// What that means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What is said of what the disk has not taken, but a note of it.
const NOTED: &str = "in force; not on the disk yet, but noted there: after a crash now the rollout would \
                     be paused, not taken back";

/// What is said of what the disk has not taken.
const UNSTORED: &str = "in force; not on the disk yet: a crash now would undo it";

impl Storing {
    /// Whether it is stored.
    pub fn of(stored: Stored) -> Storing {
        let note = match stored {
            Stored::Yes => return Storing::default(),
            Stored::Noted => NOTED,
            Stored::No => UNSTORED,
        };
        Storing { stored: Some(false), note: Some(note.into()) }
    }
}
