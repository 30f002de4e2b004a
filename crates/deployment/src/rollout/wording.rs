//! Parsers for facts in the messages of AWS. Pure.

use std::net::SocketAddr;

/// Maximum length of a word with digits that is not an identifier, an address or a time.
///
/// Longer ones differ from task to task.
const LONGEST_TELLING_NUMBER: usize = 6;

/// Returns the words that messages about different tasks with the same cause have in common.
pub fn dedupe_key(text: &str) -> String {
    let telling = |word: &&str| {
        word.len() <= LONGEST_TELLING_NUMBER || !word.contains(|c: char| c.is_ascii_digit())
    };
    let words: Vec<&str> = text.split_whitespace().filter(telling).collect();
    words.join(" ")
}

/// Returns a message without its constant prefix `(service NAME) `.
pub fn without_service(message: &str) -> &str {
    message
        .strip_prefix("(service ")
        .and_then(|rest| rest.split_once(") "))
        .map_or(message, |(_, rest)| rest)
}

/// Returns whether the text contains one of these; both in lower case.
pub(super) fn has(text: &str, any_of: &[&str]) -> bool {
    any_of.iter().any(|words| text.contains(words))
}

/// Returns the first image digest in a text, shortened for people.
pub(super) fn digest_in(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("sha256:")?;
    let digits: String = rest
        .chars()
        .take_while(char::is_ascii_hexdigit)
        .take(12)
        .collect();
    (!digits.is_empty()).then(|| format!("sha256:{digits}…"))
}

/// Returns the status codes in `Health checks failed with these codes: [500, 502]`.
pub(super) fn codes_in(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("with these codes: [")?;
    let (codes, _) = rest.split_once(']')?;
    Some(codes.to_owned())
}

/// Returns the missing action in `… is not authorized to perform: ecr:BatchGetImage on …`.
pub(super) fn action_in(text: &str) -> Option<String> {
    word_after(text, "not authorized to perform: ")
}

/// Returns the secret or parameter that could not be read.
///
/// The messages are `failed to fetch secret ARN from secrets manager` and
/// `invalid ssm parameters: /NAME`.
pub(super) fn secret_in(text: &str) -> Option<String> {
    word_after(text, "failed to fetch secret ")
        .or_else(|| word_after(text, "invalid ssm parameters: "))
}

/// Returns the key in `retrieved secret from Secrets Manager did not contain json key KEY`.
pub(super) fn json_key_in(text: &str) -> Option<String> {
    word_after(text, "did not contain json key ")
}

fn word_after(text: &str, words: &str) -> Option<String> {
    let (_, rest) = text.split_once(words)?;
    let word = rest.split_whitespace().next()?;
    Some(word.trim_end_matches([',', '.']).to_owned())
}

/// Address that a program listens on, according to its log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Listening {
    /// Loopback only, which the load balancer cannot reach.
    Locally(SocketAddr),
    /// Any other address, with this port.
    ForAll(u16),
}

/// Returns the last listening address in the log.
pub(super) fn listening<'a>(log: impl IntoIterator<Item = &'a String>) -> Option<Listening> {
    // Words that common web frameworks log when they start.
    let about_it = |line: &&String| has(&line.to_lowercase(), &["listen", "bound to", "serving"]);
    log.into_iter()
        .filter(about_it)
        .filter_map(|line| address_in(line))
        .last()
}

fn address_in(line: &str) -> Option<Listening> {
    let stops =
        |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '/' | '=' | '(' | ')');
    line.split(stops).find_map(|word| {
        let word = word
            // The address may end the sentence.
            .trim_end_matches('.')
            // `SocketAddr` parses no host names.
            .replace("localhost:", "127.0.0.1:");
        let address: SocketAddr = word.parse().ok()?;
        if address.ip().is_loopback() {
            Some(Listening::Locally(address))
        } else {
            Some(Listening::ForAll(address.port()))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_about_different_tasks_are_alike() {
        let one = "dial tcp 10.0.0.13:443: i/o timeout";
        let other = "dial tcp 10.0.0.77:443: i/o timeout";
        assert_eq!(dedupe_key(one), dedupe_key(other));
        assert_ne!(
            dedupe_key("these codes: [500]"),
            dedupe_key("these codes: [404]")
        );
    }

    #[test]
    fn facts_in_sentences() {
        assert_eq!(
            digest_in("clock@sha256:0123456789abcdef: not found").as_deref(),
            Some("sha256:0123456789ab…")
        );
        assert_eq!(digest_in("clock:latest: not found"), None);
        let codes = "Health checks failed with these codes: [502, 503]";
        assert_eq!(codes_in(codes).as_deref(), Some("502, 503"));
        assert_eq!(codes_in("Health checks failed"), None);
        let denied =
            "User: arn:aws:sts::1:x is not authorized to perform: ecr:BatchGetImage on resource: y";
        assert_eq!(action_in(denied).as_deref(), Some("ecr:BatchGetImage"));
        assert_eq!(without_service("(service clock) was unable"), "was unable");
        assert_eq!(without_service("something else"), "something else");
    }

    #[test]
    fn where_a_program_listens() {
        let says = |line: &str| listening([&line.to_owned()]);
        let locally = |text: &str| Some(Listening::Locally(text.parse().unwrap()));
        for (line, expected) in [
            ("listening on 0.0.0.0:8080", Some(Listening::ForAll(8080))),
            (
                r#"{"message":"listening","address":"[::]:3000"}"#,
                Some(Listening::ForAll(3000)),
            ),
            (
                "Listening on http://127.0.0.1:8080/",
                locally("127.0.0.1:8080"),
            ),
            ("serving at localhost:8080.", locally("127.0.0.1:8080")),
            ("connected to 127.0.0.1:5432", None),
            ("listening", None),
        ] {
            assert_eq!(says(line), expected, "{line}");
        }
    }
}
