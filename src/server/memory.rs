//! When memory is short: what the process may have and has in; which connections go, and an event, out.
//!
//! A process that goes over its cgroup's limit is killed with all its connections. Before that those
//! go that wait for nothing, the longest idle first, and then nobody new is let in. Requests under way
//! are never cut off for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::config::MemorySettings;
use crate::event::{Event, Kind, Subject};
use crate::events::Events;
use crate::observe::{Memory, Process, Status};
use crate::snapshot::Published;
use crate::wire::clients::Clients;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(250);

/// So many percent below the bound it is over: else it would begin and end with each look.
const SLACK: u64 = 5;

/// Where cgroups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Looks until the task is ended.
pub async fn watch_memory(
    published: Arc<Published>,
    clients: Arc<Clients>,
    process: Arc<Process>,
    events: Arc<Events>,
) {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let cgroups = Arc::new(Cgroup::all(Path::new(CGROUPS), &own));
    let (mut pressure, mut squeezed) = (Pressure::default(), (None, false));
    loop {
        let snapshot = published.load();
        let server = &snapshot.config.server;
        let (settings, cgroups) = (server.memory, cgroups.clone());
        // Files of the kernel, which are read at once unless the machine is in distress.
        let reading = spawn_blocking(move || reading(&settings, &cgroups)).await.ok().flatten();
        process.set_memory(reading);
        let is_short = pressure.is_short();
        let now = pressure.look(reading, &settings, server.client.keepalive);
        if std::mem::replace(&mut squeezed, now) != now {
            clients.squeeze(now.0, now.1);
        }
        let kind = match (is_short, pressure.is_short(), reading) {
            (false, true, Some(Memory { used, limit })) => Kind::MemoryShort { used, limit },
            (true, false, _) => Kind::MemoryEnough,
            _ => {
                sleep(LOOK).await;
                continue;
            }
        };
        events.say(Event::by_itself(kind, Subject::default()));
        sleep(LOOK).await;
    }
}

/// How short it is.
#[derive(Debug, Default)]
struct Pressure {
    /// Looks in a row that found it short; 0 if it is not.
    looks: u32,
    refuses: bool,
}

impl Pressure {
    fn is_short(&self) -> bool {
        self.looks > 0
    }

    /// For how long kept connections may say nothing, if it is short, and whether new ones are refused.
    /// With each look that time is halved, so that those go first that are needed least.
    fn look(
        &mut self,
        reading: Option<Memory>,
        settings: &MemorySettings,
        keepalive: Duration,
    ) -> (Option<Duration>, bool) {
        let percent = reading.map_or(0, |Memory { used, limit }| {
            u64::try_from(u128::from(used) * 100 / u128::from(limit.max(1))).unwrap_or(u64::MAX)
        });
        let reaches = |bound: u8, is_over: bool| {
            percent >= u64::from(bound).saturating_sub(if is_over { SLACK } else { 0 })
        };
        self.refuses = reaches(settings.refuse, self.refuses) && reading.is_some();
        let is_short = reaches(settings.idle, self.is_short()) && reading.is_some();
        self.looks = if is_short { self.looks.saturating_add(1) } else { 0 };
        let halved = 1u32.checked_shl(self.looks).map_or(Duration::ZERO, |by| keepalive / by);
        (is_short.then_some(halved), self.refuses)
    }
}

/// A cgroup whose memory may be limited.
#[derive(Debug)]
struct Cgroup {
    limit: PathBuf,
    used: PathBuf,
    stat: PathBuf,
    /// What `stat` calls files that the kernel can drop: those in use lately are dropped last, but
    /// before anything is killed.
    droppable: [&'static str; 2],
}

impl Cgroup {
    /// The process's own cgroup and those above it, each of which may have a limit. In a container the
    /// path is often that outside of it: then what is mounted is its own.
    fn all(mount: &Path, own: &str) -> Vec<Cgroup> {
        let mut found = Vec::new();
        for line in own.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
            let (root, is_second) = match controllers {
                "" => (mount.to_path_buf(), true),
                _ if controllers.split(',').any(|one| one == "memory") => {
                    (mount.join("memory"), false)
                }
                _ => continue,
            };
            let whole = root.join(path.trim_start_matches('/'));
            let folders = whole.ancestors().take_while(|folder| folder.starts_with(&root));
            found.extend(folders.map(|folder| Cgroup::at(folder, is_second)));
        }
        found
    }

    fn at(folder: &Path, is_second: bool) -> Cgroup {
        let (limit, used, droppable) = match is_second {
            true => ("memory.max", "memory.current", ["inactive_file", "active_file"]),
            false => (
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                ["total_inactive_file", "total_active_file"],
            ),
        };
        let stat = folder.join("memory.stat");
        Cgroup { limit: folder.join(limit), used: folder.join(used), stat, droppable }
    }

