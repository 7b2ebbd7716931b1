//! `/proc/self/status` in, the value of a line out.
//!
//! The one reader of it: what memory the process has, how it is kept from what it need not do, and how many
//! threads it has all stand there (proc_pid_status(5)). Elsewhere than on Linux there is no such file, and it
//! says nothing.

use std::fs;

/// What the system says of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status(String);

impl Status {
    /// Of this process, now.
    pub fn now() -> Status {
        Status(fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    /// What a line says, but for a unit behind it; none if there is no such line, or nothing in it.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut lines = self.0.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()
    }

    /// What a line in KiB says, in bytes.
    pub fn bytes(&self, name: &str) -> Option<u64> {
        // The kernel writes `kB` and means 1,024 of them.
        self.value(name)?.parse::<u64>().ok()?.checked_mul(1_024)
    }
}

impl From<&str> for Status {
    /// As it would stand in the file.
    fn from(text: &str) -> Status {
        Status(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_known_by_its_whole_name() {
        let status = Status::from("Name:\tVmRSS: 1\nVmPeak:\t    9 kB\nVmRSS:\t    1552 kB\nVm:\n");
        assert_eq!((status.value("VmRSS"), status.bytes("VmRSS")), (Some("1552"), Some(1_589_248)));
        assert_eq!((status.bytes("VmPeak"), status.bytes("Name")), (Some(9_216), None));
        assert_eq!((status.value("Vm"), status.value("VmSize")), (None, None));
    }

    #[test]
    fn this_process_has_memory() {
        assert!(Status::now().bytes("VmRSS").is_some_and(|bytes| bytes > 0));
    }
}
