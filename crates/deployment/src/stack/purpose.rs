//! Purpose of a request to CloudFormation, encoded in its idempotency token.

use crate::api_enum::api_enum;
use crate::names::RequestToken;

/// Prefix of this program's idempotency tokens; the purpose of the request follows.
const PREFIX: &str = "deployer-";

api_enum! {
    /// Purpose of a request to CloudFormation, as `history` shows it.
    pub enum Purpose {
        Up = "up",
        // `up --hold`: a run that finds it paused at the gate leaves the decision to a person.
        HeldUp = "up-hold",
        Plan = "plan",
        Promote = "promote",
        Rollback = "rollback",
        AutomaticRollback = "back",
        ContinueRollback = "continue",
        Cancel = "cancel",
        Reviewer = "reviewer",
        Down = "down",
    }
}

impl Purpose {
    /// Builds an idempotency token that names the purpose. `nonce` makes it unique.
    pub fn token(&self, nonce: u64) -> RequestToken {
        RequestToken::new(format!("{PREFIX}{self}-{nonce:016x}"))
    }

    /// Parses the purpose of a token; `None` if another program created it.
    pub fn parse(token: &RequestToken) -> Option<Self> {
        // From the right: the nonce has no hyphen, and a purpose that is new may have one.
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
