//! Models loaded in eight and four bits: what is quantized, how far that is from f32, and the packed file.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hfcore::verify::{Verification, VerifyOptions, verify};
use hfcore::{
    AutoModel, AutoModelForCausalLm, AutoModelForMaskedLm, AutoTextModel, CacheOptions, CausalLm,
    CpuOptions, Device, GroupSize, Head, ImageClassifier, LogitsFor, Packed, PackedCache,
    Precision, QuantFormat, Seq2Seq, SequenceClassifier, Step,
};

const INT4: QuantFormat = QuantFormat::Int4(GroupSize::G32);

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../hfcore-arch/tests/golden")
        .join(name)
}

/// A folder of each skeleton and of each way that matrices lie in a checkpoint.
const FOLDERS: [&str; 14] = [
    "llama-bf16",
    "llama-bf16-tied",
    "gemma2-bf16",
    "phi3",
    "gpt2-f16",
    "gpt_neox",
    "mixtral-bf16",
    "qwen3_moe-stacked",
    "gpt_oss",
    "bert-masked-lm",
    "bert-sequence-classification-bf16",
    "t5",
    "whisper-bf16",
    "vit-image-classification-bf16",
];

fn verified(folder: &str, format: QuantFormat, precision: Precision) -> Verification {
    let cpu = CpuOptions::default().with_precision(precision);
    let options = VerifyOptions::default()
        .with_device(Device::cpu_with(&cpu))
        .with_quantize(Some(format));
    verify(golden(folder), &options).unwrap_or_else(|error| panic!("{folder}: {}", error.chain()))
}

/// Mean errors of the cases, relative to mean outputs.
fn errors(verification: &Verification) -> Vec<f64> {
    let cases = verification.cases.iter();
    cases
        .filter_map(|case| Some(case.difference?.mean_relative()))
        .collect()
}

/// The row of quantized weights: strict products are those with the numbers that the planes stand for.
#[test]
fn strict_products_are_those_with_dequantized_weights() {
    for folder in FOLDERS {
        for format in [QuantFormat::Int8, INT4] {
            let verification = verified(folder, format, Precision::Strict);
            for case in &verification.cases {
                assert!(case.holds, "{folder} in {format}: {case:?}");
                let forward = case.difference.is_some();
                assert_eq!(case.dequantized.is_some(), forward, "{folder}: {case:?}");
            }
        }
    }
}

/// What is quantized is the model, a little off: the wrong part of a matrix would be far off.
#[test]
fn quantizing_moves_outputs_a_little() {
    for folder in FOLDERS {
        for (format, precision, most) in [
            (QuantFormat::Int8, Precision::Strict, 0.03),
            (QuantFormat::Int8, Precision::Fast, 0.05),
            (INT4, Precision::Strict, 0.4),
            (INT4, Precision::Fast, 0.4),
        ] {
            let errors = errors(&verified(folder, format, precision));
            let worst = errors.iter().copied().fold(0.0, f64::max);
            assert!(
                worst > 1e-5 && worst < most,
                "{folder} in {format}, {}: {errors:?}",
                precision.name()
            );
        }
    }
}

fn matrices<T: Head + ?Sized>(folder: &str) -> usize {
    let builder = AutoModel::<T>::builder().quantize(INT4);
    let model = builder.packed_cache(PackedCache::Off).load(golden(folder));
    let model = model.unwrap_or_else(|error| panic!("{folder}: {}", error.chain()));
    let quantization = model.quantization().unwrap();
    assert_eq!(quantization.packed, Packed::Off);
    quantization.matrices
}

#[test]
fn routers_embeddings_convolutions_and_heads_of_classes_stay() {
    // Attention, MLP, twice; the head.
    assert_eq!(matrices::<dyn CausalLm>("llama-bf16"), 2 * (4 + 3) + 1);
    assert_eq!(matrices::<dyn CausalLm>("llama-bf16-tied"), 2 * (4 + 3) + 1);
    // Fused projections are cut.
    assert_eq!(matrices::<dyn CausalLm>("phi3"), 2 * (4 + 3) + 1);
    assert_eq!(matrices::<dyn CausalLm>("gpt2-f16"), 2 * (4 + 2) + 1);
    // Four experts of three matrices; gpt-oss has two.
    for folder in ["mixtral-bf16", "qwen3_moe-stacked"] {
        assert_eq!(matrices::<dyn CausalLm>(folder), 2 * (4 + 4 * 3) + 1);
    }
    assert_eq!(matrices::<dyn CausalLm>("gpt_oss"), 2 * (4 + 4 * 2) + 1);
    let bert = "bert-sequence-classification-bf16";
    assert_eq!(matrices::<dyn SequenceClassifier>(bert), 2 * (4 + 2));
    let vit = "vit-image-classification-bf16";
    assert_eq!(matrices::<dyn ImageClassifier>(vit), 2 * (4 + 2));
    // Encoder, decoder with cross-attention, the head.
    let layers = 2 * (4 + 2) + 2 * (4 + 4 + 2);
    assert_eq!(matrices::<dyn Seq2Seq>("whisper-bf16"), layers + 1);
}

