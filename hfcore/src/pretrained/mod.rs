//! Where a pretrained model comes from: a folder, the cache that Python shares, or the Hub.

mod cached;
#[cfg(feature = "hub")]
mod fetched;
mod selection;

use std::path::{Path, PathBuf};

use hfcore_hub::{Cache, Environment, HubError, ModelName, RelPath, Repo, RepoType, Revision};

use crate::error::Error;
use crate::model_dir::ModelDir;

#[cfg(feature = "hub")]
use {
    hfcore_hub::{Hub, Progress, Token},
    std::{fmt, sync::Arc},
};

/// A pretrained model by its name, and how to get it: what `from_pretrained` takes. A name alone is one.
///
/// A name is that of a folder, if there is such a folder; else `org/name` or `org/name@revision` of the Hub, as in Python.
/// What begins with `.`, `/` or `~` is never looked for on the Hub.
///
/// ```no_run
/// use hfcore::{AutoModelForCausalLm, Pretrained};
///
/// let model = AutoModelForCausalLm::from_pretrained("Qwen/Qwen3-0.6B")?;
/// let source = Pretrained::new("org/name").revision("v1.0").local_files_only(true);
/// let model = AutoModelForCausalLm::from_pretrained(source)?;
/// # Ok::<(), hfcore::Error>(())
/// ```
///
/// Without the feature `hub` the network is not there, and neither are the methods that concern it: a model that the
/// cache holds whole loads all the same.
#[derive(Debug, Clone)]
pub struct Pretrained {
    place: Place,
    revision: Option<String>,
    subfolder: Option<String>,
    variant: Option<String>,
    cache_dir: Option<PathBuf>,
    local_files_only: bool,
    skip_weights: bool,
    #[cfg(feature = "hub")]
    lock_file: Option<PathBuf>,
    #[cfg(feature = "hub")]
    network: Network,
}

#[derive(Debug, Clone)]
enum Place {
    /// A folder if there is one of this name, else a model of the Hub.
    Named(PathBuf),
    Folder(PathBuf),
    Hub(String),
    /// Found already.
    Found(ModelDir),
}

/// What a name turned out to be.
enum Resolved {
    Hub(ModelName),
    Folder(ModelDir),
}

/// What concerns the network alone.
#[cfg(feature = "hub")]
#[derive(Clone, Default)]
struct Network {
    hub: Option<Hub>,
    token: Option<Token>,
    force_download: bool,
    to: Option<PathBuf>,
    progress: Option<Arc<dyn Progress>>,
}

#[cfg(feature = "hub")]
impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("hub", &self.hub)
            .field("token", &self.token)
            .field("force_download", &self.force_download)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

impl Pretrained {
    /// The folder of this name, or the model of the Hub.
    #[must_use]
    pub fn new(name: impl AsRef<Path>) -> Self {
        Self::at(Place::Named(name.as_ref().to_owned()))
    }

    /// This folder, and never the Hub.
    #[must_use]
    pub fn folder(path: impl AsRef<Path>) -> Self {
        Self::at(Place::Folder(path.as_ref().to_owned()))
    }

