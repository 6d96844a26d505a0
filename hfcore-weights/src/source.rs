//! Where tensors' bytes come from: a memory map, reads of a file, or memory. This file and `file_system.rs` hold this
//! crate's `unsafe`.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use memmap2::Mmap;

use crate::bytes::AlignedVec;
use crate::file_system::{self, FileSystem};
use crate::header::LENGTH_BYTES;
use crate::{Bytes, HeaderProblem, Limits, SafetensorsHeader, WeightSource, WeightsError};

/// The data part of one file, or one tensor in memory.
#[derive(Debug)]
pub(crate) enum Source {
    /// Memory-mapped, read whole, or given.
    Bytes {
        data: Bytes,
        file: Option<Arc<OpenFile>>,
    },
    /// Read by ranges; the data start at `start`.
    File { file: Arc<OpenFile>, start: u64 },
}

/// A file that is held open, and how it was when it was opened.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) path: PathBuf,
    file: File,
    stamp: Stamp,
}

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            len: metadata.len(),
            modified: metadata.modified().ok(),
        }
    }
}

impl OpenFile {
    /// Opens a regular file. `path` has no symbolic link in its last part: who follows them has done so.
    pub(crate) fn open(path: &Path) -> Result<Self, WeightsError> {
        let io = |action| {
            let path = path.to_owned();
            move |source| WeightsError::Io {
                action,
                path,
                source,
            }
        };
        // Before opening: opening a pipe waits for its writer, and opening a device may do anything.
        check_regular(path, &path.symlink_metadata().map_err(io("open"))?)?;
        let mut options = File::options();
        options.read(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // Should it have become a link or a pipe since.
            options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        }
        let file = options.open(path).map_err(io("open"))?;
        let metadata = file.metadata().map_err(io("inspect"))?;
        check_regular(path, &metadata)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            stamp: Stamp::of(&metadata),
        })
    }

    pub(crate) fn len(&self) -> u64 {
        self.stamp.len
    }

    /// A number that two paths share if they are one file.
    #[cfg(unix)]
    pub(crate) fn identity(&self) -> Option<(u64, u64)> {
        use std::os::unix::fs::MetadataExt;
        let metadata = self.file.metadata().ok()?;
        Some((metadata.dev(), metadata.ino()))
    }

    #[cfg(not(unix))]
    pub(crate) fn identity(&self) -> Option<(u64, u64)> {
        None
    }

    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<AlignedVec, WeightsError> {
        AlignedVec::read(&self.file, offset, len).map_err(|source| {
            if source.kind() == io::ErrorKind::UnexpectedEof {
                return WeightsError::FileChanged {
                    path: self.path.clone(),
                    what: format!("it is now shorter than the {} bytes it had", self.len()),
                };
            }
            self.io("read", source)
        })
    }

    /// The file is as long as it was, and was not written to.
    pub(crate) fn check_unchanged(&self) -> Result<(), WeightsError> {
        let metadata = self
            .file
            .metadata()
            .map_err(|source| self.io("inspect", source))?;
        let now = Stamp::of(&metadata);
        if now == self.stamp {
            return Ok(());
        }
        let what = if now.len == self.stamp.len {
            "it was written to".to_owned()
        } else {
            format!("it had {} bytes and has {}", self.stamp.len, now.len)
        };
        Err(WeightsError::FileChanged {
            path: self.path.clone(),
            what,
        })
    }

    /// Header and data of a safetensors file.
    ///
    /// The header is always *read*, so that opening a file somebody truncates meanwhile is an error and not a signal.
    pub(crate) fn parse(
        self: Arc<Self>,
        source: WeightSource,
        limits: &Limits,
    ) -> Result<(SafetensorsHeader, Source), WeightsError> {
        let refuse = |problem| WeightsError::Header {
            file: self.path.display().to_string(),
            problem,
        };
        let len = self.len();
        if len < LENGTH_BYTES {
            return Err(refuse(HeaderProblem::TooShort { len }));
        }
        let first = self.read(0, 8)?;
        let first = first.as_ref().try_into().expect("8 bytes were read");
        let header_len = SafetensorsHeader::length(first, len, limits).map_err(refuse)?;
        let too_long = |_| {
            refuse(HeaderProblem::TooLong {
                header_len,
                max: limits.max_header_bytes,
            })
        };
        let header = self.read(LENGTH_BYTES, usize::try_from(header_len).map_err(too_long)?)?;
        let start = LENGTH_BYTES + header_len;
        let header =
            SafetensorsHeader::parse(header.as_ref(), len - start, limits).map_err(refuse)?;

        let source = if self.is_to_be_mapped(source) {
            Source::Bytes {
                data: self.map(start)?,
                file: Some(Arc::clone(&self)),
            }
        } else {
            Source::File {
                file: Arc::clone(&self),
                start,
            }
        };
        self.check_unchanged()?;
        Ok((header, source))
    }

    pub(crate) fn is_to_be_mapped(&self, source: WeightSource) -> bool {
        match source {
            WeightSource::Mmap => true,
            WeightSource::Read => false,
            WeightSource::Auto => file_system::of(&self.file, &self.path) == FileSystem::Local,
        }
    }

    /// The file from `start` on, mapped.
    fn map(&self, start: u64) -> Result<Bytes, WeightsError> {
        // SAFETY: the map is read-only and private to this process, and lives in an owner that never hands out `&mut`.
        // That no other process truncates or rewrites the file cannot be established here, nor by anyone on a system
        // without mandatory locks: `WeightSource` documents it as what the user answers for, `Auto` keeps to local
        // file systems, and `check_unchanged` finds most breaches while the model is being built.
        let map = unsafe { Mmap::map(&self.file) }.map_err(|source| self.io("map", source))?;
        let start = usize::try_from(start).expect("a mapped file fits the address space");
        if map.len() < start || u64::try_from(map.len()).ok() != Some(self.len()) {
            return Err(WeightsError::FileChanged {
                path: self.path.clone(),
                what: format!("it had {} bytes and has {}", self.len(), map.len()),
            });
        }
        let len = map.len();
        Ok(Bytes::from_owner(map).slice(start..len))
    }

    fn io(&self, action: &'static str, source: io::Error) -> WeightsError {
        WeightsError::Io {
            action,
            path: self.path.clone(),
            source,
        }
    }
}

