//! The program that an upgrade starts: how this process was started in, a path that may be trusted out.
//!
//! It is found once, at the start, and nobody can name another: whoever may order an upgrade may not choose
//! what runs. What others can write is not run, as whoever writes it would then give the orders.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// May be written by the group or by everybody.
const BY_OTHERS: u32 = 0o022;
/// Of a folder: what is in it can be removed by its owner alone.
const STICKY: u32 = 0o1000;

/// The path of the program, and how it was started.
#[derive(Clone, Debug)]
pub(in crate::server) struct Binary {
    /// As it was called, links and all.
    pub path: PathBuf,
    pub arguments: Vec<OsString>,
}

impl Binary {
    /// That of this process.
    pub fn of_process() -> io::Result<Binary> {
        let own = std::env::current_exe()?;
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_default();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = as_called(&name, &path).filter(|path| is_same(path, &own)).unwrap_or(own);
        Ok(Binary { path, arguments: arguments.collect() })
    }

    /// The program that is there now, links followed; why it is not to be run, if it is not.
    pub fn trusted(&self) -> Result<PathBuf, String> {
        let named = |error: io::Error| format!("{}: {error}", self.path.display());
        let target = self.path.canonicalize().map_err(named)?;
        let about = fs::metadata(&target).map_err(named)?;
        if !about.is_file() {
            return Err(format!("{} is no file", target.display()));
        }
        refuse(&target, false)?;
        // Where a link may be put, and where its target.
        for path in [&self.path, &target] {
            let folder = path.parent().unwrap_or(Path::new("/"));
            let folder = folder.canonicalize().map_err(named)?;
            refuse(&folder, false)?;
            folder.ancestors().skip(1).try_for_each(|above| refuse(above, true))?;
        }
        Ok(target)
    }
}

/// Why others than root and ourselves could change it, if they can. Of what is in a sticky folder others can
/// replace nothing.
fn refuse(path: &Path, may_be_sticky: bool) -> Result<(), String> {
    let shown = path.display();
    let about = fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?;
    let is_others = about.uid() != 0 && about.uid() != geteuid().as_raw();
    let is_sticky = may_be_sticky && about.mode() & STICKY != 0;
    match about.mode() & BY_OTHERS != 0 && !is_sticky {
        _ if is_others => Err(format!("{shown} belongs to user {}", about.uid())),
        true => Err(format!("{shown} can be written by others; `chmod go-w {shown}`")),
        false => Ok(()),
    }
}

/// What a shell finds under this name.
fn as_called(name: &OsStr, path: &OsStr) -> Option<PathBuf> {
    if name.as_encoded_bytes().contains(&b'/') {
        return std::path::absolute(name).ok();
    }
    let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    identity(one).is_some() && identity(one) == identity(other)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_can_write_is_not_run() {
        let root = tempfile::tempdir().unwrap();
        let (folder, links) = (root.path().join("bin"), root.path().join("links"));
        fs::create_dir(&folder).unwrap();
        fs::create_dir(&links).unwrap();
        let file = folder.join("pointsman");
        fs::write(&file, "x").unwrap();
        symlink(&file, links.join("pointsman")).unwrap();
        let binary = Binary { path: links.join("pointsman"), arguments: Vec::new() };
        let set = |modes: [u32; 3]| {
            [&file, &folder, &links].iter().zip(modes).for_each(|(path, mode)| chmod(path, mode));
            binary.trusted().map_err(|why| why.split(' ').next().unwrap().to_string())
        };
        let shown = |path: &Path| Err(path.canonicalize().unwrap().display().to_string());
        assert_eq!(set([0o755, 0o755, 0o755]), Ok(file.canonicalize().unwrap()));
        for by in [0o020, 0o002] {
            assert_eq!(set([0o755 | by, 0o755, 0o755]), shown(&file));
            assert_eq!(set([0o755, 0o755 | by, 0o755]), shown(&folder));
            assert_eq!(set([0o755, 0o755, 0o755 | by]), shown(&links));
        }
        chmod(&links, 0o755);
        chmod(root.path(), 0o777);
        assert_eq!(set([0o755; 3]), shown(root.path()));
        chmod(root.path(), 0o1777);
        assert!(set([0o755; 3]).is_ok(), "there nobody can put another folder in its place");
        // Another version is found where the link leads by then.
        let next = folder.join("pointsman-2");
        fs::write(&next, "y").unwrap();
        fs::remove_file(links.join("pointsman")).unwrap();
        symlink(&next, links.join("pointsman")).unwrap();
        assert_eq!(binary.trusted(), Ok(next.canonicalize().unwrap()));
        fs::remove_file(&next).unwrap();
        assert!(binary.trusted().unwrap_err().contains("pointsman: No such file"));
    }

    #[test]
    fn a_name_is_looked_up_as_a_shell_does() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pm"), "x").unwrap();
        let path = std::env::join_paths([Path::new("bin"), Path::new("/nowhere"), folder.path()]);
        let found = |name: &str| as_called(OsStr::new(name), path.as_ref().unwrap());
        assert_eq!(found("pm"), Some(folder.path().join("pm")));
        assert_eq!(found("none"), None);
        assert_eq!(found("./pm"), Some(std::env::current_dir().unwrap().join("pm")));
    }
}
