//! Software bill of materials (SBOM) of the program in CycloneDX 1.6: the crates that are compiled
//! into it, without those of build scripts and macros.
//!
//! The SBOM has neither a time nor a serial number, so that the same program yields the same
//! document. The only files it reads are `Cargo.lock` and the manifests of the crates, which name
//! the licenses.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cargo::{Linked, Part};
use crate::image::Document;
use support::input;

/// Media type of CycloneDX in JSON.
pub const MEDIA_TYPE: &str = "application/vnd.cyclonedx+json";
/// Source of cargo's default registry in lock files.
const DEFAULT_REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// `Cargo.lock`, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Locked>,
}

#[derive(Debug, Deserialize)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// Crate by name, version and source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    /// Source of the crate; absent for crates of the workspace.
    source: Option<String>,
}

impl Crate {
    /// Parses cargo's package ID: `SOURCE#NAME@VERSION`, or `SOURCE#VERSION` if the URL ends in the
    /// name.
    fn parse(package_id: &str) -> Option<Self> {
        let (source, rest) = package_id.rsplit_once('#')?;
        let (name, version) = if let Some(both) = rest.split_once('@') {
            both
        } else {
            let address = source.split('?').next()?.trim_end_matches('/');
            (address.rsplit('/').next()?, rest)
        };
        Some(Self {
            name: name.to_owned(),
            version: version.to_owned(),
            source: (!source.starts_with("path+")).then(|| source.to_owned()),
        })
    }

    /// Returns `NAME@VERSION`, which does not depend on the folder.
    fn reference(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// Returns a reference that is unique in the SBOM. Includes the source if another crate has the
    /// same name and version, such as a patched copy.
    fn unique_reference(&self, crates: &BTreeMap<Crate, &Part>) -> String {
        let is_twin = |it: &&Crate| it.name == self.name && it.version == self.version;
        let reference = self.reference();
        match &self.source {
            Some(source) if crates.keys().filter(is_twin).count() > 1 => {
                format!("{reference}#{source}")
            }
            Some(_) | None => reference,
        }
    }

    /// Returns the package URL (purl), which vulnerability scanners use.
    fn purl(&self) -> Option<String> {
        let source = self.source.as_deref()?;
        // Some parsers decode `+` in a URL as a space.
        let purl = format!(
            "pkg:cargo/{}@{}",
            self.name,
            self.version.replace('+', "%2B")
        );
        Some(if source == DEFAULT_REGISTRY {
            purl
        } else if let Some(address) = source.strip_prefix("git+") {
            format!("{purl}?vcs_url=git%2B{}", encoded(address))
        } else {
            let address = source
                .split_once('+')
                .map_or(source, |(_, address)| address);
            format!("{purl}?repository_url={}", encoded(address))
        })
    }
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Returns `NAME@VERSION` for one of cargo's package IDs.
pub(super) fn reference(package_id: &str) -> Option<String> {
    Crate::parse(package_id).map(|it| it.reference())
}

/// Builds the SBOM of the package `name`, with the libraries that are linked in.
pub fn sbom(name: &str, parts: &[Part], lock_file: &Path, linked: &Linked) -> Document {
    let lock = input::text(lock_file, input::WRITTEN_BY_PROGRAMS).unwrap_or_default();
    let licences = |manifest: &Path| licence(&input::text(manifest, input::WRITTEN_BY_HAND).ok()?);
    write(name, parts, &lock, libraries(linked), licences)
}

/// Returns the components that are not crates: Rust's standard library, and on Linux the C library,
/// which is linked statically there.
fn libraries(linked: &Linked) -> Vec<Value> {
    let library = |name: &str, licence: &str| {
        json!({
            "type": "library",
            "bom-ref": name,
            "name": name,
            "licenses": [{ "expression": licence }],
        })
    };
    let mut standard = library("rust-standard-library", "MIT OR Apache-2.0");
    if !linked.rust.release.is_empty() {
        standard["version"] = json!(linked.rust.release);
    }
    if !linked.target.contains("-linux-") {
        return vec![standard];
    }
    // Without a version: neither the compiler nor the linker reports it.
    let c = if linked.target.ends_with("musl") {
        library("musl", "MIT")
    } else {
        library("glibc", "LGPL-2.1-or-later")
    };
    vec![standard, c]
}

fn write(
    name: &str,
    parts: &[Part],
    lock: &str,
    libraries: Vec<Value>,
    licence: impl Fn(&Path) -> Option<String>,
) -> Document {
    // Without a valid lock file, only checksums and dependencies are missing.
    let lock: Lock = toml::from_str(lock).unwrap_or_default();
    let crates: BTreeMap<Crate, &Part> = parts
        .iter()
        .filter_map(|part| Some((Crate::parse(&part.package_id)?, part)))
        .collect();
    let main = crates
        .keys()
        // A dependency may have the same name as the program's package.
        .find(|it| it.name == name && it.source.is_none());
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    for (it, part) in &crates {
        let locked = lock.find(it);
        if Some(it) != main {
            let checksum = locked.and_then(|locked| locked.checksum.as_deref());
            let reference = it.unique_reference(&crates);
            components.push(component(it, &reference, checksum, licence(&part.manifest)));
        }
        let needs = locked.map_or(&[][..], |locked| &locked.dependencies);
        let needs: Vec<String> = needs
            .iter()
            // The lock file also lists build dependencies, which are not in the program.
            .filter_map(|need| crates.keys().find(|it| it.is_called(need)))
            .map(|it| it.unique_reference(&crates))
            .collect();
        dependencies.push(json!({ "ref": it.unique_reference(&crates), "dependsOn": needs }));
    }
    components.extend(libraries);
    let reference = main.map(|main| main.unique_reference(&crates));
    let reference = reference.unwrap_or_else(|| name.to_owned());
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": reference,
                "name": name,
                "version": main.map_or("", |main| &main.version),
            },
            "tools": {
                "components": [{
                    "type": "application",
                    // The tool that users know, and not the name of this crate.
                    "name": "deployer",
                    "version": env!("CARGO_PKG_VERSION"),
                }],
            },
        },
        "components": components,
        "dependencies": dependencies,
    });
    // Sorted keys, so that the bytes do not depend on features of `serde_json`.
    document.sort_all_objects();
    Document::new(MEDIA_TYPE, format!("{document:#}\n"))
}

