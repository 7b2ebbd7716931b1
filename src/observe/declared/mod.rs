//! Every family of metrics, each declared once: its name, its type, what a value is one of, its labels and what
//! it says. The exposition and `docs/metrics.md` are made of this, so that neither has one that the other lacks.

mod balancing;
mod labels;
mod operations;
mod page;
mod promises;
mod requests;
mod saturated;

pub use balancing::*;
pub use operations::*;
pub use page::page;
pub use promises::*;
pub use requests::*;
pub use saturated::*;

/// A family of metrics.
#[derive(Debug)]
pub struct Metric {
    /// As it is asked for; of a counter it ends with `_total`.
    pub name: &'static str,
    /// How its values go.
    pub kind: Kind,
    /// What a value is one of, in the plural. Of seconds, bytes and ratios the name ends with it.
    pub unit: &'static str,
    /// In the order in which their values are given.
    pub labels: &'static [Label],
    /// What it says, in a sentence.
    pub help: &'static str,
}

/// How the values of a family go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only up, from 0 at the start of whatever it counts.
    Counter,
    /// Up and down.
    Gauge,
    /// Into buckets, each with what is below its bound.
    Histogram,
}

/// A label of a family.
#[derive(Debug)]
pub struct Label {
    /// As it is asked for. The same name may mean something else in another family.
    pub name: &'static str,
    /// What its values are.
    pub meaning: &'static str,
}

/// Families that belong together, in the order of the page.
#[derive(Debug)]
pub struct Group {
    /// Its heading.
    pub title: &'static str,
    /// Which use they are of.
    pub about: &'static str,
    /// Its families.
    pub metrics: &'static [&'static Metric],
}

/// All that there are.
pub const GROUPS: [Group; 13] = [
    requests::REQUESTS_OF_CLIENTS,
    requests::TRIED_AGAIN,
    saturated::LIMITS,
    balancing::POOLS,
    balancing::UPSTREAMS,
    promises::ROLLOUTS,
    promises::OBJECTIVES,
    requests::COPIES,
    saturated::CONNECTIONS,
    operations::CONFIG_AND_STORE,
    operations::TOLD,
    operations::AUTOMATION,
    saturated::PROCESS,
];

impl Metric {
    /// Its name without what the type adds to it: what OpenMetrics calls the family.
    pub fn family(&self) -> &'static str {
        match self.kind {
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            Kind::Gauge | Kind::Histogram => self.name,
        }
    }

    /// Its unit, if the name ends with it: OpenMetrics knows no other.
    pub fn named_unit(&self) -> Option<&'static str> {
        let before = self.family().strip_suffix(self.unit)?;
        before.ends_with('_').then_some(self.unit)
    }
}

impl Kind {
    /// As both formats call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// Declares the families of a group: each becomes a constant, and none can be left out of the group.
macro_rules! group {
    (
        $group:ident: $title:literal, $about:literal;
        $($id:ident = $kind:ident $name:literal of $unit:literal by [$($label:ident),*]: $help:expr;)*
    ) => {
        $(
            #[doc = $help]
            pub const $id: super::Metric = super::Metric {
                name: $name,
                kind: super::Kind::$kind,
                unit: $unit,
                labels: &[$(super::labels::$label),*],
                help: $help,
            };
        )*
        pub(super) const $group: super::Group =
            super::Group { title: $title, about: $about, metrics: &[$(&$id),*] };
    };
}
use group;

#[cfg(test)]
mod tests;
