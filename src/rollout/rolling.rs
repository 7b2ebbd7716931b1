//! One pool renewed upstream by upstream: what is out and how far it is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Action, Event, Finished, HookPoint, Rollout, Task, TaskError, Trouble, UpstreamView, View,
};
use crate::clock::{WallTime, in_words};

/// How far a rolling rollout is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Rolling {
    out: Vec<Out>,
    done: Vec<Arc<str>>,
    /// Left out by order.
    skipped: Vec<Arc<str>>,
}

/// An upstream that is out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Out {
    address: Arc<str>,
    at: Stand,
    since: WallTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stand {
    Draining,
    Deploying,
    Proving,
    /// Its deploy failed, or it did not come back.
    Stuck,
}

impl Rolling {
    /// Deployments that have begun.
    pub fn deploying(&self) -> impl Iterator<Item = Task> {
        let deploying = self.out.iter().filter(|out| out.at == Stand::Deploying);
        deploying.map(|out| deploy(&out.address))
    }

    /// Those that did not come back and were left out.
    pub fn left_out(&self) -> impl Iterator<Item = &Arc<str>> {
        self.skipped.iter()
    }

    /// Whether an upstream did not come back.
    pub fn is_stuck(&self) -> bool {
        self.out.iter().any(|out| out.at == Stand::Stuck)
    }

    /// Since when each upstream that is out is where it is.
    pub fn since_mut(&mut self) -> impl Iterator<Item = &mut WallTime> {
        self.out.iter_mut().map(|out| &mut out.since)
    }

    /// Those done, those out and those left out, in words.
    pub fn words(&self) -> String {
        let out = self.out.iter().map(|out| {
            let at = match out.at {
                Stand::Draining => "drains",
                Stand::Deploying => "is deployed",
                Stand::Proving => "has to prove healthy",
                Stand::Stuck => "did not come back",
            };
            format!(", `{}` {at}", out.address)
        });
        let skipped = self.skipped.iter().map(|address| format!(", `{address}` left out"));
        let rest: String = out.chain(skipped).collect();
        format!("{} renewed{rest}", self.done.len())
    }

    fn knows(&self, address: &Arc<str>) -> bool {
        self.done.contains(address)
            || self.skipped.contains(address)
            || self.out.iter().any(|out| out.address == *address)
    }
}

impl Rollout {
    /// Whether it renews this upstream of the pool just now, or is about to.
    pub fn takes_out(&self, pool: &str, upstream: &str) -> bool {
        let is_out = |out: &Out| &*out.address == upstream && out.at != Stand::Stuck;
        *self.plan.to == *pool && !self.is_paused() && self.rolling.out.iter().any(is_out)
    }

    /// Goes on with the upstreams that are out, and takes out the next.
    pub(super) fn roll(&mut self, view: &View<'_>, actions: &mut Vec<Action>) {
        let now = view.now;
        let find = |address: &Arc<str>| view.upstreams.iter().find(|u| u.address == *address);
        self.rolling.out.retain(|out| find(&out.address).is_some());
        self.pending.retain(|pending| match &pending.task {
            Task::Hook(HookPoint::Deploy { upstream }) => find(upstream).is_some(),
            _ => true,
        });
        let (mut stuck, mut done, mut drained) = (None, Vec::new(), Vec::new());
        for out in &mut self.rolling.out {
            let Some(upstream) = find(&out.address) else { continue };
            let elapsed = now.elapsed_since(out.since);
            match out.at {
                Stand::Draining if upstream.in_flight == 0 || elapsed >= self.plan.drain => {
                    (out.at, out.since) = (Stand::Deploying, now);
                    drained.push(deploy(&out.address));
                }
                Stand::Proving if upstream.is_ready => done.push(out.address.clone()),
                Stand::Proving if elapsed >= self.plan.ready_within => {
                    out.at = Stand::Stuck;
                    let within = self.plan.ready_within;
                    let (address, within) = (out.address.clone(), in_words(within));
                    stuck = Some((format!("`{address}` is not healthy within {within}"), address));
                }
                _ => {}
            }
        }
        drained.into_iter().for_each(|task| self.begin(task, now, actions));
        for address in done {
            self.rolling.out.retain(|out| out.address != address);
            actions.push(Action::Say(Event::Renewed { upstream: address.clone() }));
            self.rolling.done.push(address);
        }
        if let Some((why, address)) = stuck {
            self.pause(Trouble::Upstream(address), why, now, actions);
        }
        if !self.stands_still() {
            self.take_out(view, actions);
        }
    }