impl Lock {
    fn find(&self, it: &Crate) -> Option<&Locked> {
        let same = |locked: &&Locked| locked.name == it.name && locked.version == it.version;
        let found: Vec<&Locked> = self.package.iter().filter(same).collect();
        let source = |locked: &&&Locked| locked.source == it.source;
        // In lock files, a Git source ends in the commit, so it differs from that in package IDs.
        found.iter().find(source).or(found.first()).copied()
    }
}

impl Crate {
    /// Returns whether a dependency in the lock file names this crate. It is written as `name`, as
    /// `name version`, or with the source in parentheses, whatever is unambiguous.
    fn is_called(&self, need: &str) -> bool {
        let mut words = need.split(' ');
        let source = || self.source.as_deref().unwrap_or_default();
        words.next() == Some(&self.name)
            && words.next().is_none_or(|version| version == self.version)
            && words.next().is_none_or(|named| {
                let named = named.trim_matches(['(', ')']);
                // Package IDs of Git dependencies contain the requested reference, lock files also
                // the resolved commit after `#`.
                named.split('#').next() == source().split('#').next()
            })
    }
}

fn component(
    it: &Crate,
    reference: &str,
    checksum: Option<&str>,
    licence: Option<String>,
) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": reference,
        "name": it.name,
        "version": it.version,
    });
    if let Some(purl) = it.purl() {
        component["purl"] = json!(purl);
    }
    if let Some(checksum) = checksum {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    if let Some(licence) = licence {
        // The schema accepts an `expression` only if it is valid SPDX.
        component["licenses"] = match spdx::Expression::parse(&licence) {
            Ok(_) => json!([{ "expression": licence }]),
            Err(_) => json!([{ "license": { "name": licence } }]),
        };
    }
    component
}

