//! stub
use super::{Problems, section::Section};
use crate::fallback::Fallback;
pub(super) fn fallback(mut section: Section<'_>, problems: &mut Problems) -> Fallback {
    let pool = section.text(problems, "pool", |t| Ok::<_, &str>(std::sync::Arc::from(t)));
    section.close(problems);
    Fallback { pool: pool.map(|f| f.value) }
}
