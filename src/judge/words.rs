//! A verdict in a sentence for people: what was compared, how strong the evidence is, what is missing.

use std::time::Duration;

use super::settings::SMOULDERING;
use super::slower::{LatencyTest, Threshold};
use super::{Counts, Judge, LATENCIES, Metric, Rise, Ruling, Step, Verdict};

impl Judge {
    /// What is to be done, with the evidence.
    pub fn verdict(&self) -> Verdict {
        let Some(step) = self.step.as_ref().filter(|_| self.settings.enabled) else {
            return match self.settings.enabled {
                false => Verdict::Pass { evidence: "the judge is off".into() },
                true => Verdict::Inconclusive { evidence: "the canary has no traffic yet".into() },
            };
        };
        match self.ruling() {
            Ruling::Fail(driver) => {
                Verdict::Fail { evidence: self.failure_words(&driver, step), driver }
            }
            Ruling::Invalid => Verdict::Invalid { evidence: self.split_words() },
            Ruling::Pass => Verdict::Pass {
                evidence: format!("{}; {}", self.compared(step), self.gate_words()),
            },
            Ruling::Inconclusive => Verdict::Inconclusive {
                evidence: format!("{}; {}", self.compared(step), self.missing_words()),
            },
        }
    }

    /// How many more requests without a failure would open the gate, if the stable pool goes on as
    /// it did in this step.
    pub(super) fn requests_missing(&self) -> Option<u64> {
        let step = self.step.as_ref()?;
        let limit = self.gate_limit();
        let mut margin = self.settings.gate_margin();
        if let Some(frozen) = &self.frozen {
            margin.rate = frozen.margin(margin.rate);
            return self.gate.requests_to(limit, margin, 0.0, 0.0);
        }
        let share = step.share.ratio();
        let beside = match step.canary.total {
            0 if share > 0.0 => (1.0 - share) / share,
            0 => return None,
            requests => step.stable.total as f64 / requests as f64,
        };
        self.gate.requests_to(limit, margin, beside, step.stable.ratio())
    }

    fn failure_words(&self, driver: &Metric, step: &Step) -> String {
        let settings = &self.settings;
        let (guard, more) = (settings.guard, settings.alpha_more());
        match driver {
            Metric::Guard => format!(
                "in this step the canary failed {}, the stable pool {}, and the guard allows less than \
                 {}; evidence {} that more than {} fail ({} suffices){}",
                of(step.canary, "requests"),
                of(step.stable, ""),
                percent(guard),
                odds(self.guard.ln_e()),
                percent(guard / 2.0),
                odds(-more.ln()),
                self.suspect_words(),
            ),
            Metric::Errors => format!("{}{}", self.error_words(), self.suspect_words()),
            Metric::P50 | Metric::P95 | Metric::P99 => {
                let test = self.latency_tests().find(|(metric, ..)| *metric == driver);
                let words = test.map(|(_, test, alpha)| {
                    let odds = (odds(test.ln_e()), odds(-alpha.ln()));
                    let slow = self.slow_words(driver, test);
                    format!("{slow}; evidence {} that it is slower ({} suffices)", odds.0, odds.1)
                });
                words.unwrap_or_default()
            }
            Metric::Custom(name) => {
                let metric = self.metrics.iter().find(|metric| metric.name == *name);
                let words = metric.map(|metric| {
                    format!(
                        "`{name}`: {} the canary had {}, the stable pool {}; evidence {} that it has \
                         more than {} times as many ({} suffices)",
                        lately(metric.rise),
                        of(metric.rise.canary, ""),
                        of(metric.rise.stable, ""),
                        odds(metric.test.ln_e()),
                        settings.tolerated_ratio,
                        odds(-more.ln()),
                    )
                });
                words.unwrap_or_default()
            }
            Metric::Budget => format!(
                "the canary failed about {} requests more than the stable pool would have, and a \
                 rollout may spend {} of the error budget",
                grouped(self.excess),
                grouped(self.budget),
            ),
        }
    }

