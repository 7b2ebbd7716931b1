//! Files and folders that are ours alone: a path in, a file that nobody else can write or put in its
//! place out, or why there is none.
//!
//! What is stored decides where traffic goes, and it holds the secret of cohorts. So it is taken from
//! nobody: as ssh does with keys, what belongs to a stranger or what everybody can write is refused,
//! and no link is followed. What is ours and only wider than it need be is narrowed, and that is told.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::libc::{ELOOP, O_NOFOLLOW, O_NONBLOCK};
use nix::unistd::geteuid;

/// May be written by those who are neither owner nor group.
const BY_ALL: u32 = 0o002;
/// May be written by the group.
const BY_GROUP: u32 = 0o020;
/// May be used by others than the owner.
const BY_OTHERS: u32 = 0o077;
/// Of a folder: what is in it can be removed by its owner alone.
const STICKY: u32 = 0o1000;

/// Which file a path stood for when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Standing {
    /// The one that is open.
    pub fn of(path: &Path, file: &File) -> io::Result<Standing> {
        let about = file.metadata()?;
        Ok(Standing { path: path.to_path_buf(), device: about.dev(), inode: about.ino() })
    }

    /// An error if the path stands for no file or another by now: what is written is lost then, or
    /// belongs to nobody's state.
    pub fn check(&self) -> io::Result<()> {
        let gone = |what: &str| Err(io::Error::other(what.to_string()));
        match fs::symlink_metadata(&self.path) {
            Ok(about) if (about.dev(), about.ino()) == (self.device, self.inode) => Ok(()),
            Ok(_) => gone("another file was put in its place"),
            Err(error) if error.kind() == ErrorKind::NotFound => gone("somebody has removed it"),
            Err(error) => Err(error),
        }
    }
}

/// The folder of this file, made if it is not there.
pub(super) fn folder_of(path: &Path) -> io::Result<()> {
    let folder = named_folder(path.parent().unwrap_or(Path::new(".")));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|e| unmade(folder, e))?;
    // A link to a folder is how systemd gives one to a user that is made up.
    let folder = folder.canonicalize()?;
    let about = fs::metadata(&folder)?;
    let named = format!("the folder {}", folder.display());
    let own = geteuid().as_raw();
    refuse(&named, about.uid(), about.mode(), own)?;
    // What the system's user gave to our group only that user could narrow.
    if about.uid() == own && about.mode() & BY_GROUP != 0 {
        narrow(&named, &about, BY_GROUP, |mode| fs::set_permissions(&folder, mode))?;
    }
    for above in folder.ancestors().skip(1) {
        let mode = fs::metadata(above)?.mode();
        if mode & BY_ALL != 0 && mode & STICKY == 0 {
            let above = above.display();
            return Err(io::Error::other(format!(
                "{named} can be replaced by everybody, who can write {above}; `chmod o-w {above}`, \
                 or name another `state_dir`"
            )));
        }
    }
    Ok(())
}

/// Why a folder cannot be made, with what is in its way and what to do.
fn unmade(folder: &Path, error: io::Error) -> io::Error {
    let last = folder.ancestors().find(|above| fs::symlink_metadata(above).is_ok());
    let Some((there, about)) = last.and_then(|last| Some((last, fs::metadata(last).ok()?))) else {
        return error;
    };
    let (folder, named) = (folder.display(), there.display());
    let what = match error.kind() {
        _ if !about.is_dir() => format!(
            "the state folder would be {folder}, and {named} is no folder; move it away, or name another \
             folder with `server.state_dir`"
        ),
        ErrorKind::PermissionDenied => {
            let (own, mode) = (geteuid().as_raw(), about.mode() & 0o7777);
            let why = not_made(about.uid(), mode, own, &folder.to_string(), &named.to_string());
            format!("the state folder {folder} cannot be made in {named}: {why}")
        }
        _ => return error,
    };
    io::Error::new(error.kind(), what)
}

/// Another way out.
const OTHER: &str = "name another folder with `server.state_dir`";

/// What keeps a process of user `own` from making a folder in one with this owner and mode, and the way out.
fn not_made(owner: u32, mode: u32, own: u32, folder: &str, named: &str) -> String {
    if owner == own {
        return kept_out(owner, mode, true, own, named);
    }
    // What is the system's is not to be given over for that.
    format!(
        "that belongs to user {owner} (mode {mode:04o}), and pointsman runs as user {own}; make the folder as \
         root with `install -d -o {own} -m 700 {folder}`, or {OTHER}"
    )
}

