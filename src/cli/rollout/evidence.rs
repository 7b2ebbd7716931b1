//! What a rollout is judged by: its judgement in, tables out.

use crate::admin::wire;
use crate::cli::table::{percent, table};

/// What is compared and how long both pools took; nothing for one that has ended before any of it was
/// seen.
pub(super) fn tables(rollout: &wire::Rollout) -> Option<String> {
    let judgement = rollout.judgement.as_ref()?;
    let is_over = !matches!(&*rollout.state, "running" | "paused");
    let requests = judgement.metrics.iter().map(|it| it.stable.requests + it.target.requests);
    let answers = rollout.latency.iter().map(|took| took.count);
    let has_seen = requests.chain(answers).any(|count| count > 0);
    (has_seen || !is_over).then(|| format!("{}\n{}", judged(judgement), latencies(rollout)))
}

/// What is compared, and how strong the evidence is.
fn judged(judgement: &wire::Judgement) -> String {
    let headings = ["JUDGED BY", ">STABLE", ">TARGET", ">WORSE, TO 1", ">ENOUGH", "SAYS"];
    let failed = |attempts: &wire::Attempts| {
        format!("{} of {} ({})", attempts.failed, attempts.requests, percent(attempts.errors))
    };
    let odds = |odds: f64| if odds < 1e6 { format!("{odds:.2}") } else { format!("{odds:.1e}") };
    let rows = judgement.metrics.iter().map(|judged| {
        vec![
            match judged.stable_slow_ms.zip(judged.target_slow_ms) {
                Some((stable, target)) => {
                    format!("{} (over {stable:.1}, {target:.1} ms)", judged.metric)
                }
                None => judged.metric.clone(),
            },
            failed(&judged.stable),
            failed(&judged.target),
            odds(judged.worse.odds),
            odds(judged.worse.enough),
            judged.says.clone(),
        ]
    });
    let fine = &judgement.fine;
    let mut text = table(&headings, rows);
    text.push_str(&format!(
        "\nfine: {} to 1, and {} to 1 lets it go on",
        odds(fine.odds),
        odds(fine.enough)
    ));
    if let Some(measured) = &judgement.prometheus {
        text.push_str(&format!("\nPrometheus: {measured}"));
    }
    for part in &judgement.regressed {
        let (stable, target) = (failed(&part.stable), failed(&part.target));
        text.push_str(&format!("\nregressed: {} ({stable}, now {target})", part.route));
    }
    text
}

/// How long both pools took since the share was last set.
fn latencies(rollout: &wire::Rollout) -> String {
    let headings = ["SINCE THE STEP", ">ANSWERS", ">P50", ">P90", ">P95", ">P99", ">P99.9"];
    let time = |seconds: Option<f64>| {
        seconds.map_or_else(|| "-".into(), |seconds| format!("{:.1} ms", seconds * 1e3))
    };
    let pools = [&rollout.from, &rollout.to].into_iter().zip(&rollout.latency);
    let rows = pools.map(|(pool, took)| {
        let quantiles = [took.p50, took.p90, took.p95, took.p99, took.p999].map(time);
        [vec![pool.clone(), took.count.to_string()], quantiles.to_vec()].concat()
    });
    table(&headings, rows)
}
