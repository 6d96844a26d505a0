//! Examples of hfcore.
