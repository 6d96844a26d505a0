//! What of a folder is uploaded.

use std::fs;
use std::path::{Path, PathBuf};

use hfcore_weights::RelPath;

use super::note::UploadNote;
use crate::error::HubError;
use crate::fnmatch::Patterns;

/// Never uploaded: what git and the Hub's clients keep beside the files (`DEFAULT_IGNORE_PATTERNS` of Python's
/// `utils/_paths.py`), what macOS does, and downloads that are not finished.
pub(super) const IGNORED: [&str; 14] = [
    ".git",
    ".git/*",
    "*/.git",
    "**/.git/**",
    ".cache/huggingface",
    ".cache/huggingface/*",
    "*/.cache/huggingface",
    "**/.cache/huggingface/**",
    ".DS_Store",
    "*/.DS_Store",
    "*.incomplete",
    ".cache/hfcore/*",
    "**/.cache/hfcore/**",
    ".cache/hfcore",
];

/// A file to upload.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LocalFile {
    /// In the folder.
    pub(super) path: RelPath,
    /// On this machine.
    pub(super) file: PathBuf,
}

/// Which of the files of a folder.
#[derive(Debug, Clone, Default)]
pub(super) struct Choice {
    /// Only those that match one of these; all without it.
    pub(super) allow: Option<Vec<String>>,
    /// None that match one of these, besides [`IGNORED`].
    pub(super) ignore: Vec<String>,
    /// Files to which a link leads out of the folder, too.
    pub(super) follow_links: bool,
}

