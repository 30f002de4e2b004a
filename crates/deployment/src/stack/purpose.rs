//! The purpose of a request to CloudFormation, which its idempotency token carries.

use crate::api_enum::api_enum;
use crate::names::RequestToken;

/// Prefix of the idempotency tokens of this program; the purpose of the request follows.
const PREFIX: &str = "deployer-";

api_enum! {
    /// What a request to CloudFormation is made for, as `history` shows it.
    pub enum Purpose {
        Up = "up",
        Plan = "plan",
        Rollback = "rollback",
        AutomaticRollback = "back",
        ContinueRollback = "continue",
        Cancel = "cancel",
        Reviewer = "reviewer",
        Down = "down",
    }
}

impl Purpose {
    /// Builds an idempotency token that names the purpose. `nonce` tells it from all others.
    pub fn token(&self, nonce: u64) -> RequestToken {
        RequestToken::new(format!("{PREFIX}{self}-{nonce:016x}"))
    }

    /// Parses the purpose out of a token; `None` where another program made it.
    pub fn parse(token: &RequestToken) -> Option<Self> {
        let (purpose, _nonce) = token.as_str().strip_prefix(PREFIX)?.rsplit_once('-')?;
        Some(Self::from(purpose))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_survive_the_way_through_a_token() {
        for purpose in Purpose::KNOWN {
            assert_eq!(Purpose::parse(&purpose.token(7)).as_ref(), Some(purpose));
        }
        let new = Purpose::parse(&RequestToken::new("deployer-scale-out-0123")).unwrap();
        assert_eq!(new.as_str(), "scale-out");
        assert_eq!(
            Purpose::parse(&RequestToken::new("Console-UpdateStack-0123")),
            None
        );
    }
}
