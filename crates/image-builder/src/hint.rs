//! What to do about an error.

/// An error with a remedy.
pub trait Hint: std::error::Error {
    /// Returns what to do about it, if there is anything to say.
    fn hint(&self) -> Option<String>;

    /// Returns what the failed program said, line by line.
    fn evidence(&self) -> &[String] {
        &[]
    }
}
