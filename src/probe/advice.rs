//! What an upstream says of itself in the answer to a probe: its fields in, weight and drain out.

/// The share of its weight that the upstream wants, in percent.
const WEIGHT: &str = "x-pointsman-weight";

/// `1` if the upstream wants no new requests.
const DRAIN: &str = "x-pointsman-drain";

/// What a health agent asks for. Honoured only where the service says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Advice {
    /// From 0 to 100.
    pub weight: Option<u16>,
    /// Whether to send it no new requests.
    pub drain: bool,
}

impl Advice {
    /// The advice in these fields, whose values are found by name. A field that is absent or makes
    /// no sense asks for nothing: an agent's typing error should not take an upstream out.
    pub fn of<'v>(field: impl Fn(&str) -> Option<&'v [u8]>) -> Advice {
        let value = |name| field(name).and_then(|value| str::from_utf8(value).ok()).map(str::trim);
        let weight = value(WEIGHT).and_then(|text| text.parse().ok());
        Advice { weight: weight.filter(|weight| *weight <= 100), drain: value(DRAIN) == Some("1") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_asks_for_nothing() {
        let advice = |weight: &str, drain: &str| {
            let (weight, drain) = (weight.as_bytes(), drain.as_bytes());
            Advice::of(|name| match name {
                WEIGHT => Some(weight),
                DRAIN => Some(drain),
                _ => None,
            })
        };
        assert_eq!(advice("0", "1"), Advice { weight: Some(0), drain: true });
        assert_eq!(advice("100", "0"), Advice { weight: Some(100), drain: false });
        for weight in ["101", "-1", "half", "", "50 %", "65536"] {
            assert_eq!(advice(weight, "yes"), Advice::default(), "{weight}");
        }
        assert_eq!(Advice::of(|_| None), Advice::default());
    }
}
