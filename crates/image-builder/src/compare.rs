//! Differences between two images: settings, layers and files.

use std::collections::{BTreeMap, HashMap};
use std::io;

use serde::Serialize;
use serde_json::Value;

use crate::compression::{Limited, MAX_UNPACKED};
use crate::digest::Hashing;
use crate::image::BuiltImage;
use crate::layer::Layer;

/// Limit for the number of files that are named in each layer.
const MAX_FILES: usize = 20;

/// Limit for the number of entries in a layer. Real ones have some ten thousand.
const MAX_ENTRIES: usize = 1_000_000;

/// Limit for the shown length of a property, in characters.
const MAX_VALUE: usize = 200;

/// Difference between an image and its rebuild.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Difference {
    /// Place in the image: a setting, a layer, or a file of a layer.
    pub place: String,
    /// What differs there.
    pub difference: String,
}

impl Difference {
    fn new(place: impl Into<String>, difference: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            difference: difference.into(),
        }
    }
}

/// Compares an image with its rebuild. Blocks, since it decompresses the layers.
///
/// What cannot be read of the image is a difference as well: the rebuild can be read.
pub fn compare(image: &BuiltImage, rebuilt: &BuiltImage) -> io::Result<Vec<Difference>> {
    let mut differences = Vec::new();
    let unreadable = |error: &dyn std::fmt::Display| format!("unreadable in the image: {error}");
    if image.config.digest != rebuilt.config.digest {
        let new: Value = serde_json::from_slice(&rebuilt.config.content)?;
        match serde_json::from_slice(&image.config.content) {
            Ok(old) => compare_settings("", &old, &new, &mut differences),
            Err(error) => differences.push(Difference::new("configuration", unreadable(&error))),
        }
    }
    let (old, new) = (&image.layers, &rebuilt.layers);
    if old.len() != new.len() {
        let difference = format!("{} in the image, {} in the rebuild", old.len(), new.len());
        differences.push(Difference::new("number of layers", difference));
    }
    let mut left = MAX_UNPACKED;
    for (number, (old, new)) in old.iter().zip(new).enumerate() {
        let layer = format!("layer {}", number + 1);
        if old.digest == new.digest {
            continue;
        }
        let before = differences.len();
        let rebuilt = files(new, &mut { MAX_UNPACKED })?;
        match files(old, &mut left) {
            Ok(files) => compare_files(&layer, &files, &rebuilt, &mut differences),
            Err(error) => differences.push(Difference::new(&layer, unreadable(&error))),
        }
        if differences.len() == before {
            let difference = if old.diff_id == new.diff_id {
                "the same archive, compressed differently"
            } else {
                "the same files, archived differently"
            };
            differences.push(Difference::new(layer, difference));
        }
    }
    if differences.is_empty() && image.digest() != rebuilt.digest() {
        differences.push(Difference::new(
            "manifest",
            "another form of the same parts",
        ));
    }
    Ok(differences)
}

/// Compares two JSON documents. `path` is the place that both come from.
fn compare_settings(path: &str, old: &Value, new: &Value, differences: &mut Vec<Difference>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                // They follow from the layers, which are compared themselves.
                if path.is_empty() && name == "rootfs" {
                    continue;
                }
                let place = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                let of = |object: &serde_json::Map<String, Value>| {
                    object.get(name).cloned().unwrap_or_default()
                };
                compare_settings(&place, &of(old), &of(new), differences);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for number in 0..old.len().max(new.len()) {
                let of = |list: &[Value]| list.get(number).cloned().unwrap_or_default();
                let place = format!("{path}[{number}]");
                compare_settings(&place, &of(old), &of(new), differences);
            }
        }
        (old, new) if old == new => {}
        (old, new) => {
            let shown = |value: &Value| {
                if value.is_null() {
                    "nothing".to_owned()
                } else {
                    value.to_string()
                }
            };
            let difference = format!("{} in the image, {} in the rebuild", shown(old), shown(new));
            differences.push(Difference::new(path, difference));
        }
    }
}

