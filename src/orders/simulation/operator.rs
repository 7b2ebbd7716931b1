//! What is ordered, as operators and their scripts do: mostly sensible things, some of them not.

use std::sync::Arc;
use std::time::Duration;

use super::Run;
use crate::config::Severity;
use crate::incident::Opening;
use crate::orders::{
    By, DeployOrder, IncidentOrder, ModeOrder, Order, Place, TrafficOrder, UpstreamOrder,
};
use crate::rollout::{Order as Verb, Strategy, Wishes};
use crate::split::BasisPoints;
use crate::state::{Override, What};
use crate::upstream::{BreakerOrder, Label};

impl Run {
    /// Orders something.
    pub fn order(&mut self) {
        let (name, done) = match self.dice.below(24) {
            0..=5 => ("start", self.start()),
            6..=8 => ("verb", self.verb()),
            9 | 10 => ("shift", self.shift()),
            11 => ("back", self.back()),
            12..=14 => ("upstream", self.upstream()),
            15 => match self.dice.one_in(2) {
                true => ("breaker", self.breaker()),
                false => ("mode", self.mode()),
            },
            16 | 17 => ("flag", self.flag()),
            18 => ("verb", self.verb()),
            19..=21 => ("deploy", self.deploy()),
            22 => ("incident", self.incident()),
            _ => ("reload", self.reload()),
        };
        if done {
            *self.seen.orders.entry(name).or_default() += 1;
        }
    }

    fn service(&mut self) -> String {
        let names: Vec<Arc<str>> = self
            .drive
            .orders
            .config()
            .services
            .iter()
            .map(|service| service.name.clone())
            .collect();
        self.dice.of(&names).to_string()
    }

    fn pool(&mut self, service: &str) -> String {
        let config = self.drive.orders.config().clone();
        let pools = config.service(service).map(|service| service.pool_names()).unwrap_or_default();
        self.dice.of(&pools).to_string()
    }

    fn by(&mut self) -> By {
        let mut order = By::new("ada", Some("because"));
        order.force = self.dice.one_in(3);
        if self.dice.one_in(10) {
            order.expected = Some(self.dice.below(9));
        }
        order
    }

    fn start(&mut self) -> bool {
        let (service, order) = (self.service(), self.by());
        let to = (!self.dice.one_in(4)).then(|| self.pool(&service));
        let mut wishes = Wishes { to, ..Wishes::default() };
        if self.dice.one_in(3) {
            wishes.strategy = Some(*self.dice.of(&Strategy::ALL));
        }
        // Half of the new versions are bad.
        if let Some(to) = wishes.to.clone().filter(|_| self.dice.one_in(2)) {
            self.spoil(&service, &to);
        }
        self.give(Order::StartRollout { service, wishes: Box::new(wishes) }, order)
    }

    /// A new version, at places of its own or at those of the one before; some do not start, some are
    /// bad.
    fn deploy(&mut self) -> bool {
        let (service, order) = (self.service(), self.by());
        let to = self.dice.one_in(3).then(|| self.pool(&service));
        let first = 100 * u64::from(service == "shop") + *self.dice.of(&[0, 20, 60, 70, 80]);
        let at: Vec<String> =
            (0..1 + self.dice.below(3)).map(|n| format!("192.0.2.{}:80", first + n)).collect();
        let mut wishes = Wishes { to, ..Wishes::default() };
        if self.dice.one_in(2) {
            wishes.strategy = Some(*self.dice.of(&Strategy::ALL));
        }
        let fails = *self.dice.of(&[0, 0, 0, 60, 100]);
        at.iter().for_each(|address| self.run_at(address, fails));
        let weight = *self.dice.of(&[None, Some(50)]);
        let at = at.iter().map(|address| (address.parse().unwrap(), weight)).collect();
        let tag = *self.dice.of(&[None, Some("v1"), Some("v2"), Some("v3")]);
        let tag = tag.map(|tag| tag.parse().unwrap());
        let what = Box::new(DeployOrder { at, tag, within: None, wishes });
        self.give(Order::Deploy { service, what }, order)
    }

    fn verb(&mut self) -> bool {
        let (service, order) = (self.service(), self.by());
        let verbs = [
            Verb::Pause,
            Verb::Resume,
            Verb::Resume,
            Verb::Resume,
            Verb::Step,
            Verb::Promote,
            Verb::Abort,
        ];
        let verb = *self.dice.of(&verbs);
        self.give(Order::Rollout { service, what: verb }, order)
    }

    fn shift(&mut self) -> bool {
        let (service, order) = (self.service(), self.by());
        let target = match self.dice.below(3) {
            0 => TrafficOrder::Flip { pool: self.pool(&service) },
            _ => {
                let green = *self.dice.of(&[0, 100, 1_000, 3_300, 5_000, 10_000]);
                let share = |points| BasisPoints::new(points).unwrap();
                let weights = [("blue", share(10_000 - green)), ("green", share(green))];
                TrafficOrder::Weights(weights.map(|(pool, share)| (pool.to_string(), share)).into())
            }
        };
        self.give(Order::Shift { service, to: target }, order)
    }

