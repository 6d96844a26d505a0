//! Lists the tensors of a model folder: `cargo run -p hfcore-weights --example list_tensors -- FOLDER`.
#![allow(clippy::print_stdout, reason = "it is a command")]

use hfcore_weights::{OpenOptions, Weights};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("which folder?")?;
    let weights = Weights::open(folder, &OpenOptions::default())?;
    for name in weights.names() {
        let info = weights.info(name)?;
        // Names come from the file: nothing in them may move the cursor.
        let name = name.escape_debug().to_string();
        println!("{name:60} {:8} {:?}", info.dtype.name(), info.shape);
    }
    for file in weights.files() {
        let how = if file.is_mapped { "mapped" } else { "read" };
        println!(
            "{} tensors, {} bytes, {how}: {}",
            file.tensors,
            file.size_bytes,
            file.path.display()
        );
    }
    Ok(())
}
