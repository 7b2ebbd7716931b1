//! Which plan is rehearsed: what is wished, a config or what was recorded in, a plan and where it is from out.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};

use super::Rehearse;
use super::recording::Recording;
use crate::cli::check;
use crate::cli::input::Input;
use crate::config::{self, Config};
use crate::files::FileError;
use crate::rollout::{Plan, RolloutSettings, Wishes};
use crate::slo::Slo;
use crate::split::Split;

/// A plan and where it is from.
pub(super) struct Planned {
    pub service: Option<String>,
    pub plan: Plan,
    /// Of the pool that traffic leaves, and of the other.
    pub upstreams: [u32; 2],
    pub is_sticky: bool,
    pub slo: Option<Arc<Slo>>,
}

impl Planned {
    /// Of a service with these pools, each with so many upstreams.
    pub fn of(service: &str, plan: Plan, pools: &[(Arc<str>, usize)]) -> Planned {
        let upstreams = |name: &Arc<str>| {
            let found = pools.iter().find(|(pool, _)| pool == name);
            found.map_or(1, |(_, upstreams)| (*upstreams).clamp(1, 1_000) as u32)
        };
        let upstreams = [upstreams(&plan.from), upstreams(&plan.to)];
        Planned { service: Some(service.into()), plan, upstreams, is_sticky: false, slo: None }
    }

    /// What of the plan a rehearsal does not do.
    pub fn notes(&self) -> Vec<String> {
        let plan = &self.plan;
        let has_hooks = plan.hooks != Default::default();
        let left_out = [
            (
                has_hooks || !plan.smoke.is_empty(),
                "hooks and smoke requests are taken to pass at once",
            ),
            (plan.judging.prometheus.is_some(), "Prometheus is not asked"),
            (self.slo.is_some(), "freezes and burn rates of the error budget are not simulated"),
            (!plan.judging.metrics.is_empty(), "metrics that upstreams report are not simulated"),
            (
                !plan.judging.settings.enabled,
                "the judge is off in the config: only the guard judges",
            ),
        ];
        let there = left_out.into_iter().filter(|(is_there, _)| *is_there);
        there.map(|(_, note)| note.to_string()).collect()
    }
}

impl Rehearse {
    /// The plan of the file's service, of what was recorded, or the default one.
    pub(super) fn planned(
        &self,
        config: Option<(&Path, &Config)>,
        recording: Option<&Recording>,
    ) -> anyhow::Result<Planned> {
        let wishes = Wishes {
            to: self.to.clone(),
            steps: self.steps.clone(),
            hold: self.hold,
            min_requests: self.min_requests,
            ..Wishes::default()
        };
        let Some((path, config)) = config else {
            if let Some(recording) = recording {
                return recording.planned(&wishes);
            }
            let pools = [("stable".into(), 1), ("canary".into(), 1)];
            let split = Split::all_to("stable".into());
            let plan = Plan::new(&RolloutSettings::default(), &wishes, &pools, &split)?;
            return Ok(Planned {
                service: None,
                plan,
                upstreams: [1, 1],
                is_sticky: false,
                slo: None,
            });
        };
        let recorded_of = recording.map(Recording::service);
        let service = self.chosen(config, path, recorded_of)?;
        let mut pools: Vec<(Arc<str>, usize)> =
            service.pools.iter().map(|pool| (pool.name.clone(), pool.upstreams.len())).collect();
        if let [(_, upstreams)] = pools[..] {
            pools.push(("canary".into(), upstreams));
        }
        // Whoever has most of the traffic now is who a rollout would start from.
        let busiest = service.split.parts().iter().max_by_key(|(_, share)| *share);
        let from = match recording.map(Recording::from) {
            Some(from) if service.pools.iter().all(|pool| pool.name != *from) => {
                let names = service.pools.iter().map(|pool| format!("`{}`", pool.name));
                bail!(
                    "most requests that were recorded went to pool `{from}`; in {} service `{}` has {}",
                    path.display(),
                    service.name,
                    names.collect::<Vec<_>>().join(", ")
                )
            }
            Some(from) => from.clone(),
            None => busiest.map(|(pool, _)| pool.clone()).context("no pool has traffic")?,
        };
        let plan = Plan::new(&service.rollout, &wishes, &pools, &Split::all_to(from))
            .with_context(|| format!("no rollout of {} can be planned", service.name))?;
        let (is_sticky, slo) = (!service.sticky.keys.is_empty(), service.slo.clone());
        Ok(Planned { is_sticky, slo, ..Planned::of(&service.name, plan, &pools) })
    }

    /// The service that is named, or was recorded, or the only one.
    fn chosen<'c>(
        &self,
        config: &'c Config,
        path: &Path,
        recorded_of: Option<&str>,
    ) -> anyhow::Result<&'c config::Service> {
        let names = config.services.iter().map(|service| &*service.name);
        match (self.service.as_deref().or(recorded_of), &config.services[..]) {
            (Some(name), _) => config.service(name).ok_or_else(|| {
                let known = config::suggest(name, names);
                anyhow!("{} has no service `{name}`{known}", path.display())
            }),
            (None, [only]) => Ok(only),
            (None, _) => {
                let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
                bail!("say which service: {} has {}", path.display(), names.join(", "))
            }
        }
    }
}

/// A config file, its mistakes shown the way `check` does.
pub(super) fn read(path: &Path) -> anyhow::Result<Arc<Config>> {
    let shown = path.display().to_string();
    match Input::File(path.to_path_buf()).written()?.parse() {
        Ok((config, _)) => Ok(config),
        Err(FileError::Problems(rejected)) => {
            eprintln!("{}\n", rejected.render(check::is_coloured()));
            bail!("{shown} cannot be used")
        }
        Err(error) => Err(error.into()),
    }
}
