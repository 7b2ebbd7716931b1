//! Alerts of others: what they say in, what is kept of it and what it opens out.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::draft::Draft;
use super::super::{Made, Refused};
use crate::config::Severity;
use crate::event::{Kind, Subject};
use crate::incident::{ALERTS_KEPT, Alert, Opening, Origin, OriginKind};
use crate::state::Change;

/// Alerts of one turn that are told by name.
const NAMED: usize = 3;

/// Services whose alerts are told of one by one, of one call.
const TOLD: usize = 20;

/// How bad an incident is that an alert opens which does not say.
const UNSAID: Severity = Severity::High;

impl Draft<'_> {
    /// Takes in what somebody says of alerts: all of it, or nothing.
    pub(in super::super) fn take_alerts(&mut self, alerts: &[Alert]) -> Result<Made, Refused> {
        let rules = self.view.config.incidents.clone();
        let mut turned: BTreeMap<(String, bool), Vec<Arc<Alert>>> = BTreeMap::new();
        let (mut firing, mut resolved) = (0, 0);
        for said in alerts {
            let mut alert = said.clone().tamed(&rules.service_label);
            let before = self.state.alerts().get(&*alert.fingerprint).cloned();
            if let Some(before) = &before
                && let (Some(then), Some(_)) = (before.resolved, alert.resolved)
            {
                // It is resolved once, however often that is said.
                alert.resolved = Some(then);
            }
            match alert.is_firing() {
                true => firing += 1,
                false => resolved += 1,
            }
            // What was resolved before anybody here knew of it is no news.
            let is_unknown = before.is_none() && !alert.is_firing();
            let is_news = before.as_ref().is_none_or(|before| alert.is_news(before));
            if is_unknown || !is_news {
                continue;
            }
            if before.is_none() {
                self.make_room()?;
            }
            let (has_turned, alert) = (alert.has_turned(before.as_deref()), Arc::new(alert));
            self.change(Change::Alert(alert.clone()));
            if has_turned {
                let key = (alert.service.clone(), alert.is_firing());
                turned.entry(key).or_default().push(alert);
            }
        }
        self.tell_turned(&turned);
        let mut opened = Vec::new();
        for alert in turned.values().flatten().filter(|alert| alert.is_firing()) {
            if alert.has_all(&rules.alerts) {
                opened.extend(self.open_for_alert(alert)?);
            }
        }
        Ok(Made::Alerts { firing, resolved, opened })
    }

    /// Lets go of the alert that was resolved first, if there is no room for another.
    fn make_room(&mut self) -> Result<(), Refused> {
        if self.state.alerts().len() < ALERTS_KEPT {
            return Ok(());
        }
        let resolved =
            self.state.alerts().values().filter_map(|alert| {
                alert.resolved.map(|at| (at, alert.fingerprint.as_str().into()))
            });
        let (_, fingerprint) = resolved.min().ok_or(Refused::TooManyAlerts(ALERTS_KEPT))?;
        self.change(Change::ForgetAlert { fingerprint });
        Ok(())
    }

    fn tell_turned(&mut self, turned: &BTreeMap<(String, bool), Vec<Arc<Alert>>>) {
        for ((service, are_firing), alerts) in turned.iter().take(TOLD) {
            let named = alerts.iter().take(NAMED).map(|alert| alert.words()).collect();
            let kind =
                Kind::AlertsTurned { are_firing: *are_firing, alerts: named, all: alerts.len() };
            self.say(kind, Subject::service(service));
        }
    }

    /// Opens an incident for an alert, unless one is open of its service, which gathers it like
    /// everything else. It never freezes anything.
    fn open_for_alert(&mut self, alert: &Alert) -> Result<Option<u64>, Refused> {
        let is_known = self.view.config.service(&alert.service).is_some();
        let service = if is_known { alert.service.as_str() } else { "" };
        if self.state.open_incidents().any(|incident| incident.is_about(service)) {
            return Ok(None);
        }
        let rules = self.view.config.incidents.clone();
        let severity = alert.labels.get("severity").and_then(|word| word.parse().ok());
        let opening = Opening {
            title: alert.words(),
            severity: severity.unwrap_or(UNSAID),
            services: is_known.then(|| service.to_string()).into_iter().collect(),
            commander: None,
            channel: rules.channel.as_deref().map(Into::into),
            every: rules.updates,
        };
        let what = format!("alert {}", alert.words());
        let origin = Origin { kind: OriginKind::Alert, what, event: 0 };
        self.open_incident(opening, origin, false).map(|incident| Some(incident.id))
    }
}
