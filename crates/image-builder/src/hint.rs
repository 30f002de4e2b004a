//! Errors with hints.

/// Error with a hint for the user.
pub trait Hint: std::error::Error {
    /// Returns a hint that fixes the error, if there is one.
    fn hint(&self) -> Option<String>;

    /// Returns the output of the program that failed, by line.
    fn evidence(&self) -> &[String] {
        &[]
    }
}
