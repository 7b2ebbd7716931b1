//! How a decision comes into force: what is decided in, handed to the disk and taken in out.
//!
//! A decision on top of a batch that the disk has in its hands is numbered after it. Whether that
//! batch is stored or not, what was decided later stands: its changes say of each entry of the same
//! rollout that the batch touches how it is to be.

use std::sync::Arc;

use super::queue::{Asked, Held, Job, PATIENCE, PROMPT, SILENCE};
use super::rollouts::Watched;
use super::*;
use crate::upstream::Proof;

/// What a file has changed that a process began with, for who is told that it is not stored.
pub(super) const EDITS: &str = "the file was edited before the start";

impl Job {
    /// What an order has come to.
    pub(super) fn of(asked: Asked, decided: Decided) -> Job {
        let config = match &asked.order {
            Order::Reload { config, learnt, .. } => Some((config.clone(), learnt.clone())),
            _ => None,
        };
        let (scope, since) = (asked.order.scope(), asked.since);
        let mut job = Job::by_itself(scope, decided, since);
        (job.asked, job.config) = (Some(asked), config);
        job
    }

    /// What has come about by itself.
    pub(super) fn by_itself(scope: order::Scope, decided: Decided, since: Instant) -> Job {
        let Decided { changes, effects, answer, haste, warnings } = decided;
        let said = effects.iter().find_map(|effect| match effect {
            Effect::Say(event) if event.subject.upstream.is_empty() => Some(event.words()),
            Effect::Say(event) => {
                let Subject { pool, upstream, .. } = &event.subject;
                Some(format!("`{upstream}` of pool `{pool}`: {}", event.words()))
            }
            _ => None,
        });
        Job {
            asked: None,
            done: None,
            scope,
            haste,
            words: said.unwrap_or_default(),
            changes,
            effects,
            answer,
            warnings,
            config: None,
            since,
            is_answered: false,
            is_told: false,
            note: None,
            is_noted: false,
            overtaken: Vec::new(),
        }
    }
}

impl Orders {
    /// Brings a decision on its way: into force at once if it must not wait, else to the disk.
    pub(super) fn submit(&mut self, job: Job, snapshot: &Snapshot, now: Now) {
        let services: Vec<Arc<str>> = self.watched.keys().cloned().collect();
        for service in services.iter().filter(|service| job.scope.is_of(service)) {
            self.watched.get_mut(service).into_iter().for_each(Watched::forget_readings);
        }
        if job.haste != Haste::None {
            return self.do_at_once(job, snapshot, now);
        }
        match job.changes.is_empty() {
            true => self.finish(job, snapshot, now),
            false => self.queue.waiting.push_back(job),
        }
    }

    /// Takes away traffic from what is sick: in force now, stored as soon as it can be.
    fn do_at_once(&mut self, mut job: Job, snapshot: &Snapshot, now: Now) {
        let order::Scope::Service(service) = job.scope.clone() else { return };
        self.withdraw_for(&service, &job.words);
        if let (Haste::Traffic, Some(Held::Job(held))) = (job.haste, &mut self.queue.in_hands)
            && held.moves_rollout(&service)
        {
            held.overtaken.push((service.clone(), job.words.clone()));
            for change in held.changes.iter().filter(|change| change.service() == Some(&service)) {
                let is_said = job.changes.iter().any(|own| own.is_of_entry(change));
                let undoing = self.state.undoing(change).filter(|_| !is_said);
                job.changes.extend(undoing);
            }
            let taken = revisions_of(&held.changes, &service).max_by_key(|taken| taken.number);
            let own = revisions_of(&job.changes, &service).map(|own| own.number).max();
            if let (Some(taken), Some(newest)) = (taken, self.state.newest(&service))
                && taken.number > newest.number
                && own < Some(taken.number)
            {
                // It moves nothing, and what the disk has in its hands must not either.
                let revision = Revision {
                    number: taken.number + 1,
                    author: "pointsman".into(),
                    reason: Some(job.words.clone()),
                    at: (now.wall.seconds() * 1e3).round() / 1e3,
                    outcome: None,
                    // Of one rollout its steps and the way back are one change.
                    rollout: taken.rollout,
                    is_back: true,
                    ..(**newest).clone()
                };
                let (service, revision) = (service.clone(), Arc::new(revision));
                job.changes.push(Change::Revision { service, revision });
            }
        }
        self.note_ended(&job.changes);
        job.note = job.note.take().or_else(|| job.against_rollout(now));
        let effects = std::mem::take(&mut job.effects);
        self.queue.urgent.push_back(job);
        self.settle(snapshot, effects, now);
    }

