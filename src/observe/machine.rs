//! What the process may do and has: files of the kernel in, facts for a diagnosis out.

use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::statvfs;

use super::Status;
use crate::doctor::{Disk, ProcessFacts, Sandbox};

/// The capability to bind ports below 1,024, in a process's status.
const PORTS: u64 = 1 << 10;

/// What there is to see of this process, which writes into these folders.
pub fn look(folders: &[(&'static str, &Path)]) -> ProcessFacts {
    ProcessFacts {
        descriptors: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
        sandbox: sandbox(&Status::now()),
        disks: folders.iter().filter_map(|(holds, folder)| disk(holds, folder)).collect(),
    }
}

fn disk(holds: &'static str, folder: &Path) -> Option<Disk> {
    let found = statvfs(folder).ok()?;
    let size = found.fragment_size();
    Some(Disk {
        holds,
        folder: folder.display().to_string(),
        free: found.blocks_available().saturating_mul(size),
        whole: found.blocks().saturating_mul(size),
    })
}

/// How a process with this status is kept from what it need not do.
fn sandbox(status: &Status) -> Option<Sandbox> {
    let capabilities = u64::from_str_radix(status.value("CapEff")?, 16).ok()?;
    Some(Sandbox {
        is_root: status.value("Uid")? == "0",
        no_new_privileges: status.value("NoNewPrivs")? == "1",
        is_filtered: status.value("Seccomp")? != "0",
        has_more_capabilities: capabilities & !PORTS != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_what_is_kept_from_a_process() {
        let status = "Name:\tpointsman\nUid:\t998\t998\t998\t998\nCapEff:\t0000000000000400\n\
                      NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n";
        let kept = Sandbox { no_new_privileges: true, is_filtered: true, ..Sandbox::default() };
        assert_eq!(sandbox(&status.into()), Some(kept));
        let bare = status.replace("998", "0").replace("0400", "ffff").replace("\t1\n", "\t0\n");
        let bare = bare.replace("Seccomp:\t2", "Seccomp:\t0");
        let wanted = Sandbox { is_root: true, has_more_capabilities: true, ..Sandbox::default() };
        assert_eq!(sandbox(&Status::from(&*bare)), Some(wanted));
        assert_eq!(sandbox(&"Name:\tpointsman\n".into()), None);
    }

    #[test]
    fn what_this_process_has_is_seen() {
        let folder = std::env::temp_dir();
        let seen = look(&[("tests", &folder), ("nothing", Path::new("/no/such/folder"))]);
        assert!(seen.descriptors.is_some_and(|limit| limit > 0), "{seen:?}");
        assert!(matches!(&seen.disks[..], [disk] if disk.holds == "tests" && disk.whole > 0));
        assert!(seen.sandbox.is_some());
    }
}
