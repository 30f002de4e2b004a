//! Paths as text, with `/` between their components.

/// Returns the components of a path without `.` and `..`, and the number of `..` that lead above
/// its start.
pub(crate) fn components(path: &str) -> (usize, Vec<&str>) {
    let (mut above, mut parts) = (0, Vec::new());
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                // Counted, since the paths of a `COPY` must not leave the context.
                if parts.pop().is_none() {
                    above += 1;
                }
            }
            part => parts.push(part),
        }
    }
    (above, parts)
}

/// Returns whether a source of a `COPY` is a pattern.
pub(crate) fn is_pattern(source: &str) -> bool {
    source.contains(['*', '?', '['])
}

/// Splits a pattern into the folder above its first special component, and the rest, with the
/// number of components of the rest.
pub(crate) fn split_pattern(pattern: &str) -> (String, String, usize) {
    let (_, parts) = components(pattern);
    let special = parts.iter().position(|part| is_pattern(part));
    let (folder, rest) = parts.split_at(special.unwrap_or(parts.len()));
    (folder.join("/"), rest.join("/"), rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_path() {
        let table = [
            ("", 0, ""),
            ("/a//b/./c/", 0, "a/b/c"),
            ("a/../b", 0, "b"),
            ("a/..", 0, ""),
            ("../a/../../b", 2, "b"),
            ("/../a", 1, "a"),
        ];
        for (path, above, rest) in table {
            let (found, parts) = components(path);
            assert_eq!((found, parts.join("/").as_str()), (above, rest), "{path}");
        }
    }
}
