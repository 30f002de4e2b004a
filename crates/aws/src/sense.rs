//! Response validation: a proxy or captive portal may answer 200 on its own.
//!
//! The SDK takes operations without a result as done by their status alone, and reads an empty JSON
//! body as a response without members. Therefore the format of every successful response is
//! checked.

use std::error::Error;

use aws_sdk_sts::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_sts::config::{ConfigBag, Intercept, RuntimeComponents};

/// Required format of a service's responses.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sense {
    /// XML with a root element named after the operation: `<DeleteStackResponse …>`.
    Xml,
    /// JSON object.
    Json,
}

impl Sense {
    fn makes(self, body: &[u8]) -> bool {
        match self {
            Self::Xml => root_of(&String::from_utf8_lossy(body))
                .is_some_and(|name| name.ends_with("Response")),
            Self::Json => body.trim_ascii_start().starts_with(b"{"),
        }
    }
}

/// Returns the name of the first element that is not a declaration or a comment.
fn root_of(text: &str) -> Option<&str> {
    let name = text.split('<').skip(1).find(|rest| {
        let is_declaration = rest.starts_with(['?', '!']);
        !is_declaration
    })?;
    name.split(|c: char| c.is_whitespace() || c == '>' || c == '/')
        .next()
}

impl Intercept for Sense {
    fn name(&self) -> &'static str {
        "Sense"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let response = context.response();
        // A response without a body here could not be read, which is an error already.
        match response.body().bytes() {
            Some(body) if response.status().is_success() && !self.makes(body) => {
                Err("the answer makes no sense".into())
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Sense;

    #[test]
    fn forms() {
        let xml = |text: &str| Sense::Xml.makes(text.as_bytes());
        assert!(xml("<DeleteStackResponse xmlns=\"x\"/>"));
        assert!(xml(
            "<?xml version=\"1.0\"?>\n<!-- a comment --><DeleteStackResponse/>"
        ));
        for nonsense in [
            "",
            "ok",
            "<html><body>DeleteStackResponse</body></html>",
            "{}",
        ] {
            assert!(!xml(nonsense), "{nonsense}");
        }
        let json = |text: &str| Sense::Json.makes(text.as_bytes());
        assert!(json(" {\"clusters\": []}"));
        for nonsense in ["", "null", "[]", "<html></html>"] {
            assert!(!json(nonsense), "{nonsense}");
        }
    }
}
