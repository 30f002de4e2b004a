//! in-toto statements about an image: who built it from what, and how it was tested.
//!
//! A statement is unsigned JSON that is attached to its image in the registry. Its subject is the
//! image's digest, so that it cannot be moved to another image.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::image::Document;

/// Media type of an in-toto statement, and artifact type under which registries list it.
pub const MEDIA_TYPE: &str = "application/vnd.in-toto+json";
/// Annotation with the type of the predicate, by which clients choose among statements. BuildKit
/// uses the same.
pub const PREDICATE_ANNOTATION: &str = "in-toto.io/predicate-type";
/// Type of in-toto statements, version 1.
const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// Statement about one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// URI that says what the predicate means.
    pub predicate_type: String,
    /// Content of the statement.
    pub predicate: Value,
}

impl Statement {
    /// Writes the statement about the image with this digest (`sha256:…`). The same statement
    /// yields the same bytes.
    pub fn document(&self, name: &str, image: &str) -> Document {
        let digits = image.trim_start_matches("sha256:");
        let mut statement = json!({
            "_type": STATEMENT,
            "subject": [{ "name": name, "digest": { "sha256": digits } }],
            "predicateType": self.predicate_type,
            "predicate": self.predicate,
        });
        // Sorted keys, so that the bytes do not depend on features of `serde_json`.
        statement.sort_all_objects();
        Document::new(MEDIA_TYPE, format!("{statement:#}\n"))
    }

    /// Parses a statement. Returns `None` if it is not about the image with this digest.
    pub fn parse(content: &[u8], image: &str) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Raw {
            #[serde(rename = "_type")]
            kind: String,
            subject: Vec<Subject>,
            predicate_type: String,
            predicate: Value,
        }
        #[derive(Deserialize)]
        struct Subject {
            digest: std::collections::BTreeMap<String, String>,
        }
        let raw: Raw = serde_json::from_slice(content).ok()?;
        let is_about_it = raw.subject.iter().any(|subject| {
            let digits = subject.digest.get("sha256");
            digits.is_some_and(|digits| image.strip_prefix("sha256:") == Some(digits))
        });
        (raw.kind == STATEMENT && is_about_it).then_some(Self {
            predicate_type: raw.predicate_type,
            predicate: raw.predicate,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_read_back_for_its_own_image_only() {
        let (image, other) = (crate::digest::digest(b"image"), crate::digest::digest(b""));
        let statement = Statement {
            predicate_type: "https://example.org/v1".to_owned(),
            predicate: json!({ "b": 1, "a": [] }),
        };
        let document = statement.document("app", &image);
        assert_eq!(document.media_type, MEDIA_TYPE);
        assert_eq!(
            Statement::parse(&document.content, &image),
            Some(statement.clone())
        );
        assert_eq!(Statement::parse(&document.content, &other), None);
        assert_eq!(document, statement.document("app", &image));
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"_type":"https://in-toto.io/Statement/v0.1"}"#,
        ] {
            assert_eq!(Statement::parse(wrong.as_bytes(), &image), None, "{wrong}");
        }
    }
}
