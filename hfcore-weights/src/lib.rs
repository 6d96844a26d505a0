//! Tensors by dotted path: memory-mapped safetensors and shards.
