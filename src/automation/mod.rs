//! What is done by itself when something is wrong: rules, what is seen and the time in; what is to be
//! done, by which rule and where, out.
//!
//! A [`Rule`] is one table of the file. Whoever looks at services once a second makes [`Reading`]s of
//! them; [`Watch`] keeps since when each holds, and [`Ledger`] says from what has been done whether a
//! rule may do more. What a rule has done is an [`Act`], which is stored before it begins. Nothing here
//! acts, and nothing here knows what a request is: the work of a tick is bounded by rules and upstreams,
//! whatever happens and however often.

mod act;
mod answer;
mod kept;
mod ledger;
mod rule;
mod watch;

pub use act::{Act, Deed, End, Place};
pub use answer::{Answer, Offered, addresses};
pub use kept::{Change, Grown, Instance, Kept, Leaving, Stopped};
pub use ledger::{Ledger, NotNow};
pub use rule::{Adds, Each, MOST_RULES, Rule, Then, When};
pub use watch::{Reading, Seen, Watch};

/// What stands before a rule's name where it is the author of something.
const AUTHOR: &str = "rule ";

/// Who a rule is where something is done in its name.
pub fn author(rule: &str) -> String {
    format!("{AUTHOR}{rule}")
}

/// Whether an author is a rule; everybody else is a person, or acts for one.
pub fn is_rule(author: &str) -> bool {
    author.starts_with(AUTHOR)
}
