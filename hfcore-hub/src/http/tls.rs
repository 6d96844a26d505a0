//! TLS without C: rustls over graviola, with Mozilla's authorities or the ones of a PEM file.

use std::path::Path;
use std::sync::Arc;

use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

use crate::error::HubError;

/// The system's own bundle has 300 KB.
const MAX_BUNDLE: u64 = 64 << 20;

/// TLS as every connection uses it. `bundle` (`SSL_CERT_FILE`) replaces the built-in authorities, as in Python.
///
/// # Errors
/// If the processor lacks what the cryptography needs, or the bundle cannot be read or holds no certificate.
pub(crate) fn config(bundle: Option<&Path>) -> Result<TlsConfig, HubError> {
    let missing = missing_features();
    if !missing.is_empty() {
        return Err(refuse(format!(
            "this processor (or the virtual machine that hides its features) lacks {}, which the cryptography needs; \
            download on another machine, or set HF_ENDPOINT to a mirror that speaks http",
            missing.join(", ")
        )));
    }
    let roots = match bundle {
        None => RootCerts::WebPki,
        Some(bundle) => from_bundle(bundle)?,
    };
    // Passed along and not installed for the whole process: the program may have a provider of its own.
    let provider = Arc::new(rustls_graviola::default_provider());
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(provider)
        .root_certs(roots)
        .build())
}

fn refuse(why: String) -> HubError {
    HubError::Tls { why }
}

fn from_bundle(bundle: &Path) -> Result<RootCerts, HubError> {
    let failed = |what: &str| {
        refuse(format!(
            "{} (SSL_CERT_FILE, REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE) {what}",
            bundle.display()
        ))
    };
    let metadata =
        std::fs::metadata(bundle).map_err(|error| failed(&format!("cannot be read: {error}")))?;
    if metadata.is_dir() {
        return Err(failed(
            "is a folder: name the file of certificates (PEM) in it",
        ));
    }
    if metadata.len() > MAX_BUNDLE {
        return Err(failed(
            "has more than 64 MiB: it is no file of certificates",
        ));
    }
    let bytes =
        std::fs::read(bundle).map_err(|error| failed(&format!("cannot be read: {error}")))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&bytes) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(failed("is damaged: it is no file of certificates (PEM)")),
        }
    }
    if certificates.is_empty() {
        return Err(failed("holds no certificate (PEM)"));
    }
    Ok(RootCerts::from(certificates))
}

/// What graviola asserts when it is first used (`low/*/cpu.rs`, `verify_cpu_features`): asked beforehand, since a panic
/// is no answer.
fn missing_features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let needed = [
        ("aes", is_x86_feature_detected!("aes")),
        ("pclmulqdq", is_x86_feature_detected!("pclmulqdq")),
        ("ssse3", is_x86_feature_detected!("ssse3")),
        ("bmi1", is_x86_feature_detected!("bmi1")),
        ("bmi2", is_x86_feature_detected!("bmi2")),
        ("adx", is_x86_feature_detected!("adx")),
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
    ];
    #[cfg(target_arch = "aarch64")]
    let needed = [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("aes", std::arch::is_aarch64_feature_detected!("aes")),
        ("pmull", std::arch::is_aarch64_feature_detected!("pmull")),
        ("sha2", std::arch::is_aarch64_feature_detected!("sha2")),
    ];
    missing(&needed)
}

fn missing(needed: &[(&'static str, bool)]) -> Vec<&'static str> {
    needed
        .iter()
        .filter(|(_, present)| !present)
        .map(|(name, _)| *name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.pem");
        let message = |path: &Path| config(Some(path)).unwrap_err().to_string();
        assert!(message(&path).contains("cannot be read"));
        assert!(message(folder.path()).contains("is a folder"));
        std::fs::write(&path, "nothing").unwrap();
        assert!(message(&path).ends_with("holds no certificate (PEM)"));
        std::fs::write(
            &path,
            "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        assert!(message(&path).contains("is damaged"));
    }

    #[test]
    fn features_are_named() {
        assert_eq!(
            missing(&[("aes", true), ("adx", false), ("avx2", false)]),
            ["adx", "avx2"]
        );
    }
}