/// A golden in a folder of its own, and a folder for packed files.
struct Fixture {
    root: tempfile::TempDir,
}

impl Fixture {
    fn new(folder: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let model = root.path().join("model");
        fs::create_dir(&model).unwrap();
        for entry in fs::read_dir(golden(folder)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), model.join(entry.file_name())).unwrap();
        }
        Self { root }
    }

    fn model(&self) -> PathBuf {
        self.root.path().join("model")
    }

    fn packed(&self) -> PathBuf {
        self.root.path().join("packed")
    }

    fn load_as<T: Head + ?Sized>(&self, format: QuantFormat) -> AutoModel<T> {
        let cache = PackedCache::Folder(self.packed());
        let builder = AutoModel::<T>::builder()
            .quantize(format)
            .packed_cache(cache);
        let model = builder.load(self.model());
        model.unwrap_or_else(|error| panic!("{}", error.chain()))
    }

    fn load(&self, format: QuantFormat) -> AutoModelForCausalLm {
        self.load_as(format)
    }

    /// The only packed file.
    fn file(&self) -> PathBuf {
        let mut files = fs::read_dir(self.packed()).unwrap();
        let file = files.next().unwrap().unwrap().path();
        assert!(files.next().is_none(), "one packed file");
        file
    }
}

fn packed<T: ?Sized>(model: &AutoModel<T>) -> &Packed {
    &model.quantization().unwrap().packed
}

fn is_found<T: ?Sized>(model: &AutoModel<T>) -> bool {
    matches!(packed(model), Packed::Found(_))
}

fn is_written<T: ?Sized>(model: &AutoModel<T>) -> bool {
    matches!(packed(model), Packed::Written(_))
}

fn logits(model: &AutoModelForCausalLm) -> Vec<f32> {
    let mut cache = model.new_cache(&CacheOptions::default());
    let step = Step::new().with(cache.add(), &[5, 9, 13, 40], LogitsFor::All);
    model.forward(&step, &mut cache).unwrap().into_vec()
}

#[test]
fn the_first_load_writes_and_others_map() {
    let fixture = Fixture::new("llama-bf16-tied");
    for format in [QuantFormat::Int8, INT4] {
        let in_memory = AutoModelForCausalLm::builder()
            .quantize(format)
            .packed_cache(PackedCache::Off)
            .load(fixture.model())
            .unwrap();
        let first = fixture.load(format);
        assert!(is_written(&first), "{:?}", packed(&first));
        let second = fixture.load(format);
        assert!(is_found(&second), "{:?}", packed(&second));
        for model in [&first, &second] {
            let (quantization, memory) = (model.quantization().unwrap(), in_memory.quantization());
            assert_eq!(quantization.matrices, memory.unwrap().matrices);
            assert_eq!(quantization.bytes, memory.unwrap().bytes);
            assert_eq!(logits(model), logits(&in_memory));
        }
    }
    // A file for each format, and nothing that is not whole.
    let names = fs::read_dir(fixture.packed()).unwrap();
    let names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    for name in &names {
        assert!(name.starts_with("model-") && name.ends_with(".safetensors"));
    }
}

