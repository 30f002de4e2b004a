//! Page for browsers: one file in the program, which uses only `/now`.

/// The page.
pub(crate) const HTML: &str = include_str!("page.html");

/// Headers of the page. They allow the browser to run only what is in the page, and to fetch only
/// `/now`.
pub(crate) const HEADERS: [(&str, &str); 3] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'sha256-yc1iRfhDnUThhCr3oS0P1PUv9lmHLQzwHx/r+jnCHCA='; \
         style-src 'sha256-RvpchkzEgajH4mtWs+UlFDARGD7PXtJcLl0ztAdow4E='; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use sha2::{Digest, Sha256};

    /// Returns the text between the only pair of these tags.
    fn element(name: &str) -> &'static str {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        assert_eq!(HTML.matches(&open).count(), 1);
        let (_, rest) = HTML.split_once(&open).unwrap();
        rest.split_once(&close).unwrap().0
    }

    #[test]
    fn the_policy_allows_this_script_and_this_style() {
        let policy = HEADERS[0].1;
        for name in ["script", "style"] {
            let digest = Sha256::digest(element(name));
            let hash = base64::engine::general_purpose::STANDARD.encode(digest);
            let source = format!("{name}-src 'sha256-{hash}';");
            assert!(policy.contains(&source), "after a change, write: {source}");
        }
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        for sign in ["http:", "https:", "url(", "@import", " src=", " style=\""] {
            assert!(!HTML.contains(sign), "{sign}");
        }
    }
}
