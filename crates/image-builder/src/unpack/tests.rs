//! Archives as Docker and podman write them.

use std::fs;

use super::program::MAX_PROGRAM;
use super::*;
use crate::digest::digest;

const CONFIG: &str = r#"{
  "architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z", "docker_version": "20.10", "container": "0123",
  "config": {
    "Hostname": "", "User": "65532", "Env": ["PATH=/bin"], "Cmd": null, "Entrypoint": ["/app"], "WorkingDir": "/",
    "Image": "sha256:0123", "Volumes": null, "OnBuild": null, "ExposedPorts": {"8080/tcp": {}},
    "Labels": {"own": "1", "org.opencontainers.image.revision": "its", "io.buildah.version": "1"}
  },
  "history": [
    {"created": "2026-01-01T00:00:00Z", "created_by": "COPY app", "comment": "x"},
    {"created_by": "ENTRYPOINT", "empty_layer": true}
  ],
  "rootfs": {"type": "layers", "diff_ids": ["DIFF"]}
}"#;

/// A tar archive of these files.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        let links = [
            (&b"link:"[..], tar::EntryType::Symlink),
            (b"hard:", tar::EntryType::Link),
        ];
        let link = links
            .iter()
            .find_map(|(prefix, kind)| Some((content.strip_prefix(*prefix)?, *kind)));
        if let Some((target, kind)) = link {
            header.set_size(0);
            header.set_entry_type(kind);
            let target = std::str::from_utf8(target).unwrap();
            archive.append_link(&mut header, name, target).unwrap();
        } else {
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, name, *content).unwrap();
        }
    }
    archive.into_inner().unwrap()
}

fn program(machine: u8) -> Vec<u8> {
    crate::testing::elf(machine, &[1])
}

fn config_of(layer: &[u8]) -> String {
    CONFIG.replace("DIFF", &digest(layer))
}

fn try_unpack(files: &[(&str, &[u8])]) -> Result<BuiltImage, String> {
    try_unpack_within(MAX_LAYERS, files)
}

fn try_unpack_within(limit: u64, files: &[(&str, &[u8])]) -> Result<BuiltImage, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image.tar");
    fs::write(&file, tar(files)).unwrap();
    let labels = [("org.opencontainers.image.revision", "ours"), ("more", "2")];
    let wanted = Wanted {
        architecture: Architecture::X86_64,
        created: DateTime::UNIX_EPOCH,
        labels: &labels
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        cache: &LayerCache::default(),
    };
    unpack_within(limit, &file, &wanted).map_err(|error| error.to_string())
}

#[test]
fn every_form_of_the_archive_gives_the_same_image() {
    let layer = tar(&[("app", &program(62))]);
    let config = config_of(&layer);
    // Docker 20.10, where a layer that is there already is a link; and Docker with containerd's store, compressed.
    let old = try_unpack(&[
        ("0123/layer.tar", b"link:../4567/layer.tar"),
        ("4567/layer.tar", &layer),
        ("config.json", config.as_bytes()),
        (
            "manifest.json",
            br#"[{"Config":"config.json","RepoTags":["a:b"],"Layers":["0123/layer.tar"]}]"#,
        ),
    ])
    .unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &layer).unwrap();
    let new = try_unpack(&[
        ("blobs/sha256/11", config.as_bytes()),
        ("blobs/sha256/22", &gzip.finish().unwrap()),
        (
            "manifest.json",
            br#"[{"Config":"blobs/sha256/11","Layers":["blobs/sha256/22"]}]"#,
        ),
    ])
    .unwrap();
    assert_eq!(old, new);
    let mut config: Value = serde_json::from_slice(&old.config.content).unwrap();
    config["rootfs"]["diff_ids"] = "[…]".into();
    insta::assert_json_snapshot!(config);
}

