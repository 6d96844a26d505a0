//! Small things done to files that may not be what they should be: nothing here waits for a pipe, follows a link that
//! was not asked for, or reads more than it was told.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Write};
use std::path::Path;

/// Opens a regular file for reading; a symbolic link, a pipe, a device or a folder is an error (`InvalidInput`).
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    open_as(
        path,
        &path.symlink_metadata()?,
        OpenOptions::new().read(true),
        true,
    )
}

/// The same, through symbolic links.
pub(crate) fn open_following(path: &Path) -> io::Result<File> {
    open_as(
        path,
        &path.metadata()?,
        OpenOptions::new().read(true),
        false,
    )
}

/// Opens what `metadata` says is a regular file, so that what it has become since is not waited for either.
pub(crate) fn open_as(
    path: &Path,
    metadata: &fs::Metadata,
    options: &mut OpenOptions,
    no_follow: bool,
) -> io::Result<File> {
    check_regular(metadata)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let no_follow = if no_follow { libc::O_NOFOLLOW } else { 0 };
        options.custom_flags(no_follow | libc::O_NONBLOCK);
    }
    #[cfg(not(unix))]
    let _ = no_follow;
    let file = options.open(path)?;
    check_regular(&file.metadata()?)?;
    Ok(file)
}

fn check_regular(metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let what = if metadata.is_dir() {
        "a folder"
    } else if metadata.is_symlink() {
        "a symbolic link"
    } else {
        "a pipe, a socket or a device"
    };
    let why = format!("it is {what} and no regular file");
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

/// All of a regular file that has at most `limit` bytes.
pub(crate) fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let why = format!("it has more than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(bytes)
}

/// A new file with these bytes, on the disk when this returns.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Nothing is there, or something that is no folder stands where one would have to be.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Eight hexadecimal digits that no other writer uses now. Names made with them are opened with `create_new`, so that
/// chance decides about speed alone.
pub(crate) fn unique() -> String {
    // Every `RandomState` has another key, from the operating system's random numbers.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    format!("{:08x}", hasher.finish() >> 32)
}

/// Makes the names in `folder` survive a loss of power, where the system can do that.
pub(crate) fn sync_folder(folder: &Path) {
    // Some file systems refuse to sync a folder; what was renamed is then as safe as they make it.
    #[cfg(unix)]
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    #[cfg(not(unix))]
    let _ = folder;
}

/// Lets others use a new file too, whatever the umask is, as Python does with what processes of several users share. Where
/// that is impossible they go on without it.
pub(crate) fn set_mode(file: &File, mode: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let _ = file.set_permissions(fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = (file, mode);
}

/// Makes `link` a symbolic link to the file `target`, which is given relative to the folder of `link`.
pub(crate) fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::symlink(target, link);
    #[cfg(windows)]
    return std::os::windows::fs::symlink_file(target, link);
    #[cfg(not(any(unix, windows)))]
    {
        let _ = (target, link);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Whether `path` still names the open `file`.
#[cfg(unix)]
pub(crate) fn is_same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(held), Ok(named)) = (file.metadata(), path.symlink_metadata()) else {
        return false;
    };
    (held.dev(), held.ino()) == (named.dev(), named.ino())
}

/// The same where files have no numbers: a file that is open cannot be deleted by Python here.
#[cfg(not(unix))]
pub(crate) fn is_same_file(_file: &File, path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|metadata| metadata.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened_and_only_so_far() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"12345").unwrap();
        assert_eq!(read_limited(&path, 5).unwrap(), b"12345");
        let error = read_limited(&path, 4).unwrap_err();
        assert_eq!(error.to_string(), "it has more than 4 bytes");
        let error = open_regular(folder.path()).unwrap_err();
        assert_eq!(error.to_string(), "it is a folder and no regular file");
        assert!(is_missing(&open_regular(&path.join("x")).unwrap_err()));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_only_when_asked_for_and_a_pipe_is_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&path, b"1").unwrap();
        symlink(Path::new("file"), &link).unwrap();
        assert!(open_regular(&link).is_err());
        assert!(open_following(&link).is_ok());
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        for opened in [open_regular(&pipe), open_following(&pipe)] {
            let why = "it is a pipe, a socket or a device and no regular file";
            assert_eq!(opened.unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn unique_names_differ() {
        let names: std::collections::BTreeSet<_> = (0..100).map(|_| unique()).collect();
        assert_eq!(names.len(), 100);
        assert!(names.iter().all(|name| name.len() == 8));
    }
}
