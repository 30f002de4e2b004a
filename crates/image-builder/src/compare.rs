//! Differences between two images: settings, layers and files.

use std::collections::BTreeMap;
use std::io;

use flate2::read::MultiGzDecoder;
use serde::Serialize;
use serde_json::Value;

use crate::image::BuiltImage;
use crate::layer::{Hashing, Layer};

/// Limit for the number of files that are named in each layer.
const MAX_FILES: usize = 20;

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
pub fn compare(image: &BuiltImage, rebuilt: &BuiltImage) -> io::Result<Vec<Difference>> {
    let mut differences = Vec::new();
    if image.config.digest != rebuilt.config.digest {
        let settings = |image: &BuiltImage| serde_json::from_slice(&image.config.content);
        let (old, new): (Value, Value) = (settings(image)?, settings(rebuilt)?);
        compare_settings("", &old, &new, &mut differences);
    }
    let (old, new) = (&image.layers, &rebuilt.layers);
    if old.len() != new.len() {
        let difference = format!("{} in the image, {} in the rebuild", old.len(), new.len());
        differences.push(Difference::new("number of layers", difference));
    }
    for (number, (old, new)) in old.iter().zip(new).enumerate() {
        let layer = format!("layer {}", number + 1);
        if old.digest == new.digest {
            continue;
        }
        let before = differences.len();
        compare_files(&layer, &files(old)?, &files(new)?, &mut differences);
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

fn files(layer: &Layer) -> io::Result<BTreeMap<String, Properties>> {
    let mut archive = tar::Archive::new(MultiGzDecoder::new(layer.content.open()?));
    let mut files = BTreeMap::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let header = entry.header().clone();
        let path = entry.path()?.to_string_lossy().into_owned();
        let link = entry.link_name()?.unwrap_or_default();
        let link = link.to_string_lossy().into_owned();
        let mut hash = Hashing::new(io::sink());
        let size = io::copy(&mut entry, &mut hash)?;
        let properties = vec![
            ("type", format!("{:?}", header.entry_type())),
            ("mode", format!("{:04o}", header.mode()? & 0o7777)),
            ("owner", format!("{}:{}", header.uid()?, header.gid()?)),
            ("time", header.mtime()?.to_string()),
            ("link", link),
            ("size", size.to_string()),
            ("content", hash.diff_id()),
        ];
        files.insert(format!("/{}", path.trim_matches('/')), properties);
    }
    Ok(files)
}

fn compare_files(
    layer: &str,
    old: &BTreeMap<String, Properties>,
    new: &BTreeMap<String, Properties>,
    differences: &mut Vec<Difference>,
) {
    let only = |place: &str| Some(format!("only in the {place}"));
    let in_image = old.iter().filter_map(|(path, old)| {
        let difference = match new.get(path) {
            None => only("image"),
            Some(new) => changed(old, new),
        };
        Some((path, difference?))
    });
    let added = new.keys().filter(|path| !old.contains_key(*path));
    let added = added.filter_map(|path| Some((path, only("rebuild")?)));
    let all: Vec<_> = in_image.chain(added).collect();
    for (path, difference) in all.iter().take(MAX_FILES) {
        differences.push(Difference::new(format!("{layer}, {path}"), difference));
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
            name => format!("{name} {old}, {new} in the rebuild"),
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
}
