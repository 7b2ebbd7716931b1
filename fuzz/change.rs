//! What little changes make of the seeds of a target: a count, and the same each time.

use std::path::Path;

use fastrand::Rng;

/// Hands the target each seed of this folder, and so many inputs that were made of them.
pub fn over(seeds: &Path, mut target: impl FnMut(&[u8]), changed: usize) {
    let files = std::fs::read_dir(seeds).unwrap_or_else(|error| panic!("{seeds:?}: {error}"));
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files.iter().map(|path| std::fs::read(path).unwrap()).collect();
    for seed in &seeds {
        target(seed);
    }
    let mut chance = Rng::with_seed(seeds.len() as u64);
    for _ in 0..changed {
        let mut bytes = seeds[chance.usize(..seeds.len())].clone();
        let others = &seeds[chance.usize(..seeds.len())];
        for _ in 0..1 + chance.usize(..4) {
            change(&mut bytes, others, &mut chance);
        }
        target(&bytes);
    }
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
