//! What somebody who uploads should know, and what does not stop an upload.

use std::fmt;

use hfcore_weights::RelPath;

/// Something about an upload that its author may want to change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UploadNote {
    /// A pickle: whoever loads it runs the code in it, so most programs, this one too, do not.
    Pickle {
        /// The file.
        path: RelPath,
    },
    /// A table in a repository of models.
    Data {
        /// The file.
        path: RelPath,
    },
    /// Neither a file nor a folder, or a link to nothing: left out.
    NotAFile {
        /// Where in the folder.
        path: String,
    },
    /// Left out because of the `.gitignore` of the folder or of the repository.
    GitIgnored {
        /// The file.
        path: RelPath,
    },
    /// The repository has a card: the one that was offered did not replace it.
    CardKept,
    /// The Hub's opinion of the head of the card.
    Card {
        /// What it said.
        message: String,
    },
}

impl fmt::Display for UploadNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pickle { path } => write!(
                f,
                "{path} is a pickle: loading it runs code, so many will not; safetensors files are safe"
            ),
            Self::Data { path } => write!(
                f,
                "{path} looks like data: a dataset has a repository of its own type"
            ),
            Self::NotAFile { path } => {
                write!(f, "{path} is no file and no folder, and was left out")
            }
            Self::GitIgnored { path } => {
                write!(f, "{path} is named by .gitignore, and was left out")
            }
            Self::CardKept => f.write_str(
                "the repository has a README.md already, which stays: the new card was not added",
            ),
            Self::Card { message } => write!(f, "the head of README.md: {message}"),
        }
    }
}

/// Names by which pickles go; some of them hold other things too, so the first bytes decide.
const PICKLE_ENDINGS: [&str; 8] = [
    ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".th",
];

/// Whether the first bytes of a file are those of a pickle (protocol 2 to 5), or of a zip archive of PyTorch's, whose first
/// member is one.
pub(super) fn is_pickle(path: &str, sample: &[u8]) -> bool {
    let name = path.to_ascii_lowercase();
    if !PICKLE_ENDINGS.iter().any(|ending| name.ends_with(ending)) {
        return false;
    }
    let plain = matches!(sample, [0x80, 2..=5, ..]);
    let zip = sample.starts_with(b"PK\x03\x04") && {
        let head = &sample[..sample.len().min(256)];
        head.windows(8).any(|part| part == b"data.pkl")
    };
    plain || zip
}

/// Whether it is a table, by its name.
pub(super) fn is_data(path: &str) -> bool {
    [".arrow", ".parquet"]
        .iter()
        .any(|ending| path.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pickles_are_known_by_name_and_bytes() {
        let zip = b"PK\x03\x04\0\0\x08\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\x12\0archive/data.pklFB";
        assert!(is_pickle("pytorch_model.bin", zip));
        assert!(is_pickle("sub/OPTIMIZER.PT", b"\x80\x02\x8a\x0a"));
        assert!(!is_pickle("model.safetensors", b"\x80\x02\0\0\0\0\0\0{"));
        assert!(!is_pickle("tokens.bin", b"\x01\x02\x03"));
        assert!(!is_pickle("empty.pt", b""));
        assert!(!is_pickle("archive.bin", b"PK\x03\x04 something else"));
    }
}
