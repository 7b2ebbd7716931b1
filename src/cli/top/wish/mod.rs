//! What somebody wants changed: a wish in; the request that orders it, the command that does the same, and
//! what it would do in words out.

mod command;
mod request;

pub use self::request::{Request, parsed};

/// The service that an order is for, and what it is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// The service.
    pub service: String,
    /// What is to be done.
    pub what: What,
    /// The revision it is meant for: refused if another one came first.
    pub expects: Option<u64>,
}

/// What is to be done. Texts are as somebody types them.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Divide the traffic, as `blue=90 green=10`.
    Shift { weights: String },
    /// All to one pool.
    Flip { to: String },
    /// Back to before the last change.
    Rollback,
    /// Begin a rollout as the file says.
    Start { to: String },
    /// `pause`, `resume`, `step`, `promote` or `abort`.
    Verb(&'static str),
    /// Let an upstream take no new requests, or take them again.
    Drain { pool: String, address: String, undo: bool },
    /// Tell the breaker of a pool, or of one of its upstreams: `auto`, `open` or `closed`.
    Breaker { pool: String, address: Option<String>, state: String },
    /// Let new requests wait, so long.
    Hold { length: String },
    /// End a hold.
    Release,
    /// Tell clients to come back later, with these words.
    Maintenance { message: String },
    /// End that.
    EndMaintenance,
    /// Let no rollout go on; so long, if that is not empty.
    Freeze { length: String },
    /// End that.
    Lift,
}

/// Why, by whom, and whether even if it hurts.
#[derive(Clone, Debug, Default)]
pub struct By {
    /// Why.
    pub reason: String,
    /// Who.
    pub author: String,
    /// Even if nobody would take requests.
    pub force: bool,
}

impl What {
    /// What it takes to be let through, as `GET /v1/me` lists it.
    pub fn operation(&self) -> &'static str {
        match self {
            What::Shift { .. } => "PUT /v1/services/{service}/split",
            What::Flip { .. } => "POST /v1/services/{service}/flip",
            What::Rollback => "POST /v1/services/{service}/rollback",
            What::Start { .. } => "POST /v1/services/{service}/rollout",
            What::Verb(_) => "POST /v1/services/{service}/rollout/{verb}",
            What::Drain { .. } => {
                "PUT /v1/services/{service}/pools/{pool}/upstreams/{address}/state"
            }
            What::Breaker { address: None, .. } => {
                "PUT /v1/services/{service}/pools/{pool}/breaker"
            }
            What::Breaker { .. } => {
                "PUT /v1/services/{service}/pools/{pool}/upstreams/{address}/breaker"
            }
            What::Hold { .. } | What::Release => "PUT /v1/services/{service}/mode",
            What::Maintenance { .. } | What::EndMaintenance => "PUT /v1/services/{service}/mode",
            What::Freeze { .. } => "PUT /v1/services/{service}/freeze",
            What::Lift => "DELETE /v1/services/{service}/freeze",
        }
    }

    /// What is typed for it beside the reason: what that is called, and the text.
    pub fn text(&mut self) -> Option<(&'static str, &mut String)> {
        match self {
            What::Shift { weights } => Some(("Shares in percent", weights)),
            What::Breaker { state, .. } => Some(("auto, open or closed", state)),
            What::Hold { length } => Some(("For how long, up to 5m", length)),
            What::Maintenance { message } => Some(("What clients are told, if anything", message)),
            What::Freeze { length } => Some(("For how long; until it is lifted if empty", length)),
            _ => None,
        }
    }

    /// What an order that was refused may be given in spite of; none where nothing can be forced.
    pub fn force(&self) -> Option<&'static str> {
        match self {
            What::Shift { .. } => Some("even if nobody of a pool takes requests"),
            What::Flip { .. } | What::Rollback => Some("even if nobody of the pool takes requests"),
            What::Start { .. } => Some("even though nobody of the pool accepts connections yet"),
            What::Verb("abort") => Some("even if nobody of the old pool takes requests"),
            What::Drain { undo: false, .. } => {
                Some("even if it is the last one of a pool that gets traffic")
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;

    fn all() -> Vec<What> {
        let (pool, address) = ("blue".to_string(), "10.0.0.1:9000".to_string());
        vec![
            What::Shift { weights: "blue=90 green=10".into() },
            What::Flip { to: "green".into() },
            What::Rollback,
            What::Start { to: "green".into() },
            What::Verb("pause"),
            What::Verb("resume"),
            What::Verb("step"),
            What::Verb("promote"),
            What::Verb("abort"),
            What::Drain { pool: pool.clone(), address: address.clone(), undo: false },
            What::Drain { pool: pool.clone(), address: address.clone(), undo: true },
            What::Breaker { pool: pool.clone(), address: None, state: "open".into() },
            What::Breaker { pool, address: Some(address), state: "auto".into() },
            What::Hold { length: "20s".into() },
            What::Release,
            What::Maintenance { message: String::new() },
            What::Maintenance { message: "back at two".into() },
            What::EndMaintenance,
            What::Freeze { length: String::new() },
            What::Freeze { length: "48h".into() },
            What::Lift,
        ]
    }

    #[test]
    fn each_command_that_is_shown_is_understood() {
        for what in all() {
            let force = what.force().is_some();
            let wish = Wish { service: "shop".into(), what, expects: Some(7) };
            let by = By { reason: "it's slow".into(), author: "cli:ann".into(), force };
            let words = wish.words(&by);
            let understood = Cli::understand(words.iter().map(String::as_str));
            assert!(understood.is_ok(), "{words:?}: {understood:?}");
            assert!(wish.command(&by, &[]).ends_with(r"--reason 'it'\''s slow'"));
        }
    }

    #[test]
    fn each_order_is_let_through_by_the_operation_that_it_asks_for() {
        for what in all() {
            let operation = what.operation();
            let wish = Wish { service: "a b".into(), what, expects: None };
            let request = wish.request(&By { reason: "why".into(), ..By::default() }).unwrap();
            let (method, path) = operation.split_once(' ').unwrap();
            assert_eq!(request.method.as_str(), method, "{operation}");
            let (of, is): (Vec<&str>, Vec<&str>) =
                (path.split('/').collect(), request.path.split('/').collect());
            assert_eq!(of.len(), is.len(), "{operation}: {}", request.path);
            for (of, is) in of.into_iter().zip(is) {
                assert!(of == is || of.starts_with('{'), "{operation}: {}", request.path);
            }
            assert_eq!(request.body["reason"], "why", "{operation}");
        }
    }

    #[test]
    fn what_is_typed_is_checked_before_it_is_sent() {
        let weights = |text: &str| parsed(text).map(|weights| weights.len());
        assert_eq!(weights("blue=99.5 green=0.5"), Ok(2));
        assert_eq!(weights("blue=90 green=5"), Err("shares sum to 95 %, not to 100 %".into()));
        assert_eq!(weights("blue=50 blue=50"), Err("pool `blue` is named twice".into()));
        assert!(weights("blue").unwrap_err().starts_with("expected POOL=PERCENT"));
        assert!(weights("blue=lots").unwrap_err().starts_with("blue: "));
        let wrong = |what| {
            let wish = Wish { service: "shop".into(), what, expects: None };
            wish.request(&By::default()).is_err()
        };
        assert!(wrong(What::Hold { length: "soon".into() }));
        assert!(wrong(What::Breaker { pool: "b".into(), address: None, state: "off".into() }));
    }
}
