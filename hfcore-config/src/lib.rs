//! config.json and its neighbours, typed and accounted for.