    fn back(&mut self) -> bool {
        let (service, order) = (self.service(), self.by());
        let to = self.dice.one_in(2).then(|| 1 + self.dice.below(6));
        self.give(Order::Shift { service, to: TrafficOrder::Back { to } }, order)
    }

    fn give(&mut self, order: Order, by: By) -> bool {
        let service = match &order {
            Order::Shift { service, .. } | Order::Deploy { service, .. } => {
                Some(service.as_str().into())
            }
            _ => None,
        };
        let give = |drive: &mut super::Drive| {
            let snapshot = drive.snapshot.clone();
            Some(drive.orders.take(order, by, &snapshot, drive.now))
        };
        self.act(service, give)
    }

    fn place(&mut self) -> Place {
        let service = self.service();
        let pool = self.pool(&service);
        let number = 100 * u64::from(service == "shop") + 20 * u64::from(pool == "green");
        let address = format!("192.0.2.{}:80", number + self.dice.below(4));
        Place { service, pool, upstream: Some(address.parse().unwrap()) }
    }

    fn upstream(&mut self) -> bool {
        let (place, order) = (self.place(), self.by());
        let what = match self.dice.below(6) {
            0 | 1 => UpstreamOrder::Drain,
            2 | 3 => UpstreamOrder::Activate,
            4 => {
                let weight = Some(50 + self.dice.below(100) as u16);
                let zone = |zone: &str| format!("zone={zone}").parse::<Label>().unwrap();
                let labels = [None, Some("a"), Some("b")][self.dice.below(3) as usize];
                let labels = labels.map(|text| [zone(text)].into_iter().collect());
                UpstreamOrder::Add { weight, labels }
            }
            _ => UpstreamOrder::Remove,
        };
        self.give(Order::Upstream { place, what }, order)
    }

    fn breaker(&mut self) -> bool {
        let (mut place, order) = (self.place(), self.by());
        if self.dice.one_in(2) {
            place.upstream = None;
        }
        let mut what = *self.dice.of(&[BreakerOrder::Open, BreakerOrder::Closed]);
        // Whoever has opened one closes it some time.
        let standing = self.in_force().find_map(|standing| match standing.what.clone() {
            What::Breaker { service, pool, upstream, .. } => Some((service, pool, upstream)),
            _ => None,
        });
        if let Some((service, pool, upstream)) = standing {
            let upstream = upstream.map(|upstream| upstream.parse().unwrap());
            place = Place { service, pool, upstream };
            what = BreakerOrder::Auto;
        }
        self.give(Order::Breaker { place, what }, order)
    }

    fn mode(&mut self) -> bool {
        let (mut service, order) = (self.service(), self.by());
        let mut what = match self.dice.one_in(2) {
            true => ModeOrder::Hold { length: Duration::from_secs(9), most: 5 },
            false => ModeOrder::Maintenance { message: None },
        };
        let away = self.in_force().find_map(|standing| {
            let is_mode = matches!(standing.what, What::Hold { .. } | What::Maintenance { .. });
            is_mode.then(|| standing.what.service().to_string())
        });
        if let Some(away) = away {
            (service, what) = (away, ModeOrder::Serve { from: None });
        }
        self.give(Order::Mode { service, what }, order)
    }

    /// Orders of what is in the file.
    fn in_force(&self) -> impl Iterator<Item = &Override> {
        let state = self.drive.orders.state();
        state.orders().filter(|standing| !state.is_dormant(&standing.what))
    }

    fn flag(&mut self) -> bool {
        let order = self.by();
        let percent = BasisPoints::new(100 * self.dice.below(101) as u16).unwrap();
        let is_back = self.dice.one_in(3);
        let percent = (!is_back).then_some(percent);
        self.give(Order::Flag { name: "beta".into(), percent }, order)
    }

    /// Opens an incident, or says something of the last one.
    fn incident(&mut self) -> bool {
        let (service, order) = (self.service(), self.by());
        let newest = self.drive.orders.state().incidents().next().map(|newest| newest.id);
        let text = "looked at".to_string();
        let what = match (newest, self.dice.below(4)) {
            (Some(id), 0) => IncidentOrder::Note { id, text },
            (Some(id), 1) => IncidentOrder::Mitigate { id, text },
            (Some(id), 2) => IncidentOrder::Close { id, resolution: text },
            _ => IncidentOrder::Open {
                opening: Opening {
                    title: "it fails".into(),
                    severity: Severity::High,
                    services: vec![service],
                    commander: None,
                    channel: None,
                    every: Duration::from_secs(9),
                },
                freezes: self.dice.one_in(3),
            },
        };
        self.give(Order::Incident(Box::new(what)), order)
    }

    fn reload(&mut self) -> bool {
        let before = self.file.clone();
        self.file.edit(&mut self.dice);
        let config = self.file.read();
        let done = self.give(Order::reload(config), By::new("file", None));
        if !done {
            // It is not in force, so the next edit is one of the file before.
            self.file = before;
        }
        self.seen.reloads += u64::from(done);
        done
    }
}
