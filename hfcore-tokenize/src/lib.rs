//! Text to token ids and back: tokenizer.json and chat templates.
