//! A rollout as Markdown, ready for a post-mortem: a rollout in, a text out.

use std::fmt::Write;

use super::{Rollout, Second, Strategy};
use crate::clock::WallTime;
use crate::judge::{Bar, Counts, Distribution, Evidence, Finding, Says, Verdict};

/// Seconds of the trail that are printed, from its end.
const PRINTED: usize = 60;

impl Rollout {
    /// What was done, what was compared, and what came of it.
    pub fn report(&self) -> String {
        let mut text = String::new();
        // Writing into a text does not fail.
        let _ = self.write_report(&mut text);
        text
    }

    fn write_report(&self, text: &mut String) -> std::fmt::Result {
        let (service, from, to) = self.names();
        match self.plan.strategy {
            Strategy::Rolling => {
                writeln!(text, "# Rollout {} of `{service}`: pool `{to}`", self.id)?
            }
            _ => writeln!(text, "# Rollout {} of `{service}`: `{from}` → `{to}`", self.id)?,
        }
        writeln!(text)?;
        writeln!(text, "| | |\n|---|---|")?;
        writeln!(text, "| strategy | {} |", self.plan.strategy.name())?;
        if let Some(deploy) = &self.deploy {
            writeln!(text, "| deploys | {} |", cell(&deploy.words()))?;
        }
        writeln!(text, "| started | {} by {} |", time(self.started), cell(&self.author))?;
        if let Some(reason) = &self.reason {
            writeln!(text, "| reason | {} |", cell(reason))?;
        }
        match &self.ended {
            Some((outcome, at)) => {
                let took = at.elapsed_since(self.started).as_secs_f64();
                writeln!(text, "| ended | {}, after {took:.0} s |", time(*at))?;
                writeln!(text, "| outcome | {} |", cell(&outcome.words(self)))?;
            }
            None => writeln!(text, "| now | {} |", cell(&self.status(self.last_heard()).words))?,
        }
        let (whole, _) = self.seen();
        writeln!(text, "| requests at `{to}` | {}, {} |", whole.total, failed(whole))?;
        if let Some(evidence) = self.evidence() {
            write_evidence(text, &evidence, self)?;
        }
        self.write_latencies(text)?;
        self.write_failing(text)?;
        self.write_log(text)?;
        self.write_trail(text)
    }

    fn write_latencies(&self, text: &mut String) -> std::fmt::Result {
        let [stable, canary] = self.took();
        if stable.total() == 0 && canary.total() == 0 {
            return Ok(());
        }
        let (_, from, to) = self.names();
        writeln!(text, "\n## Latency in the last step\n")?;
        writeln!(text, "To the head of the answer, of those that did not fail.\n")?;
        writeln!(text, "| pool | answers | p50 | p90 | p95 | p99 | p99.9 |")?;
        writeln!(text, "|---|---|---|---|---|---|---|")?;
        // A renewal has one pool, which is both.
        let pools = [(from, stable), (to, canary)].into_iter();
        for (name, took) in pools.skip(usize::from(from == to)) {
            let quantiles = [0.5, 0.9, 0.95, 0.99, 0.999].map(|share| quantile(took, share));
            writeln!(text, "| `{name}` | {} | {} |", took.total(), quantiles.join(" | "))?;
        }
        Ok(())
    }

    fn write_failing(&self, text: &mut String) -> std::fmt::Result {
        if self.failing().is_empty() {
            return Ok(());
        }
        writeln!(text, "\n## Requests that failed on `{}`\n", self.plan.to)?;
        writeln!(text, "A sample; values of fields that could be secret are left out.\n")?;
        writeln!(text, "| time | request | upstream | ended | took | id | fields |")?;
        writeln!(text, "|---|---|---|---|---|---|---|")?;
        for failing in self.failing() {
            let field = |(name, value): &(String, String)| format!("{name}: {value}");
            let fields: Vec<String> = failing.headers.iter().map(field).collect();
            writeln!(
                text,
                "| {} | {} {} | {} | {} | {:.1} ms | {} | {} |",
                time(failing.at),
                cell(&failing.method),
                cell(&failing.path),
                cell(&failing.upstream),
                cell(&failing.ending),
                failing.took_ms,
                cell(&failing.request_id),
                cell(&fields.join(", ")),
            )?;
        }
        Ok(())
    }

    fn write_log(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\n## Decisions\n")?;
        for (at, what) in self.log() {
            writeln!(text, "- {} {what}", time(*at))?;
        }
        Ok(())
    }

    fn write_trail(&self, text: &mut String) -> std::fmt::Result {
        let count = self.trail().count();
        if count == 0 {
            return Ok(());
        }
        let (_, from, to) = self.names();
        writeln!(text, "\n## The last seconds\n")?;
        let is_renewal = from == to;
        match is_renewal {
            true => writeln!(text, "| time | `{to}` | failed |\n|---|---|---|")?,
            false => writeln!(
                text,
                "| time | share | `{from}` | failed | `{to}` | failed |\n|---|---|---|---|---|---|"
            )?,
        }
        for second in self.trail().skip(count.saturating_sub(PRINTED)) {
            let Second { at, share, stable, canary } = *second;
            let (at, share) = (time(at), f64::from(share) / 100.0);
            write!(text, "| {at} |")?;
            if !is_renewal {
                write!(text, " {share} % | {} | {} |", stable.total, stable.bad)?;
            }
            writeln!(text, " {} | {} |", canary.total, canary.bad)?;
        }
        Ok(())
    }
}

