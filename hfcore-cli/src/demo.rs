//! The demo model that ships with the program: a storyteller of 3 million parameters.
//!
//! In the repository it is a model folder like any other, `hfcore-cli/demo`. A program that was installed
//! away from its source carries a copy, and lays it out in the user's cache folder. Wherever a folder is
//! found, it is used only if it holds what the program carries, byte for byte: a file that somebody else put
//! there, or half a copy, is never loaded.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::output::Result;

/// The files of the folder.
const FILES: &[(&str, &[u8])] = &[
    (
        "chat_template.jinja",
        include_bytes!("../demo/chat_template.jinja"),
    ),
    ("config.json", include_bytes!("../demo/config.json")),
    (
        "generation_config.json",
        include_bytes!("../demo/generation_config.json"),
    ),
    (
        "model.safetensors",
        include_bytes!("../demo/model.safetensors"),
    ),
    ("tokenizer.json", include_bytes!("../demo/tokenizer.json")),
    (
        "tokenizer_config.json",
        include_bytes!("../demo/tokenizer_config.json"),
    ),
];

/// The name of the copy in a cache folder. Versions do not share one.
const NAME: &str = concat!("demo-", env!("CARGO_PKG_VERSION"));

/// A folder that holds the demo model, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Demo {
    path: PathBuf,
    is_temporary: bool,
}

impl Demo {
    /// The demo model: beside the source, in the user's cache folder, or in a folder of this process.
    ///
    /// # Errors
    /// If a copy can be laid out nowhere.
    pub(crate) fn new() -> Result<Self> {
        let lasting = |path| Self {
            path,
            is_temporary: false,
        };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
        if is_copy(&source) {
            return Ok(lasting(source));
        }
        // A cache that cannot be written to is no reason to fail: homes of services are often read-only.
        if let Some(copy) =
            cache_folder(|name| std::env::var_os(name)).and_then(|base| lay_out(&base).ok())
        {
            return Ok(lasting(copy));
        }
        let demo = Self {
            path: new_folder(
                &std::env::temp_dir().join(concat!("hfcore-demo-", env!("CARGO_PKG_VERSION"))),
            )?,
            is_temporary: true,
        };
        write_files(&demo.path)?;
        Ok(demo)
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if self.is_temporary {
            remove(&self.path);
        }
    }
}

/// Where the system keeps what programs can make again: each user has a place of his own.
fn cache_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // Relative ones are to be ignored, says the XDG Base Directory Specification.
    let folder = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join("Library/Caches")))
    } else {
        folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))
    }
}

/// The copy under the cache folder `base`, made anew unless it is there and whole.
fn lay_out(base: &Path) -> io::Result<PathBuf> {
    let target = base.join("hfcore").join(NAME);
    if is_copy(&target) {
        return Ok(target);
    }
    fs::create_dir_all(base.join("hfcore"))?;
    // Written beside it and renamed when whole: whoever finds the final name finds all of it.
    let partial = new_folder(&target)?;
    let finished = write_files(&partial).and_then(|()| replace(&partial, &target));
    if finished.is_err() {
        remove(&partial);
        // Another process may have been first.
        if is_copy(&target) {
            return Ok(target);
        }
    }
    finished.map(|()| target)
}

/// Rename `partial` to `target`, which may exist and then is moved out of the way first: a folder can be
/// renamed over an empty one only.
fn replace(partial: &Path, target: &Path) -> io::Result<()> {
    if fs::symlink_metadata(target).is_ok() {
        let old = new_folder(target)?;
        let moved = fs::rename(target, old.join("old"));
        remove(&old);
        moved?;
    }
    fs::rename(partial, target)
}

/// Whether `folder` holds every file, byte for byte.
fn is_copy(folder: &Path) -> bool {
    FILES
        .iter()
        .all(|(name, bytes)| is_equal(&folder.join(name), bytes).unwrap_or(false))
}

/// Whether the file holds these bytes, and no others. Of a file of another size nothing is read.
fn is_equal(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() != bytes.len() as u64 {
        return Ok(false);
    }
    // One byte more than expected shows a file that grew since.
    let mut found = Vec::with_capacity(bytes.len() + 1);
    File::open(path)?
        .take(bytes.len() as u64 + 1)
        .read_to_end(&mut found)?;
    Ok(found == bytes)
}

