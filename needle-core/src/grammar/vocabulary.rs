//! The tokens as the grammar sees them: bytes in a trie, and how a text is cut into tokens.

use std::collections::HashMap;
use std::sync::Arc;

use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{InferenceCapabilities, TokRxInfo, TokTrie, TokenizerEnv};
use llguidance::{ParserFactory, panic_utils};
use toktrie::{INVALID_TOKEN, TokEnv};

use crate::TokenId;
use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;

/// Tokens longer than this take no part; the trie's own limit is 1024 bytes.
const MAX_TOKEN_BYTES: usize = 256;
/// Bytes of all tokens together; the trie counts its nodes in 22 bits.
const MAX_TOTAL_BYTES: usize = 4_000_000;
/// Parser states per compiled schema before the grammar gives up; about 2 kB each.
const MAX_LEXER_STATES: usize = 50_000;
/// Symbols of one compiled schema.
const MAX_GRAMMAR_SIZE: usize = 200_000;

/// Items of the parser per byte; an object with some hundred optional properties takes several thousand.
const MAX_ITEMS_IN_ROW: usize = 8000;
/// Items of the parser per step, some milliseconds of work.
const MAX_ITEMS_PER_STEP: usize = 100_000;

type Encode = dyn Fn(&[u8]) -> Vec<TokenId> + Send + Sync;
type EncodeStart = dyn Fn(&str) -> Vec<TokenId> + Send + Sync;

/// The vocabulary of a model for the grammar; cloning shares it.
#[derive(Clone)]
pub struct Vocabulary {
    factory: Arc<ParserFactory>,
    words: Arc<Words>,
}

impl std::fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vocabulary").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Vocabulary {
    /// The vocabulary of a model's tokenizer.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if a byte that JSON text can hold has no token of its own.
    pub fn new(tokenizer: &Arc<Tokenizer>) -> Result<Self> {
        let count = u32::try_from(tokenizer.vocab_size())
            .map_err(|_| fault("has more tokens than fit in 32 bits"))?;
        let tokens = (0..count).map(|id| tokenizer.token_bytes(TokenId(id)).to_vec()).collect();
        let (inside, start) = (tokenizer.clone(), tokenizer.clone());
        let encode = Box::new(move |bytes: &[u8]| inside.encode_bytes(bytes));
        Self::build(tokens, encode, Some(Box::new(move |text| start.encode(text))))
    }

    /// The vocabulary of tokens with these bytes (empty: the token adds no text, so it is never allowed) and
    /// this tokenisation of a piece in the middle of a text.
    ///
    /// Of several tokens with the same bytes only the one that `encode` uses is ever allowed.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if a byte that JSON text can hold has no token of its own.
    pub fn from_parts(
        tokens: Vec<Vec<u8>>,
        encode: impl Fn(&[u8]) -> Vec<TokenId> + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::build(tokens, Box::new(encode), None)
    }

    fn build(tokens: Vec<Vec<u8>>, encode: Box<Encode>, start: Option<Box<EncodeStart>>) -> Result<Self> {
        let words = Arc::new(Words::new(tokens, encode, start)?);
        let env: TokEnv = words.clone();
        let capabilities = InferenceCapabilities { ff_tokens: true, ..InferenceCapabilities::default() };
        let factory = panic_utils::catch_unwind(std::panic::AssertUnwindSafe(|| {
            ParserFactory::new(&env, capabilities, &SlicedBiasComputer::json_slices())
        }));
        let mut factory = factory.map_err(|error| Error::Internal(format!("grammar set-up: {error:#}")))?;
        factory.quiet();
        let limits = factory.limits_mut();
        limits.max_items_in_row = MAX_ITEMS_IN_ROW;
        limits.step_max_items = MAX_ITEMS_PER_STEP;
        limits.max_lexer_states = MAX_LEXER_STATES;
        limits.max_grammar_size = MAX_GRAMMAR_SIZE;
        limits.verbose_errors = false;
        Ok(Self { factory: Arc::new(factory), words })
    }

    /// How many tokens there are, those that are never allowed included.
    pub fn len(&self) -> usize {
        self.words.trie.vocab_size()
    }

    /// Whether there is no token; never, as every byte has one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that a token adds to the text; empty for tokens that are never allowed.
    pub(super) fn bytes(&self, token: TokenId) -> &[u8] {
        if (token.0 as usize) < self.len() { self.words.trie.token(token.0) } else { &[] }
    }

    /// The tokens of a piece of text as the model is used to them.
    pub(super) fn encode(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.words.encode(bytes)
    }

    /// The tokens of a text's beginning as the model is used to them; their bytes may begin with a space that is
    /// not the text's own.
    pub(super) fn encode_start(&self, text: &str) -> Vec<TokenId> {
        let tokens = self.words.start.as_ref().map(|start| start(text)).unwrap_or_default();
        let bytes: Vec<u8> = tokens.iter().flat_map(|&token| self.bytes(token)).copied().collect();
        let own = bytes.strip_prefix(b" ").unwrap_or(&bytes);
        if own == text.as_bytes() { tokens } else { self.encode(text.as_bytes()) }
    }

    /// The token of exactly one byte, if that byte can stand in JSON text.
    pub(crate) fn byte_token(&self, byte: u8) -> Option<TokenId> {
        self.words.trie.token_id(&[byte]).map(TokenId)
    }

    pub(super) fn factory(&self) -> &ParserFactory {
        &self.factory
    }
}