    /// How full it is; none if it has no limit.
    fn read(&self) -> Option<Memory> {
        // `max`, or more than any machine has, is none.
        let limit = number(&self.limit).filter(|limit| *limit < 1 << 60)?;
        let used = number(&self.used)?;
        let stat = fs::read_to_string(&self.stat).unwrap_or_default();
        let droppable = stat.lines().filter_map(|line| {
            let (name, value) = line.split_once(' ')?;
            let value = value.trim().parse::<u64>().ok()?;
            self.droppable.contains(&name).then_some(value)
        });
        Some(Memory { used: used.saturating_sub(droppable.sum()), limit })
    }
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// How full the memory is: by the config's limit the process's own, else of its cgroups the fullest.
fn reading(settings: &MemorySettings, cgroups: &[Cgroup]) -> Option<Memory> {
    if settings.limit > 0 {
        return Some(Memory { used: Status::now().bytes("VmRSS")?, limit: settings.limit });
    }
    let share = |memory: &Memory| memory.used as f64 / memory.limit.max(1) as f64;
    let read = cgroups.iter().filter_map(Cgroup::read);
    read.max_by(|a, b| share(a).total_cmp(&share(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: MemorySettings = MemorySettings { limit: 0, idle: 80, refuse: 90 };

    #[test]
    fn idle_connections_go_first_the_longest_idle_of_all_and_then_new_ones_are_refused() {
        let mut pressure = Pressure::default();
        let mut look = |used: u64| {
            let reading = Some(Memory { used, limit: 100 });
            let (idle, refuses) = pressure.look(reading, &SETTINGS, Duration::from_secs(64));
            (idle.map(|idle| idle.as_secs()), refuses)
        };
        assert_eq!([look(0), look(79)], [(None, false), (None, false)]);
        assert_eq!([look(80), look(89)], [(Some(32), false), (Some(16), false)]);
        assert_eq!([look(90), look(86)], [(Some(8), true), (Some(4), true)]);
        assert_eq!([look(84), look(76)], [(Some(2), false), (Some(1), false)]);
        assert_eq!([look(74), look(79)], [(None, false), (None, false)]);
        let for_long: Vec<_> = (0..40).map(|_| look(99)).collect();
        assert_eq!(for_long.last(), Some(&(Some(0), true)));
        assert_eq!(pressure.look(None, &SETTINGS, Duration::from_secs(64)), (None, false));
        assert!(!pressure.is_short());
    }

    #[test]
    fn the_fullest_cgroup_counts_and_what_the_kernel_can_drop_does_not() {
        let mount = tempfile::TempDir::new().unwrap();
        let write = |name: &str, text: &str| {
            let file = mount.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        let read = |own: &str| reading(&SETTINGS, &Cgroup::all(mount.path(), own));
        assert_eq!(read("0::/a/b\n"), None, "nothing is there");
        write("a/b/memory.max", "max\n");
        write("a/b/memory.current", "500\n");
        assert_eq!(read("0::/a/b\n"), None, "no limit");
        write("a/memory.max", "1000\n");
        write("a/memory.current", "700\n");
        write("a/memory.stat", "anon 1\ninactive_file 200\nactive_file 90\nfile 300\n");
        assert_eq!(read("0::/a/b\n"), Some(Memory { used: 410, limit: 1_000 }));
        write("a/b/memory.max", "550\n");
        assert_eq!(read("0::/a/b\n"), Some(Memory { used: 500, limit: 550 }));
        // The first version, where no limit is a number.
        write("memory/c/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/c/memory.usage_in_bytes", "5\n");
        assert_eq!(read("5:cpu:/c\n4:memory:/c\n"), None);
        write("memory/memory.limit_in_bytes", "64\n");
        write("memory/memory.usage_in_bytes", "60\n");
        write("memory/memory.stat", "inactive_file 1\ntotal_inactive_file 20\n");
        assert_eq!(read("4:memory:/c\n"), Some(Memory { used: 40, limit: 64 }));
        assert_eq!(read("4:memory:/outside/d\n"), Some(Memory { used: 40, limit: 64 }));
    }

    #[test]
    fn a_limit_of_the_config_is_on_what_the_process_has_itself() {
        let settings = MemorySettings { limit: 1 << 40, ..SETTINGS };
        let read = reading(&settings, &[]).unwrap();
        assert!(read.used > 1 << 20 && read.limit == 1 << 40, "{read:?}");
    }
}
