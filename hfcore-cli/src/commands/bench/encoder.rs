//! Batches through an encoder.

use hfcore::{
    Device, ImageEncoder, ModelDir, ModelInfo, NoProbe, PretrainedConfig, Tensor, TextEncoder,
    TokenBatch,
};

use super::{Args, Measured, Report, Tokens, load};
use crate::commands::bench::measure::Timed;
use crate::output::Result;

/// A batch of sequences of random tokens, all of one length.
pub(super) fn text(args: &Args, dir: &ModelDir) -> Result<Report> {
    let device = args.runtime.device()?;
    let (model, load_ms) = load::<dyn TextEncoder>(args, dir, &device)?;
    let model = model.model();
    let (tokens, sequences) = (Tokens::new(model.info().vocab_size), size(args)?);
    let sequence = tokens.take(args.n_prompt);
    let add = |batch: TokenBatch, _| batch.with(&sequence);
    let batch = (0..sequences).fold(TokenBatch::new(), add);
    let label = format!("{sequences}x{}", args.n_prompt);
    let counted = if args.n_prompt == 0 { 0 } else { sequences };
    let encode = Measured::of(
        "encode",
        label,
        (counted, "sequences"),
        &device,
        args.repetitions,
        || {
            Timed::of(&device, || {
                let output = model.encode(&batch, &mut NoProbe)?;
                // Begun while somebody has it: a device that records leaves out what nobody wants.
                device.submit();
                drop(output);
                Ok(())
            })
        },
    )?;
    Ok(report(model.info(), &device, load_ms, encode))
}

/// A batch of images of random pixels.
pub(super) fn images(args: &Args, dir: &ModelDir) -> Result<Report> {
    let device = args.runtime.device()?;
    let shape = pixels(&dir.config()?, size(args)?)?;
    let (model, load_ms) = load::<dyn ImageEncoder>(args, dir, &device)?;
    let model = model.model();
    let values = Tokens::new(2001).take(shape.iter().product());
    #[expect(clippy::cast_precision_loss, reason = "numbers up to 2000")]
    let values = values.into_iter().map(|v| v as f32 / 1e3 - 1.0).collect();
    let images = Tensor::from_vec(&device, &shape, values);
    let encode = Measured::of(
        "encode",
        format!("{} images", shape[0]),
        (shape[0], "images"),
        &device,
        args.repetitions,
        || {
            Timed::of(&device, || {
                let output = model.encode(&images, &mut NoProbe)?;
                device.submit();
                drop(output);
                Ok(())
            })
        },
    )?;
    Ok(report(model.info(), &device, load_ms, encode))
}

fn size(args: &Args) -> Result<usize> {
    Ok(usize::try_from(args.batch)?)
}

fn report(info: &ModelInfo, device: &Device, load_ms: Vec<f64>, encode: Measured) -> Report {
    Report {
        model_type: info.model_type.clone(),
        device: device.clone(),
        load_ms,
        rows: vec![encode],
    }
}

/// `[B, C, H, W]` of a batch, by transformers' keys and defaults.
fn pixels(config: &PretrainedConfig, batch: usize) -> Result<[usize; 4]> {
    let keys = config.keys();
    let sides = keys.value("image_size").filter(|value| value.is_array());
    let [height, width] = match sides {
        None => [keys.dim_or("image_size", 224); 2],
        Some(_) => match keys.dims("image_size").as_deref() {
            Some(&[height, width]) => [height, width],
            other => return Err(format!("image_size: height and width, found {other:?}").into()),
        },
    };
    Ok([batch, keys.dim_or("num_channels", 3), height, width])
}
