//! Root cause of an error.

/// Returns the last error in a chain of causes. For HTTP clients, it is the most specific one, and
/// does not contain the URL.
pub fn innermost<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> &'a (dyn std::error::Error + 'static) {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}
