//! Tokens and their ids: `Tokenizer`'s view of the vocabulary and of the tokens that have names.

use std::collections::{BTreeMap, HashMap, HashSet};

use tokenizers::Model as _;

use crate::added_token::AddedToken;
use crate::tokenizer::Tokenizer;

impl Tokenizer {
    /// The id of a token as the vocabulary writes it.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.engine().token_to_id(token)
    }

    /// The token of an id, as the vocabulary writes it.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        let added = self.engine().get_added_vocabulary();
        added
            .get_added_tokens_decoder()
            .get(&id)
            .map(|token| token.content.clone())
            .or_else(|| self.engine().id_to_token(id))
    }

    /// The ids of tokens; for one that the vocabulary does not have the id of `unk_token`, and `None` without that.
    pub fn convert_tokens_to_ids<T: AsRef<str>>(&self, tokens: &[T]) -> Vec<Option<u32>> {
        let unknown = self.unk_token_id();
        tokens
            .iter()
            .map(|token| self.token_to_id(token.as_ref()).or(unknown))
            .collect()
    }

    /// The tokens of ids; `None` for an id that no token has. `skip_special_tokens` leaves out
    /// [`all_special_ids`](Self::all_special_ids).
    pub fn convert_ids_to_tokens(
        &self,
        ids: &[u32],
        skip_special_tokens: bool,
    ) -> Vec<Option<String>> {
        let special = if skip_special_tokens {
            self.special_ids()
        } else {
            HashSet::new()
        };
        ids.iter()
            .filter(|id| !special.contains(id))
            .map(|&id| self.engine().id_to_token(id))
            .collect()
    }

    /// Every token and its id, added ones included.
    pub fn get_vocab(&self) -> HashMap<String, u32> {
        self.engine().get_vocab(true)
    }

    /// The added tokens and their ids, by id.
    pub fn get_added_vocab(&self) -> Vec<(String, u32)> {
        let tokens = self.added_tokens_decoder().into_iter();
        tokens
            .map(|(id, token)| (token.content().to_owned(), id))
            .collect()
    }

    /// The added tokens by id.
    pub fn added_tokens_decoder(&self) -> BTreeMap<u32, AddedToken> {
        let added = self.engine().get_added_vocabulary();
        added
            .get_added_tokens_decoder()
            .iter()
            .map(|(&id, token)| (id, AddedToken::from_engine(token)))
            .collect()
    }

    /// The largest id of any token plus one: what an embedding needs rows for. More than [`len`](Self::len) where the
    /// ids have gaps.
    pub fn id_bound(&self) -> usize {
        let added = self.engine().get_added_vocabulary().get_vocab();
        let model = self.engine().get_model().get_vocab();
        let ids = added.values().copied().chain(model.into_values());
        ids.max().map_or(0, |id| id as usize + 1)
    }

    /// Whether the token of `id` is special, so that `skip_special_tokens` leaves it out.
    pub fn is_special(&self, id: u32) -> bool {
        self.engine()
            .id_to_token(id)
            .is_some_and(|token| self.skips(&token))
    }

    /// All special tokens that the configuration names or lists, each once, in transformers' order.
    pub fn all_special_tokens(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        let named = self.special_tokens_map().map(|(_, token)| token);
        named
            .chain(self.extra_special_tokens().iter().map(String::as_str))
            .filter(|&token| seen.insert(token))
            .collect()
    }

    /// Their ids.
    pub fn all_special_ids(&self) -> Vec<u32> {
        let ids = self.convert_tokens_to_ids(&self.all_special_tokens());
        ids.into_iter().flatten().collect()
    }

    fn special_ids(&self) -> HashSet<u32> {
        self.all_special_ids().into_iter().collect()
    }

    /// 1 for each id of [`all_special_ids`](Self::all_special_ids) and 0 for others: the mask of ids that have special
    /// tokens around them already.
    pub fn get_special_tokens_mask(&self, ids: &[u32]) -> Vec<u32> {
        let special = self.special_ids();
        ids.iter()
            .map(|id| u32::from(special.contains(id)))
            .collect()
    }

    /// The token that begins a text.
    pub fn bos_token(&self) -> Option<&str> {
        self.special_token("bos_token")
    }

    /// The token that ends a text.
    pub fn eos_token(&self) -> Option<&str> {
        self.special_token("eos_token")
    }

    /// The token for what the vocabulary does not have.
    pub fn unk_token(&self) -> Option<&str> {
        self.special_token("unk_token")
    }

    /// The token between two texts.
    pub fn sep_token(&self) -> Option<&str> {
        self.special_token("sep_token")
    }

    /// The token that fills a batch up.
    pub fn pad_token(&self) -> Option<&str> {
        self.special_token("pad_token")
    }

    /// The token whose output stands for the whole text.
    pub fn cls_token(&self) -> Option<&str> {
        self.special_token("cls_token")
    }

    /// The token to be guessed.
    pub fn mask_token(&self) -> Option<&str> {
        self.special_token("mask_token")
    }

    /// The id of a token that has a name; that of `unk_token` where the vocabulary does not have the token.
    pub fn special_token_id(&self, name: &str) -> Option<u32> {
        let id = self.token_to_id(self.special_token(name)?);
        id.or_else(|| self.unk_token_id())
    }

    /// The id of [`bos_token`](Self::bos_token).
    pub fn bos_token_id(&self) -> Option<u32> {
        self.special_token_id("bos_token")
    }

    /// The id of [`eos_token`](Self::eos_token).
    pub fn eos_token_id(&self) -> Option<u32> {
        self.special_token_id("eos_token")
    }

    /// The id of [`unk_token`](Self::unk_token).
    pub fn unk_token_id(&self) -> Option<u32> {
        self.token_to_id(self.unk_token()?)
    }

    /// The id of [`sep_token`](Self::sep_token).
    pub fn sep_token_id(&self) -> Option<u32> {
        self.special_token_id("sep_token")
    }

    /// The id of [`pad_token`](Self::pad_token).
    pub fn pad_token_id(&self) -> Option<u32> {
        self.special_token_id("pad_token")
    }

    /// The id of [`cls_token`](Self::cls_token).
    pub fn cls_token_id(&self) -> Option<u32> {
        self.special_token_id("cls_token")
    }

    /// The id of [`mask_token`](Self::mask_token).
    pub fn mask_token_id(&self) -> Option<u32> {
        self.special_token_id("mask_token")
    }
}
