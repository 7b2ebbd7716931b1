//! What is plotted of a service: its history in, members of a line out.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::board::Extent;
use crate::admin::wire;
use crate::history::{History, Point};

/// Seconds that a line repeats which is not whole: looks at the history and lines keep no step.
const AGAIN: usize = 5;

/// What is plotted of one service.
#[derive(Debug)]
pub(super) struct Plots {
    pub history: Arc<History>,
    pub service: Arc<str>,
}

impl Plots {
    /// Members that follow others.
    pub fn members(&self, extent: Extent) -> String {
        let written = |of: &BTreeMap<Arc<str>, Vec<wire::Points>>| {
            serde_json::to_string(of).unwrap_or_else(|_| "{}".into())
        };
        match extent {
            Extent::Changes => {
                let newest = self.history.newest_points(&self.service, AGAIN).into_iter();
                let seconds = newest.map(|(pool, points)| (pool, all(&points))).collect();
                format!(",\"seconds\":{}", written(&seconds))
            }
            Extent::Whole => {
                let (mut spans, mut seconds) = (BTreeMap::new(), BTreeMap::new());
                for (pool, (long, short)) in self.history.series(&self.service) {
                    spans.insert(pool.clone(), all(&long));
                    seconds.insert(pool, all(&short));
                }
                format!(",\"seconds\":{},\"spans\":{}", written(&seconds), written(&spans))
            }
        }
    }
}

fn all(points: &[Point]) -> Vec<wire::Points> {
    points.iter().map(one).collect()
}

fn one(point: &Point) -> wire::Points {
    let counts = [point.at, point.requests, point.errors].map(|it| Some(f64::from(it)));
    let micros = |took: std::time::Duration| (took.as_secs_f64() * 1e6).round() / 1e6;
    counts.into_iter().chain(point.took().map(|took| took.map(micros))).collect()
}
