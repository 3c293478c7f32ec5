//! The choice of a tool's name: a trie of the names' tokenisations.
//!
//! Only the tokenisation that the model is used to is offered, so the tokens where names part are the only
//! choices and their probabilities compare names, not spellings. Each path goes on to the token that holds the
//! closing quote; so `get` and `get_time` part at the quote, also where a token holds both.

use crate::TokenId;

use super::vocabulary::Vocabulary;

/// What follows a name, up to where every tool's answer is the same.
pub(super) const AFTER_NAME: &str = "\",\"arguments\":";

/// The name as the inside of a JSON string.
pub(super) fn quoted(name: &str) -> String {
    let quoted = serde_json::Value::String(name.into()).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// The tokens of `name` up to the one with the closing quote.
pub(super) fn path(vocabulary: &Vocabulary, name: &str) -> Vec<TokenId> {
    let name = quoted(name);
    let mut tokens = vocabulary.encode(format!("{name}{AFTER_NAME}").as_bytes());
    let mut covered = 0;
    let end = tokens.iter().position(|&token| {
        covered += vocabulary.bytes(token).len();
        covered > name.len()
    });
    tokens.truncate(end.map_or(tokens.len(), |end| end + 1));
    tokens
}

/// Where a choice among paths stands.
pub(super) enum Next {
    /// One path is left.
    Certain(usize),
    /// All paths that are left go on with these tokens.
    Forced(Vec<TokenId>),
    /// The paths part here; the tokens may repeat.
    Parting(Vec<TokenId>),
}

/// What comes after `taken` on the paths that begin with it; `None` if there is none.
pub(super) fn next(paths: &[&[TokenId]], taken: &[TokenId]) -> Option<Next> {
    let mut left = paths.iter().enumerate().filter(|(_, path)| path.starts_with(taken));
    let (first, path) = left.next()?;
    let rest = &path[taken.len()..];
    let mut common = rest.len();
    let mut tokens: Vec<TokenId> = rest.first().copied().into_iter().collect();
    let mut certain = true;
    for (_, other) in left {
        certain = false;
        let other = &other[taken.len()..];
        common = common.min(rest.iter().zip(other).take_while(|(a, b)| a == b).count());
        tokens.extend(other.first());
    }
    Some(if certain || rest.is_empty() {
        // Equal names cannot be told apart; the first stands for all.
        Next::Certain(first)
    } else if common > 0 {
        Next::Forced(rest[..common].to_vec())
    } else {
        Next::Parting(tokens)
    })
}

/// The paths that begin with `taken` and go on, each by its next token and its index.
pub(super) fn prospects<'a>(
    paths: impl Iterator<Item = &'a [TokenId]>,
    taken: &[TokenId],
) -> Vec<(TokenId, usize)> {
    let next = |(index, path): (usize, &'a [TokenId])| {
        path.strip_prefix(taken).and_then(|rest| rest.first()).map(|&token| (token, index))
    };
    paths.enumerate().filter_map(next).collect()
}

#[cfg(test)]
mod tests {
    use super::super::vocabulary::tests::vocabulary;
    use super::*;

    #[test]
    fn names_part_where_their_tokens_differ() {
        let vocabulary = vocabulary();
        let paths: Vec<Vec<TokenId>> = ["get", "get_weather", "get_time", "a", "a\\\""]
            .iter()
            .map(|name| path(&vocabulary, name))
            .collect();
        let text = |path: &[TokenId]| -> String {
            path.iter().map(|&token| String::from_utf8_lossy(vocabulary.bytes(token)).into_owned()).collect()
        };
        assert_eq!(text(&paths[0]), "get\",\"");
        assert_eq!(text(&paths[3]), "a\"");
        assert_eq!(text(&paths[4]), "a\\\\\\\"\",\"");
        let all: Vec<&[TokenId]> = paths.iter().map(Vec::as_slice).collect();
        assert!(matches!(next(&all, &[]), Some(Next::Parting(tokens)) if tokens.len() == 5));
        assert!(matches!(next(&all[..3], &[]), Some(Next::Forced(tokens)) if text(&tokens) == "get"));
        let get = &paths[0][..1];
        assert!(matches!(next(&all, get), Some(Next::Parting(tokens)) if tokens.len() == 3));
        assert!(matches!(next(&all, &paths[2][..2]), Some(Next::Certain(2))));
        assert!(next(&all, &[TokenId(0)]).is_none());
        let left = prospects(all.iter().copied(), get);
        assert_eq!(left.iter().map(|(_, index)| *index).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(left.iter().all(|&(token, index)| paths[index][1] == token));
        assert!(matches!(next(&[&paths[0], &paths[0]], &paths[0]), Some(Next::Certain(0))));
    }
}