    /// Why its errors fail it: what happened since they became evidence, for its totals may be good.
    fn error_words(&self) -> String {
        let (lately, canary) = (lately(self.rise), of(self.rise.canary, "requests"));
        let settings = &self.settings;
        match &self.frozen {
            Some(frozen) => format!(
                "{lately} the canary, which has all traffic, failed {canary}; the stable pool failed {} \
                 until then; evidence {} that it fails more than {} ({} suffices)",
                of(frozen.limit().1, ""),
                odds(frozen.ln_e()),
                percent(frozen.limit().0),
                odds(-(settings.alpha_more() / 2.0).ln()),
            ),
            None => format!(
                "{lately} the canary failed {canary}, the stable pool {}{}; evidence {} that it fails \
                 more than {} times as often ({} suffices)",
                of(self.rise.stable, ""),
                self.cause_words(),
                odds(self.errors.ln_e()),
                hundredths(self.ratio),
                odds(-settings.alpha_errors().ln()),
            ),
        }
    }

    /// Which upstream it is, if it is one.
    fn suspect_words(&self) -> String {
        let rate = match &self.frozen {
            Some(frozen) => frozen.limit().1.ratio(),
            None => self.rise.stable.ratio(),
        };
        let named = self.suspects.named(rate);
        named.map_or_else(String::new, |(name, share)| {
            format!("; {name} has {} of the excess", percent(share))
        })
    }

    /// That failures come together, if they do.
    fn cause_words(&self) -> String {
        match self.per_cause > TOGETHER {
            true => format!("; one cause makes {} failures", significant(self.per_cause)),
            false => String::new(),
        }
    }

    /// What failures were compared, in this step.
    fn compared(&self, step: &Step) -> String {
        let canary = of(step.canary, "requests");
        match &self.frozen {
            Some(frozen) => {
                let (limit, past) = frozen.limit();
                format!(
                    "the canary, which has all traffic, failed {canary}; the stable pool failed {} \
                     until then, so that up to {} are tolerated",
                    of(past, ""),
                    percent(limit),
                )
            }
            None => format!(
                "in this step the canary failed {canary}, the stable pool {}",
                of(step.stable, "")
            ),
        }
    }

    fn slow_words(&self, metric: &Metric, test: &LatencyTest) -> String {
        let quantile = LATENCIES.iter().find(|(_, named)| named == metric);
        let times = quantile
            .and_then(|(quantile, _)| Threshold::at(*quantile, &self.past, self.settings.slack()));
        let (stable_time, canary_time) = times.map(|times| times.times()).unwrap_or_default();
        let millis = |time: Duration| significant(time.as_secs_f64() * 1e3);
        let Rise { stable, canary, .. } = test.rise();
        format!(
            "{} {} of the canary's {} requests took {} ms or longer, {} of the stable pool's {} took \
             {} ms or longer, its {metric}",
            lately(test.rise()),
            percent(canary.ratio()),
            grouped(canary.total as f64),
            millis(canary_time),
            percent(stable.ratio()),
            grouped(stable.total as f64),
            millis(stable_time),
        )
    }

    fn split_words(&self) -> String {
        let (share, stable, canary) = self.split.arrivals();
        let arrivals = Counts { total: stable + canary, bad: canary };
        format!(
            "the canary got {} where the split says {share} %; evidence {} that the split is off ({} \
             suffices), so that nothing compared counts",
            of(arrivals, "requests"),
            odds(self.split.ln_e()),
            odds(self.split.limit()),
        )
    }

    fn gate_words(&self) -> String {
        let margin = self.settings.gate_margin();
        let (ratio, rate) = match &self.frozen {
            None => (format!("{} times as often or less than ", margin.ratio), margin.rate),
            Some(frozen) => (String::new(), frozen.margin(margin.rate)),
        };
        format!(
            "evidence {} that it fails less than {ratio}{} ({} suffices)",
            odds(self.gate.ln_e()),
            percent(rate),
            odds(self.gate_limit()),
        )
    }

    /// Whether its failures of this step are just what the gate rules out.
    fn fails_beyond_the_margin(&self) -> bool {
        let Some(step) = &self.step else { return false };
        let mut margin = self.settings.gate_margin();
        if let Some(frozen) = &self.frozen {
            margin.rate = frozen.margin(margin.rate);
            return step.canary.ratio() > margin.rate;
        }
        let rate = step.canary.ratio();
        rate > margin.rate && rate > margin.ratio * step.stable.ratio()
    }

