//! How fields are read that serde would take otherwise: numbers that are whole, maps whose names differ.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A whole number, also where it is written with a point and zeros: to JSON, 7.0 is 7.
pub(super) fn whole_if_given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let is_whole = |float: &f64| float.fract() == 0.0 && (0.0..EXACT).contains(float);
    let whole = number.as_u64().or_else(|| number.as_f64().filter(is_whole).map(|it| it as u64));
    let found = whole.and_then(|whole| T::try_from(whole).ok());
    let wrong = || D::Error::custom(format_args!("expected a whole number, not {number}"));
    found.map(Some).ok_or_else(wrong)
}

/// Up to here floats know each whole number.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// As [`each_once`], or nothing at all.
pub(super) fn each_once_if_given<'de, D>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, String>>, D::Error>
where
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    struct Given(#[serde(deserialize_with = "each_once")] BTreeMap<String, String>);

    let given: Option<Given> = Option::deserialize(deserializer)?;
    Ok(given.map(|Given(given)| given))
}

/// A map whose keys differ: of two with one name serde would take the last.
pub(super) fn each_once<'de, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Entries<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
        type Value = BTreeMap<String, T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("names, each with what is said of it")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = BTreeMap::new();
            while let Some(name) = map.next_key::<String>()? {
                if entries.contains_key(&name) {
                    return Err(A::Error::custom(format_args!("`{name}` is named twice")));
                }
                entries.insert(name, map.next_value()?);
            }
            Ok(entries)
        }
    }

    deserializer.deserialize_map(Entries(PhantomData))
}
