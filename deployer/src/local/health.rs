//! Health check of the emulator: identifies the server that listens at its address.

use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::credentials::{self, Credentials};

/// Result of the health check.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// No server listens there.
    Nobody,
    /// The emulator answered the health request.
    Emulator {
        /// Version that the emulator reports.
        version: String,
        /// Credentials that the emulator accepts.
        guard: Guard,
    },
    /// Another server, or an emulator that does not respond.
    SomethingElse(String),
}

/// Credentials that an emulator accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// The credentials of this user.
    Ours,
    /// Credentials that this user does not have.
    Foreign,
    /// Any credentials: it was started by hand, or by an older version of this program.
    None,
}

#[derive(Deserialize)]
struct Answer {
    edition: String,
    version: String,
    proof: Option<String>,
}

/// Sends one health request.
///
/// The credentials are not sent, because any program may listen at the port. The server has to
/// prove that it knows them.
pub(super) async fn ask(endpoint: &Url, ours: Option<&Credentials>) -> Health {
    let client = super::http_client().timeout(Duration::from_secs(3)).build();
    let url = endpoint.join("/_ministack/health");
    let (Ok(client), Ok(mut url)) = (client, url) else {
        return Health::SomethingElse("cannot ask".to_owned());
    };
    let nonce = credentials::nonce();
    // A fresh nonce keeps another program from replaying an earlier proof.
    url.query_pairs_mut().append_pair("nonce", &nonce);
    match client.get(url).send().await {
        Err(error) if error.is_connect() => Health::Nobody,
        Err(error) if error.is_timeout() => {
            Health::SomethingElse("it does not answer within 3 s".to_owned())
        }
        Err(error) => Health::SomethingElse(error.to_string()),
        Ok(answer) => {
            let status = answer.status();
            match answer.json::<Answer>().await {
                // Every version of the emulator names its edition, and hardly any other server
                // does.
                Ok(answer) if !answer.edition.is_empty() => Health::Emulator {
                    guard: guard(answer.proof.as_deref(), ours, &nonce),
                    version: answer.version,
                },
                _ => Health::SomethingElse(format!(
                    "it answers {status} to the emulator's health check"
                )),
            }
        }
    }
}

fn guard(proof: Option<&str>, ours: Option<&Credentials>, nonce: &str) -> Guard {
    match proof {
        None => Guard::None,
        Some(proof) if ours.is_some_and(|ours| ours.proof(nonce) == proof) => Guard::Ours,
        Some(_) => Guard::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_has_our_credentials_is_ours() {
        let (ours, others) = (Credentials::generate(), Credentials::generate());
        let proof = ours.proof("1");
        assert_eq!(guard(Some(&proof), Some(&ours), "1"), Guard::Ours);
        assert_eq!(guard(Some(&proof), Some(&ours), "2"), Guard::Foreign);
        assert_eq!(guard(Some(&proof), Some(&others), "1"), Guard::Foreign);
        assert_eq!(guard(Some(&proof), None, "1"), Guard::Foreign);
        assert_eq!(guard(Some(""), None, "1"), Guard::Foreign);
        assert_eq!(guard(None, Some(&ours), "1"), Guard::None);
    }
}
