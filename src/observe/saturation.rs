//! How full the process is: `/proc/self` and the workers' lag in, metrics out.
//!
//! Read at each scrape, on the thread that answers it, which moves no requests; three small files
//! that the kernel makes up take some ten microseconds. Elsewhere than on Linux the files are
//! missing, and so are the metrics. Names are those of Prometheus's own client libraries.

use std::fs;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::families::{Buckets, Families};
use super::lag::LAG_BOUNDS;
use super::{Process, Status, declared};

/// Clock ticks of `/proc/self/stat` in a second: `USER_HZ`, which Linux shows to programs as 100
/// on every machine that Rust runs on, whatever the kernel's own rate.
const TICKS_PER_SECOND: f64 = 100.0;

/// What the system says of the process; none for what it does not say.
#[derive(Clone, Debug, Default, PartialEq)]
struct Usage {
    open_fds: Option<f64>,
    most_fds: Option<f64>,
    resident_bytes: Option<f64>,
    virtual_bytes: Option<f64>,
    threads: Option<f64>,
    cpu_seconds: Option<f64>,
}

impl Usage {
    /// What it is now.
    fn now() -> Usage {
        let text = |name: &str| fs::read_to_string(format!("/proc/self/{name}"));
        let text = |name| text(name).unwrap_or_default();
        let usage = Usage::read(&Status::now(), &text("stat"), &text("limits"));
        Usage { open_fds: open_fds(), ..usage }
    }

    /// What the status and the texts of `stat` and `limits` say.
    fn read(status: &Status, stat: &str, limits: &str) -> Usage {
        let bytes = |name| status.bytes(name).map(|bytes| bytes as f64);
        let soft_limit = limits.lines().find_map(|line| {
            let limit = line.strip_prefix("Max open files")?.split_whitespace().next()?;
            // Prometheus's libraries say it with the largest number as well.
            if limit == "unlimited" { Some(u64::MAX as f64) } else { limit.parse().ok() }
        });
        Usage {
            open_fds: None,
            most_fds: soft_limit,
            resident_bytes: bytes("VmRSS"),
            virtual_bytes: bytes("VmSize"),
            threads: status.value("Threads").and_then(|threads| threads.parse().ok()),
            cpu_seconds: cpu_seconds(stat),
        }
    }
}

/// User and system time of all threads: fields 14 and 15 of proc_pid_stat(5). The name, field 2,
/// may hold spaces and brackets, so counting begins after its last bracket.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

/// How many descriptors are open. Since Linux 6.2 the directory's size tells; before that they are
/// counted, which takes milliseconds for tens of thousands.
fn open_fds() -> Option<f64> {
    const DIRECTORY: &str = "/proc/self/fd";
    match fs::metadata(DIRECTORY).ok()?.len() {
        // The one that reads the directory is among them.
        0 => Some(fs::read_dir(DIRECTORY).ok()?.count().saturating_sub(1) as f64),
        open => Some(open as f64),
    }
}