    fn missing_words(&self) -> String {
        if self.gate.ln_e() < self.gate_limit() {
            let missing = match self.requests_missing() {
                _ if self.fails_beyond_the_margin() => "it fails too often for that".into(),
                Some(missing) => {
                    format!("about {} more requests without a failure would do", about(missing))
                }
                None => "no number of requests would do".into(),
            };
            return format!("{}: {missing}", self.gate_words());
        }
        let Some((metric, test)) = self.smouldering() else { return self.gate_words() };
        let missing = match test.requests_to_calm(SMOULDERING.ln()) {
            Some(missing) => format!(
                "about {} more requests as quick as the stable pool's would calm that",
                about(missing.max(1))
            ),
            None => "it has to be looked at".into(),
        };
        format!(
            "{}; evidence {} that it is slower, and it gets more below {} only: {missing}",
            self.slow_words(metric, test),
            odds(test.ln_e()),
            odds(SMOULDERING.ln()),
        )
    }
}

/// A cause that makes more failures than this is told of.
const TOGETHER: f64 = 1.1;

/// A ratio as it is set: 1.25, 2.
fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// "in the last 9 s".
fn lately(rise: Rise) -> String {
    format!("in the last {} s", grouped(rise.seconds as f64))
}

/// "12 of 3,400 requests (0.35 %)".
fn of(counts: Counts, what: &str) -> String {
    let Counts { total, bad } = counts;
    let space = if what.is_empty() { "" } else { " " };
    let (bad, all) = (grouped(bad as f64), grouped(total as f64));
    format!("{bad} of {all}{space}{what} ({})", percent(counts.ratio()))
}

/// "12,000 to 1", with two digits that count.
fn odds(ln_e: f64) -> String {
    let e = ln_e.exp();
    match e {
        _ if e < 1.0 => "less than 1 to 1".into(),
        _ if e < 1e6 => format!("{} to 1", significant(e)),
        _ if e < 1e9 => format!("{} million to 1", significant(e / 1e6)),
        _ if e < 1e12 => format!("{} billion to 1", significant(e / 1e9)),
        _ => "more than a trillion to 1".into(),
    }
}

/// "0.35 %".
fn percent(share: f64) -> String {
    format!("{} %", significant(share * 100.0))
}

/// A forecast: two digits that count.
fn about(requests: u64) -> String {
    let requests = requests as f64;
    let unit = 10f64.powf((requests.max(1.0).log10().floor() - 1.0).max(0.0));
    grouped((requests / unit).round() * unit)
}

/// Two digits that count, from 100 on three: 0.034, 1.2, 12, 345, 12,300.
fn significant(number: f64) -> String {
    if number == 0.0 {
        return "0".into();
    }
    let digits = if number >= 100.0 { 3 } else { 2 };
    let magnitude = number.abs().log10().floor() as i32;
    let decimals = digits - 1 - magnitude;
    if decimals <= 0 {
        let unit = 10f64.powi(-decimals);
        return grouped((number / unit).round() * unit);
    }
    let text = format!("{number:.*}", decimals as usize);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// A whole number with its thousands apart.
fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number <= -0.5 {
        text.push('-');
    }
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_they_are_worth() {
        let cases = [
            (0.034_12, "0.034"),
            (1.25, "1.2"),
            (2.5, "2.5"),
            (9.96, "10"),
            (12.0, "12"),
            (345.6, "346"),
            (12_345.0, "12,300"),
            (0.1, "0.1"),
            (0.0, "0"),
        ];
        for (number, text) in cases {
            assert_eq!(significant(number), text);
        }
        assert_eq!(
            (grouped(1_234_567.0), grouped(-1_234.0), grouped(-0.2)),
            ("1,234,567".into(), "-1,234".into(), "0".into())
        );
    }

    #[test]
    fn evidence_is_said_as_odds() {
        let cases = [
            (-1.0, "less than 1 to 1"),
            (3.2f64.ln(), "3.2 to 1"),
            (250f64.ln(), "250 to 1"),
            (12_345f64.ln(), "12,300 to 1"),
            (4.2e6f64.ln(), "4.2 million to 1"),
            (7e10f64.ln(), "70 billion to 1"),
            (100.0, "more than a trillion to 1"),
        ];
        for (ln_e, text) in cases {
            assert_eq!(odds(ln_e), text);
        }
    }
}
