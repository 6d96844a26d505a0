//! Numbers in, numbers out: the operations of transformers, fast on any CPU.
