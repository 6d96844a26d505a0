//! Files that hold a secret: readable by their owner alone from the moment they exist, and never half written.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::HubError;

/// Folders above it are made for the owner alone; those that exist stay as they are.
pub(super) fn write(path: &Path, text: &str) -> Result<(), HubError> {
    // A link stays one: what it leads to is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let failed = |doing| {
        let path = path.clone();
        move |source| HubError::Io {
            path,
            doing,
            source,
        }
    };
    if let Some(folder) = path.parent() {
        make_folder(folder).map_err(failed("given a folder"))?;
    }
    let (temporary, mut file) = create_beside(&path).map_err(failed("created"))?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, &path));
    written.map_err(|source| {
        let _ = fs::remove_file(&temporary);
        failed("written")(source)
    })
}

/// The text, if there is a file.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether there was a file to remove.
pub(super) fn remove(path: &Path) -> Result<bool, HubError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(HubError::Io {
            path: path.to_owned(),
            doing: "removed",
            source,
        }),
    }
}

/// A lock on `path` with `.lock` behind it, which Python takes too before it rewrites the stored tokens. Where locks do not
/// work the last writer wins, as without it.
pub(super) fn lock(path: &Path) -> Option<File> {
    if let Some(folder) = path.parent() {
        make_folder(folder).ok()?;
    }
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    let file = owner_only()
        .create(true)
        .truncate(false)
        .open(Path::new(&lock))
        .ok()?;
    file.lock().ok()?;
    Some(file)
}

fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    for _ in 0..100 {
        let random = RandomState::new().hash_one(path) & 0xffff_ffff;
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{random:08x}.tmp"));
        let temporary = PathBuf::from(name);
        match owner_only().create_new(true).open(&temporary) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (temporary, file)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_it_whatever_was_there() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

        let path = folder.path().join("home/token");
        write(&path, "one").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&folder.path().join("home")), 0o700);

        let open = folder.path().join("open");
        fs::write(&open, "old").unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
        let link = folder.path().join("link");
        symlink(&open, &link).unwrap();
        write(&link, "two").unwrap();
        assert_eq!(fs::read_to_string(&open).unwrap(), "two");
        assert_eq!(mode(&open), 0o600);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let names = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, 3, "no temporary file stays");
    }

    #[test]
    fn removing_says_whether_there_was_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert!(!remove(&path).unwrap());
        assert_eq!(read(&path).unwrap(), None);
        write(&path, "x").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some(&b"x"[..]));
        assert!(remove(&path).unwrap());
    }

    #[test]
    fn two_do_not_write_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stored_tokens");
        let held = lock(&path).unwrap();
        let other = File::open(folder.path().join("stored_tokens.lock")).unwrap();
        assert!(other.try_lock().is_err());
        drop(held);
        other.try_lock().unwrap();
    }
}
