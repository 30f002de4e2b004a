//! What is at the bottom of an error.

/// The last in the chain of an error's causes: with HTTP clients the one that says it best, and without the address.
pub fn innermost<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> &'a (dyn std::error::Error + 'static) {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}