    fn take_out(&mut self, view: &View<'_>, actions: &mut Vec<Action>) {
        let waiting = view.upstreams.iter().filter(|u| !self.rolling.knows(&u.address));
        let mut next: Vec<&UpstreamView> = Vec::new();
        for upstream in waiting {
            if self.rolling.out.len() + next.len() >= self.plan.at_once.max(1) {
                break;
            }
            let stays = |u: &UpstreamView| {
                u.is_ready
                    && u.address != upstream.address
                    && !next.iter().any(|next| next.address == u.address)
                    && !self.rolling.out.iter().any(|out| out.address == u.address)
            };
            // Somebody has to serve meanwhile; one that does not serve anyway may go first.
            if view.upstreams.iter().any(stays) {
                next.push(upstream);
            }
        }
        for upstream in next {
            let address = upstream.address.clone();
            actions.push(Action::Drain(address.clone()));
            self.rolling.out.push(Out { address, at: Stand::Draining, since: view.now });
        }
        let is_left = view.upstreams.iter().any(|u| !self.rolling.knows(&u.address));
        if self.rolling.out.is_empty() && !is_left {
            self.promote(view.now, actions);
        }
    }

    pub(super) fn on_deployed(
        &mut self,
        address: &Arc<str>,
        result: Result<Finished, TaskError>,
        now: WallTime,
        actions: &mut Vec<Action>,
    ) {
        let out = self.rolling.out.iter_mut().find(|out| out.address == *address);
        let Some(out) = out.filter(|out| out.at == Stand::Deploying) else { return };
        out.since = now;
        match result {
            Ok(_) => {
                out.at = Stand::Proving;
                actions.push(Action::Renew(address.clone()));
            }
            Err(why) => {
                out.at = Stand::Stuck;
                let trouble = Trouble::Task(deploy(address));
                let why = format!("hook deploy of `{address}` failed: {why}");
                self.pause(trouble, why, now, actions);
            }
        }
    }

    /// Deploys again what did not come back.
    pub(super) fn retry_stuck(&mut self, now: WallTime, actions: &mut Vec<Action>) {
        let stuck = self.rolling.out.iter_mut().filter(|out| out.at == Stand::Stuck);
        let again: Vec<Arc<str>> = stuck
            .map(|out| {
                (out.at, out.since) = (Stand::Deploying, now);
                out.address.clone()
            })
            .collect();
        for address in again {
            actions.push(Action::Drain(address.clone()));
            self.begin(deploy(&address), now, actions);
        }
    }

    /// Leaves out what did not come back; false if there is none.
    pub(super) fn skip_stuck(&mut self) -> bool {
        let Rolling { out, skipped, .. } = &mut self.rolling;
        let before = out.len();
        skipped.extend(out.iter().filter(|out| out.at == Stand::Stuck).map(|o| o.address.clone()));
        out.retain(|out| out.at != Stand::Stuck);
        out.len() < before
    }

    /// What is only drained yet serves again; what was being deployed stays out, and is named.
    pub(super) fn abort_rolling(&mut self, actions: &mut Vec<Action>) {
        for out in std::mem::take(&mut self.rolling.out) {
            match out.at {
                Stand::Draining => actions.push(Action::Renew(out.address)),
                Stand::Proving => {}
                Stand::Deploying | Stand::Stuck => {
                    actions.push(Action::Say(Event::StaysOut { upstream: out.address }));
                }
            }
        }
    }
}

fn deploy(address: &Arc<str>) -> Task {
    Task::Hook(HookPoint::Deploy { upstream: address.clone() })
}
