//! License notices for the image. Licenses such as MIT require that their notice accompanies each
//! copy of the program.
//!
//! Covers the crates, Rust's standard library, and on Linux the C library, which is linked
//! statically.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::cargo::{Linked, Part};
use crate::image::Notice;
use crate::sbom;
use support::input;

/// Size limit for a license file, in bytes. Larger files of that name are something else.
const MAX_TEXT: u64 = 256 << 10;
/// Size limit for the standard library's notices, in bytes. They are one large file with all
/// dependencies.
const MAX_STANDARD_LIBRARY: u64 = 4 << 20;
/// Prefixes of the names of license files, such as `LICENSE-MIT` and `COPYING.txt`.
const BEGINNINGS: [&str; 6] = [
    "license",
    "licence",
    "copying",
    "copyright",
    "notice",
    "unlicense",
];

/// Paths where distributions keep the copyright file of glibc, native and for cross compilation.
const GNU: [&str; 5] = [
    "/usr/share/doc/libc6-dev/copyright",
    "/usr/share/doc/libc6/copyright",
    "/usr/share/doc/libc6-dev-arm64-cross/copyright",
    "/usr/share/licenses/glibc/LICENSES",
    "/usr/share/licenses/glibc/LICENSE",
];
/// Paths of the license text itself.
const LGPL: [&str; 2] = [
    "/usr/share/common-licenses/LGPL-2.1",
    "/usr/share/licenses/glibc/COPYING.LIB",
];

/// Notice of musl, from its file COPYRIGHT.
const MUSL: &str = "\
The C library musl is linked into the program statically. Its licence is MIT.

Copyright © 2005-2020 Rich Felker, et al.

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files
(the \"Software\"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify,
merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE
LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
";

/// Notice for glibc, with the obligations of its license.
const GNU_NOTICE: &str = "\
The GNU C library (glibc) is linked into the program statically. Its licence is the GNU Lesser General Public License, version 2.1
or later (LGPL-2.1-or-later). Its source is at https://sourceware.org/glibc/ and with the distribution that the program was built
on. Whoever passes this image on gives others what they need to link the program with another version of the library: the source
of the program and Cargo.lock are enough. A program that is linked to musl instead (MIT) asks for no more than its notice.
";

/// Collects the licenses of everything that is linked into the program, sorted by file name. The
/// same parts and libraries yield the same bytes.
///
/// Kept in memory, since concurrent builds may share cargo's target folder.
pub fn notices(parts: &[Part], linked: &Linked) -> Vec<Notice> {
    let mut files = vec![("crates.txt", crates(parts))];
    // Elsewhere, the C library is part of the system.
    if linked.target.contains("-linux-") {
        files.insert(0, ("c-library.txt", c_library(&linked.target)));
    }
    let standard_library = linked.sysroot.join("share/doc/rust/COPYRIGHT-library.html");
    match text(&standard_library, MAX_STANDARD_LIBRARY) {
        Some(text) => files.push(("rust-standard-library.html", text)),
        None => files.push(("rust-standard-library.txt", own_words(&linked.sysroot))),
    }
    let notice = |(name, text)| Notice { name, text };
    files.into_iter().map(notice).collect()
}

/// Returns a notice for toolchains without that file, such as a distribution's or one of rustup's
/// minimal profile.
fn own_words(sysroot: &Path) -> String {
    let mut all = "Rust's standard library is linked into the program. Copyright The Rust Project contributors. Its licence is MIT OR \
        Apache-2.0; https://www.rust-lang.org/policies/licenses says more.\n"
        .to_owned();
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        if let Some(text) = text(&sysroot.join("share/doc/rust").join(name), MAX_TEXT) {
            // Writing to a `String` cannot fail.
            let _ = write!(all, "\n{text}");
        }
    }
    all
}

fn c_library(target: &str) -> String {
    if target.ends_with("musl") {
        return MUSL.to_owned();
    }
    let found = |paths: &[&str]| {
        let texts = paths.iter().map(|path| text(Path::new(path), MAX_TEXT));
        texts.flatten().next()
    };
    let mut all = GNU_NOTICE.to_owned();
    for text in [found(&GNU), found(&LGPL)].into_iter().flatten() {
        let _ = write!(all, "\n{}\n{text}", "-".repeat(80));
    }
    all
}

/// Lists the crates with their licenses, followed by each license text once.
fn crates(parts: &[Part]) -> String {
    let mut list = "Crates that are linked into the program, with the licence that each names. Their texts follow.\n\n".to_owned();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, part) in named(parts) {
        let licence = input::text(&part.manifest, input::WRITTEN_BY_HAND).ok();
        let licence = licence.as_deref().and_then(sbom::licence);
        let files = licence_files(part.manifest.parent().unwrap_or(Path::new(".")));
        let missing = if files.is_empty() {
            " (there is no text of it in the package)"
        } else {
            ""
        };
        let licence = licence.unwrap_or_else(|| "see its text".to_owned());
        let _ = writeln!(list, "{name}: {licence}{missing}");
        for text in files {
            // Copies of the same license often differ only in white space at the ends.
            let of = texts.entry(text.trim().to_owned()).or_default();
            // A package may contain the same text twice, such as in `LICENSES`.
            if of.last() != Some(&name) {
                of.push(name.clone());
            }
        }
    }
    // Sorted by crate and not by text.
    let mut texts: Vec<(Vec<String>, String)> =
        texts.into_iter().map(|(text, of)| (of, text)).collect();
    texts.sort();
    for (of, text) in texts {
        let _ = write!(list, "\n{}\n{}\n\n{text}\n", "-".repeat(80), of.join(", "));
    }
    list
}

