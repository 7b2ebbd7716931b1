//! A few of the requests that failed on the target, with what must not be told left out.
//!
//! They are for people: the evidence of a rollback. Bounded in number, and taken with a lock that
//! nobody waits for: whoever finds it held leaves its failure to the next.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, USER_AGENT};
use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::http::view::{Field, View, text};

/// Requests that are kept.
const MOST: usize = 20;

/// Header fields of a request that are kept.
const MOST_FIELDS: usize = 30;

/// The longest value that is kept, in bytes.
const LONGEST: usize = 200;

/// Fields whose values tell no secret; of all others only the name is kept.
const OPEN: [HeaderName; 5] = [HOST, USER_AGENT, ACCEPT, CONTENT_TYPE, CONTENT_LENGTH];

/// Requests that failed.
#[derive(Debug, Default)]
pub struct Sample {
    taken: AtomicUsize,
    kept: Mutex<Vec<Failing>>,
}

/// A request that failed on the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failing {
    /// When its attempt ended.
    pub at: WallTime,
    /// Its method.
    pub method: String,
    /// Its path; of a query only that there was one.
    pub path: String,
    /// Its fields; values that could be secret are left out.
    pub headers: Vec<(String, String)>,
    /// The id that it is known by.
    pub request_id: String,
    /// The upstream that was asked.
    pub upstream: String,
    /// The status that came back, or why there was none.
    pub ending: String,
    /// Until then, in milliseconds.
    pub took_ms: f64,
}

impl Sample {
    /// Whether there is room.
    pub fn wants(&self) -> bool {
        self.taken.load(Ordering::Relaxed) < MOST
    }

    /// Keeps one, if there is room and nobody else is at it.
    pub fn keep(&self, failing: Failing) {
        let Ok(mut kept) = self.kept.try_lock() else { return };
        if kept.len() < MOST {
            kept.push(failing);
            self.taken.store(kept.len(), Ordering::Relaxed);
        }
    }

    /// Those that were kept, in the order they came.
    pub fn read(&self) -> Vec<Failing> {
        let kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        kept.clone()
    }
}

impl Failing {
    /// Adds what the request said, with what must not be told left out.
    pub fn describe(&mut self, method: &str, path_and_query: &str, view: View<'_>) {
        self.method = method.to_string();
        self.path = match path_and_query.split_once('?') {
            Some((path, _)) => format!("{}?…", shortened(path)),
            None => shortened(path_and_query),
        };
        let field = |field: Field<'_>| {
            let name = String::from_utf8_lossy(field.name).to_ascii_lowercase();
            let is_open = OPEN.iter().any(|open| *open == *name);
            let value = text(field.value).filter(|_| is_open).map_or_else(|| "…".into(), shortened);
            (name, value)
        };
        self.headers = view.lines().take(MOST_FIELDS).map(field).collect();
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().find(|(at, _)| *at >= LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn failing() -> Failing {
        Failing {
            at: WallTime::from_millis(1),
            method: String::new(),
            path: String::new(),
            headers: Vec::new(),
            request_id: "id".into(),
            upstream: "127.0.0.1:1".into(),
            ending: "500".into(),
            took_ms: 1.5,
        }
    }

    #[test]
    fn secrets_are_left_out() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("host", "shop.test"), ("cookie", "sid=1"), ("authorization", "x")] {
            headers.insert(name, value.parse().unwrap());
        }
        let mut failing = failing();
        failing.describe("POST", "/cart?token=s3cret", View::Map(&headers));
        assert_eq!((&*failing.method, &*failing.path), ("POST", "/cart?…"));
        let json = serde_json::to_string(&failing).unwrap();
        assert!(json.contains("shop.test") && json.contains("authorization"), "{json}");
        assert!(!json.contains("sid=1") && !json.contains("s3cret"), "{json}");
    }

    #[test]
    fn no_more_than_its_bound_are_kept() {
        let sample = Sample::default();
        while sample.wants() {
            sample.keep(failing());
        }
        sample.keep(failing());
        assert_eq!(sample.read().len(), MOST);
    }
}
