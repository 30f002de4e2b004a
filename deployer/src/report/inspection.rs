//! Text form of an image inspection.

use std::fmt::Write as _;

use serde_json::Value;

use super::text::{counted, size};
use crate::commands::Verification;
use image_builder::compare::Difference;
use image_builder::inspect::{InspectedFile, Inspection};
use support::printable::printable;

/// Formats the result of a verification.
pub(super) fn verification(it: &Verification) -> String {
    let counts = it.differences.len();
    let is = if it.same {
        "is what its commit yields.".to_owned()
    } else {
        format!(
            "is not what its commit yields: {}.",
            counted(counts, "difference")
        )
    };
    let mut text = format!("The image {} {is}\n", it.image);
    let mut row = |title: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "  {title:<9} {value}");
        }
    };
    row("digest", &it.digest);
    if !it.same {
        row("rebuilt", &it.rebuilt);
    }
    row("commit", &it.revision);
    row("source", it.source.as_deref().unwrap_or_default());
    row("compiler", &format!("Rust {}", it.rust));
    for base in &it.bases {
        row("base", base);
    }
    for Difference { place, difference } in &it.differences {
        row("differs", &format!("{place}: {difference}"));
    }
    if !it.has_provenance {
        text.push_str("It has no provenance: it was built with the settings of this checkout.\n");
    }
    if !it.same {
        text.push_str("C library and linker are this machine's, unless the musl target is used: they can be the reason.\n");
    }
    printable(&text)
}

/// Formats the image's settings, its layers, and their files.
pub(super) fn inspection(image: &Inspection) -> String {
    let config = &image.config;
    // OCI image configuration: settings of the process are under `config`.
    let started = &config["config"];
    let rows = [
        ("image", image.name.clone()),
        ("digest", image.digest.clone()),
        ("size", size(image.bytes)),
        (
            "platform",
            format!(
                "{}/{}",
                shown(&config["os"]),
                shown(&config["architecture"])
            ),
        ),
        ("created", shown(&config["created"])),
        ("user", shown(&started["User"])),
        ("entrypoint", shown(&started["Entrypoint"])),
        ("command", shown(&started["Cmd"])),
        ("folder", shown(&started["WorkingDir"])),
        ("ports", names(&started["ExposedPorts"])),
        ("stop signal", shown(&started["StopSignal"])),
        (
            "packages",
            image
                .packages
                .map(|packages| packages.to_string())
                .unwrap_or_default(),
        ),
    ];
    let mut text = String::new();
    for (title, value) in rows.into_iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(text, "{title:<12}{value}");
    }
    // The list may be missing or null.
    for variable in started["Env"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "{:<12}{}", "variable", shown(variable));
    }
    for (name, value) in started["Labels"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "{:<12}{name}={}", "label", shown(value));
    }
    for layer in &image.layers {
        let _ = writeln!(
            text,
            "{:<12}{} of {} ({} before compression), {}",
            "layer",
            layer.digest,
            size(layer.bytes),
            size(layer.uncompressed_bytes),
            counted(layer.files.len(), "file")
        );
        for file in &layer.files {
            let _ = writeln!(text, "  {}", line(file));
        }
    }
    // Names and labels come from the image, and could contain control sequences.
    printable(&text)
}

fn line(file: &InspectedFile) -> String {
    let InspectedFile {
        path,
        mode,
        owner,
        bytes,
        link,
    } = file;
    let link = link.as_ref().map(|to| format!(" -> {to}"));
    format!(
        "{mode} {owner:<13} {:>10}  {path}{}",
        size(*bytes),
        link.unwrap_or_default()
    )
}

/// Formats a text without quotes, a list as in a Dockerfile, and null as nothing.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn names(value: &Value) -> String {
    let names: Vec<&str> = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use image_builder::inspect::InspectedLayer;

    #[test]
    fn an_image() {
        let file = |path: &str, link: Option<&str>| InspectedFile {
            path: path.to_owned(),
            mode: "0755".to_owned(),
            owner: "0:0".to_owned(),
            bytes: 1_800_000,
            link: link.map(ToOwned::to_owned),
        };
        let image = Inspection {
            name: "app".to_owned(),
            digest: "sha256:8a6c".to_owned(),
            bytes: 862_619,
            config: json!({
                "architecture": "amd64", "os": "linux", "created": "1970-01-01T00:00:00Z",
                "config": {
                    "User": "65532:65532", "Entrypoint": ["/app"], "ExposedPorts": {"8080/tcp": {}},
                    "Env": ["PORT=8080"], "Labels": {"title": "app\u{1b}[31m"}, "StopSignal": "SIGTERM",
                },
            }),
            layers: vec![InspectedLayer {
                digest: "sha256:0123".to_owned(),
                media_type: "m".to_owned(),
                bytes: 861_000,
                uncompressed_bytes: 1_801_000,
                files: vec![file("/app", None), file("/link", Some("app"))],
            }],
            packages: Some(57),
        };
        insta::assert_snapshot!(inspection(&image));
    }
}