    /// This model of the Hub, `org/name` or `org/name@revision`, even if there is a folder of that name.
    #[must_use]
    pub fn hub_model(name: impl Into<String>) -> Self {
        Self::at(Place::Hub(name.into()))
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            revision: None,
            subfolder: None,
            variant: None,
            cache_dir: None,
            local_files_only: false,
            skip_weights: false,
            #[cfg(feature = "hub")]
            lock_file: None,
            #[cfg(feature = "hub")]
            network: Network::default(),
        }
    }

    /// A branch, a tag, a commit or `refs/pr/N`; `main` by default. A commit never changes, and once it is in the cache
    /// nothing is asked of the network.
    #[must_use]
    pub fn revision(mut self, revision: impl Into<String>) -> Self {
        self.revision = Some(revision.into());
        self
    }

    /// The model is in this folder of the repository, or of the folder.
    #[must_use]
    pub fn subfolder(mut self, subfolder: impl Into<String>) -> Self {
        self.subfolder = Some(subfolder.into());
        self
    }

    /// Weights of this variant: `fp16` stands for `model.fp16.safetensors`.
    #[must_use]
    pub fn variant(mut self, variant: impl Into<String>) -> Self {
        self.variant = Some(variant.into());
        self
    }

    /// The cache, in place of what the environment says.
    #[must_use]
    pub fn cache_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.cache_dir = Some(folder.as_ref().to_owned());
        self
    }

    /// Never touch the network: what is not in the cache is an error.
    #[must_use]
    pub fn local_files_only(mut self, only: bool) -> Self {
        self.local_files_only = only;
        self
    }

    /// Configuration and tokenizer, no weights.
    #[must_use]
    pub fn skip_weights(mut self, skip: bool) -> Self {
        self.skip_weights = skip;
        self
    }

    /// Find it, fetching what is missing: the folder of its files, all of which are there and checked.
    ///
    /// # Errors
    /// If it is neither a folder nor a model of the Hub, cannot be had, or has no safetensors.
    pub fn fetch(&self) -> Result<ModelDir, Error> {
        match self.resolve_place()? {
            Resolved::Hub(name) => self.of_hub(&name),
            Resolved::Folder(dir) => Ok(dir),
        }
    }

    fn resolve_place(&self) -> Result<Resolved, Error> {
        Ok(match &self.place {
            Place::Found(dir) => Resolved::Folder(dir.clone()),
            Place::Folder(path) => Resolved::Folder(self.of_folder(path)?),
            Place::Hub(name) => Resolved::Hub(ModelName::parse(name).map_err(HubError::from)?),
            Place::Named(path) if path.is_dir() => Resolved::Folder(self.of_folder(path)?),
            Place::Named(path) => match path.to_str().filter(|name| !looks_like_a_path(name)) {
                Some(name) => Resolved::Hub(ModelName::parse(name).map_err(|source| {
                    let name = name.to_owned();
                    Error::NoModel { name, source }
                })?),
                None => return Err(Error::NoFolder(path.clone())),
            },
        })
    }

    fn of_folder(&self, path: &Path) -> Result<ModelDir, Error> {
        // Python ignores a revision here, and loads something else than what was asked for.
        if let Some(what) = self.means_hub() {
            let why = format!(
                "{} is a folder, and that is about the Hub; Pretrained::hub_model names a model of the Hub",
                path.display()
            );
            let what = what.to_owned();
            return Err(HubError::Argument { what, why }.into());
        }
        let subfolder = self.subfolder_path()?;
        let path = subfolder.map_or_else(|| path.to_owned(), |subfolder| subfolder.join_to(path));
        Ok(ModelDir::new(path)?.with_variant(self.variant.clone()))
    }

    /// What is asked for that a folder does not have.
    fn means_hub(&self) -> Option<&'static str> {
        #[cfg(feature = "hub")]
        {
            let network = &self.network;
            for (is_set, what) in [
                (self.lock_file.is_some(), "a lock file"),
                (network.to.is_some(), "a folder to download to"),
                (network.force_download, "force_download"),
            ] {
                if is_set {
                    return Some(what);
                }
            }
        }
        self.revision.is_some().then_some("a revision")
    }

    fn of_hub(&self, name: &ModelName) -> Result<ModelDir, Error> {
        let request = self.request(name)?;
        #[cfg(feature = "hub")]
        {
            fetched::fetch(self, &request)
        }
        #[cfg(not(feature = "hub"))]
        {
            const REMEDY: &str = "the network is off: build with the feature `hub`, or fetch it with `hfcore download`";
            Ok(cached::find(&request, REMEDY, &request.revision, None)?.0)
        }
    }

    fn subfolder_path(&self) -> Result<Option<RelPath>, Error> {
        let subfolder = self.subfolder.as_deref().filter(|path| !path.is_empty());
        let parsed = subfolder.map(|path| RelPath::parse(path.trim_end_matches('/')));
        Ok(parsed.transpose().map_err(HubError::from)?)
    }

    /// What is asked for, every name checked.
    fn request(&self, name: &ModelName) -> Result<Request, Error> {
        let revision = match (&self.revision, &name.revision) {
            (Some(revision), Some(other)) if *revision != other.as_str() => {
                let what = format!("revision {revision}");
                let why = format!("the name {name} has another one");
                return Err(HubError::Argument { what, why }.into());
            }
            (Some(revision), _) => Revision::parse(revision).map_err(HubError::from)?,
            (None, Some(revision)) => revision.clone(),
            (None, None) => Revision::default(),
        };
        let cache = self.cache()?;
        Ok(Request {
            repo: Repo::new(RepoType::Model, name.id.clone()),
            revision,
            subfolder: self.subfolder_path()?,
            variant: self.variant.clone(),
            skip_weights: self.skip_weights,
            cache,
        })
    }

    fn cache(&self) -> Result<Cache, Error> {
        #[cfg(feature = "hub")]
        if let Some(hub) = &self.network.hub {
            if self.cache_dir.is_some() {
                let what = "a cache folder".to_owned();
                let why = "the Hub that is given has its own".to_owned();
                return Err(HubError::Argument { what, why }.into());
            }
            return Ok(hub.cache().clone());
        }
        let environment = Environment::from_process()?;
        let folder = self.cache_dir.as_ref().unwrap_or(&environment.cache);
        Ok(Cache::new(folder)
            .with_symlinks(environment.symlinks)
            .with_shared_blobs(environment.shared_blobs))
    }
}