fn write_evidence(text: &mut String, evidence: &Evidence, rollout: &Rollout) -> std::fmt::Result {
    let (_, from, to) = rollout.names();
    let says = match &evidence.verdict {
        Verdict::Pass { .. } => "pass",
        Verdict::Fail { .. } => "fail",
        Verdict::Invalid { .. } => "invalid",
        Verdict::Inconclusive { .. } => "inconclusive",
    };
    writeln!(text, "\n## Verdict: {says}\n")?;
    writeln!(text, "{}\n", evidence.verdict.evidence())?;
    if let Some(measured) = rollout.measured() {
        writeln!(text, "Prometheus: {measured}.\n")?;
    }
    writeln!(text, "| judged by | `{from}` | `{to}` | evidence against `{to}` | enough | says |")?;
    writeln!(text, "|---|---|---|---|---|---|")?;
    for finding in &evidence.metrics {
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            cell(&named(finding)),
            failed_of(finding.stable),
            failed_of(finding.canary),
            odds(finding.worse.ln_e),
            odds(finding.worse.limit),
            match finding.says {
                Says::Fails => "**fails**",
                Says::Smoulders => "smoulders",
                Says::Quiet => "quiet",
                Says::NotJudged => "not judged",
            }
        )?;
    }
    let Bar { ln_e, limit } = evidence.gate.fine;
    writeln!(
        text,
        "\nEvidence that `{to}` is fine: {} ({} lets it go on).",
        odds(ln_e),
        odds(limit)
    )?;
    let split = &evidence.split;
    if split.stable + split.canary > 0 {
        let (arrived, share) = (split.canary, split.share);
        let all = split.stable + split.canary;
        writeln!(
            text,
            "The split is set to {share} % and gave `{to}` {arrived} of {all} arrivals."
        )?;
    }
    if evidence.per_cause > 1.1 {
        let makes = evidence.per_cause;
        writeln!(text, "Failures come together: one cause makes {makes:.1} of `{to}`.")?;
    }
    if let Some(budget) = &evidence.budget {
        writeln!(
            text,
            "Failures beyond those of `{from}`: {:.1}; the error budget bears {:.1}.",
            budget.excess, budget.limit
        )?;
    }
    if !evidence.regressed.is_empty() {
        writeln!(text, "\n## Where it regressed\n")?;
        writeln!(text, "| route | `{from}` | `{to}` | evidence |\n|---|---|---|---|")?;
        for part in &evidence.regressed {
            let (stable, canary) = (failed_of(part.stable), failed_of(part.canary));
            writeln!(text, "| {} | {stable} | {canary} | {} |", cell(&part.name), odds(part.ln_e))?;
        }
    }
    Ok(())
}

fn named(finding: &Finding) -> String {
    match finding.stable_ms.zip(finding.canary_ms) {
        Some((stable, canary)) => {
            format!("{} (slow: over {stable:.1} ms, the target {canary:.1} ms)", finding.metric)
        }
        None => finding.metric.to_string(),
    }
}

fn failed(counts: Counts) -> String {
    format!("{} failed ({:.3} %)", counts.bad, counts.ratio() * 100.0)
}

fn failed_of(counts: Counts) -> String {
    format!("{} of {} ({:.3} %)", counts.bad, counts.total, counts.ratio() * 100.0)
}

/// Evidence as odds, as people say it.
fn odds(ln_e: f64) -> String {
    match ln_e.exp() {
        odds if odds >= 1e6 => format!("{odds:.0e} to 1"),
        odds if odds >= 10.0 => format!("{odds:.0} to 1"),
        odds if odds >= 0.01 => format!("{odds:.2} to 1"),
        _ => "none".into(),
    }
}

fn quantile(took: &Distribution, share: f64) -> String {
    let took = took.quantile(share);
    took.map_or_else(|| "-".into(), |took| format!("{:.1} ms", took.as_secs_f64() * 1e3))
}

fn time(at: WallTime) -> String {
    let time = jiff::Timestamp::from_millisecond(at.millis() as i64).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// Text of others in a table.
fn cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' | '\r' => cell.push(' '),
            // In Markdown each stands for itself behind a backslash; without one it could begin a tag.
            '\\' | '|' | '<' | '>' | '&' | '`' | '*' | '[' | ']' | '~' => cell.extend(['\\', c]),
            c => cell.push(c),
        }
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn a_target_is_shown_in_a_cell_and_is_no_markdown() {
        assert_eq!(cell("/a?b=c_d"), "/a?b=c_d");
        assert_eq!(cell("/\"><script>x</script>"), "/\"\\>\\<script\\>x\\</script\\>");
        assert_eq!(cell("[a](b) `c` | &lt;\n"), "\\[a\\](b) \\`c\\` \\| \\&lt; ");
    }
}
