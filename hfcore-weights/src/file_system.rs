//! Is a file on this machine's own disk? What `WeightSource::Auto` asks before it maps.

use std::fs::File;
use std::path::Path;

/// Where the bytes of a file come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileSystem {
    /// A disk or the memory of this machine.
    Local,
    /// Another machine, or another process (FUSE): the file can change or vanish without this kernel knowing.
    Remote,
}

/// File systems by `f_type` of `statfs(2)`, from `linux/magic.h` and their own sources.
#[cfg(any(target_os = "linux", target_os = "android"))]
const REMOTE: [(u32, &str); 20] = [
    (0x6969, "nfs"),
    (0x517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x564c, "ncp"),
    (0x7375_7245, "coda"),
    (0x5346_414f, "afs"),
    (0x6b41_4653, "kafs"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "ceph"),
    // Also virtiofs, and every cloud bucket mounted as a folder.
    (0x6573_5546, "fuse"),
    (0x0bd0_0bd0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0x1983_0326, "beegfs"),
    (0x2003_0528, "orangefs"),
    (0x7461_636f, "ocfs2"),
    (0x0116_1970, "gfs2"),
    (0xaad7_aaea, "panfs"),
    (0x786f_4256, "vboxsf"),
    (0xbacb_acbc, "vmhgfs"),
];

#[cfg(any(target_os = "linux", target_os = "android"))]
fn classify(magic: u32) -> FileSystem {
    // A list of the remote ones and not of the local ones: new local file systems are common, and a container's
    // overlay must not lose the zero-copy path for being unknown.
    if REMOTE.iter().any(|&(remote, _)| remote == magic) {
        FileSystem::Remote
    } else {
        FileSystem::Local
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn statfs(file: &File) -> Option<libc::statfs> {
    use std::mem::MaybeUninit;
    use std::os::fd::AsRawFd;

    let mut stat = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and `stat` has room for what is written.
    let status = unsafe { libc::fstatfs(file.as_raw_fd(), stat.as_mut_ptr()) };
    if status != 0 {
        return None;
    }
    // SAFETY: `fstatfs` returned 0, so it has filled the struct in; and all-zero is a valid value of it anyway.
    Some(unsafe { stat.assume_init() })
}

/// Where `file` lies. What cannot be determined is taken for remote: reading is always right.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn of(file: &File, _path: &Path) -> FileSystem {
    // The field's type differs between C libraries and word sizes; the magic numbers have 32 bits.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::unnecessary_cast,
        reason = "the low 32 bits are the magic number, whatever the field's type is on this target"
    )]
    let magic = statfs(file).map(|stat| stat.f_type as u32);
    magic.map_or(FileSystem::Remote, classify)
}

#[cfg(target_vendor = "apple")]
pub(crate) fn of(file: &File, _path: &Path) -> FileSystem {
    #[allow(clippy::cast_sign_loss, reason = "a flag bit")]
    const LOCAL: u32 = libc::MNT_LOCAL as u32;
    match statfs(file) {
        Some(stat) if stat.f_flags & LOCAL != 0 => FileSystem::Local,
        _ => FileSystem::Remote,
    }
}

/// `\\server\share` is remote. A mapped drive letter is not told apart: the standard library has no call for it.
#[cfg(windows)]
pub(crate) fn of(_file: &File, path: &Path) -> FileSystem {
    use std::path::{Component, Prefix};
    match path.components().next() {
        Some(Component::Prefix(prefix))
            if matches!(prefix.kind(), Prefix::UNC(..) | Prefix::VerbatimUNC(..)) =>
        {
            FileSystem::Remote
        }
        _ => FileSystem::Local,
    }
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    windows
)))]
pub(crate) fn of(_file: &File, _path: &Path) -> FileSystem {
    FileSystem::Remote
}

/// Whether `file`, which was opened at `path`, is known to lie on a disk of this machine, or in its memory: then no other
/// machine writes to it, and a lock on it is one for everybody.
#[must_use]
pub fn is_on_local_disk(file: &File, path: &Path) -> bool {
    of(file, path) == FileSystem::Local
}

/// How many bytes a user without privileges can still write to the file system that `path`, which exists, lies on.
///
/// # Errors
/// If it cannot be asked, or, as `Unsupported`, if this system has no call for it that the standard library or libc knows.
#[cfg(unix)]
pub fn available_space(path: &Path) -> std::io::Result<u64> {
    use std::mem::MaybeUninit;
    use std::os::fd::AsRawFd;

    let file = File::open(path)?;
    let mut stat = MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the descriptor is open for as long as `file` lives, and `stat` has room for what is written.
    let status = unsafe { libc::fstatvfs(file.as_raw_fd(), stat.as_mut_ptr()) };
    if status != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: `fstatvfs` returned 0, so it has filled the struct in; and all-zero is a valid value of it anyway.
    let stat = unsafe { stat.assume_init() };
    #[allow(
        clippy::unnecessary_cast,
        reason = "the fields have 32 or 64 bits, depending on the target"
    )]
    let (blocks, block) = (stat.f_bavail as u64, stat.f_frsize as u64);
    Ok(blocks.saturating_mul(block))
}

/// As on Unix.
///
/// # Errors
/// Always.
#[cfg(not(unix))]
pub fn available_space(_path: &Path) -> std::io::Result<u64> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_asked() {
        assert!(available_space(Path::new("/")).unwrap() > 0);
        assert_eq!(available_space(Path::new("/proc")).unwrap(), 0);
        assert!(available_space(Path::new("/no/such/folder")).is_err());
    }

    #[test]
    fn network_and_user_space_file_systems_are_remote() {
        for (magic, name) in REMOTE {
            assert_eq!(classify(magic), FileSystem::Remote, "{name}");
        }
        // ext4, btrfs, xfs, tmpfs, overlayfs, zfs, f2fs.
        for magic in [
            0xef53,
            0x9123_683e,
            0x5846_5342,
            0x0102_1994,
            0x794c_7630,
            0x2fc1_2fc1,
            0xf2f5_2010,
        ] {
            assert_eq!(classify(magic), FileSystem::Local, "{magic:#x}");
        }
    }

    #[test]
    fn proc_is_asked_by_descriptor() {
        let path = Path::new("/proc/self/status");
        let file = File::open(path).unwrap();
        let stat = statfs(&file).unwrap();
        assert_eq!(stat.f_type, 0x9fa0);
        assert_eq!(of(&file, path), FileSystem::Local);
    }
}