#[test]
fn what_does_not_hold_is_made_anew() {
    let fixture = Fixture::new("llama-bf16");
    let expected = logits(&fixture.load(QuantFormat::Int8));
    let file = fixture.file();
    let whole = fs::read(&file).unwrap();
    let write = |bytes: &[u8]| {
        fs::remove_file(&file).unwrap();
        fs::write(&file, bytes).unwrap();
    };

    // The same bytes at another time: a copy.
    write(&whole);
    assert!(is_found(&fixture.load(QuantFormat::Int8)), "a copy is read");
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(since.subsec_nanos(), 0, "and has its time again");

    let mut last_byte = whole.clone();
    *last_byte.last_mut().unwrap() ^= 1;
    let mut header = whole.clone();
    header[9] = b'!';
    let length = whole.len();
    let damages: [(&str, &[u8]); 6] = [
        ("empty", &[]),
        ("a part of the header", &whole[..100]),
        ("the half", &whole[..length / 2]),
        ("all but a byte", &whole[..length - 1]),
        ("another byte", &last_byte),
        ("no header", &header),
    ];
    for (damage, bytes) in damages {
        write(bytes);
        let model = fixture.load(QuantFormat::Int8);
        assert!(is_written(&model), "{damage}: {:?}", packed(&model));
        assert_eq!(logits(&model), expected, "{damage}");
        assert!(is_found(&fixture.load(QuantFormat::Int8)), "{damage}");
    }

    // Another version, another source: what the metadata say is compared, whatever its time.
    for (from, to) in [
        (r#""hfcore.packed":"1""#, r#""hfcore.packed":"0""#),
        (r#""hfcore.source":""#, r#""hfcore.source":"-"#),
    ] {
        let whole = fs::read(&file).unwrap();
        let header = String::from_utf8_lossy(&whole[8..2000]).into_owned();
        let at = 8 + header.find(from).unwrap();
        let mut other = whole.clone();
        other[at..at + from.len()].copy_from_slice(&to.as_bytes()[..from.len()]);
        if to.len() > from.len() {
            other[at + from.len()] = b'-';
        }
        let time = fs::metadata(&file).unwrap().modified().unwrap();
        write(&other);
        let opened = File::options().write(true).open(&file).unwrap();
        opened.set_modified(time).unwrap();
        assert!(is_written(&fixture.load(QuantFormat::Int8)), "{to}");
    }
}

#[test]
fn another_checkpoint_is_quantized_anew() {
    let fixture = Fixture::new("llama-bf16");
    let before = logits(&fixture.load(QuantFormat::Int8));
    let weights = fixture.model().join("model.safetensors");
    let time = fs::metadata(&weights).unwrap().modified().unwrap();
    let set_time = |time: SystemTime| {
        let file = File::options().write(true).open(&weights).unwrap();
        file.set_modified(time).unwrap();
    };

    set_time(time + Duration::from_secs(5));
    assert!(is_written(&fixture.load(QuantFormat::Int8)), "another time");

    // Trained further: the same names, shapes, size and time.
    let mut bytes = fs::read(&weights).unwrap();
    let header = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    for pair in bytes[8 + header..].chunks_exact_mut(2) {
        pair[1] ^= 0x80;
    }
    fs::remove_file(&weights).unwrap();
    fs::write(&weights, bytes).unwrap();
    set_time(time + Duration::from_secs(5));
    let other = fixture.load(QuantFormat::Int8);
    assert!(is_written(&other), "{:?}", packed(&other));
    assert_ne!(logits(&other), before);
}

/// Heads of one folder share the body's planes.
#[test]
fn a_file_grows_by_the_heads_that_are_asked_for() {
    let fixture = Fixture::new("bert-masked-lm");
    let written = |is_written: bool, what: &str| assert!(is_written, "{what}");
    written(
        is_written(&fixture.load_as::<dyn hfcore::TextEncoder>(INT4)),
        "body",
    );
    let masked: AutoModelForMaskedLm = fixture.load_as(INT4);
    written(is_written(&masked), "body and head");
    let body: AutoTextModel = fixture.load_as(INT4);
    assert!(is_found(&body) && is_found(&fixture.load_as::<dyn hfcore::MaskedLm>(INT4)));
    assert!(body.quantization().unwrap().matrices < masked.quantization().unwrap().matrices);
    let _ = fixture.file();
}

#[test]
fn a_folder_that_cannot_be_written_is_no_error() {
    let fixture = Fixture::new("llama-bf16");
    // A file where the folder should be.
    fs::write(fixture.packed(), "").unwrap();
    let model = fixture.load(QuantFormat::Int8);
    let Packed::Failed(why) = packed(&model) else {
        panic!("{:?}", packed(&model))
    };
    assert!(why.contains("packed"), "{why}");
    assert!(logits(&model).iter().all(|x| x.is_finite()));
}

#[test]
fn several_loads_at_once_do_each_other_no_harm() {
    let fixture = Fixture::new("llama-bf16");
    let start = std::sync::Barrier::new(4);
    let all: Vec<Vec<f32>> = std::thread::scope(|scope| {
        let load = || {
            start.wait();
            logits(&fixture.load(INT4))
        };
        let loads: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        loads.into_iter().map(|load| load.join().unwrap()).collect()
    });
    assert!(all.iter().all(|logits| *logits == all[0]));
    assert!(is_found(&fixture.load(INT4)));
    let _ = fixture.file();
}

#[test]
fn what_a_dead_process_left_is_removed() {
    let fixture = Fixture::new("llama-bf16");
    let _ = fixture.load(QuantFormat::Int8);
    let file = fixture.file();
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let leftover = fixture.packed().join(format!(".{name}.1-0.tmp"));
    let fresh = fixture.packed().join(format!(".{name}.2-0.tmp"));
    fs::write(&leftover, "half").unwrap();
    fs::write(&fresh, "half").unwrap();
    let old = SystemTime::now() - Duration::from_secs(7200);
    let opened = File::options().write(true).open(&leftover).unwrap();
    opened.set_modified(old).unwrap();
    fs::remove_file(&file).unwrap();
    assert!(is_written(&fixture.load(QuantFormat::Int8)));
    assert!(!leftover.exists() && fresh.exists(), "one is being written");
}