/// Returns the license of a manifest as an SPDX expression. Old manifests have `/` in place of
/// `OR`.
pub(super) fn licence(manifest: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Manifest {
        package: Package,
    }
    #[derive(Deserialize)]
    struct Package {
        license: Option<toml::Value>,
    }
    let manifest: Manifest = toml::from_str(manifest).ok()?;
    // `license.workspace = true` is a table and has no text here.
    let licence = manifest.package.license?.as_str()?.to_owned();
    let words = licence.replace('/', " OR ");
    Some(words.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
version = 4
[[package]]
name = "clock"
version = "0.1.0"
dependencies = ["tokio", "rand 0.9.0", "fork", "macros"]
[[package]]
name = "tokio"
version = "1.2.3+build"
source = "USUAL"
checksum = "aa"
dependencies = ["rand 0.8.5"]
[[package]]
name = "rand"
version = "0.8.5"
source = "USUAL"
checksum = "bb"
[[package]]
name = "rand"
version = "0.9.0"
source = "USUAL"
checksum = "cc"
[[package]]
name = "fork"
version = "2.0.0"
source = "git+https://example.org/fork?rev=1#1234"
[[package]]
name = "macros"
version = "1.0.0"
source = "USUAL"
checksum = "dd"
"#;

    fn lock() -> String {
        LOCK.replace("USUAL", DEFAULT_REGISTRY)
    }

    fn part(package_id: &str) -> Part {
        Part {
            package_id: package_id.replace("USUAL", DEFAULT_REGISTRY),
            manifest: "Cargo.toml".into(),
        }
    }

    fn parts(folder: &str) -> Vec<Part> {
        [
            &format!("path+file://{folder}/clock#0.1.0"),
            "USUAL#tokio@1.2.3+build",
            "USUAL#rand@0.8.5",
            "USUAL#rand@0.9.0",
            "git+https://example.org/fork?rev=1#2.0.0",
        ]
        .map(part)
        .to_vec()
    }

    #[test]
    fn a_list() {
        let list = |folder| {
            let licence = |_: &Path| Some("MIT".to_owned());
            write("clock", &parts(folder), &lock(), Vec::new(), licence)
        };
        let document = list("/home/me");
        assert_eq!(document, list("/elsewhere"), "the folder does not matter");
        let mut value: Value = serde_json::from_slice(&document.content).unwrap();
        value["metadata"]["tools"]["components"][0]["version"] = "[version]".into();
        insta::assert_json_snapshot!(value);
    }

    #[test]
    fn without_a_lock_file_there_are_names_all_the_same() {
        let document = write("clock", &parts("/home/me"), "", Vec::new(), |_| None);
        let value: Value = serde_json::from_slice(&document.content).unwrap();
        assert_eq!(value["components"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn what_is_linked_and_no_crate_is_listed() {
        let listed = |target: &str| {
            let libraries = libraries(&Linked {
                sysroot: "/rust".into(),
                target: target.to_owned(),
                rust: crate::slsa::Rust {
                    release: "1.95.0".to_owned(),
                    commit: String::new(),
                },
            });
            let document = write("clock", &[], "", libraries, |_| None);
            let value: Value = serde_json::from_slice(&document.content).unwrap();
            let components = value["components"].as_array().unwrap().iter();
            let words = components.map(|it| {
                let expression = &it["licenses"][0]["expression"];
                [&it["name"], &it["version"], expression]
                    .map(|word| word.as_str().unwrap_or("-").to_owned())
            });
            words.collect::<Vec<_>>()
        };
        let standard = ["rust-standard-library", "1.95.0", "MIT OR Apache-2.0"];
        let gnu = ["glibc", "-", "LGPL-2.1-or-later"];
        assert_eq!(listed("x86_64-unknown-linux-gnu"), [standard, gnu]);
        assert_eq!(listed("aarch64-apple-darwin"), [standard]);
        assert_eq!(
            listed("aarch64-unknown-linux-musl"),
            [standard, ["musl", "-", "MIT"]]
        );
    }

    /// A patched copy beside the original is what such a list is read for.
    #[test]
    fn two_crates_of_one_name_and_version_are_two() {
        let part = |id: &str| Part {
            package_id: id.to_owned(),
            manifest: "Cargo.toml".into(),
        };
        let of_registry = format!("{DEFAULT_REGISTRY}#itoa@1.0.18");
        let parts = [
            part("path+file:///src#clock@0.1.0"),
            part(&of_registry),
            part("path+file:///src/itoa#1.0.18"),
        ];
        let lock = format!(
            "[[package]]\nname = \"clock\"\nversion = \"0.1.0\"\n\
             dependencies = [\"itoa 1.0.18\", \"itoa 1.0.18 ({DEFAULT_REGISTRY})\"]\n\
             [[package]]\nname = \"itoa\"\nversion = \"1.0.18\"\n\
             [[package]]\nname = \"itoa\"\nversion = \"1.0.18\"\nsource = \"{DEFAULT_REGISTRY}\"\nchecksum = \"aa\"\n"
        );
        let licence = |_: &Path| Some("Our own licence (see LICENSE)".to_owned());
        let document = write("clock", &parts, &lock, Vec::new(), licence);
        let value: Value = serde_json::from_slice(&document.content).unwrap();
        let references: Vec<&str> = value["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["bom-ref"].as_str().unwrap())
            .collect();
        let with_source = format!("itoa@1.0.18#{DEFAULT_REGISTRY}");
        assert_eq!(references, ["itoa@1.0.18", &with_source]);
        let needed = &value["dependencies"][0]["dependsOn"];
        assert_eq!(needed, &json!(["itoa@1.0.18", with_source]));
        // What is no SPDX expression is a name.
        let licences = &value["components"][0]["licenses"];
        assert_eq!(
            licences[0]["license"]["name"],
            "Our own licence (see LICENSE)"
        );
    }

    #[test]
    fn licences() {
        let of = |line: &str| licence(&format!("[package]\nname = \"a\"\n{line}"));
        assert_eq!(
            of("license = \"MIT/Apache-2.0\"").unwrap(),
            "MIT OR Apache-2.0"
        );
        assert_eq!(of("license = \"MIT OR Zlib\"").unwrap(), "MIT OR Zlib");
        assert_eq!(of("license.workspace = true"), None);
        assert_eq!(of(""), None);
        assert_eq!(licence("nonsense"), None);
    }
}