    /// What waits for a service gives way to what must not wait.
    fn withdraw_for(&mut self, service: &str, by: &str) {
        let (jobs, asked) = self.queue.withdraw(service);
        let gave_way = || Refused::GaveWay { by: by.to_string() };
        for job in jobs.into_iter().rev() {
            self.unheard.extend(job.done);
            match job.asked {
                // Of a file with many services it is decided anew.
                Some(asked) if job.config.is_some() => self.queue.undecided.push_front(asked),
                Some(asked) => self.replies.push((asked.ticket, Err(gave_way()))),
                None => {}
            }
        }
        self.replies.extend(asked.into_iter().map(|asked| (asked.ticket, Err(gave_way()))));
    }

    /// What is to be stored now, if the disk is free. How it went is told by
    /// [`Orders::on_written`].
    pub fn next_write(&mut self, counts: Counts, now: Now) -> Option<Vec<Change>> {
        self.queue.next(counts, now.instant)
    }

    /// The disk has answered: what it was given is stored, or nothing of it has happened, and why.
    pub fn on_written(&mut self, written: Result<(), String>, snapshot: &Snapshot, now: Now) {
        if let Some(since) = self.queue.handed.filter(|_| self.queue.is_silent) {
            self.queue.is_silent = false;
            let after = now.instant.saturating_duration_since(since);
            self.say(Kind::DiskAnswers { after }, Subject::default());
        }
        if written.is_ok() && self.queue.take_unsaved() {
            self.say(Kind::Stored { what: EDITS.into() }, Subject::default());
        }
        match (self.queue.take_held(), written) {
            (None, _) => {}
            (Some(Held::Counts(changes)), Ok(())) => self.forget_ended(&changes),
            (Some(Held::Counts(changes)), Err(_)) => self.queue.count_again(changes),
            (Some(Held::Urgent), written) => self.on_urgent(written, snapshot, now),
            (Some(Held::Job(job)), Ok(())) => self.finish(*job, snapshot, now),
            (Some(Held::Job(job)), Err(why)) => self.fail(*job, why),
        }
    }

    fn on_urgent(&mut self, written: Result<(), String>, snapshot: &Snapshot, now: Now) {
        self.queue.note_urgent(written.is_ok(), now.instant);
        let Some(mut job) = self.queue.urgent.pop_front() else { return };
        if let Err(why) = written {
            self.tell_unstored(&mut job, &why);
            self.queue.urgent.push_front(job);
            return;
        }
        self.take_in(&job.changes);
        if job.is_told || job.is_answered {
            let kind = Kind::Stored { what: job.words.clone() };
            self.say(kind, subject_of(&job));
        }
        self.reply(&mut job, Stored::Yes);
        self.settle(snapshot, Vec::new(), now);
    }

    /// Takes in what is stored.
    fn finish(&mut self, mut job: Job, snapshot: &Snapshot, now: Now) {
        self.note_ended_but(&job.changes, &job.overtaken);
        let before = self.base.clone();
        self.take_in(&job.changes);
        self.catch_up(&before, &job.changes);
        if let Some((config, learnt)) = job.config.take() {
            self.learn(learnt);
            self.put_in_force(config, now);
        }
        let is_overtaken = |service: &str| job.overtaken.iter().any(|(of, _)| **of == *service);
        let mut effects = std::mem::take(&mut job.effects);
        effects.retain(|effect| !effect.service().is_some_and(is_overtaken));
        if !job.changes.is_empty() || !effects.is_empty() {
            self.settle(snapshot, effects, now);
        }
        self.reply(&mut job, Stored::Yes);
    }

    /// Nothing of it has happened.
    fn fail(&mut self, mut job: Job, why: String) {
        for (service, _) in &job.overtaken {
            // Its number is taken: what came after it is numbered on.
            let of = |job: &&mut Job| job.scope.is_of(service) && job.haste == Haste::Traffic;
            if let Some(urgent) = self.queue.urgent.iter_mut().find(of) {
                let is_revision = |change: &&Change| {
                    matches!(change, Change::Revision { .. } | Change::ForgetRevision { .. })
                        && change.service() == Some(service)
                };
                let history: Vec<Change> =
                    job.changes.iter().filter(is_revision).cloned().collect();
                urgent.changes.splice(0..0, history);
            }
        }
        self.unheard.extend(job.done.take());
        if let (Some(asked), false) = (&job.asked, job.is_answered) {
            let refused = overtaken(&job).unwrap_or(Refused::Store(why));
            self.replies.push((asked.ticket, Err(refused)));
        }
    }