fn write_files(folder: &Path) -> io::Result<()> {
    for (name, bytes) in FILES {
        File::create_new(folder.join(name))?.write_all(bytes)?;
    }
    Ok(())
}

/// A folder that did not exist before, beside `path` and named after it, that only this user can open.
fn new_folder(path: &Path) -> io::Result<PathBuf> {
    // More than enough for what dead processes of the same id have left behind.
    const ATTEMPTS: usize = 1000;
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has modes"))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    for attempt in 0..ATTEMPTS {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.{attempt}", std::process::id()));
        match builder.create(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created.map(|()| name.into()),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Remove a folder of ours. What stays wastes space and does no harm.
fn remove(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names under `base/hfcore`.
    fn names(base: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(base.join("hfcore")).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_copy_is_made_once() {
        let base = tempfile::tempdir().unwrap();
        let copy = lay_out(base.path()).unwrap();
        assert_eq!(copy, base.path().join("hfcore").join(NAME));
        assert!(is_copy(&copy));
        // The second time it is used as it is: a file beside ours would be gone from a new one.
        fs::write(copy.join("note"), "still there").unwrap();
        assert_eq!(lay_out(base.path()).unwrap(), copy);
        assert!(copy.join("note").is_file());
        assert_eq!(names(base.path()), [NAME], "nothing is left beside it");
    }

    #[test]
    fn a_copy_with_one_other_byte_is_replaced() {
        let base = tempfile::tempdir().unwrap();
        let copy = lay_out(base.path()).unwrap();
        for (name, bytes) in FILES {
            let mut spoiled = bytes.to_vec();
            *spoiled.last_mut().unwrap() ^= 1;
            fs::write(copy.join(name), spoiled).unwrap();
            assert!(!is_copy(&copy), "{name}");
            assert_eq!(lay_out(base.path()).unwrap(), copy);
            assert!(is_copy(&copy), "{name}");
        }
        fs::remove_file(copy.join("config.json")).unwrap();
        assert!(is_copy(&lay_out(base.path()).unwrap()));
        assert_eq!(names(base.path()), [NAME], "nothing is left beside it");
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_is_replaced() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("hfcore")).unwrap();
        fs::write(base.path().join("hfcore").join(NAME), "no folder").unwrap();
        assert!(is_copy(&lay_out(base.path()).unwrap()));
        assert_eq!(names(base.path()), [NAME], "nothing is left beside it");
    }

    #[test]
    fn a_cache_that_is_no_folder_fails() {
        let base = tempfile::NamedTempFile::new().unwrap();
        lay_out(base.path()).unwrap_err();
    }

    #[test]
    fn new_folders_are_new() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("a");
        assert_ne!(new_folder(&path).unwrap(), new_folder(&path).unwrap());
    }

    #[test]
    fn a_temporary_copy_goes_with_its_owner() {
        let base = tempfile::tempdir().unwrap();
        let path = new_folder(&base.path().join("a")).unwrap();
        write_files(&path).unwrap();
        drop(Demo {
            path: path.clone(),
            is_temporary: true,
        });
        assert!(!path.exists());
    }

    #[cfg(all(unix, not(target_os = "macos")))]
    #[test]
    fn the_cache_folder_is_the_users() {
        let with = |variables: &'static [(&str, &str)]| {
            cache_folder(|name| {
                let found = variables.iter().find(|(variable, _)| *variable == name);
                found.map(|(_, value)| value.into())
            })
        };
        let both = with(&[("XDG_CACHE_HOME", "/cache"), ("HOME", "/home/a")]);
        assert_eq!(both, Some("/cache".into()));
        let home = Some(PathBuf::from("/home/a/.cache"));
        assert_eq!(with(&[("HOME", "/home/a")]), home);
        let relative = with(&[("XDG_CACHE_HOME", "cache"), ("HOME", "/home/a")]);
        assert_eq!(relative, home, "a relative one is ignored");
        assert_eq!(with(&[]), None);
    }
}