/// The trie and the tokenisation, as llguidance asks for them.
struct Words {
    trie: TokTrie,
    encode: Box<Encode>,
    start: Option<Box<EncodeStart>>,
}

fn fault(problem: impl Into<String>) -> Error {
    Error::Tokenizer { origin: "vocabulary".into(), problem: problem.into() }
}

impl Words {
    fn new(mut tokens: Vec<Vec<u8>>, encode: Box<Encode>, start: Option<Box<EncodeStart>>) -> Result<Self> {
        let total: usize = tokens.iter().map(Vec::len).sum();
        if total > MAX_TOTAL_BYTES {
            return Err(fault(format!(
                "has {total} bytes of tokens; at most {MAX_TOTAL_BYTES} are possible"
            )));
        }
        let vocab_size =
            u32::try_from(tokens.len()).map_err(|_| fault("has more tokens than fit in 32 bits"))?;
        // 0xFF would be read as the mark of a special token; no UTF-8 text holds it.
        for token in &mut tokens {
            if token.len() > MAX_TOKEN_BYTES || token.contains(&TokTrie::SPECIAL_TOKEN_MARKER) {
                token.clear();
            }
        }
        keep_one_of_each(&mut tokens, &*encode);
        let info = TokRxInfo::new(vocab_size, INVALID_TOKEN);
        let trie = TokTrie::from(&info, &tokens);
        let missing = (0x20..=0x7E).chain(0x80..=0xBF).chain(0xC2..=0xF4);
        if let Some(byte) = missing.into_iter().find(|&byte| trie.token_id(&[byte]).is_none()) {
            return Err(fault(format!(
                "has no token for byte {byte:#04x}, so not every text can be written; train it with byte fallback"
            )));
        }
        Ok(Self { trie, encode, start })
    }

    fn encode(&self, bytes: &[u8]) -> Vec<TokenId> {
        let tokens = (self.encode)(bytes);
        let mut rest = bytes;
        for token in &tokens {
            let word =
                if (token.0 as usize) < self.trie.vocab_size() { self.trie.token(token.0) } else { &[] };
            match rest.strip_prefix(word) {
                Some(after) if !word.is_empty() => rest = after,
                // The tokenizer changed the text (normalisation); the grammar needs these very bytes.
                _ => return self.trie.greedy_tokenize(bytes).into_iter().map(TokenId).collect(),
            }
        }
        if rest.is_empty() {
            tokens
        } else {
            self.trie.greedy_tokenize(bytes).into_iter().map(TokenId).collect()
        }
    }
}

