//! Files of a repository in a folder of the user's own, as plain files (`_local_folder.py` of `huggingface_hub` 2.4): what
//! is carried to a machine without a network. `.cache/huggingface/download/<path>.metadata` in it remembers, in Python's
//! form, what each file is, so that neither this crate nor Python downloads again what is there.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hfcore_weights::RelPath;

use crate::cache::{Cache, ETag, ETagKind, Lookup, RepoCache, file, io_error};
use crate::download::{CachedFile, DownloadOptions};
use crate::error::HubError;
use crate::fetch::{Fetched, Wanted};
use crate::hash::{self, HashKind, Hasher};
use crate::hub::Hub;
use crate::progress::Event;
use crate::repo::{Commit, Repo, Revision};
use crate::resolve::missing_file;
use crate::transfer;

/// Two hashes and a time.
const MAX_METADATA: u64 = 1024;

/// Where Python keeps what it knows about the files of the folder.
const OWN: &str = ".cache/huggingface";

/// A folder, and the cache of the repository whose files go there.
pub(crate) struct LocalFolder {
    root: PathBuf,
    cache: RepoCache,
    /// Where files are downloaded to before they are moved to their places: on the same disk. Its folders stay: another
    /// process may be about to write to one that looks empty.
    staging: RepoCache,
}

/// What is remembered of a file.
struct Remembered {
    commit: String,
    etag: String,
}

