//! Who listens at the emulator's address?

use std::time::Duration;

use serde::Deserialize;
use url::Url;

/// Who answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// Nobody listens there.
    Nobody,
    /// The emulator, in this version.
    Emulator {
        /// As it says itself.
        version: String,
    },
    /// Something that is not the emulator, or an emulator that does not answer.
    SomethingElse(String),
}

#[derive(Deserialize)]
struct Answer {
    edition: String,
    version: String,
}

/// Asks once.
pub(super) async fn ask(endpoint: &Url) -> Health {
    let client = super::http_client().timeout(Duration::from_secs(3)).build();
    let url = endpoint.join("/_ministack/health");
    let (Ok(client), Ok(url)) = (client, url) else {
        return Health::SomethingElse("cannot ask".to_owned());
    };
    match client.get(url).send().await {
        Err(error) if error.is_connect() => Health::Nobody,
        Err(error) if error.is_timeout() => {
            Health::SomethingElse("it does not answer within 3 s".to_owned())
        }
        Err(error) => Health::SomethingElse(error.to_string()),
        Ok(answer) => {
            let status = answer.status();
            match answer.json::<Answer>().await {
                Ok(answer) if !answer.edition.is_empty() => Health::Emulator {
                    version: answer.version,
                },
                _ => Health::SomethingElse(format!(
                    "it answers {status} to the emulator's health check"
                )),
            }
        }
    }
}
