//! Architectures as code: blocks, families and the registry.
