//! The targets of `fuzz/` over their seeds and over what little changes make of those: a count, and the
//! same each time. cargo-fuzz goes on from there (`.ci/long fuzz`). Those of rooms that nobody outside may
//! enter are run by the library's own tests (`src/fuzzing.rs`).

use std::path::Path;

#[path = "../../fuzz/change.rs"]
mod change;
#[path = "../../fuzz/targets.rs"]
mod targets;

/// Inputs for each target beside its seeds.
const CHANGED: usize = 20_000;

#[test]
fn what_must_hold_for_any_bytes_holds_for_these() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    std::thread::scope(|scope| {
        for (name, target) in targets::ALL {
            let seeds = seeds.join(name);
            // What is long is slow to read, and not more telling.
            let most = if name == "config" || name == "export" { 1_000 } else { CHANGED };
            scope.spawn(move || change::over(&seeds, target, most));
        }
    });
}