    fn reply(&mut self, job: &mut Job, stored: Stored) {
        if let (Some(asked), false) = (&job.asked, job.is_answered) {
            let (answer, warnings) = (job.answer.clone(), job.warnings.clone());
            let answer = Answered { answer, stored, warnings };
            let reply = match overtaken(job) {
                Some(refused) if stored == Stored::Yes => Err(refused),
                _ => Ok(answer),
            };
            self.replies.push((asked.ticket, reply));
            job.is_answered = true;
        }
    }

    /// Takes in what another process has decided and stored: this one only serves who is still here.
    pub fn follow(&mut self, changes: &[Change], snapshot: &Snapshot, now: Now) {
        self.base.apply_all(changes);
        self.settle(snapshot, Vec::new(), now);
    }

    /// Looks at what has waited long enough.
    pub fn on_time(&mut self, now: Now) {
        let waited = |since: Instant| now.instant.saturating_duration_since(since);
        let mut urgent = std::mem::take(&mut self.queue.urgent);
        for job in urgent.iter_mut().filter(|job| waited(job.since) >= PROMPT) {
            self.tell_unstored(job, "the disk does not answer");
            self.reply(job, if job.is_noted { Stored::Noted } else { Stored::No });
        }
        self.queue.urgent = urgent;
        let (jobs, asked) = self.queue.expired(now.instant);
        for job in jobs {
            self.unheard.extend(job.done);
            let ticket = job.asked.map(|asked| asked.ticket);
            self.replies.extend(ticket.map(|ticket| (ticket, Err(Refused::Withdrawn))));
        }
        let withdrawn = |asked: Asked| (asked.ticket, Err(Refused::Withdrawn));
        self.replies.extend(asked.into_iter().map(withdrawn));
        if let Some(Held::Job(job)) = &mut self.queue.in_hands
            && let Some(asked) = &job.asked
            && !job.is_answered
            && !job.is_told
            && waited(job.since) >= PATIENCE
        {
            // Who has read a file hears of its end too, to go on with what is not kept here.
            job.is_answered = job.config.is_none();
            job.is_told = true;
            let revision = job.revision();
            self.replies.push((asked.ticket, Err(Refused::Unknown { revision })));
        }
        let is_silent = self.queue.handed.is_some_and(|since| waited(since) >= SILENCE);
        if is_silent && !self.queue.is_silent {
            self.queue.is_silent = true;
            let kind = Kind::DiskSilent { waited: SILENCE, orders: self.queue.depth() };
            self.say(kind, Subject::default());
        }
    }

    /// Says once that something is in force and not stored.
    fn tell_unstored(&mut self, job: &mut Job, why: &str) {
        if !std::mem::replace(&mut job.is_told, true) {
            let kind = Kind::Unstored { what: job.words.clone(), why: why.to_string() };
            self.say(kind, subject_of(job));
        }
    }

    fn say(&mut self, kind: Kind, subject: Subject) {
        self.effects.push(Effect::Say(Event::by_itself(kind, subject)));
    }

    /// Brings what is in force in line with what was decided, and does what follows from it.
    pub(super) fn settle(&mut self, snapshot: &Snapshot, effects: Vec<Effect>, now: Now) {
        self.state = self.base.clone();
        for job in &self.queue.urgent {
            self.state.apply_all(&job.changes);
        }
        let under_way: Vec<_> = self.state.rollouts().cloned().collect();
        self.watched.retain(|name, watched| {
            let is_known =
                under_way.iter().any(|known| known.service == *name && known.id == watched.id);
            if !is_known {
                warming::unmark(name, snapshot);
            }
            is_known
        });
        for rollout in under_way {
            let begin = || Watched::begin(&rollout, &self.config, snapshot, now.wall);
            self.watched.entry(rollout.service.clone()).or_insert_with(begin);
        }
        self.is_changed = true;
        let moment = snapshot.moment(now.instant);
        for effect in effects {
            match effect {
                Effect::BeginStep { service } => {
                    let known = (self.watched.get_mut(&service), snapshot.service(&service));
                    if let (Some(watched), Some(service)) = known {
                        watched.observing.begin_step(service);
                    }
                }
                Effect::Renew { service, pool, upstream } => {
                    let found = find_upstream(snapshot, &service, &pool, &upstream);
                    let is_probed = snapshot
                        .service(&service)
                        .is_some_and(|service| service.stability.health.is_some());
                    if let Some(found) = found {
                        if is_probed {
                            // What it proved was another version's.
                            found.set_proof(Proof::Unproven, moment);
                        }
                        found.come_in(moment);
                        found.set_draining(false);
                    }
                }
                Effect::Forget { service, pool } => {
                    let service = snapshot.service(&service);
                    if let Some(kept) = service.and_then(|service| service.stale.as_ref()) {
                        kept.forget_pool(&pool, moment);
                    }
                }
                effect => self.effects.push(effect),
            }
        }
    }

