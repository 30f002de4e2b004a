//! Nonce: a value that a client sends to recognise its own answer and to detect a replayed one.

use serde::Deserialize;

/// Maximum length of a nonce.
pub(crate) const MAX_LENGTH: usize = 64;

/// 1 to 64 characters of `A`–`Z`, `a`–`z`, `0`–`9`, `_` and `-`, which need no escaping anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Nonce(String);

impl Nonce {
    /// Returns the text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is too long, empty, or has other characters.
#[derive(Debug, thiserror::Error)]
#[error("nonce is not 1 to 64 characters of A-Z a-z 0-9 _ -")]
pub(crate) struct InvalidNonce;

impl TryFrom<String> for Nonce {
    type Error = InvalidNonce;

    fn try_from(text: String) -> Result<Self, InvalidNonce> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text))
        } else {
            Err(InvalidNonce)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_from_1_to_64_are_taken() {
        for length in [1, 2, 63, 64] {
            assert!(Nonce::try_from("x".repeat(length)).is_ok(), "{length}");
        }
        for length in [0, 65, 1000] {
            assert!(Nonce::try_from("x".repeat(length)).is_err(), "{length}");
        }
    }

    #[test]
    fn only_characters_that_need_no_escaping_are_taken() {
        assert!(Nonce::try_from("azAZ09_-".to_owned()).is_ok());
        for text in [
            "a b", "a\"", "a\\", "a/b", "a.b", "a+b", "é", "a\n", "a\0", "<b>",
        ] {
            assert!(Nonce::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }
}
