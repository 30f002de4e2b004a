//! One-line texts for errors that wrap others.

use std::error::Error;
use std::io;

pub(crate) fn innermost(causes: &[&(dyn Error + 'static)]) -> String {
    causes
        .last()
        .map_or_else(String::new, |cause| detail(*cause))
}

/// Returns the text of the innermost cause of an error.
pub fn innermost_detail(error: &(dyn Error + 'static)) -> String {
    innermost(&causes(error))
}

/// Returns the error and its causes, including the error that an I/O error wraps:
/// `io::Error::source` skips it.
pub(crate) fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut causes = vec![error];
    let mut current = error;
    loop {
        let wrapped = current
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .map(|inner| -> &'a (dyn Error + 'static) { inner });
        match wrapped.or_else(|| current.source()) {
            Some(next) => {
                causes.push(next);
                current = next;
            }
            None => return causes,
        }
    }
}

/// Returns an error's text without the system's error number, in lower case like this program's
/// messages.
pub fn detail(error: &dyn Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or(&text);
    let text = text
        // `getaddrinfo` errors get this prefix from the standard library.
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(text);
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(characters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_texts_become_ours() {
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!(detail(&refused), "connection refused");
        let unknown =
            io::Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(detail(&unknown), "name or service not known");
    }

    #[test]
    fn an_error_within_an_io_error_is_found() {
        let inner = io::Error::other(rustls::Error::HandshakeNotComplete);
        let outer = io::Error::other(inner);
        assert!(
            causes(&outer)
                .iter()
                .any(|cause| cause.downcast_ref::<rustls::Error>().is_some())
        );
    }
}