impl TokenizerEnv for Words {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<toktrie::TokenId> {
        self.encode(bytes).into_iter().map(|token| token.0).collect()
    }
}

/// Clears the tokens whose bytes another token has too, so that a text has one spelling in tokens.
fn keep_one_of_each(tokens: &mut [Vec<u8>], encode: &Encode) {
    let mut owners: HashMap<Vec<u8>, usize> = HashMap::with_capacity(tokens.len());
    for index in 0..tokens.len() {
        if tokens[index].is_empty() {
            continue;
        }
        let Some(&owner) = owners.get(&tokens[index]) else {
            owners.insert(tokens[index].clone(), index);
            continue;
        };
        let used = encode(&tokens[index]);
        let later_is_used = matches!(used[..], [TokenId(id)] if id as usize == index);
        let dropped = if later_is_used { owner } else { index };
        if later_is_used {
            owners.insert(tokens[index].clone(), index);
        }
        tokens[dropped].clear();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Every byte and some pieces, cut longest piece first; token 0 adds no text.
    pub(in crate::grammar) fn vocabulary() -> Vocabulary {
        let pieces = [
            "[]",
            "[{\"",
            "\":",
            "\":\"",
            "\",\"",
            "name",
            "argu",
            "arguments",
            "\":{\"",
            "}}]",
            "\"}}]",
            "\"}}",
            "},{\"",
            "true",
            "false",
            "get",
            "_weather",
            "_time",
            "wea",
            "ther",
            "\"}},{\"",
            "set",
            "_",
            "a\"",
        ];
        let mut tokens = vec![Vec::new()];
        tokens.extend((0..=255u8).map(|byte| vec![byte]));
        tokens.extend(pieces.iter().map(|piece| piece.as_bytes().to_vec()));
        let table = tokens.clone();
        let encode = move |bytes: &[u8]| {
            let mut rest = bytes;
            let mut found = Vec::new();
            while !rest.is_empty() {
                let (id, word) = table
                    .iter()
                    .enumerate()
                    .filter(|(_, word)| !word.is_empty() && rest.starts_with(word))
                    .max_by_key(|(_, word)| word.len())
                    .unwrap();
                found.push(TokenId(u32::try_from(id).unwrap()));
                rest = &rest[word.len()..];
            }
            found
        };
        Vocabulary::from_parts(tokens, encode).unwrap()
    }

    #[test]
    fn text_is_cut_into_its_own_bytes() {
        let vocabulary = vocabulary();
        let text = "[{\"name\":\"é\u{1F600}\"";
        let tokens = vocabulary.encode(text.as_bytes());
        let bytes: Vec<u8> = tokens.iter().flat_map(|&token| vocabulary.bytes(token).to_vec()).collect();
        assert_eq!(bytes, text.as_bytes());
        assert!(tokens.len() < text.len());
        assert_eq!(vocabulary.byte_token(0xFF), None);
        assert_eq!(vocabulary.byte_token(b'a'), Some(TokenId(1 + u32::from(b'a'))));
    }

    #[test]
    fn of_equal_tokens_the_used_one_stays_and_a_changed_text_is_cut_anew() {
        let mut tokens: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
        tokens.push(b"a".to_vec());
        let vocabulary = Vocabulary::from_parts(tokens.clone(), |_| vec![TokenId(256)]).unwrap();
        assert_eq!(vocabulary.byte_token(b'a'), Some(TokenId(256)));
        assert_eq!(vocabulary.encode(b"ab"), [TokenId(256), TokenId(u32::from(b'b'))]);
        tokens[usize::from(b'q')].clear();
        let error = Vocabulary::from_parts(tokens, |_| Vec::new()).unwrap_err();
        assert!(error.to_string().contains("0x71"), "{error}");
    }
}
