//! The facade: Auto classes, pipelines, verification.
