//! The config file of a simulated proxy, and its edits.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::Dice;
use crate::config::Config;

/// What is in the file.
#[derive(Clone, Debug)]
pub(super) struct File {
    services: BTreeMap<&'static str, Section>,
    /// The share that the file gives the flag.
    flag: u64,
    /// What was read last, and the text it was read from.
    read: Option<(String, Arc<Config>)>,
}

#[derive(Clone, Debug)]
struct Section {
    /// Percents; they sum to 100.
    split: BTreeMap<&'static str, u64>,
    pools: BTreeMap<&'static str, Vec<u64>>,
    is_sticky: bool,
    falls_back: bool,
    is_probed: bool,
    is_judged: bool,
    strategy: &'static str,
    /// Hooks that are declared.
    hooks: Vec<&'static str>,
    watch: u64,
}

const HOOKS: [&str; 7] = [
    "before_start",
    "expand",
    "before_step",
    "before_promote",
    "after_promote",
    "after_rollback",
    "contract",
];

const STRATEGIES: [&str; 5] = ["canary", "canary", "blue-green", "all-at-once", "rolling"];

impl File {
    pub fn new(dice: &mut Dice) -> File {
        let mut services = BTreeMap::new();
        for (number, name) in ["api", "shop"].into_iter().enumerate() {
            services.insert(name, Section::new(number as u64, dice));
        }
        File { services, flag: dice.below(101), read: None }
    }

    /// The checked config.
    pub fn read(&mut self) -> Arc<Config> {
        let text = self.text();
        if let Some((_, config)) = self.read.as_ref().filter(|(before, _)| *before == text) {
            return config.clone();
        }
        let parsed = Config::parse(&text);
        let (config, _) = parsed.unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
        let config = Arc::new(config);
        self.read = Some((text, config.clone()));
        config
    }

    /// Somebody edits it.
    pub fn edit(&mut self, dice: &mut Dice) {
        if dice.one_in(6) {
            self.flag = dice.below(101);
            return;
        }
        if dice.one_in(12) {
            // A service goes and, some edits later, comes again.
            match self.services.len() {
                1 => drop(self.services.insert("api", Section::new(0, dice))),
                _ => drop(self.services.remove("api")),
            }
            return;
        }
        let names: Vec<&str> = self.services.keys().copied().collect();
        let name = *dice.of(&names);
        let number = u64::from(name == "shop");
        if let Some(section) = self.services.get_mut(name) {
            section.edit(number, dice);
        }
    }

    fn text(&self) -> String {
        let mut text = String::from(
            "[server]\nallow_commands = true\n[[listeners]]\naddress = \"127.0.0.1:0\"\n",
        );
        for (name, section) in &self.services {
            let _ = write!(text, "[[routes]]\nhosts = [\"{name}.test\"]\nservice = \"{name}\"\n");
            section.write(name, &mut text);
        }
        let percent = self.flag;
        let _ = write!(text, "[flags.beta]\npercent = {percent}\nservices = [\"shop\"]\n");
        text
    }
}

impl Section {
    fn new(number: u64, dice: &mut Dice) -> Section {
        let mut pools = BTreeMap::new();
        for (at, name) in ["blue", "green"].into_iter().enumerate() {
            let first = 100 * number + 20 * at as u64;
            pools.insert(name, (first..first + 2 + dice.below(2)).collect());
        }
        Section {
            split: [("blue", 100)].into(),
            pools,
            is_sticky: !dice.one_in(3),
            falls_back: dice.one_in(4),
            is_probed: dice.one_in(3),
            is_judged: dice.one_in(2),
            strategy: dice.of::<&str>(&STRATEGIES),
            hooks: HOOKS.into_iter().filter(|_| dice.one_in(3)).collect(),
            watch: 2 * dice.below(4),
        }
    }

    fn edit(&mut self, number: u64, dice: &mut Dice) {
        match dice.below(6) {
            0 | 1 => {
                let green = *dice.of(&[0, 0, 5, 30, 50, 100]);
                self.split = [("blue", 100 - green), ("green", green)].into();
            }
            2 if self.pools.contains_key("gold") => {
                self.pools.remove("gold");
                if self.split.remove("gold").is_some() {
                    self.split = [("blue", 100)].into();
                }
            }
            2 => {
                self.pools.insert("gold", vec![100 * number + 40, 100 * number + 41]);
                if dice.one_in(2) {
                    self.split = [("blue", 50), ("gold", 20), ("green", 30)].into();
                }
            }
            3 if dice.one_in(3) => {
                // Its upstreams come by deploys.
                let name = if dice.one_in(2) { "blue" } else { "green" };
                self.pools.insert(name, Vec::new());
            }
            3 => {
                let first = 100 * number + 20 * u64::from(dice.one_in(2));
                let name = if first.is_multiple_of(100) { "blue" } else { "green" };
                self.pools.insert(name, (first..first + 2 + dice.below(3)).collect());
            }
            4 => self.strategy = dice.of::<&str>(&STRATEGIES),
            _ => self.hooks = HOOKS.into_iter().filter(|_| dice.one_in(3)).collect(),
        }
        // What gets traffic by the file has upstreams by the file.
        for (at, name) in ["blue", "green"].into_iter().enumerate() {
            let gets = self.split.get(name).is_some_and(|percent| *percent > 0);
            if let Some(upstreams) = self.pools.get_mut(name).filter(|list| gets && list.is_empty())
            {
                upstreams.push(100 * number + 20 * at as u64);
            }
        }
    }

    fn write(&self, name: &str, text: &mut String) {
        let split: Vec<String> =
            self.split.iter().map(|(pool, percent)| format!("{pool} = {percent}")).collect();
        let _ = write!(
            text,
            "[services.{name}]\nsplit = {{ {} }}\noverride = {{ header = \"x-pool\" }}\n",
            split.join(", ")
        );
        if self.is_sticky {
            text.push_str("sticky = { header = \"x-user\" }\n");
        }
        if self.falls_back {
            text.push_str("fallback = { pool = \"blue\" }\n");
        }
        if self.is_probed {
            text.push_str("health = { http = { path = \"/\" } }\n");
        }
        for (pool, upstreams) in &self.pools {
            let list: Vec<String> =
                upstreams.iter().map(|last| format!("\"192.0.2.{last}:80\"")).collect();
            let _ =
                write!(text, "[services.{name}.pools.{pool}]\nupstreams = [{}]\n", list.join(", "));
        }
        // A gate that opens within the few requests of a run.
        let _ = write!(
            text,
            "[services.{name}.judge]\nenabled = {}\nwarm_up = \"0s\"\n\
             gate = {{ ratio = 100, rate = 90, risk = 50 }}\n",
            self.is_judged
        );
        let _ = write!(
            text,
            "[services.{name}.rollout]\nstrategy = \"{}\"\nsteps = [5, 25, 60, 100]\nhold = \"3s\"\n\
             min_requests = 3\nlongest_step = \"20s\"\nwatch = \"{}s\"\nready_within = \"6s\"\n\
             drain = \"2s\"\nguard = {{ errors = \"20%\", requests = 8 }}\n\
             [services.{name}.rollout.hooks]\ndeploy = {{ run = [\"x\"], timeout = \"5s\" }}\n",
            self.strategy, self.watch
        );
        for hook in &self.hooks {
            let _ = writeln!(text, "{hook} = {{ run = [\"x\"], timeout = \"5s\" }}");
        }
    }
}
