//! `--version --verbose`: which build this is, for a report of a fault.

use std::fmt::Write;

/// What `--version` says, and what this build was made of.
pub(super) fn verbose() -> String {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let cryptography = if cfg!(feature = "aws-lc") { "aws-lc" } else { "ring" };
    let rows = [
        // Whoever builds a package says so; a checkout does not know it.
        ("commit", option_env!("POINTSMAN_COMMIT").unwrap_or("unknown")),
        ("build", profile),
        ("system", std::env::consts::OS),
        ("processor", std::env::consts::ARCH),
        ("cryptography", cryptography),
        ("needs Rust", env!("CARGO_PKG_RUST_VERSION")),
        ("licence", env!("CARGO_PKG_LICENSE")),
    ];
    let mut text = format!("pointsman {}\n", env!("CARGO_PKG_VERSION"));
    for (name, value) in rows {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{:<14}{value}", format!("{name}:"));
    }
    text
}
