//! A set of tokens.

use toktrie::SimpleVob;

use crate::TokenId;

/// The tokens that may come next, one bit per token of the vocabulary.
#[derive(Clone)]
pub struct TokenMask {
    bits: SimpleVob,
    len: usize,
}

impl TokenMask {
    pub(super) fn new(bits: SimpleVob) -> Self {
        let len = bits.num_set();
        Self { bits, len }
    }

    pub(super) fn of(vocab_size: usize, tokens: impl IntoIterator<Item = TokenId>) -> Self {
        let mut bits = SimpleVob::alloc(vocab_size);
        for TokenId(token) in tokens {
            bits.allow_token(token);
        }
        Self::new(bits)
    }

    /// How many tokens are allowed.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token is allowed.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `token` is allowed; never for an id outside the vocabulary.
    pub fn contains(&self, token: TokenId) -> bool {
        (token.0 as usize) < self.bits.len() && self.bits.is_allowed(token.0)
    }

    /// The same as [`Self::iter`], faster where most tokens are allowed.
    #[allow(clippy::cast_possible_truncation, reason = "the ids of a vocabulary are u32")]
    pub fn to_vec(&self) -> Vec<TokenId> {
        let mut tokens = Vec::with_capacity(self.len);
        self.bits.iter_set_entries(|token| tokens.push(TokenId(token as u32)));
        tokens
    }

    /// The allowed tokens in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = TokenId> + '_ {
        self.bits.iter().map(TokenId)
    }
}

impl std::fmt::Debug for TokenMask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter().map(|token| token.0)).finish()
    }
}