/// Returns the third-party crates by name and version. Crates of the workspace need no notice.
fn named(parts: &[Part]) -> BTreeMap<String, &Part> {
    parts
        .iter()
        .filter(|part| !part.package_id.starts_with("path+"))
        .filter_map(|part| Some((sbom::reference(&part.package_id)?, part)))
        .collect()
}

/// Returns the license texts in a package, sorted by file name.
fn licence_files(folder: &Path) -> Vec<String> {
    let is_licence = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_lowercase();
        // A `license.rs` is source code.
        path.extension().is_none_or(|end| end != "rs")
            && BEGINNINGS.iter().any(|start| name.starts_with(start))
    };
    let in_folder = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let mut files: Vec<PathBuf> = in_folder(folder).into_iter().filter(is_licence).collect();
    // `LICENSES` is the folder of the REUSE specification.
    for within in ["LICENSES", "licenses"] {
        files.extend(in_folder(&folder.join(within)));
    }
    files.sort();
    let texts = files.iter().filter_map(|file| text(file, MAX_TEXT));
    texts.collect()
}

/// Reads a text file up to a size limit. Invalid UTF-8 is replaced.
fn text(path: &Path, limit: u64) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > limit {
        return None;
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).ok()?;
    file.take(limit).read_to_end(&mut bytes).ok()?;
    // Crates that were packaged on Windows have other line ends, but often the same text.
    Some(String::from_utf8_lossy(&bytes).replace("\r\n", "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package in a folder of its own, with these files.
    fn part(registry: &Path, name: &str, files: &[(&str, &str)]) -> Part {
        let folder = registry.join(name);
        fs::create_dir_all(&folder).unwrap();
        let manifest = folder.join("Cargo.toml");
        fs::write(&manifest, "[package]\nname = \"x\"\nlicense = \"MIT\"\n").unwrap();
        for (name, text) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Part {
            package_id: format!("registry+https://example.org/index#{name}@1.0.0"),
            manifest,
        }
    }

    #[test]
    fn each_text_is_there_once_with_the_crates_that_it_is_for() {
        let folder = tempfile::tempdir().unwrap();
        let part = |name, files: &[_]| part(folder.path(), name, files);
        let mut parts = [
            part(
                "tower",
                &[("LICENSE", "MIT of tower\n"), ("license.rs", "code")],
            ),
            part(
                "bytes",
                &[("LICENSE-MIT", "shared\r\ntext"), ("NOTICE", "a notice")],
            ),
            part("http", &[("LICENSES/MIT.txt", "shared\ntext\n")]),
            part("bare", &[("README", "nothing")]),
        ];
        let text = crates(&parts);
        parts.reverse();
        assert_eq!(text, crates(&parts), "the order does not matter");
        let line = "-".repeat(80);
        let expected = format!(
            "Crates that are linked into the program, with the licence that each names. Their texts follow.\n\n\
             bare@1.0.0: MIT (there is no text of it in the package)\nbytes@1.0.0: MIT\nhttp@1.0.0: MIT\ntower@1.0.0: MIT\n\
             \n{line}\nbytes@1.0.0\n\na notice\n\n{line}\nbytes@1.0.0, http@1.0.0\n\nshared\ntext\n\n{line}\ntower@1.0.0\n\nMIT of tower\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn own_crates_and_what_is_too_large_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let large = "x".repeat(usize::try_from(MAX_TEXT).unwrap() + 1);
        let mut own = part(folder.path(), "own", &[("LICENSE", "mine")]);
        own.package_id = "path+file:///src#own@0.1.0".to_owned();
        let large = part(folder.path(), "large", &[("LICENSE", &large)]);
        let text = crates(&[own, large]);
        assert!(text.ends_with("large@1.0.0: MIT (there is no text of it in the package)\n"));
        assert!(!text.contains("own") && !text.contains("mine"), "{text}");
    }

    #[test]
    fn libraries_that_are_no_crates_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let files = |target: &str, sysroot: &Path| {
            let linked = Linked {
                target: target.to_owned(),
                sysroot: sysroot.to_owned(),
                rust: crate::slsa::Rust::default(),
            };
            notices(&[], &linked)
        };
        let nothing = files("x86_64-unknown-linux-musl", Path::new("/nowhere"));
        let names: Vec<_> = nothing.iter().map(|notice| notice.name).collect();
        assert_eq!(
            names,
            ["c-library.txt", "crates.txt", "rust-standard-library.txt"]
        );
        assert!(nothing[0].text.contains("Rich Felker"));
        assert!(nothing[2].text.contains("The Rust Project contributors"));
        let of_macos = files("aarch64-apple-darwin", Path::new("/nowhere"));
        let names: Vec<_> = of_macos.iter().map(|notice| notice.name).collect();
        assert_eq!(names, ["crates.txt", "rust-standard-library.txt"]);
        let sysroot = folder.path().join("rust");
        let library = sysroot.join("share/doc/rust/COPYRIGHT-library.html");
        fs::create_dir_all(library.parent().unwrap()).unwrap();
        fs::write(&library, "all of it").unwrap();
        let gnu = files("x86_64-unknown-linux-gnu", &sysroot);
        assert!(gnu[0].text.contains("LGPL-2.1-or-later"));
        assert_eq!(
            gnu[2],
            Notice {
                name: "rust-standard-library.html",
                text: "all of it".to_owned()
            }
        );
    }
}