impl LocalFolder {
    /// Makes nothing yet.
    ///
    /// # Errors
    /// If it is no path.
    pub(crate) fn new(folder: &Path, cache: RepoCache) -> Result<Self, HubError> {
        let root = std::path::absolute(folder).map_err(io_error(folder, "made"))?;
        let staging = Cache::new(root.join(OWN).join("hfcore"))
            // A file goes to its place itself, and nothing links to it.
            .with_symlinks(false)
            .with_shared_blobs(false)
            .repo(cache.repo());
        Ok(Self {
            root,
            cache,
            staging,
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The cache that files pass through, within the folder.
    pub(crate) const fn staging(&self) -> &RepoCache {
        &self.staging
    }

    /// A repository cannot have files where the folder's own are.
    pub(crate) fn refuses(path: &RelPath) -> Option<&'static str> {
        let path = path.as_str().to_ascii_lowercase();
        let own = path == OWN || path.starts_with(".cache/huggingface/");
        own.then_some("the folder `.cache/huggingface` is for what is known about the files")
    }

    /// Whether the file is there and is what it is to be: as the metadata says if the file was not written to since, else
    /// by its hash.
    pub(crate) fn has(
        &self,
        commit: &Commit,
        path: &RelPath,
        etag: Option<&ETag>,
        size: Option<u64>,
    ) -> bool {
        let place = path.join_to(&self.root);
        let Ok(metadata) = place.symlink_metadata() else {
            return false;
        };
        if !metadata.is_file() || size.is_some_and(|size| size != metadata.len()) {
            return false;
        }
        let remembered = self.remembered(path, &metadata);
        if let Some(remembered) = &remembered
            && (remembered.commit == commit.as_str()
                || etag.is_some_and(|etag| remembered.etag == etag.as_str()))
        {
            return true;
        }
        let kind = match etag.map(ETag::kind) {
            Some(ETagKind::Sha256) => HashKind::Sha256,
            Some(ETagKind::GitSha1) => HashKind::GitSha1,
            _ => return false,
        };
        let hash = hash::hash_file(&place, kind, &mut |_| {});
        hash.is_ok_and(|(hash, _)| etag.is_some_and(|etag| etag.as_str() == hash.hex()))
    }

    /// What the metadata says, unless the file is newer.
    fn remembered(&self, path: &RelPath, file: &fs::Metadata) -> Option<Remembered> {
        let bytes = file::read_limited(&self.metadata_path(path), MAX_METADATA).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let mut lines = text.lines().map(str::trim);
        let (commit, etag) = (lines.next()?.to_owned(), lines.next()?.to_owned());
        let time: f64 = lines.next()?.parse().ok()?;
        let written = UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(time).ok()?)?;
        // As Python: times of files are not exact on every disk.
        let modified = file.modified().ok()?;
        (modified <= written + Duration::from_secs(1)).then_some(Remembered { commit, etag })
    }

    fn metadata_path(&self, path: &RelPath) -> PathBuf {
        let folder = self.root.join(OWN).join("download");
        let mut name = path.join_to(&folder).into_os_string();
        name.push(".metadata");
        name.into()
    }

    /// Remembers what the file at `path` is.
    pub(crate) fn remember(
        &self,
        commit: &Commit,
        path: &RelPath,
        etag: &ETag,
    ) -> Result<(), HubError> {
        self.make_own()?;
        let metadata = self.metadata_path(path);
        let folder = metadata.parent().unwrap_or(&self.root);
        self.make_folder(folder)?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        let text = format!("{commit}\n{etag}\n{now}\n");
        let temporary = folder.join(format!("{}.tmp", file::unique()));
        let written = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, &metadata));
        written.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            io_error(&metadata, "written")(error)
        })
    }

    /// The folder's own folder: not for backups, and not for git.
    fn make_own(&self) -> Result<(), HubError> {
        const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
            # Everything in this folder can be downloaded again from the Hugging Face Hub.\n\
            # https://bford.info/cachedir/\n";
        let own = self.root.join(OWN);
        self.make_folder(&own)?;
        for (name, text) in [("CACHEDIR.TAG", TAG), (".gitignore", "*")] {
            if let Ok(mut file) = fs::File::create_new(own.join(name)) {
                // Best effort, as in Python: the files themselves are what counts.
                let _ = file.write_all(text.as_bytes());
            }
        }
        Ok(())
    }

    /// Makes a folder below the root, one after the other, through no link that leads out of it: nothing is made there
    /// either.
    fn make_folder(&self, folder: &Path) -> Result<(), HubError> {
        fs::create_dir_all(&self.root).map_err(io_error(&self.root, "made"))?;
        let real = |folder: &Path| folder.canonicalize().map_err(io_error(folder, "opened"));
        // The root itself may be a link: the user named it.
        let root = real(&self.root)?;
        let mut made = self.root.clone();
        for part in folder.strip_prefix(&self.root).unwrap_or(folder) {
            made.push(part);
            match fs::create_dir(&made) {
                Ok(()) => continue,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io_error(&made, "made")(error)),
            }
            let leads_to = real(&made)?;
            if !leads_to.starts_with(&root) {
                return Err(HubError::Argument {
                    what: format!("the folder {}", made.display()),
                    why: format!(
                        "it leads to {}, out of {}",
                        leads_to.display(),
                        self.root.display()
                    ),
                });
            }
        }
        Ok(())
    }

    /// Where `path` goes.
    fn place(&self, path: &RelPath) -> Result<PathBuf, HubError> {
        let place = path.join_to(&self.root);
        self.make_folder(place.parent().unwrap_or(&self.root))?;
        if place.is_dir() && !place.is_symlink() {
            return Err(HubError::Io {
                path: place,
                doing: "written",
                source: io::ErrorKind::IsADirectory.into(),
            });
        }
        Ok(place)
    }

    /// Takes the file from the cache, if it is there: Python does so too.
    fn copy_from_cache(&self, wanted: &Wanted<'_>, place: &Path) -> Result<bool, HubError> {
        let Ok(Lookup::Found(cached)) = self.cache.lookup(wanted.commit, wanted.path) else {
            return Ok(false);
        };
        let temporary = self
            .root
            .join(OWN)
            .join(format!("{}.incomplete", file::unique()));
        let copy = || {
            let mut from = file::open_following(&cached)?;
            let mut to = fs::File::create_new(&temporary)?;
            let copied = io::copy(&mut from, &mut to)?;
            to.sync_all()?;
            Ok(copied)
        };
        let copied: io::Result<u64> = copy();
        let result = match copied {
            // What the cache has is of another length than it should be: not that, then.
            Ok(bytes) if wanted.size.is_some_and(|size| size != bytes) => Ok(false),
            Ok(_) => fs::rename(&temporary, place)
                .map(|()| true)
                .map_err(io_error(place, "written")),
            Err(error) => Err(transfer::write_error(&temporary, wanted.size, error)),
        };
        if !matches!(result, Ok(true)) {
            let _ = fs::remove_file(&temporary);
        }
        result
    }
}