#[test]
fn what_would_not_start_is_refused() {
    let verdict = |content: &[u8], more: &[(&str, &[u8])]| {
        let mut files = vec![("app", content)];
        files.extend(more);
        let layer = tar(&files);
        let result = try_unpack(&[
            ("l", &layer),
            ("c", config_of(&layer).as_bytes()),
            ("manifest.json", br#"[{"Config":"c","Layers":["l"]}]"#),
        ]);
        result.map_or_else(|error| error, |_| "ready".to_owned())
    };
    let mut dynamic = program(62);
    dynamic[64] = 3;
    dynamic[72] = 120;
    dynamic[96] = 15;
    dynamic.extend(b"/lib64/ld.so.2\0");
    assert_eq!(verdict(&program(62), &[]), "ready");
    assert_eq!(verdict(b"#!/bin/sh\n", &[]), "ready");
    assert_eq!(
        verdict(&program(183), &[]),
        "`/app` of the image would not start: it is not made for X86_64"
    );
    assert_eq!(
        verdict(&dynamic, &[]),
        "`/app` of the image would not start: it is not static: it needs `/lib64/ld.so.2`"
    );
    assert_eq!(
        verdict(&dynamic, &[("usr/lib64/ld.so.2", b"the loader")]),
        "ready"
    );
    let no_program = "`/app` of the image would not start: it is not a 64-bit Linux program";
    for content in [&b""[..], b"exit 0\n", b"MZ\x90", &program(62)[..100]] {
        assert_eq!(verdict(content, &[]), no_program);
    }
    // The loader's path at the end of a large program is not looked for.
    let mut large = dynamic.clone();
    large.resize(usize::try_from(MAX_PROGRAM).unwrap() + 16, 0);
    large[72..80].copy_from_slice(&MAX_PROGRAM.to_le_bytes());
    assert_eq!(verdict(&large, &[]), "ready");
}

#[test]
fn a_program_that_is_a_link_is_the_file_that_it_leads_to() {
    let verdict = |layers: &[&[(&str, &[u8])]]| {
        let layers: Vec<Vec<u8>> = layers.iter().map(|files| tar(files)).collect();
        let mut config: Value = serde_json::from_str(CONFIG).unwrap();
        let ids = layers.iter().map(|layer| digest(layer));
        config["rootfs"]["diff_ids"] = ids.collect();
        let names: Vec<String> = (0..layers.len()).map(|index| index.to_string()).collect();
        let manifest = json!([{ "Config": "c", "Layers": names }]).to_string();
        let config = config.to_string();
        let documents = [
            ("c", config.as_bytes()),
            ("manifest.json", manifest.as_bytes()),
        ];
        let layers = names.iter().zip(&layers);
        let layers = layers.map(|(name, layer)| (name.as_str(), layer.as_slice()));
        let result = try_unpack(&layers.chain(documents).collect::<Vec<_>>());
        result.map_or_else(|error| error, |_| "ready".to_owned())
    };
    let (right, wrong) = (program(62), program(183));
    let other = "`/app` of the image would not start: it is not made for X86_64";
    assert_eq!(verdict(&[&[("a", &right), ("app", b"hard:a")]]), "ready");
    assert_eq!(verdict(&[&[("a", &wrong), ("app", b"hard:a")]]), other);
    let two_links: &[(&str, &[u8])] = &[("a", &wrong), ("b", b"hard:a"), ("app", b"hard:b")];
    assert_eq!(verdict(&[two_links]), other);
    // The link keeps the content that it was made to, and what comes last at a path counts.
    let linked: &[(&str, &[u8])] = &[("a", &right), ("app", b"hard:a")];
    assert_eq!(verdict(&[linked, &[("a", &wrong)]]), "ready");
    assert_eq!(verdict(&[linked, &[("app", &wrong)]]), other);
    // Where a symbolic link leads to, the runtime knows. So it does of links in circles and of those that lead nowhere.
    assert_eq!(
        verdict(&[&[("app", &wrong)], &[("app", b"link:a")]]),
        "ready"
    );
    assert_eq!(
        verdict(&[&[("a", b"hard:app"), ("app", b"hard:a")]]),
        "ready"
    );
    assert_eq!(verdict(&[&[("app", b"hard:nowhere")]]), "ready");
}

#[test]
fn more_than_the_limit_over_all_layers_is_refused() {
    let (one, two) = (tar(&[("app", &program(62))]), tar(&[("more", b"more")]));
    let ids = format!("{}\",\"{}", digest(&one), digest(&two));
    let config = CONFIG.replace("DIFF", &ids);
    let files = [
        ("1", one.as_slice()),
        ("2", two.as_slice()),
        ("c", config.as_bytes()),
        (
            "manifest.json",
            br#"[{"Config":"c","Layers":["1","2"]}]"#.as_slice(),
        ),
    ];
    let size = (one.len() + two.len()) as u64;
    assert!(try_unpack_within(size, &files).is_ok());
    let expected = format!(
        "the layers of the image have more than {} bytes together",
        size - 1
    );
    assert_eq!(try_unpack_within(size - 1, &files).unwrap_err(), expected);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let layer = tar(&[("app", b"x")]);
    let config = config_of(&layer);
    let other = config.replace("amd64", "arm64");
    let manifest: &[u8] = br#"[{"Config":"c","Layers":["l"]}]"#;
    let refusal = |files: &[(&str, &[u8])]| try_unpack(files).unwrap_err();
    let said = [
        refusal(&[]),
        refusal(&[("manifest.json", b"[]")]),
        refusal(&[("manifest.json", b"{}")]),
        refusal(&[("manifest.json", manifest), ("c", config.as_bytes())]),
        refusal(&[
            ("manifest.json", manifest),
            ("l", &layer),
            ("c", b"nonsense"),
        ]),
        refusal(&[
            ("manifest.json", manifest),
            ("l", b"another"),
            ("c", config.as_bytes()),
        ]),
        refusal(&[
            ("manifest.json", manifest),
            ("l", &layer),
            ("c", other.as_bytes()),
        ]),
        refusal(&[
            ("manifest.json", br#"[{"Config":"c","Layers":[]}]"#),
            ("c", config.as_bytes()),
        ]),
    ];
    let said = said.join("\n").replace(&digest(&layer), "[digest]");
    insta::assert_snapshot!(said);
}
