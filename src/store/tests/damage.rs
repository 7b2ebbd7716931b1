use super::*;
use crate::clock::Draws;
use crate::store::crash::FrailDisk;

/// A store with something in it, closed well or as a kill leaves it.
fn bytes(closed: bool) -> (Vec<u8>, Export) {
    let disk = FrailDisk::default();
    let store = Store::with_backend(disk.clone()).unwrap();
    store.secret(|| Ok([3; 16])).unwrap();
    (0..10).for_each(|n| everything(n).commit(&store).unwrap());
    let (killed, export) = (disk.bytes(), store.export().unwrap());
    drop(store);
    (if closed { disk.bytes() } else { killed }, export)
}

/// Damaged bytes are refused, with nothing changed in them; or the damage hit nothing.
/// Answers whether they were refused.
fn check(bytes: &[u8], whole: &Export, what: &str) -> bool {
    let disk = FrailDisk::holding(bytes.to_vec());
    match Store::with_backend(disk.clone()) {
        Ok(store) => {
            assert!(store.export().unwrap() == *whole, "{what}: it says something else");
            false
        }
        Err(StoreError::Damaged { .. } | StoreError::Newer { .. }) => {
            assert!(disk.bytes() == bytes, "{what}: the evidence was spoilt");
            true
        }
        Err(error) => panic!("{what}: {error}"),
    }
}

#[test]
fn a_flipped_bit_is_refused_or_hits_nothing() {
    for closed in [true, false] {
        let (good, whole) = bytes(closed);
        assert!(!check(&good, &whole, "undamaged"));
        let mut draws = Draws::seeded(4);
        let header = (0..512).map(|at| (at, (at % 8) as u8));
        let anywhere =
            (0..400).map(|_| (draws.below(good.len() as u64) as usize, draws.below(8) as u8));
        let places: Vec<_> = header.chain(anywhere).collect();
        let refused = places.iter().filter(|&&(at, bit)| {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            check(&bad, &whole, &format!("bit {bit} of byte {at}, closed: {closed}"))
        });
        assert!(refused.count() > 20);
    }
}

#[test]
fn a_zeroed_page_is_refused_or_hits_nothing() {
    for closed in [true, false] {
        let (good, whole) = bytes(closed);
        let refused = (0..good.len() / 4_096).filter(|page| {
            let mut bad = good.clone();
            bad[page * 4_096..][..4_096].fill(0);
            check(&bad, &whole, &format!("page {page}, closed: {closed}"))
        });
        assert!(refused.count() > 3);
    }
}

#[test]
fn a_file_cut_short_is_refused() {
    for closed in [true, false] {
        let (good, whole) = bytes(closed);
        for length in (1..good.len()).step_by(3_001) {
            check(&good[..length], &whole, &format!("{length} bytes, closed: {closed}"));
        }
    }
}

#[test]
fn garbage_is_refused() {
    let (good, whole) = bytes(true);
    let mut draws = Draws::seeded(5);
    for length in [1, 9, 100, 5_000, 100_000] {
        let mut bad: Vec<u8> = (0..length).map(|_| draws.bits() as u8).collect();
        assert!(check(&bad, &whole, "garbage"));
        let magic = length.min(9);
        bad[..magic].copy_from_slice(&good[..magic]);
        assert!(check(&bad, &whole, "garbage with the right beginning"));
    }
}
