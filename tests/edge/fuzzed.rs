//! The targets of `fuzz/` over their seeds and over what little changes make of those: a count, and the
//! same each time. cargo-fuzz goes on from there (`.ci/long fuzz`).

use std::path::Path;

use fastrand::Rng;

#[path = "../../fuzz/targets.rs"]
mod targets;

/// Inputs for each target beside its seeds.
const CHANGED: usize = 20_000;

#[test]
fn what_must_hold_for_any_bytes_holds_for_these() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    std::thread::scope(|scope| {
        for (name, target) in targets::ALL {
            let files = std::fs::read_dir(seeds.join(name)).unwrap();
            let mut seeds: Vec<_> = files.map(|file| file.unwrap().path()).collect();
            seeds.sort();
            let seeds: Vec<Vec<u8>> =
                seeds.iter().map(|path| std::fs::read(path).unwrap()).collect();
            scope.spawn(move || {
                seeds.iter().for_each(|seed| target(seed));
                let mut chance = Rng::with_seed(name.len() as u64);
                // What is long is slow to read, and not more telling.
                let most = if name == "config" || name == "export" { 1_000 } else { CHANGED };
                for _ in 0..most {
                    let mut bytes = seeds[chance.usize(..seeds.len())].clone();
                    let others = &seeds[chance.usize(..seeds.len())];
                    for _ in 0..1 + chance.usize(..4) {
                        change(&mut bytes, others, &mut chance);
                    }
                    target(&bytes);
                }
            });
        }
    });
}

/// One little change.
fn change(bytes: &mut Vec<u8>, others: &[u8], chance: &mut Rng) {
    let at = chance.usize(..bytes.len() + 1);
    match chance.usize(..5) {
        0 if at < bytes.len() => bytes[at] = chance.usize(..256) as u8,
        1 => bytes.insert(at, b" \r\n\0\t:;,=\"\x7f\xe9"[chance.usize(..12)]),
        2 if at < bytes.len() => drop(bytes.remove(at)),
        3 => bytes.truncate(at),
        _ => {
            let from = chance.usize(..others.len());
            let to = (from + chance.usize(..40)).min(others.len());
            bytes.splice(at..at, others[from..to].iter().copied());
        }
    }
}
