//! A model of the Hub, looked at before it is downloaded: its configuration and tokenizer are fetched, of its weights the
//! headers alone are read. That says what it is, how large, and whether it would load: families ask for tensors by name
//! and shape, and here get zeros of that shape, of which nothing takes memory.

use hfcore::hub::{Hub, RelPath, RemoteOptions, RemoteWeights, Repo, RepoType, SnapshotPlan};
use hfcore::weights::{Bytes, DType, TensorView, Weights};
use hfcore::{ModelDir, Origin, Pretrained};

use super::machine;
use super::report::{Checkpoint, Download, File, Tensor};
use crate::model::ModelArgs;
use crate::output::{Result, bytes};
use crate::progress::Watch;

/// What is known of a model that is not here.
pub(super) struct Remote {
    /// Configuration and tokenizer.
    pub(super) dir: ModelDir,
    pub(super) checkpoint: std::result::Result<Checkpoint, String>,
    pub(super) download: Option<Download>,
}

impl Remote {
    /// The model `name`, of a folder or of the Hub.
    pub(super) fn new(name: &str, args: &ModelArgs) -> Result<Self> {
        let watch = Watch::new();
        let source = args.source(name, &watch)?;
        let dir = source.clone().skip_weights(true).fetch()?;
        let Some(origin) = dir.origin() else {
            return Ok(Self {
                checkpoint: Checkpoint::of_folder(&dir),
                dir,
                download: None,
            });
        };
        let hub = args.hub.hub(&watch)?;
        // Everything at one commit, whatever the branch does meanwhile.
        let plan = match (&args.locked, hub.offline()) {
            (None, None) => Some(match source.plan() {
                Ok(plan) if plan.commit != origin.commit => at(origin, args, &hub).plan(),
                plan => plan,
            }),
            _ => None,
        };
        let whole = match &plan {
            Some(Ok(plan)) if plan.files.iter().any(|file| !file.present) => None,
            Some(Ok(_)) | None => Some(source.fetch()),
            // What the Hub does not say, or cannot be asked, may be here all the same.
            Some(Err(_)) => source.clone().local_files_only(true).fetch().ok().map(Ok),
        };
        let download = match &plan {
            Some(Ok(plan)) => Some(Download::of(plan)),
            _ => None,
        };
        if let Some(whole) = whole {
            let checkpoint = match &whole {
                Ok(whole) => Checkpoint::of_folder(whole),
                Err(error) => Err(error.chain()),
            };
            return Ok(Self {
                dir,
                checkpoint,
                download,
            });
        }
        let mut options = RemoteOptions::default();
        if let Some(subfolder) = &args.subfolder {
            options = options.with_subfolder(RelPath::parse(subfolder.trim_end_matches('/'))?);
        }
        if let Some(variant) = &args.variant {
            options = options.with_variant(variant);
        }
        let repo = Repo::new(RepoType::Model, origin.repo.clone());
        let revision = origin.commit.clone().into();
        let weights = hub.remote_weights(&repo, &revision, &options);
        let checkpoint = match (weights, plan) {
            (Ok(weights), _) => Ok(of_headers(&weights)),
            // It names what is there instead of safetensors, and what to do.
            (Err(_), Some(Err(error))) => Err(error.chain()),
            (Err(error), _) => Err(error.chain()),
        };
        Ok(Self {
            dir,
            checkpoint,
            download,
        })
    }
}

/// The model at the commit that was found.
fn at(origin: &Origin, args: &ModelArgs, hub: &Hub) -> Pretrained {
    let source = Pretrained::hub_model(origin.repo.as_str()).hub(hub.clone());
    args.with_options(source).revision(origin.commit.as_str())
}

impl Download {
    /// How much of what loading needs is to be fetched.
    fn of(plan: &SnapshotPlan) -> Self {
        let missing = plan.files.iter().filter(|file| !file.present);
        Self {
            files: plan.files.len(),
            bytes: plan.files.iter().filter_map(|file| file.size).sum(),
            missing_files: missing.count(),
            missing_bytes: plan.bytes(),
        }
    }
}

/// The checkpoint that headers describe.
fn of_headers(weights: &RemoteWeights) -> Checkpoint {
    let bytes_of_all = weights.tensor_bytes();
    let tensors = weights.tensors.iter().map(|tensor| Tensor {
        name: tensor.name.clone(),
        dtype: Some(tensor.dtype.clone()),
        shape: Some(tensor.shape.clone()),
    });
    let files = weights.files.iter().map(|file| File {
        // Below the model's own folder, as of one that is here.
        file: file
            .path
            .as_str()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned(),
        bytes: file.size,
        tensors: file.tensors,
    });
    // Nearly all is used in place, and costs nothing; what is turned or widened is not, and is never more than twice.
    let limit = machine::memory()
        .1
        .map_or(8 << 30, |available| available / 2);
    let checked = if bytes_of_all <= limit {
        zeros(weights).map_err(|error| format!("the headers cannot be used: {error}"))
    } else {
        Err(format!(
            "its weights are more than {}, half of the memory that is free here",
            bytes(limit)
        ))
    };
    Checkpoint {
        tensors: tensors.collect(),
        bytes: bytes_of_all,
        files: files.collect(),
        weights: checked,
    }
}

/// Tensors of these names, types and shapes. They share their zeros, which the system lends without giving memory.
fn zeros(weights: &RemoteWeights) -> Result<Weights> {
    let sizes = weights.tensors.iter().map(|tensor| tensor.size_bytes);
    let longest = usize::try_from(sizes.max().unwrap_or(0))?;
    let zeros = Bytes::from_owner(vec![0_u8; longest]);
    let mut tensors = Vec::with_capacity(weights.tensors.len());
    for tensor in &weights.tensors {
        let dtype = DType::from_name(&tensor.dtype)
            .ok_or_else(|| format!("{} has the unknown type {}", tensor.name, tensor.dtype))?;
        let bytes = zeros.slice(0..usize::try_from(tensor.size_bytes)?);
        tensors.push((
            tensor.name.clone(),
            TensorView::new(dtype, tensor.shape.clone(), bytes)?,
        ));
    }
    Ok(Weights::from_tensors(tensors)?)
}