/// The files below `folder` that are chosen, in Python's order, which is that of their parts.
pub(super) fn list(
    folder: &Path,
    choice: &Choice,
) -> Result<(Vec<LocalFile>, Vec<UploadNote>), HubError> {
    let not_ignored = Patterns::all().ignore(IGNORED).ignore(&choice.ignore);
    let wanted = match &choice.allow {
        Some(allow) => not_ignored.clone().allow(allow),
        None => not_ignored.clone(),
    };
    let root = fs::canonicalize(folder).map_err(|source| HubError::Io {
        path: folder.to_owned(),
        doing: "read",
        source,
    })?;
    if !root.is_dir() {
        return Err(HubError::Argument {
            what: folder.display().to_string(),
            why: "it is no folder".to_owned(),
        });
    }
    let mut walk = Walk {
        root: &root,
        wanted,
        not_ignored,
        follow_links: choice.follow_links,
        files: Vec::new(),
        no_files: Vec::new(),
    };
    let mut folders = vec![(root.clone(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        walk.read_folder(&folder, &prefix, &mut folders)?;
    }
    let Walk {
        mut files,
        mut no_files,
        ..
    } = walk;
    files.sort_by(|a, b| {
        let (a, b) = (a.path.as_str(), b.path.as_str());
        a.split('/').cmp(b.split('/'))
    });
    no_files.sort();
    let notes = no_files.into_iter();
    let notes = notes.map(|path| UploadNote::NotAFile { path }).collect();
    Ok((files, notes))
}

struct Walk<'a> {
    root: &'a Path,
    wanted: Patterns,
    /// A link to a folder is refused unless it is left out.
    not_ignored: Patterns,
    follow_links: bool,
    files: Vec<LocalFile>,
    /// Neither files nor folders.
    no_files: Vec<String>,
}

impl Walk<'_> {
    fn read_folder(
        &mut self,
        folder: &Path,
        prefix: &str,
        folders: &mut Vec<(PathBuf, String)>,
    ) -> Result<(), HubError> {
        let unreadable = |path: &Path, source| HubError::Io {
            path: path.to_owned(),
            doing: "read",
            source,
        };
        let entries = fs::read_dir(folder).map_err(|source| unreadable(folder, source))?;
        for entry in entries {
            let entry = entry.map_err(|source| unreadable(folder, source))?;
            let file = entry.path();
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(HubError::Upload {
                    path: file.display().to_string(),
                    why: "its name is not Unicode; rename it".to_owned(),
                });
            };
            let path = format!("{prefix}{name}");
            let kind = entry
                .file_type()
                .map_err(|source| unreadable(&file, source))?;
            if kind.is_symlink() {
                self.link(path, file)?;
            } else if kind.is_dir() {
                // What is below it matches the same patterns: saves the walk through a large `.git`.
                if name != ".git" {
                    folders.push((file, format!("{path}/")));
                }
            } else if kind.is_file() {
                self.file(&path, file)?;
            } else if self.wanted.matches(&path) {
                self.no_files.push(path);
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &str, file: PathBuf) -> Result<(), HubError> {
        if self.wanted.matches(path) {
            let path = RelPath::parse(path).map_err(|error| HubError::Upload {
                path: path.to_owned(),
                why: format!("{error}; rename it, or leave it out by a pattern"),
            })?;
            self.files.push(LocalFile { path, file });
        }
        Ok(())
    }

    fn link(&mut self, path: String, file: PathBuf) -> Result<(), HubError> {
        let Ok(target) = fs::canonicalize(&file) else {
            if self.wanted.matches(&path) {
                self.no_files.push(path);
            }
            return Ok(());
        };
        if target.is_dir() {
            let below = format!("{path}/");
            if !self.not_ignored.matches(&path) || !self.not_ignored.matches(&below) {
                return Ok(());
            }
            let why = "it is a link to a folder, whose files would be uploaded twice or from elsewhere; copy them, or \
                       leave the link out by a pattern";
            return Err(HubError::Upload {
                path,
                why: why.to_owned(),
            });
        }
        if !self.wanted.matches(&path) {
            return Ok(());
        }
        if !target.is_file() {
            self.no_files.push(path);
            return Ok(());
        }
        if !target.starts_with(self.root) && !self.follow_links {
            let why = "it is a link out of the folder; if what it leads to is meant to be published, copy it or allow \
                       links to be followed, else leave it out by a pattern";
            return Err(HubError::Upload {
                path,
                why: why.to_owned(),
            });
        }
        self.file(&path, file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lay_out(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let file = folder.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "x").unwrap();
        }
        folder
    }

    fn choice(allow: Option<&[&str]>, ignore: &[&str]) -> Choice {
        let owned = |patterns: &[&str]| patterns.iter().map(|&p| p.to_owned()).collect();
        Choice {
            allow: allow.map(owned),
            ignore: owned(ignore),
            follow_links: false,
        }
    }

    fn names(folder: &Path, choice: &Choice) -> Vec<String> {
        let (files, notes) = list(folder, choice).unwrap();
        assert_eq!(notes, []);
        files
            .into_iter()
            .map(|file| file.path.to_string())
            .collect()
    }

    /// The order and the choice are those of `_prepare_upload_folder_additions` for the same files.
    #[test]
    fn files_in_pythons_order_without_what_clients_keep() {
        let folder = lay_out(&[
            "config.json",
            "a/b.txt",
            "a.txt",
            "a/c/d.bin",
            "B",
            ".gitattributes",
            ".git/HEAD",
            "sub/.git/x",
            "gitx/.git",
            ".cache/huggingface/download/x.metadata",
            "sub/.cache/huggingface/.gitignore",
            ".DS_Store",
            "a/.DS_Store",
            "model.safetensors.0a.incomplete",
        ]);
        assert_eq!(
            names(folder.path(), &Choice::default()),
            [
                ".gitattributes",
                "B",
                "a/b.txt",
                "a/c/d.bin",
                "a.txt",
                "config.json"
            ]
        );
        assert_eq!(
            names(folder.path(), &choice(Some(&["a/*", "*.json"]), &["*.bin"])),
            ["a/b.txt", "config.json"]
        );
    }

    #[test]
    fn a_name_that_not_every_system_takes_is_refused_unless_left_out() {
        let folder = lay_out(&["good", "aux.txt"]);
        let error = list(folder.path(), &Choice::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "aux.txt cannot be uploaded: \"aux.txt\" is no plain file name: it is the name of a device on Windows; \
             rename it, or leave it out by a pattern"
        );
        assert_eq!(names(folder.path(), &choice(None, &["aux*"])), ["good"]);
        let error = list(&folder.path().join("good"), &Choice::default()).unwrap_err();
        assert!(error.to_string().ends_with("it is no folder"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_lead_out() {
        use std::os::unix::fs::symlink;
        let folder = lay_out(&["in/data", "file"]);
        let outside = lay_out(&["secret"]);
        let at = |name: &str| folder.path().join(name);
        symlink("in/data", at("inner")).unwrap();
        assert_eq!(
            names(folder.path(), &Choice::default()),
            ["file", "in/data", "inner"]
        );

        symlink(outside.path().join("secret"), at("leak")).unwrap();
        let error = list(folder.path(), &Choice::default()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("leak cannot be uploaded: it is a link out of the folder"),
            "{error}"
        );
        let following = Choice {
            follow_links: true,
            ..Choice::default()
        };
        assert!(names(folder.path(), &following).contains(&"leak".to_owned()));
        fs::remove_file(at("leak")).unwrap();

        symlink(outside.path(), at("folder")).unwrap();
        for choice in [&Choice::default(), &following] {
            let error = list(folder.path(), choice).unwrap_err();
            assert!(error.to_string().contains("a link to a folder"), "{error}");
        }
        assert_eq!(names(folder.path(), &choice(None, &["folder/"])).len(), 3);
        fs::remove_file(at("folder")).unwrap();

        symlink("nowhere", at("broken")).unwrap();
        let (_, notes) = list(folder.path(), &Choice::default()).unwrap();
        let path = "broken".to_owned();
        assert_eq!(notes, [UploadNote::NotAFile { path }]);
    }
}