/// How full the process is now.
pub(super) fn saturation(families: &mut Families, process: &Process, now: Instant) {
    let usage = Usage::now();
    for (metric, value) in [
        (&declared::OPEN_FDS, usage.open_fds),
        (&declared::MAX_FDS, usage.most_fds),
        (&declared::RESIDENT_MEMORY, usage.resident_bytes),
        (&declared::VIRTUAL_MEMORY, usage.virtual_bytes),
        (&declared::THREADS, usage.threads),
        (&declared::CPU, usage.cpu_seconds),
    ] {
        value.into_iter().for_each(|value| families.put(metric, &[], value));
    }
    if let Some(memory) = process.memory() {
        families.put(&declared::MEMORY_LIMIT, &[], memory.limit as f64);
        families.put(&declared::MEMORY_USED, &[], memory.used as f64);
    }
    if let Some(workers) = process.workers().map(Handle::metrics) {
        let threads = workers.num_workers();
        let busy = (0..threads).map(|worker| workers.worker_total_busy_duration(worker));
        families.put(&declared::WORKERS, &[], threads as f64);
        families.put(&declared::WORKERS_BUSY, &[], busy.sum::<Duration>().as_secs_f64());
        families.put(&declared::TASKS, &[], workers.num_alive_tasks() as f64);
    }
    let Some(lag) = process.lag().map(|lag| lag.read(now)) else { return };
    families.put(&declared::LAG, &[], lag.largest.as_secs_f64());
    let (counts, sum) = (&lag.counts, lag.sum.as_secs_f64());
    let buckets = Buckets { bounds: &LAG_BOUNDS, counts, sum, exemplars: &[] };
    families.histogram(&declared::LAG_SAMPLED, &[], buckets);
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use super::*;
    use crate::clock::WallTime;
    use crate::config::Config;
    use crate::observe::{Form, Lag, Scrape, encode};
    use crate::snapshot::{Blueprint, RunTime, Snapshot};
    use crate::split::Secret;

    #[test]
    fn the_files_are_read_as_the_kernel_writes_them() {
        let status = "Name:\tVmRSS: 1\nVmPeak:\t    9 kB\nVmSize:\t    3060 kB\n\
                      VmRSS:\t    1552 kB\nThreads:\t7\n";
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 7 0 1 2 3";
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max processes             1                    2                    processes\n\
                      Max open files            20000                50000                files\n";
        let usage = Usage {
            open_fds: None,
            most_fds: Some(20_000.0),
            resident_bytes: Some(1_552.0 * 1_024.0),
            virtual_bytes: Some(3_060.0 * 1_024.0),
            threads: Some(7.0),
            cpu_seconds: Some(3.0),
        };
        assert_eq!(Usage::read(&status.into(), stat, limits), usage);
        let unlimited =
            Usage::read(&Status::default(), "", "Max open files   unlimited  unlimited  files");
        assert_eq!(unlimited.most_fds, Some(u64::MAX as f64));
        for text in ["", "1 (a) S 1", "VmRSS:\nThreads: x\nMax open files", ")"] {
            assert_eq!(Usage::read(&text.into(), text, text), Usage::default());
        }
    }

    /// The value of each series without labels.
    fn scrape(process: &Process, now: Instant) -> HashMap<String, f64> {
        let text = "[[listeners]]\naddress = \":0\"\n[services.a.pools.b]\nupstreams = [\"a:1\"]\n";
        let blueprint = Blueprint {
            config: Arc::new(Config::parse(text).unwrap().0),
            run_time: &RunTime::default(),
            secret: Secret([1; 16]),
            now,
        };
        let scrape = Scrape {
            snapshot: &Snapshot::build(&blueprint, None),
            process,
            took: &|_, _| Default::default(),
            capacity: &|_| Default::default(),
            events: Vec::new(),
            now: (now, WallTime::default()),
            form: Form::Text,
        };
        let text = encode(&scrape);
        let series = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_string(), value.parse().ok()?))
        };
        text.lines().filter_map(series).collect()
    }

    #[test]
    fn metrics_follow_the_process() {
        let start = Instant::now();
        let process = Process::default();
        let before = scrape(&process, start);
        assert!(!before.contains_key("pointsman_event_loop_lag_seconds"));
        process.set_lag(Arc::new(Lag::new(start)));
        let memory = std::hint::black_box(vec![1u8; 64 << 20]);
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || ended.recv());
        let files: Vec<_> =
            (0..200).map(|_| fs::File::open("/proc/self/status").unwrap()).collect();
        let during = scrape(&process, start);
        // Other tests open and allocate meanwhile, so only what is far beyond them is compared.
        let more = |name: &str| during[name] - before[name];
        assert!(more("process_open_fds") >= 100.0, "{}", more("process_open_fds"));
        assert!(more("process_resident_memory_bytes") >= f64::from(32 << 20));
        assert!(during["process_virtual_memory_bytes"] >= during["process_resident_memory_bytes"]);
        assert!(during["process_max_fds"] > during["process_open_fds"]);
        assert!(during["process_threads"] >= 2.0);
        assert!(during["process_cpu_seconds_total"] >= before["process_cpu_seconds_total"]);
        assert_eq!(during["pointsman_event_loop_lag_seconds"], 0.0);
        assert_eq!(during["pointsman_event_loop_lag_sampled_seconds_count"], 0.0);
        assert_eq!((files.len(), memory.len()), (200, 64 << 20));
        drop(end);
        assert!(thread.join().unwrap().is_err());
    }
}
