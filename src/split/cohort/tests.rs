//! How evenly, independently and monotonically clients are spread, with a million of them each.
//! Secret and salts are fixed, so that a bound of a few standard deviations never fails by chance.

use proptest::prelude::*;

use super::*;
use crate::split::{BasisPoints, Cut, Flags, Layout, Split};

const SECRET: Secret = Secret(*b"a secret of ours");
const MANY: u32 = 1_000_000;

/// Calls with each of a million clients that count up.
fn each_user(mut with: impl FnMut(&ClientKey<'_>)) {
    use std::io::Write;
    for id in 0..MANY {
        let mut text = [0; 16];
        let mut rest = &mut text[..];
        write!(rest, "user-{id}").unwrap();
        let length = 16 - rest.len();
        with(&ClientKey::Header(&text[..length]));
    }
}

fn bp(basis_points: u16) -> BasisPoints {
    BasisPoints::new(basis_points).unwrap()
}

/// How many of a million this holds for, as a share.
fn share(holds: impl Fn(&ClientKey<'_>) -> bool) -> f64 {
    let mut count = 0u32;
    each_user(|client| count += u32::from(holds(client)));
    f64::from(count) / f64::from(MANY)
}

fn assert_even(held: &[u32]) {
    let expected = f64::from(MANY) / held.len() as f64;
    let chi: f64 = held.iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum();
    // With 999 degrees of freedom, two-sided 0.2 %.
    assert_eq!(held.len(), 1_000);
    assert!((866.5..=1_142.8).contains(&chi), "{chi}");
}

#[test]
fn a_million_ids_in_a_row_fill_a_thousand_buckets_evenly() {
    let hash = ClientHash::of_cohorts(SECRET, "shop", 7);
    let mut held = vec![0; 1_000];
    each_user(|client| held[usize::from(hash.cohort(client).get()) / 10] += 1);
    assert_even(&held);
}

#[test]
fn a_million_addresses_in_a_row_fill_a_thousand_buckets_evenly() {
    let hash = ClientHash::of_cohorts(SECRET, "shop", 7);
    let mut held = vec![0; 1_000];
    for n in 0..MANY {
        let address = std::net::Ipv4Addr::from(0x0A00_0000 + n);
        let client = ClientKey::Address(address.into());
        held[usize::from(hash.cohort(&client).get()) / 10] += 1;
    }
    assert_even(&held);
}

#[test]
fn the_first_tenths_of_two_salts_services_and_flags_are_independent() {
    let first = ClientHash::of_cohorts(SECRET, "shop", 7);
    let others = [
        ("a salt", ClientHash::of_cohorts(SECRET, "shop", 8)),
        ("a service", ClientHash::of_cohorts(SECRET, "cart", 7)),
        ("a flag", ClientHash::of_flag(SECRET, "shop")),
        ("balancing", ClientHash::of_balance(SECRET)),
        ("a secret", ClientHash::of_cohorts(Secret([1; 16]), "shop", 7)),
    ];
    let is_in = |hash: &ClientHash, client: &ClientKey<'_>| hash.cohort(client).get() < 1_000;
    for (other, hash) in others {
        let joint = share(|client| is_in(&first, client) && is_in(&hash, client));
        assert!((joint - 0.01).abs() <= 0.0003, "{other}: {joint}");
    }
    let (a, b) = (ClientHash::of_flag(SECRET, "a"), ClientHash::of_flag(SECRET, "b"));
    let joint = share(|client| is_in(&a, client) && is_in(&b, client));
    assert!((joint - 0.01).abs() <= 0.0003, "two flags: {joint}");
}

#[test]
fn a_pool_and_a_flag_get_their_share_of_the_clients() {
    let hash = ClientHash::of_cohorts(SECRET, "shop", 7);
    for weight in [1, 100, 500, 2_500, 5_000, 9_900] {
        let w = bp(weight).ratio();
        let bound = 4.0 * (w * (1.0 - w) / f64::from(MANY)).sqrt();
        let parts = [("blue".into(), bp(WHOLE - weight)), ("green".into(), bp(weight))];
        let cut = Cut::of(&Layout::of(&Split::new(parts).unwrap()), ["blue", "green"]);
        let on_green = share(|client| cut.pool(hash.cohort(client)) == 1);
        assert!((on_green - w).abs() <= bound, "a pool at {w}: {on_green}");
        let flags = Flags::new([("new_checkout".into(), bp(weight))], SECRET);
        let flagged = share(|client| !flags.on(client).is_empty());
        assert!((flagged - w).abs() <= bound, "a flag at {w}: {flagged}");
    }
}

#[test]
fn nobody_has_a_flag_at_zero_and_everybody_one_at_the_whole() {
    let flags = |share| Flags::new([("new_checkout".into(), share)], SECRET);
    let (none, all) = (flags(BasisPoints::NONE), flags(BasisPoints::WHOLE));
    each_user(|client| assert!(none.on(client).is_empty() && !all.on(client).is_empty()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whoever is on the new pool, or has a flag, has it still when the share has grown.
    #[test]
    fn growing_keeps_everybody(
        key: [u8; 16],
        salt: u64,
        from: u64,
        (small, large) in (0u16..WHOLE).prop_flat_map(|small| (Just(small), small + 1..=WHOLE)),
    ) {
        let hash = ClientHash::of_cohorts(Secret(key), "shop", salt);
        let cut = |green| {
            let parts = [("blue".into(), bp(WHOLE - green)), ("green".into(), bp(green))];
            Cut::of(&Layout::of(&Split::new(parts).unwrap()), ["blue", "green"])
        };
        let flags = |share| Flags::new([("new_checkout".into(), bp(share))], Secret(key));
        let (before, after) = (cut(small), cut(large));
        let (few, more) = (flags(small), flags(large));
        for id in 0..2_000 {
            let client = ClientKey::Draw(from.wrapping_add(id));
            let cohort = hash.cohort(&client);
            prop_assert!(before.pool(cohort) == 0 || after.pool(cohort) == 1);
            prop_assert!(few.on(&client).is_empty() || few.on(&client) == more.on(&client));
        }
    }
}
