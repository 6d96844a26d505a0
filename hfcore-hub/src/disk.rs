//! Is there room for it? Asked before the first byte, since a disk that is full in the middle of the night is found in the
//! morning.

use std::path::Path;

use crate::error::HubError;

/// Whether `needed` bytes fit where `folder` is or will be. Where it cannot be known they do: writing then fails with the
/// same error.
///
/// # Errors
/// [`HubError::DiskFull`].
pub(crate) fn check(folder: &Path, needed: u64) -> Result<(), HubError> {
    let there = folder.ancestors().find(|folder| folder.exists());
    let available = there.and_then(|folder| hfcore_weights::available_space(folder).ok());
    match available {
        Some(available) if available < needed => Err(HubError::DiskFull {
            path: folder.to_owned(),
            needed,
            available,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let later = folder.path().join("a/b");
        check(&later, 1).unwrap();
        if hfcore_weights::available_space(folder.path()).is_ok() {
            let error = check(&later, u64::MAX).unwrap_err();
            assert!(matches!(
                error,
                HubError::DiskFull {
                    needed: u64::MAX,
                    ..
                }
            ));
        }
    }
}