/// What keeps a process of user `own` from a file or folder with this owner and mode, and the way out.
fn kept_out(owner: u32, mode: u32, is_folder: bool, own: u32, named: &str) -> String {
    let (needed, rights) = if is_folder { (0o700, "rwx") } else { (0o600, "rw") };
    match (owner == own, mode & needed == needed) {
        (false, _) => format!(
            "it belongs to user {owner} (mode {mode:04o}), and pointsman runs as user {own}; `chown {own} \
             {named}`, or {OTHER}"
        ),
        (true, false) => format!(
            "it belongs to pointsman's own user {own}, and its mode is {mode:04o}; `chmod u+{rights} {named}`"
        ),
        (true, true) => format!(
            "it belongs to pointsman's own user {own} (mode {mode:04o}), so something else forbids it, such as \
             AppArmor, SELinux or the sandbox of the unit; allow it there, or {OTHER}"
        ),
    }
}

/// What the system says of a file that is not there or may not be used, with what keeps us from it.
pub(super) fn denied(path: &Path, error: io::Error) -> io::Error {
    if error.kind() != ErrorKind::PermissionDenied {
        return error;
    }
    let own = geteuid().as_raw();
    // The file itself, if there is one to be seen, or its folder.
    let mut there = path.ancestors().take(2).map(named_folder);
    let found = there.find_map(|path| Some((path, fs::metadata(path).ok()?)));
    let what = match found {
        Some((there, about)) => {
            let (mode, named) = (about.mode() & 0o7777, there.display().to_string());
            let why = kept_out(about.uid(), mode, about.is_dir(), own, &named);
            format!("no rights to {named}: {why}")
        }
        // Whoever sees neither is kept from a folder further above.
        None => format!(
            "no rights to {}: a folder above it lets nobody of user {own} pass; {OTHER}",
            path.display()
        ),
    };
    io::Error::new(error.kind(), what)
}

/// A folder as it is opened: that of a bare name has none.
fn named_folder(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// A file that is there.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let named = path.display().to_string();
    let mut options = OpenOptions::new();
    // Of a pipe nobody waits for the other end.
    options.read(true).write(true).custom_flags(O_NOFOLLOW | O_NONBLOCK);
    let file = options.open(path).map_err(|error| match error.raw_os_error() {
        Some(ELOOP) => io::Error::other(format!(
            "{named} is a link, and what it leads to may be anybody's; remove the link, or put the \
             file itself there"
        )),
        _ => denied(path, error),
    })?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other(format!("{named} is no file")));
    }
    let own = geteuid().as_raw();
    refuse(&named, about.uid(), about.mode(), own)?;
    if about.uid() == own && about.mode() & BY_OTHERS != 0 {
        narrow(&named, &about, BY_OTHERS, |mode| file.set_permissions(mode))?;
    }
    Ok(file)
}

/// A file that is not there yet.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    options.open(path).map_err(|error| denied(path, error))
}

/// One that may be there: what a crash left of it, or of an earlier process.
pub(super) fn open_or_create(path: &Path) -> io::Result<File> {
    match create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => open(path),
        created => created,
    }
}

/// A stranger's, or everybody's. The system's user is no stranger.
fn refuse(named: &str, owner: u32, mode: u32, own: u32) -> io::Result<()> {
    if owner != own && owner != 0 {
        return Err(io::Error::other(format!(
            "{named} belongs to user {owner}, and pointsman runs as user {own}; give it over with \
             `chown`, or name another `state_dir`"
        )));
    }
    if mode & BY_ALL != 0 {
        return Err(io::Error::other(format!(
            "{named} can be written by everybody (mode {:04o}): nobody knows whose it is; look at \
             what is in it, then `chmod o-w` it, or name another `state_dir`",
            mode & 0o7777
        )));
    }
    Ok(())
}