/// Properties of a file in a layer, each with its name.
type Properties = Vec<(&'static str, String)>;

/// Path of a file, and the number of the entry among those of this path. The last one counts, and an
/// earlier one can still be the target of a link.
type Name = (String, usize);

/// Reads the files of a layer. `left` is the number of bytes that it may have unpacked, and becomes
/// what is left of them.
fn files(layer: &Layer, left: &mut u64) -> io::Result<BTreeMap<Name, Properties>> {
    let mut reader = Limited {
        inner: layer.archive()?,
        left: *left,
    };
    let files = read(&mut reader);
    *left = reader.left;
    files
}

fn read(archive: impl io::Read) -> io::Result<BTreeMap<Name, Properties>> {
    let mut archive = tar::Archive::new(archive);
    let mut files = BTreeMap::new();
    let mut entries = HashMap::new();
    for (number, entry) in archive.entries()?.enumerate() {
        if number == MAX_ENTRIES {
            return Err(io::Error::other("it has more than a million entries"));
        }
        let mut entry = entry?;
        let header = entry.header().clone();
        let path = shown(&entry.path_bytes());
        let link = shown(&entry.link_name_bytes().unwrap_or_default());
        let extended = extended(&mut entry)?;
        let mut hash = Hashing::new(io::sink());
        let size = io::copy(&mut entry, &mut hash)?;
        // Some builders leave the fields empty.
        let device = match (header.device_major(), header.device_minor()) {
            (Ok(Some(major)), Ok(Some(minor))) => format!("{major}:{minor}"),
            _ => String::new(),
        };
        let properties = vec![
            ("type", format!("{:?}", header.entry_type())),
            ("mode", format!("{:04o}", header.mode()? & 0o7777)),
            ("owner", format!("{}:{}", header.uid()?, header.gid()?)),
            ("time", header.mtime()?.to_string()),
            ("link", link),
            ("size", size.to_string()),
            ("content", hash.digest()),
            ("extended header", extended),
            ("device", device),
        ];
        let path = format!("/{}", path.trim_matches('/'));
        let entries: &mut usize = entries.entry(path.clone()).or_default();
        *entries += 1;
        files.insert((path, *entries), properties);
    }
    Ok(files)
}

/// Returns the records of an entry's PAX header that the other properties do not have, such as
/// extended attributes and fractions of seconds.
fn extended(entry: &mut tar::Entry<'_, impl io::Read>) -> io::Result<String> {
    let mut records = Vec::new();
    for record in entry.pax_extensions()?.into_iter().flatten() {
        let record = record?;
        if !matches!(record.key_bytes(), b"path" | b"linkpath" | b"size") {
            let (key, value) = (shown(record.key_bytes()), shown(record.value_bytes()));
            records.push(format!("{key}={value}"));
        }
    }
    records.sort();
    Ok(records.join(" "))
}

/// Returns text as it is but for backslashes, and escapes bytes that are none: two names must not
/// look the same.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.replace('\\', "\\\\"),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}

fn compare_files(
    layer: &str,
    old: &BTreeMap<Name, Properties>,
    new: &BTreeMap<Name, Properties>,
    differences: &mut Vec<Difference>,
) {
    let only = |place: &str| Some(format!("only in the {place}"));
    let in_image = old.iter().filter_map(|(name, old)| {
        let difference = match new.get(name) {
            None => only("image"),
            Some(new) => changed(old, new),
        };
        Some((name, difference?))
    });
    let added = new.keys().filter(|name| !old.contains_key(*name));
    let added = added.filter_map(|name| Some((name, only("rebuild")?)));
    let all: Vec<_> = in_image.chain(added).collect();
    for ((path, entry), difference) in all.iter().take(MAX_FILES) {
        let entry = match entry {
            1 => String::new(),
            entry => format!(" (entry {entry})"),
        };
        differences.push(Difference::new(
            format!("{layer}, {path}{entry}"),
            difference,
        ));
    }
    let more = all.len().saturating_sub(MAX_FILES);
    if more > 0 {
        differences.push(Difference::new(layer, format!("{more} more files")));
    }
}

/// Describes how a file differs, or returns `None` if it does not.
fn changed(old: &Properties, new: &Properties) -> Option<String> {
    let pairs = old.iter().zip(new).filter(|(old, new)| old != new);
    let described: Vec<String> = pairs
        .map(|((name, old), (_, new))| match *name {
            // Two digests say nothing that the word does not.
            "content" => "content".to_owned(),
            name => {
                let shown = |value: &String| match value.as_str() {
                    "" => "none".to_owned(),
                    value => value.chars().take(MAX_VALUE).collect(),
                };
                format!("{name} {}, {} in the rebuild", shown(old), shown(new))
            }
        })
        .collect();
    (!described.is_empty()).then(|| described.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{BUILD, pack};

    fn image(text: &str, files: &[(&str, &str)]) -> BuiltImage {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let program = folder.path().join("app");
        let text = format!("{BUILD}FROM scratch\nCOPY --from=build /out/app /app\n{text}");
        pack(&text, folder.path(), &program).unwrap()
    }

    fn shown(old: &BuiltImage, new: &BuiltImage) -> String {
        let all = compare(old, new).unwrap();
        let lines = all
            .iter()
            .map(|it| format!("{}: {}", it.place, it.difference));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_differs_is_named() {
        let files = [("app", "one"), ("a", "1"), ("b", "2")];
        let text = "COPY a /etc/\nENV MODE=fast\nCMD [\"/app\"]";
        let first = image(text, &files);
        assert_eq!(shown(&first, &image(text, &files)), "");

        let program = image(text, &[("app", "three"), ("a", "1"), ("b", "2")]);
        insta::assert_snapshot!(shown(&first, &program), @"layer 1, /app: size 3, 5 in the rebuild; content");
        let other = "COPY --chmod=600 a b /etc/\nENV MODE=slow\nUSER 7\nCMD [\"/app\"]";
        insta::assert_snapshot!(shown(&first, &image(other, &files)), @r#"
        config.Env[1]: "MODE=fast" in the image, "MODE=slow" in the rebuild
        config.User: nothing in the image, "7" in the rebuild
        history[1].created_by: "COPY a /etc/" in the image, "COPY a b /etc/" in the rebuild
        layer 2, /etc/a: mode 0644, 0600 in the rebuild
        layer 2, /etc/b: only in the rebuild
        "#);
        let fewer = image("CMD [\"/app\"]\nENV MODE=fast", &files);
        insta::assert_snapshot!(shown(&first, &fewer), @r#"
        history[1]: {"created":"1970-01-01T00:00:00Z","created_by":"COPY a /etc/"} in the image, nothing in the rebuild
        number of layers: 2 in the image, 1 in the rebuild
        "#);
    }

    #[test]
    fn compression_alone_is_a_difference_too() {
        let first = image("CMD [\"/app\"]", &[("app", "one")]);
        let mut second = first.clone();
        second.layers[0].digest = crate::digest::digest(b"compressed by another program");
        let shown = shown(&first, &second);
        assert_eq!(shown, "layer 1: the same archive, compressed differently");
    }

    /// An image with one layer that is this archive, compressed by a function.
    fn with_layer(archive: &[u8], compressed: impl Fn(&[u8]) -> Vec<u8>) -> BuiltImage {
        let mut image = image("CMD [\"/app\"]", &[("app", "one")]);
        let content = compressed(archive);
        image.layers[0].digest = crate::digest::digest(&content);
        image.layers[0].diff_id = crate::digest::digest(archive);
        image.layers[0].content = bytes::Bytes::from(content).into();
        image
    }

    /// An archive of a file with these PAX records.
    fn archive(records: &[(&str, &[u8])], content: &str) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        archive
            .append_pax_extensions(records.iter().copied())
            .unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        archive
            .append_data(&mut header, "app", content.as_bytes())
            .unwrap();
        archive.into_inner().unwrap()
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        use std::io::Write as _;
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(content).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn every_compression_is_compared() {
        let (one, two) = (archive(&[], "one"), archive(&[], "two"));
        let rebuilt = with_layer(&one, gzip);
        let zstd = |content: &[u8]| {
            ruzstd::encoding::compress_to_vec(content, ruzstd::encoding::CompressionLevel::Fastest)
        };
        let as_it_is = <[u8]>::to_vec;
        let same = "layer 1: the same archive, compressed differently";
        assert_eq!(shown(&with_layer(&one, zstd), &rebuilt), same);
        assert_eq!(shown(&with_layer(&one, as_it_is), &rebuilt), same);
        let other = "layer 1, /app: content";
        assert_eq!(shown(&with_layer(&two, zstd), &rebuilt), other);
        assert_eq!(shown(&with_layer(&two, as_it_is), &rebuilt), other);
    }

    #[test]
    fn what_cannot_be_read_differs() {
        let rebuilt = with_layer(&archive(&[], "one"), gzip);
        let mut damaged = with_layer(b"no archive", |_| b"no archive".repeat(100));
        damaged.config.content = "{".into();
        damaged.config.digest = crate::digest::digest(b"{");
        let shown = shown(&damaged, &rebuilt);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 2, "{shown}");
        assert!(
            lines[0].starts_with("configuration: unreadable in the image: "),
            "{shown}"
        );
        assert!(
            lines[1].starts_with("layer 1: unreadable in the image: "),
            "{shown}"
        );
    }

    #[test]
    fn extended_headers_are_compared() {
        let of = |records: &[(&str, &[u8])]| with_layer(&archive(records, "one"), gzip);
        let plain = of(&[]);
        let capability: (&str, &[u8]) = ("SCHILY.xattr.security.capability", b"\x01\xff");
        insta::assert_snapshot!(shown(&of(&[capability]), &plain), @r"layer 1, /app: extended header SCHILY.xattr.security.capability=\x01\xff, none in the rebuild");
        insta::assert_snapshot!(shown(&of(&[("mtime", b"0.5")]), &plain), @"layer 1, /app: extended header mtime=0.5, none in the rebuild");
        let long = "l".repeat(200);
        insta::assert_snapshot!(shown(&of(&[("path", long.as_bytes())]), &of(&[("path", b"other")])).replace(&long, "LONG"), @r"
        layer 1, /LONG: only in the image
        layer 1, /other: only in the rebuild
        ");
    }

    #[test]
    fn an_earlier_entry_of_a_path_is_compared_too() {
        let twice = |first: &str| {
            let mut archive = archive(&[], first);
            // Without the two blocks of zeros at the end.
            archive.truncate(archive.len() - 1024);
            archive.extend(self::archive(&[], "last"));
            with_layer(&archive, gzip)
        };
        let shown = shown(&twice("one"), &twice("two"));
        assert_eq!(shown, "layer 1, /app: content");
    }

    #[test]
    fn names_stay_different_and_are_counted() {
        assert_ne!(super::shown(b"a\xff"), super::shown(br"a\xff"));
        let entries = |number: usize| {
            let mut archive = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_ustar();
            header.set_size(0);
            header.set_mode(0o644);
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            for _ in 0..number {
                archive.append_data(&mut header, "a", &[][..]).unwrap();
            }
            with_layer(&archive.into_inner().unwrap(), gzip)
        };
        let shown = shown(&entries(2), &entries(1));
        assert_eq!(shown, "layer 1, /a (entry 2): only in the image");
        // With a search among all earlier ones this takes hours.
        let many = compare(&entries(300_000), &entries(1)).unwrap();
        assert_eq!(many.last().unwrap().difference, "299979 more files");
    }
}