impl Source {
    pub(crate) fn file(&self) -> Option<&Arc<OpenFile>> {
        match self {
            Self::Bytes { file, .. } => file.as_ref(),
            Self::File { file, .. } => Some(file),
        }
    }

    pub(crate) fn is_mapped(&self) -> bool {
        matches!(self, Self::Bytes { file: Some(_), .. })
    }

    /// Bytes `begin..end` of the data, which the header has been held to.
    pub(crate) fn bytes(&self, begin: u64, end: u64) -> Result<Bytes, WeightsError> {
        let usize_of = |offset: u64| usize::try_from(offset);
        match self {
            Self::Bytes { data, .. } => {
                let (begin, end) = (usize_of(begin), usize_of(end));
                Ok(data.slice(
                    begin.expect("within bytes in memory")..end.expect("within bytes in memory"),
                ))
            }
            Self::File { file, start } => {
                let len = usize_of(end - begin)
                    .map_err(|_| file.io("read", io::ErrorKind::OutOfMemory.into()))?;
                Ok(Bytes::from_owner(file.read(start + begin, len)?))
            }
        }
    }
}

fn check_regular(path: &Path, metadata: &Metadata) -> Result<(), WeightsError> {
    if metadata.is_file() {
        return Ok(());
    }
    let kind = metadata.file_type();
    #[cfg(unix)]
    let special = {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            Some("a pipe")
        } else if kind.is_socket() {
            Some("a socket")
        } else if kind.is_block_device() || kind.is_char_device() {
            Some("a device")
        } else {
            None
        }
    };
    #[cfg(not(unix))]
    let special = None;
    Err(WeightsError::NotAFile {
        path: path.to_owned(),
        kind: special.unwrap_or(if kind.is_dir() {
            "a folder"
        } else if kind.is_symlink() {
            "a symbolic link"
        } else {
            "something else"
        }),
    })
}
