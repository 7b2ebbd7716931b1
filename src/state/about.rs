//! What an order that stands is about, as a key: of each there is one at most.

/// Kind and place, as in `drain shop blue 192.0.2.1:80`. Only an address can hold a space, and it
/// comes last; so the key is read back as it was made, and the store keeps it as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct About(String);

impl About {
    /// Whether an upstream is drained.
    pub fn drain(service: &str, pool: &str, upstream: &str) -> About {
        About(format!("drain {service} {pool} {upstream}"))
    }

    /// What a breaker does; without an upstream the pool's own.
    pub fn breaker(service: &str, pool: &str, upstream: Option<&str>) -> About {
        About(match upstream {
            Some(upstream) => format!("breaker {service} {pool} {upstream}"),
            None => format!("breaker {service} {pool}"),
        })
    }

    /// Whether a service serves: it is held or in maintenance, never both.
    pub fn mode(service: &str) -> About {
        About(format!("mode {service}"))
    }

    /// Which upstreams a pool has.
    pub fn upstreams(service: &str, pool: &str) -> About {
        About(format!("upstreams {service} {pool}"))
    }

    /// Whether a pool's version can run.
    pub fn contracted(service: &str, pool: &str) -> About {
        About(format!("contracted {service} {pool}"))
    }

    /// Whether rollouts of a service are frozen.
    pub fn freeze(service: &str) -> About {
        About(format!("freeze {service}"))
    }

    /// Whether error budgets are heeded, by one rollout or by all.
    pub fn lifted(service: &str, rollout: Option<u64>) -> About {
        About(match rollout {
            Some(id) => format!("lifted {service} {id}"),
            None => format!("lifted {service}"),
        })
    }

    /// A key as the store keeps it; none if it is no key.
    pub fn read(text: &str) -> Option<About> {
        let mut words = text.split(' ');
        let kind = words.next()?;
        let known = ["drain", "breaker", "mode", "upstreams", "contracted", "freeze", "lifted"];
        (known.contains(&kind) && words.next().is_some()).then(|| About(text.to_string()))
    }

    /// The service that it is about.
    pub fn service(&self) -> &str {
        self.0.split(' ').nth(1).unwrap_or_default()
    }

    /// As the store keeps it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