/// Takes these rights away.
fn narrow(
    named: &str,
    about: &Metadata,
    rights: u32,
    set: impl FnOnce(Permissions) -> io::Result<()>,
) -> io::Result<()> {
    let mode = about.mode() & 0o7777;
    let narrowed = mode & !rights;
    set(Permissions::from_mode(narrowed))?;
    tracing::warn!(
        "{named} was open to others than its owner: its mode is {narrowed:04o} now, and was {mode:04o}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_strangers_or_everybodys_is_refused() {
        let said = |owner, mode| refuse("it", owner, mode, 990).map_err(|error| error.to_string());
        assert_eq!([said(990, 0o600), said(0, 0o755), said(990, 0o770)], [Ok(()), Ok(()), Ok(())]);
        let stranger = said(1_000, 0o600).unwrap_err();
        assert!(stranger.contains("it belongs to user 1000, and pointsman runs as user 990"));
        assert!(said(990, 0o602).unwrap_err().contains("can be written by everybody (mode 0602)"));
        // A folder in which each may remove only what is his own is still everybody's.
        assert!(said(0, 0o1777).is_err());
    }

    #[test]
    fn what_is_in_the_way_of_the_folder_is_named_with_the_way_out() {
        let folder = tempfile::TempDir::new().unwrap();
        let in_the_way = folder.path().join("state");
        fs::write(&in_the_way, "").unwrap();
        for path in [in_the_way.join("store.redb"), in_the_way.join("deeper/store.redb")] {
            let error = folder_of(&path).unwrap_err().to_string();
            let named = format!("{} is no folder; move it away", in_the_way.display());
            assert!(error.contains(&named) && error.contains("`server.state_dir`"), "{error}");
        }
    }

    #[test]
    fn who_has_no_rights_is_told_what_is_wrong_and_what_to_do() {
        let said = |owner, mode, is_folder| kept_out(owner, mode, is_folder, 990, "/s");
        let strangers = said(0, 0o755, true);
        assert!(
            strangers
                .starts_with("it belongs to user 0 (mode 0755), and pointsman runs as user 990;")
        );
        assert!(strangers.contains("`chown 990 /s`"), "{strangers}");
        let narrow = said(990, 0o500, true);
        assert!(narrow.ends_with("its mode is 0500; `chmod u+rwx /s`"), "{narrow}");
        assert!(!narrow.contains("chown"), "it has the right owner: {narrow}");
        assert!(said(990, 0o400, false).ends_with("its mode is 0400; `chmod u+rw /s`"));
        let forbidden = said(990, 0o700, true);
        assert!(forbidden.contains("something else forbids it"), "{forbidden}");
        assert!(!forbidden.contains("chmod") && !forbidden.contains("chown"), "{forbidden}");
    }

    #[test]
    fn what_is_denied_names_the_file_or_its_folder() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("store.redb");
        let denied_now = || denied(&path, ErrorKind::PermissionDenied.into()).to_string();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o500)).unwrap();
        let (own, named) = (geteuid().as_raw(), folder.path().display().to_string());
        let wanted = format!(
            "no rights to {named}: it belongs to pointsman's own user {own}, and its mode is 0500; `chmod u+rwx \
             {named}`"
        );
        assert_eq!(denied_now(), wanted);
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        assert!(
            denied_now().ends_with(&format!("`chmod u+rw {}`", path.display())),
            "{}",
            denied_now()
        );
        let beyond = Path::new("/no/such/folder/store.redb");
        let said = denied(beyond, ErrorKind::PermissionDenied.into()).to_string();
        assert!(
            said.starts_with("no rights to /no/such/folder/store.redb: a folder above"),
            "{said}"
        );
        let other = denied(&path, ErrorKind::NotFound.into());
        assert_eq!(other.kind(), ErrorKind::NotFound);
        assert_eq!(other.to_string(), io::Error::from(ErrorKind::NotFound).to_string());
    }

    #[test]
    fn a_folder_that_cannot_be_made_in_the_systems_is_made_by_root() {
        let said = |owner, mode| not_made(owner, mode, 990, "/var/lib/p", "/var/lib");
        let systems = said(0, 0o755);
        assert!(systems.contains("`install -d -o 990 -m 700 /var/lib/p`"), "{systems}");
        assert!(!systems.contains("chown"), "/var/lib is not ours to have: {systems}");
        assert!(said(990, 0o555).ends_with("its mode is 0555; `chmod u+rwx /var/lib`"));
    }

    #[test]
    fn a_pipe_is_no_file_and_nobody_waits_for_its_other_end() {
        let folder = tempfile::TempDir::new().unwrap();
        let pipe = folder.path().join("store.redb");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert!(open(&pipe).unwrap_err().to_string().contains("is no file"));
    }
}
