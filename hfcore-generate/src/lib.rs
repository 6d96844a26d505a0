//! From a model and tokens to more tokens.