/// A model of the Hub, asked for.
#[derive(Debug)]
struct Request {
    repo: Repo,
    revision: Revision,
    subfolder: Option<RelPath>,
    variant: Option<String>,
    skip_weights: bool,
    cache: Cache,
}

/// What concerns the network.
#[cfg(feature = "hub")]
impl Pretrained {
    /// Ask this Hub, with its endpoint, token, cache, time-outs and progress, in place of the environment's; those that are
    /// given here too are refused.
    #[must_use]
    pub fn hub(mut self, hub: Hub) -> Self {
        self.network.hub = Some(hub);
        self
    }

    /// Send this token, in place of the environment's.
    #[must_use]
    pub fn token(mut self, token: Token) -> Self {
        self.network.token = Some(token);
        self
    }

    /// Fetch files again that are in the cache.
    #[must_use]
    pub fn force_download(mut self, force: bool) -> Self {
        self.network.force_download = force;
        self
    }

    /// Put the files into this folder and not into the cache: plain files, which load as they are on a machine without a
    /// network. What is there already and unchanged is not fetched again.
    #[must_use]
    pub fn download_to(mut self, folder: impl AsRef<Path>) -> Self {
        self.network.to = Some(folder.as_ref().to_owned());
        self
    }

    /// What [`fetch`](Self::fetch) would download, and how much. Of a model in several files, the index is fetched to know
    /// which those are.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch); and if it is a folder, or the list of its files is neither in the cache nor to be had.
    pub fn plan(&self) -> Result<hfcore_hub::SnapshotPlan, Error> {
        let name = match self.resolve_place()? {
            Resolved::Hub(name) => name,
            Resolved::Folder(dir) => {
                let what = dir.path().display().to_string();
                let why = "it is a folder: there is nothing to download".to_owned();
                return Err(HubError::Argument { what, why }.into());
            }
        };
        fetched::plan(self, &self.request(&name)?)
    }

    /// Load the very bytes that this lock file (`hfcore.lock`) records for the model, or nothing. Every file that loading
    /// reads is hashed first, weights too: that is what it costs.
    #[must_use]
    pub fn lock_file(mut self, path: impl AsRef<Path>) -> Self {
        self.lock_file = Some(path.as_ref().to_owned());
        self
    }

    /// Who is told how a download goes.
    #[must_use]
    pub fn progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.network.progress = Some(progress);
        self
    }
}

/// What nobody means as a name of the Hub: `./x`, `/x`, `~/x`, `..`, `C:\x`, `a/b/c`, `a/`.
fn looks_like_a_path(name: &str) -> bool {
    let (id, _) = name.split_once('@').unwrap_or((name, ""));
    name.starts_with(['.', '/', '~'])
        || id.contains(['\\', ':'])
        || id.ends_with('/')
        || id.matches('/').count() > 1
}

macro_rules! from_names {
    ($($name:ty),*) => {
        $(impl From<$name> for Pretrained {
            fn from(name: $name) -> Self {
                Self::new(name)
            }
        })*
    };
}

from_names!(&str, &String, String, &Path, &PathBuf, PathBuf);

impl From<ModelDir> for Pretrained {
    fn from(dir: ModelDir) -> Self {
        Self::at(Place::Found(dir))
    }
}

impl From<&ModelDir> for Pretrained {
    fn from(dir: &ModelDir) -> Self {
        dir.clone().into()
    }
}

impl From<&Self> for Pretrained {
    fn from(source: &Self) -> Self {
        source.clone()
    }
}
