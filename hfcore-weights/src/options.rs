//! How a checkpoint is opened, and what it may cost.

/// How the bytes of weight files come into memory.
///
/// A memory map costs nothing until it is touched, shares its pages with other processes and is the zero-copy path.
/// Its price: the file must stay as it is while any tensor of it is alive. Renaming over it or deleting it is harmless
/// (the map keeps the old file); *truncating* it kills the process with `SIGBUS` on the next touch of a lost page, and
/// rewriting it in place changes weights under a running model. Nothing in a process can prevent another one from
/// doing so. Programs that replace files do it by renaming (as [`save_pretrained`], `huggingface_hub` and safetensors
/// 0.8 do), so on local disks this is a risk worth taking; on network and user-space file systems, where the other
/// writer may be another machine and a lost connection is also a `SIGBUS`, it is not.
///
/// [`save_pretrained`]: crate::save_pretrained
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WeightSource {
    /// [`Mmap`](Self::Mmap) for regular files on local file systems; [`Read`](Self::Read) on network and user-space
    /// ones (NFS, SMB, Lustre, GPFS, Ceph, 9p, FUSE, …; UNC paths on Windows).
    #[default]
    Auto,
    /// Always map. The caller promises that nobody truncates or rewrites the files meanwhile.
    Mmap,
    /// Never map: each tensor is read into private memory, 64-byte aligned, when it is asked for (and again each time;
    /// nothing is cached). Immune to whatever happens to the files afterwards.
    Read,
}

/// The most a file may make this crate allocate or accept. Every value is printed by the error that refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one safetensors header. Default 100 000 000, as the reference implementation.
    pub max_header_bytes: u64,
    /// Tensors of a checkpoint, over all shards. Default 2 000 000.
    pub max_tensors: usize,
    /// Dimensions of a tensor. Default 16.
    pub max_rank: usize,
    /// Bytes of a tensor's name. Default 4096.
    pub max_name_bytes: usize,
    /// Entries of a file's `__metadata__`. Default 200 000.
    pub max_metadata_entries: usize,
    /// Bytes of `model.safetensors.index.json`. Default 64 MiB.
    pub max_index_bytes: u64,
    /// Files of a checkpoint. Default 10 000.
    pub max_shards: usize,
    /// Bytes of all weight files together. Default 8 TiB: mapping them costs address space only.
    pub max_checkpoint_bytes: u64,
    /// Bytes of all weight files together where they are read instead of mapped. Default 256 GiB: a sparse file of a
    /// terabyte is free to make and not to read.
    pub max_read_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_header_bytes: 100_000_000,
            max_tensors: 2_000_000,
            max_rank: 16,
            max_name_bytes: 4096,
            max_metadata_entries: 200_000,
            max_index_bytes: 64 << 20,
            max_shards: 10_000,
            max_checkpoint_bytes: 8 << 40,
            max_read_bytes: 256 << 30,
        }
    }
}

/// Options of [`Weights::open`](crate::Weights::open); the default is what `from_pretrained` does.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct OpenOptions {
    /// Map or read.
    pub source: WeightSource,
    /// What the files may cost.
    pub limits: Limits,
    /// `Some("fp16")` opens `model.fp16.safetensors`, or `model.safetensors.index.fp16.json` and its shards.
    pub variant: Option<String>,
    /// Follow symbolic links that leave the folder. Links into the blobs of the Hub cache the folder belongs to are
    /// always followed; others are refused by default, since a folder that was unpacked from somewhere may hold a link
    /// to any file of the machine.
    pub follow_external_links: bool,
}

impl OpenOptions {
    /// Sets [`source`](Self::source).
    #[must_use]
    pub fn with_source(mut self, source: WeightSource) -> Self {
        self.source = source;
        self
    }

    /// Sets [`limits`](Self::limits).
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets [`variant`](Self::variant).
    #[must_use]
    pub fn with_variant(mut self, variant: impl Into<String>) -> Self {
        self.variant = Some(variant.into());
        self
    }

    /// Sets [`follow_external_links`](Self::follow_external_links).
    #[must_use]
    pub fn with_follow_external_links(mut self, follow: bool) -> Self {
        self.follow_external_links = follow;
        self
    }
}
