//! What is ordered, as operators and their scripts do: mostly sensible things, some of them not.

use std::sync::Arc;
use std::time::Duration;

use super::{Doing, Run};
use crate::orders::{ModeOrder, Order, Place, Target, UpstreamOrder};
use crate::rollout::{Order as Verb, Strategy, Wishes};
use crate::snapshot::Mode;
use crate::split::BasisPoints;
use crate::store::What;
use crate::upstream::BreakerOrder;

impl Run {
    /// Orders something.
    pub fn order(&mut self) {
        let (name, done) = match self.dice.below(20) {
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
            _ => ("reload", self.reload()),
        };
        if done {
            *self.seen.orders.entry(name).or_default() += 1;
        }
    }

    fn service(&mut self) -> String {
        let names: Vec<Arc<str>> =
            self.desk.config.services.iter().map(|service| service.name.clone()).collect();
        self.dice.of(&names).to_string()
    }

    fn pool(&mut self, service: &str) -> String {
        let config = self.desk.config.clone();
        let pools = config.service(service).map(|service| service.pool_names()).unwrap_or_default();
        self.dice.of(&pools).to_string()
    }

    fn by(&mut self) -> Order {
        let mut order = Order::of("ada", Some("because"));
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
        self.act(Doing::Rollout, |desk, snapshot, now| {
            desk.start_rollout(&service, &wishes, &order, snapshot, now).map(|_| None)
        })
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
        self.act(Doing::Rollout, |desk, snapshot, now| {
            desk.order_rollout(&service, verb, &order, snapshot, now).map(|_| None)
        })
    }

    fn shift(&mut self) -> bool {
        let (service, order) = (self.service(), self.by());
        let target = match self.dice.below(3) {
            0 => Target::Flip { pool: self.pool(&service) },
            _ => {
                let green = *self.dice.of(&[0, 100, 1_000, 3_300, 5_000, 10_000]);
                let share = |points| BasisPoints::new(points).unwrap();
                let weights = [("blue", share(10_000 - green)), ("green", share(green))];
                Target::Weights(weights.map(|(pool, share)| (pool.to_string(), share)).into())
            }
        };
        self.shift_to(&service, target, &order)
    }

    fn back(&mut self) -> bool {
        let (service, order) = (self.service(), self.by());
        let to = self.dice.one_in(2).then(|| 1 + self.dice.below(6));
        self.shift_to(&service, Target::Back { to }, &order)
    }

    fn shift_to(&mut self, service: &str, target: Target, order: &Order) -> bool {
        self.act(Doing::Shift, |desk, snapshot, now| {
            let revision = desk.shift(service, target, order, snapshot, now)?;
            Ok(Some((service.into(), revision)))
        })
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
            4 => UpstreamOrder::Add { weight: Some(50 + self.dice.below(100) as u16) },
            _ => UpstreamOrder::Remove,
        };
        self.act(Doing::Override, |desk, snapshot, now| {
            desk.set_upstream(&place, what, &order, snapshot, now).map(|()| None)
        })
    }

    fn breaker(&mut self) -> bool {
        let (mut place, order) = (self.place(), self.by());
        if self.dice.one_in(2) {
            place.upstream = None;
        }
        let mut what = *self.dice.of(&[BreakerOrder::Open, BreakerOrder::Closed]);
        // Whoever has opened one closes it some time.
        let standing = self.desk.overrides.values().find_map(|standing| match &standing.what {
            What::Breaker { service, pool, upstream, .. } => Some((service, pool, upstream)),
            _ => None,
        });
        if let Some((service, pool, upstream)) = standing {
            let upstream = upstream.as_ref().map(|upstream| upstream.parse().unwrap());
            place = Place { service: service.clone(), pool: pool.clone(), upstream };
            what = BreakerOrder::Auto;
        }
        self.act(Doing::Override, |desk, snapshot, now| {
            desk.set_breaker(&place, what, &order, snapshot, now).map(|()| None)
        })
    }

    fn mode(&mut self) -> bool {
        let (mut service, order) = (self.service(), self.by());
        let mut what = match self.dice.one_in(2) {
            true => ModeOrder::Hold { length: Duration::from_secs(9), most: 5 },
            false => ModeOrder::Maintenance { message: None },
        };
        let modes = &self.desk.run_time.modes;
        let away = modes.iter().filter(|(_, mode)| **mode != Mode::Serve);
        // In one order, so that a seed is always the same life.
        if let Some(away) = away.map(|(name, _)| name).min() {
            (service, what) = (away.to_string(), ModeOrder::Serve { from: None });
        }
        self.act(Doing::Override, |desk, snapshot, now| {
            desk.set_mode(&service, what, &order, snapshot, now).map(|()| None)
        })
    }

    fn flag(&mut self) -> bool {
        let order = self.by();
        let percent = BasisPoints::new(100 * self.dice.below(101) as u16).unwrap();
        let is_back = self.dice.one_in(3);
        self.act(Doing::Flag, |desk, _, now| match is_back {
            true => desk.roll_flag_back("beta", &order, now).map(|_| None),
            false => desk.set_flag("beta", percent, &order, now).map(|_| None),
        })
    }

    fn reload(&mut self) -> bool {
        let before = self.file.clone();
        self.file.edit(&mut self.dice);
        let config = self.file.read();
        let kills = self.seen.kills;
        let done =
            self.act(Doing::Reload, |desk, _, now| Ok(desk.reload(&config, now).map(|()| None)?));
        if !done && self.seen.kills == kills {
            // It is not in force, so the next edit is one of the file before.
            self.file = before;
        }
        self.seen.reloads += u64::from(done);
        done
    }
}