/// What the lock is called under which a file comes to its place in the folder: other than those of contents, which are
/// taken meanwhile.
fn place_lock(path: &RelPath) -> ETag {
    let path = path.as_str().as_bytes();
    let mut hasher = Hasher::new(HashKind::Sha256, path.len() as u64);
    hasher.update(path);
    ETag::parse(&format!("place-{}", hasher.finish().hex()))
        .expect("letters, digits and `-` are the name of a file")
}

impl Hub {
    /// One file, into a folder.
    pub(crate) fn download_to(
        &self,
        repo: &Repo,
        revision: &Revision,
        path: &RelPath,
        folder: &Path,
        options: &DownloadOptions,
    ) -> Result<CachedFile, HubError> {
        if let Some(why) = LocalFolder::refuses(path) {
            return Err(HubError::Argument {
                what: format!("the path {path}"),
                why: why.to_owned(),
            });
        }
        let cache = self.cache().repo(repo);
        let folder = LocalFolder::new(folder, cache.clone())?;
        let resolved = self
            .resolve_with(repo, revision, options.local_files_only)
            .map_err(missing_file(path))?;
        let (commit, because) = (resolved.commit, resolved.from_cache_because);
        let found = |downloaded, from_cache_because| CachedFile {
            path: path.join_to(folder.root()),
            commit: commit.clone(),
            downloaded,
            from_cache_because,
        };
        // Of this very commit and not written to since: no question is left.
        if !options.force && folder.has(&commit, path, None, None) {
            return Ok(found(false, because));
        }
        let mut wanted = Wanted {
            commit: &commit,
            revision,
            path,
            etag: None,
            size: None,
            xet_hash: None,
            force: options.force,
            stop: None,
        };
        if let Some(why) = self.offline_because(options.local_files_only) {
            let place = folder.place(path)?;
            folder.make_own()?;
            if folder.copy_from_cache(&wanted, &place)? {
                return Ok(found(false, because));
            }
            let error = HubError::Offline {
                what: format!("{path} of {repo}"),
                why,
            };
            return Err(self.not_cached(repo, revision, path.as_str(), error));
        }
        wanted = self.describe_listed(&cache, &commit, revision, path, options.force)?;
        let fetched = self.fetch_to_folder(&folder, &wanted)?;
        Ok(found(fetched.downloaded, because))
    }

    /// Makes sure that what is wanted is in the folder.
    pub(crate) fn fetch_to_folder(
        &self,
        folder: &LocalFolder,
        wanted: &Wanted<'_>,
    ) -> Result<Fetched, HubError> {
        let place = folder.place(wanted.path)?;
        let done = |downloaded| {
            self.http().progress().event(&Event::Done {
                path: wanted.path.as_str(),
                downloaded,
            });
        };
        let present = || -> Result<Option<Fetched>, HubError> {
            let (Some(etag), false) = (&wanted.etag, wanted.force) else {
                return Ok(None);
            };
            let there = folder.has(wanted.commit, wanted.path, Some(etag), wanted.size);
            if !there && !folder.copy_from_cache(wanted, &place)? {
                return Ok(None);
            }
            folder.remember(wanted.commit, wanted.path, etag)?;
            done(false);
            Ok(Some(Fetched {
                path: place.clone(),
                etag: etag.clone(),
                downloaded: false,
            }))
        };
        folder.make_own()?;
        if let Some(fetched) = present()? {
            return Ok(fetched);
        }
        folder.make_folder(folder.staging.folder())?;
        // From here to its place the file is one process's.
        let lock_name = place_lock(wanted.path);
        let path = wanted.path.as_str();
        let _lock = folder.staging.lock(&lock_name, &mut |_| {
            self.http().progress().event(&Event::Waiting { path });
        });
        if let Some(fetched) = present()? {
            return Ok(fetched);
        }
        let fetched = self.fetch(&folder.staging, wanted)?;
        match fs::rename(&fetched.path, &place) {
            // Without locks another process may have moved it.
            Err(error)
                if file::is_missing(&error)
                    && folder.has(wanted.commit, wanted.path, Some(&fetched.etag), wanted.size) => {
            }
            moved => moved.map_err(io_error(&place, "written"))?,
        }
        file::sync_folder(place.parent().unwrap_or(&folder.root));
        folder.remember(wanted.commit, wanted.path, &fetched.etag)?;
        Ok(Fetched {
            path: place,
            ..fetched
        })
    }
}