    /// A rollout hears what came while the disk did not take where it is.
    fn catch_up(&mut self, before: &State, changes: &[Change]) {
        for change in changes {
            let Change::Rollout(rollout) = change else { continue };
            let Some(watched) = self.watched.get_mut(&rollout.service) else { continue };
            let known = self.base.rollout(&rollout.service).zip(before.rollout(&rollout.service));
            let Some((rollout, was)) = known.filter(|(now, was)| now.id == was.id) else {
                continue;
            };
            // What came at another share says nothing of this one.
            if rollout.share() == was.share() {
                let mut rollout = (**rollout).clone();
                watched.catch_up(&mut rollout);
                self.base.apply(&Change::Rollout(Arc::new(rollout)));
            }
            watched.forget_readings();
        }
    }

    /// Takes in what is stored. It is later than what was counted of the same.
    fn take_in(&mut self, changes: &[Change]) {
        self.automation.note(&self.base, changes);
        self.base.apply_all(changes);
        self.queue.outdate_counts(changes);
    }

    /// Orders whose time was over are gone from the store.
    fn forget_ended(&mut self, changes: &[Change]) {
        for change in changes.iter().filter(|change| matches!(change, Change::Clear(_))) {
            self.base.apply(change);
            self.state.apply(change);
        }
    }

    fn put_in_force(&mut self, config: Arc<Config>, now: Now) {
        for (service, watched) in &mut self.watched {
            watched.observing.rename(service, &config);
        }
        self.config = config;
        self.is_changed = true;
        let kept = self.budgets.align(&self.base, &self.config, false, now);
        self.count(kept);
    }

    /// Keeps counts: in force now, stored when the disk has nothing else to do.
    pub(super) fn count(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.base.apply(&change);
            self.state.apply(&change);
            self.queue.count(change);
        }
    }

    /// Counts rollouts that end with these changes.
    pub(super) fn note_ended(&mut self, changes: &[Change]) {
        self.note_ended_but(changes, &[]);
    }

    fn note_ended_but(&mut self, changes: &[Change], but: &[(Arc<str>, String)]) {
        for change in changes {
            let Change::Past(rollout) = change else { continue };
            let is_other = but.iter().any(|(of, _)| *of == rollout.service);
            let known = self.state.rollout(&rollout.service).map(|known| known.id);
            if let (Some((outcome, _)), false, true) =
                (&rollout.ended, is_other, known == Some(rollout.id))
            {
                let of_service = self.ended.entry(rollout.service.clone()).or_default();
                *of_service.all.entry(outcome.name()).or_default() += 1;
                if rollout.deploy.is_some() {
                    *of_service.deploys.entry(outcome.name()).or_default() += 1;
                }
            }
        }
    }
}

impl Effect {
    /// The service that it is about.
    fn service(&self) -> Option<&str> {
        match self {
            Effect::Begin { rollout, .. } => Some(&rollout.service),
            Effect::Act(act) => Some(&act.place.service),
            Effect::Say(event) => Some(&event.subject.service),
            Effect::BeginStep { service }
            | Effect::Renew { service, .. }
            | Effect::Forget { service, .. } => Some(service),
        }
    }
}

/// A service's revisions among changes.
fn revisions_of<'c>(
    changes: &'c [Change],
    service: &str,
) -> impl Iterator<Item = &'c Arc<Revision>> {
    changes.iter().filter_map(move |change| match change {
        Change::Revision { service: of, revision } if **of == *service => Some(revision),
        _ => None,
    })
}

/// That something else is in force by now than what an order has made.
fn overtaken(job: &Job) -> Option<Refused> {
    let (_, by) = job.overtaken.iter().find(|(service, _)| job.scope.is_of(service))?;
    Some(Refused::Overtaken { revision: job.revision(), by: by.clone() })
}

fn subject_of(job: &Job) -> Subject {
    match &job.scope {
        order::Scope::Service(service) => Subject::service(service),
        _ => Subject::default(),
    }
}
