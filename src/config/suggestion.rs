//! What a mistyped name may have meant: the name and those there are in, words out.

/// What there is instead of an unknown name, for the end of a message: nothing if there is nothing.
pub fn suggest<'k>(given: &str, known: impl Iterator<Item = &'k str> + Clone) -> String {
    // Whoever has hundreds of upstreams wants to read the end of the message too.
    const LISTED: usize = 10;
    let all = known.clone().count();
    let names: Vec<String> = known.clone().take(LISTED).map(|name| format!("`{name}`")).collect();
    let verb = if all == 1 { "is" } else { "are" };
    let more = match all.saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match nearest(given, known) {
        _ if all == 0 => String::new(),
        Some(near) => format!("; there {verb} {}{more}; did you mean `{near}`?", names.join(", ")),
        None => format!("; there {verb} {}{more}", names.join(", ")),
    }
}

/// The known word nearest to a mistyped one, if any is near.
pub(super) fn nearest<'k>(given: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let near = known.map(|word| (strsim::damerau_levenshtein(given, word), word));
    let (distance, word) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= (given.len().max(word.len()) / 3).max(1)).then_some(word)
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let names = ["api", "shop"];
        let suggest = |given: &str, names: &[&str]| super::suggest(given, names.iter().copied());
        assert_eq!(suggest("shp", &names), "; there are `api`, `shop`; did you mean `shop`?");
        assert_eq!(suggest("billing", &names), "; there are `api`, `shop`");
        assert_eq!(suggest("x", &["shop"]), "; there is `shop`");
        assert_eq!(suggest("shop", &[]), "");
        let many = suggest("zzz", &["shop"; 12]);
        assert!(many.ends_with("`shop` and 2 more"), "{many}");
    }
}
