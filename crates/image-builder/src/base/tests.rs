//! Base images from a registry that this test plays.

use std::fs;
use std::io::Write as _;

use serde_json::json;

use super::*;
use crate::push::Credentials;
use crate::testing::{BUILD, elf, pack_on};

/// A registry that gives what it has, and counts what it is asked.
struct Registry {
    server: tokio::task::JoinHandle<()>,
    address: String,
    asked: Arc<std::sync::Mutex<Vec<String>>>,
    content: Arc<std::sync::Mutex<BTreeMap<String, Vec<u8>>>>,
    /// So many answers with a blob are cut in the middle.
    cuts: Arc<std::sync::atomic::AtomicUsize>,
}

impl Registry {
    async fn start() -> Self {
        use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
        let content = Arc::new(std::sync::Mutex::new(BTreeMap::<String, Vec<u8>>::new()));
        let (requests, store) = (Arc::clone(&asked), Arc::clone(&content));
        let cuts = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let to_cut = Arc::clone(&cuts);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut lines = Vec::new();
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).await.unwrap();
                    if line.trim().is_empty() {
                        break;
                    }
                    lines.push(line);
                }
                let path = lines[0].split(' ').nth(1).unwrap().to_owned();
                requests.lock().unwrap().push(path.clone());
                let name = path.rsplit('/').next().unwrap().to_owned();
                let found = store.lock().unwrap().get(&name).cloned();
                let status = if path == "/v2/" || found.is_some() {
                    200
                } else {
                    404
                };
                let body = found.unwrap_or_default();
                let head = format!(
                    "HTTP/1.1 {status} -\r\nContent-Length: {}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(head.as_bytes()).await.ok();
                let one_less = |count: usize| count.checked_sub(1);
                let order = std::sync::atomic::Ordering::SeqCst;
                let is_cut =
                    path.contains("/blobs/") && to_cut.fetch_update(order, order, one_less).is_ok();
                let end = if is_cut { body.len() / 2 } else { body.len() };
                stream.write_all(&body[..end]).await.ok();
                stream.shutdown().await.ok();
            }
        });
        Self {
            server,
            address,
            asked,
            content,
            cuts,
        }
    }

    fn put(&self, name: &str, content: Vec<u8>) -> Value {
        let digest = digest(&content);
        let descriptor = json!({ "digest": digest, "size": content.len() });
        let mut all = self.content.lock().unwrap();
        all.insert(digest, content.clone());
        all.insert(name.to_owned(), content);
        descriptor
    }

    /// Puts an image with these layers under a tag, in a list of two platforms.
    fn put_image(&self, tag: &str, layers: &[Vec<u8>], settings: &Value) -> String {
        let gzip = |archive: &Vec<u8>| {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(archive).unwrap();
            writer.finish().unwrap()
        };
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": settings,
            "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|it| digest(it)).collect::<Vec<_>>() },
            "history": [{ "created_by": "the base" }],
        });
        let config = self.put("config", config.to_string().into_bytes());
        let zstd = |archive: &Vec<u8>| {
            let level = ruzstd::encoding::CompressionLevel::Fastest;
            ruzstd::encoding::compress_to_vec(archive.as_slice(), level)
        };
        // Three ways in turn.
        let layers: Vec<Value> = layers
            .iter()
            .enumerate()
            .map(|(index, layer)| {
                let (content, media_type) = match index % 3 {
                    0 => (gzip(layer), LAYERS[1].0),
                    1 => (zstd(layer), OCI_ZSTD),
                    _ => (layer.clone(), LAYERS[5].0),
                };
                let mut descriptor = self.put("layer", content);
                descriptor["mediaType"] = json!(media_type);
                descriptor
            })
            .collect();
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": layers });
        let mut manifest = self.put("manifest", manifest.to_string().into_bytes());
        let digest = text(&manifest["digest"]);
        manifest["platform"] = json!({ "os": "linux", "architecture": "amd64" });
        let other = json!({ "digest": "sha256:0", "size": 1, "platform": { "os": "linux", "architecture": "s390x" } });
        let index = json!({ "schemaVersion": 2, "manifests": [other, manifest] });
        self.put(tag, index.to_string().into_bytes());
        digest
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn source(folder: &Path) -> BaseSource {
        BaseSource {
            folder: folder.join("bases"),
            architecture: Architecture::X86_64,
            roots: Vec::new(),
            credentials: DockerCredentials::default(),
        }
    }
}

/// An archive of `path -> content`: a `/` at the end is a folder, `link:` and `hard:` are links.
fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_uid(10);
        header.set_gid(0);
        header.set_size(0);
        let links = [
            (&b"link:"[..], tar::EntryType::Symlink),
            (b"hard:", tar::EntryType::Link),
        ];
        let link = links
            .iter()
            .find_map(|(prefix, kind)| Some((content.strip_prefix(*prefix)?, *kind)));
        if path.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
            archive
                .append_data(&mut header, path, std::io::empty())
                .unwrap();
        } else if let Some((target, kind)) = link {
            header.set_entry_type(kind);
            archive
                .append_link(&mut header, path, std::str::from_utf8(target).unwrap())
                .unwrap();
        } else {
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, *content).unwrap();
        }
    }
    archive.into_inner().unwrap()
}

/// As Debian is built: links of folders, users, a loader.
fn debian() -> Vec<Vec<u8>> {
    let first = tar(&[
        ("usr/", b""),
        ("usr/bin/", b""),
        ("usr/lib/", b""),
        ("bin", b"link:usr/bin"),
        ("lib64", b"link:usr/lib"),
        ("usr/lib/ld.so", b"loader"),
        ("usr/lib/libc.so.6", b"libc"),
        ("usr/bin/sh", b"shell"),
        ("etc/", b""),
        ("etc/passwd", b"root:x:0:0::/:\nnonroot:x:65532:65533::/:\n"),
        ("etc/group", b"root:x:0:\nstaff:x:50:\n"),
        ("etc/old", b"old"),
        ("var/", b""),
        ("var/a", b"a"),
    ]);
    let second = tar(&[
        ("usr/lib/ld.so", b"another loader"),
        ("etc/.wh.old", b""),
        ("var/.wh..wh..opq", b""),
        ("var/b", b"b"),
        ("etc/ca.pem", b"certificates"),
        ("usr/bin/bash", b"hard:usr/bin/sh"),
    ]);
    let third = tar(&[
        ("usr/bin/sh", b"another shell"),
        ("opt/x", b"hard:usr/bin/bash"),
    ]);
    vec![first, second, third]
}

async fn base(registry: &Registry, folder: &Path) -> BaseImage {
    let settings = json!({ "Env": ["PATH=/usr/bin", "A=1"], "User": "nonroot", "Labels": { "of": "base" }, "Cmd": ["bash"] });
    registry.put_image("12", &debian(), &settings);
    let name = format!("{}/debian:12", registry.address);
    fetch(&name, &Registry::source(folder)).await.unwrap()
}

#[tokio::test]
async fn a_base_is_fetched_once_and_then_asked_for_by_its_tag_alone() {
    let (registry, folder) = (Registry::start().await, tempfile::tempdir().unwrap());
    let first = base(&registry, folder.path()).await;
    let media_types: Vec<_> = first
        .layers
        .iter()
        .map(|it| it.media_type.as_str())
        .collect();
    assert_eq!(media_types, [OCI_GZIP, OCI_ZSTD, OCI_TAR]);
    assert!(
        registry
            .asked()
            .iter()
            .filter(|it| it.contains("/blobs/"))
            .count()
            == 4
    );
    let again = base(&registry, folder.path()).await;
    assert_eq!(again, first);
    let asked = registry.asked();
    assert!(
        asked
            .iter()
            .all(|it| it == "/v2/" || it.ends_with("/manifests/12")),
        "{asked:?}"
    );
    // By digest, nobody is asked at all.
    registry.server.abort();
    let pinned = format!("{}/debian@{}", registry.address, first.digest);
    let pinned = fetch(&pinned, &Registry::source(folder.path()))
        .await
        .unwrap();
    assert_eq!(pinned.layers, first.layers);
}

#[tokio::test]
async fn a_tag_that_leads_to_another_image_is_noticed() {
    let (registry, folder) = (Registry::start().await, tempfile::tempdir().unwrap());
    let first = base(&registry, folder.path()).await;
    let digest = registry.put_image("12", &debian()[..1], &json!({ "User": "other" }));
    let name = format!("{}/debian:12", registry.address);
    let source = Registry::source(folder.path());
    let second = fetch(&name, &source).await.unwrap();
    assert_ne!(second.digest, first.digest);
    assert_eq!(second.digest, digest);
    assert_eq!(second.settings.user.as_deref(), Some("other"));
    assert_eq!(second.layers.len(), 1);
    assert_ne!(second.root, first.root);
    // Or nowhere any more, whatever is cached.
    registry.content.lock().unwrap().clear();
    let error = fetch(&name, &source).await.unwrap_err();
    assert!(matches!(error, BaseError::Absent(_)), "{error:?}");
}

#[tokio::test]
async fn what_is_damaged_or_for_another_processor_is_refused() {
    let (registry, folder) = (Registry::start().await, tempfile::tempdir().unwrap());
    registry.put_image("12", &debian(), &json!({}));
    let name = format!("{}/debian:12", registry.address);
    let told = async |name: &str, source: &BaseSource| {
        let error = fetch(name, source).await.unwrap_err();
        let cause = std::error::Error::source(&error)
            .map(|it| format!(": {it}"))
            .unwrap_or_default();
        let text = format!("{error}{cause}\n    {}", error.hint().unwrap());
        text.replace(&registry.address, "registry")
    };
    let source = Registry::source(folder.path());
    let arm = BaseSource {
        architecture: Architecture::Arm64,
        ..source.clone()
    };
    let mut said = vec![
        told(&name, &arm).await,
        told("NOT A NAME", &source).await,
        told(&format!("{}/debian:none", registry.address), &source).await,
    ];
    for content in registry.content.lock().unwrap().values_mut() {
        if content.starts_with(&[0x1f, 0x8b]) {
            content[20] ^= 1;
        }
    }
    said.push(
        told(&name, &source)
            .await
            .split(" for sha256:")
            .next()
            .unwrap()
            .to_owned(),
    );
    assert!(fs::read_dir(folder.path().join("bases")).unwrap().count() >= 2);
    insta::assert_snapshot!(said.join("\n"), @"
    the image `registry/debian:12` is not made for ARM64
        choose a base for several platforms, or set `architecture` under `[service]`
    `NOT A NAME` is not the name of an image
        write it as `REGISTRY/NAME:TAG`
    there is no image `registry/debian:none`
        check the name, or log in: `docker login registry`; registries say the same of an image that is not for everybody
    the image `registry/debian:12` cannot be used: the registry gave something else
    ");
}

#[test]
fn the_login_is_for_the_registry_of_the_image() {
    for (image, login) in [
        ("debian:12-slim", "`docker login`"),
        ("team/app:1.2", "`docker login`"),
        ("ghcr.io/team/app:1", "`docker login ghcr.io`"),
        ("localhost:5000/app", "`docker login localhost:5000`"),
        ("localhost/app", "`docker login localhost`"),
        ("[::1]:5000/app", "`docker login [::1]:5000`"),
    ] {
        let hint = BaseError::Absent(image.to_owned()).hint().unwrap();
        assert!(hint.contains(login), "{image}: {hint}");
    }
}

#[tokio::test]
async fn a_path_that_linux_could_not_have_is_refused() {
    let (registry, folder) = (Registry::start().await, tempfile::tempdir().unwrap());
    let name = format!("{}/deep:1", registry.address);
    let path = "a/".repeat(2048);
    let link = format!("link:{path}");
    for (path, content, is_refused) in [
        (path.as_str(), "", false),
        (&format!("{path}b"), "x", true),
        ("link", &link, false),
        ("link", &format!("{link}b"), true),
    ] {
        let layer = tar(&[(path, content.as_bytes())]);
        registry.put_image("1", &[layer], &json!({}));
        let fetched = fetch(&name, &Registry::source(folder.path())).await;
        let error = fetched.err().map(|error| error.to_string());
        let told = error
            .as_ref()
            .map(|it| it.contains("a path in it has 4097 bytes"));
        assert_eq!(told, is_refused.then_some(true), "{error:?}");
    }
}

#[tokio::test]
async fn an_image_on_a_base_has_its_layers_users_and_links() {
    let (registry, folder) = (Registry::start().await, tempfile::tempdir().unwrap());
    let base = base(&registry, folder.path()).await;
    let program = folder.path().join("app");
    fs::write(&program, elf(62, &[1])).unwrap();
    let name = base.reference.clone();
    let bases: Bases = [(name.clone(), Arc::new(base.clone()))].into();
    let text = format!(
        "{BUILD}FROM {name}\nWORKDIR /home/me\nCOPY --from=build /out/app /bin/app\n\
         COPY --from={name} /etc/ca.pem /usr/bin/bash /usr/lib/l*.so /etc/ssl/\nCOPY --chown=nonroot:staff app /data/\n\
         COPY --from={name} /opt /o\nWORKDIR /opt/y\nENV B=$A\nCMD [\"app\"]"
    );
    let image = pack_on(&text, folder.path(), &program, &bases).unwrap();
    assert_eq!(image.layers[..3], base.layers);
    let added: Vec<String> = image.layers[3..]
        .iter()
        .flat_map(|layer| {
            let inspected = crate::inspect::layer(layer).unwrap();
            let files = inspected.files.into_iter();
            files
                .map(|file| format!("{} {} {}", file.path, file.owner, file.bytes))
                .collect::<Vec<_>>()
        })
        .collect();
    // Links of the base are followed, its folders are left alone, its users are known.
    assert_eq!(
        added,
        [
            "/home/ 65532:65533 0",
            "/home/me/ 65532:65533 0",
            "/usr/bin/app 0:0 120",
            "/etc/ssl/ 0:0 0",
            // The content of the layer in which the hard link was made.
            "/etc/ssl/bash 10:0 5",
            "/etc/ssl/ca.pem 10:0 12",
            "/etc/ssl/ld.so 10:0 14",
            "/data/ 65532:50 0",
            "/data/app 65532:50 120",
            // The archive has no entry for `/opt`, which engines create for root.
            "/o/ 0:0 0",
            "/o/x 10:0 5",
            "/opt/y/ 65532:65533 0",
        ]
    );
    let config: Value = serde_json::from_slice(&image.config.content).unwrap();
    assert_eq!(config["config"]["User"], "nonroot");
    assert_eq!(
        config["config"]["Env"],
        json!(["PATH=/usr/bin", "A=1", "B=1"])
    );
    assert_eq!(config["config"]["Labels"]["of"], "base");
    assert_eq!(config["history"].as_array().unwrap().len(), 7);
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 9);
    let inspected = crate::inspect::inspect(&image, "app").unwrap();
    assert_eq!(inspected.layers[1].files[0].path, "/usr/lib/ld.so");
}

#[tokio::test]
async fn what_could_not_start_on_a_base_is_refused() {
    let (registry, folder) = (Registry::start().await, tempfile::tempdir().unwrap());
    let base = base(&registry, folder.path()).await;
    let (name, program) = (base.reference.clone(), folder.path().join("app"));
    let bases: Bases = [(name.clone(), Arc::new(base))].into();
    let told = |content: &[u8], body: &str| {
        fs::write(&program, content).unwrap();
        let text = format!("{BUILD}FROM {name}\nCOPY --from=build /out/app /app\n{body}");
        match pack_on(&text, folder.path(), &program, &bases) {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        }
    };
    let dynamic = |loader: &str| {
        let mut bytes = elf(62, &[3]);
        (bytes[64 + 8], bytes[64 + 32]) = (120, u8::try_from(loader.len()).unwrap() + 1);
        bytes.extend(loader.as_bytes());
        bytes.push(0);
        bytes
    };
    let start = "CMD [\"/app\"]";
    assert_eq!(told(&elf(62, &[1]), start), "ok");
    assert_eq!(told(&dynamic("/lib64/ld.so"), start), "ok");
    assert_eq!(told(&elf(62, &[1]), "CMD exec /app"), "ok");
    let refused = [
        told(&dynamic("/lib/ld-musl.so.1"), start),
        told(&elf(183, &[1]), start),
        told(&elf(62, &[1]), "USER somebody\nCMD [\"/app\"]"),
        told(&elf(62, &[1]), "CMD [\"/etc/old\"]"),
        told(&elf(62, &[1]), "CMD [\"/var/a\"]"),
        told(
            &elf(62, &[1]),
            "COPY app /bin\nCOPY app /usr/bin/sh/x\nCMD [\"/app\"]",
        ),
        told(
            &elf(62, &[1]),
            "SHELL [\"/bin/zsh\", \"-c\"]\nCMD exec /app",
        ),
    ];
    insta::assert_snapshot!(refused.join("\n"), @"
    `/app` is to be started, but it is not static: it needs `/lib/ld-musl.so.1`
    `/app` is to be started, but it is not made for X86_64
    `somebody` is not known: it is not in `/etc/passwd` of the image
    `/etc/old` is to be started, but it is not in the image
    `/var/a` is to be started, but it is not in the image
    line 6: `/usr/bin/sh/x` leads to a file, or in a circle
    `/bin/zsh` is to run `exec /app`, but the image has no such shell
    ");
}

#[tokio::test]
async fn a_download_that_breaks_off_starts_again() {
    let (registry, folder) = (Registry::start().await, tempfile::tempdir().unwrap());
    registry.cuts.store(3, std::sync::atomic::Ordering::SeqCst);
    let image = base(&registry, folder.path()).await;
    assert_eq!(image.layers.len(), 3);
    // Index, manifest, configuration, three layers and the list of files; nothing that was cut is left.
    let kept = fs::read_dir(folder.path().join("bases")).unwrap();
    let names: Vec<_> = kept.map(|it| it.unwrap().file_name()).collect();
    let is_whole = |name: &&std::ffi::OsString| {
        let name = name.to_string_lossy();
        name.trim_end_matches(".files").len() == 64
    };
    assert_eq!(
        (names.iter().filter(is_whole).count(), names.len()),
        (7, 7),
        "{names:?}"
    );
}

#[tokio::test]
async fn logins_of_docker_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    fs::write(
        &file,
        r#"{"auths":{"registry.example":{"auth":"bWU6c2VjcmV0"},"https://index.docker.io/v1/":{"auth":"aHViOngxMjM="}}}"#,
    )
    .unwrap();
    let logins = DockerCredentials::in_files([folder.path().join("none"), file]);
    let basic = |user: &str, password: &str| Credentials::Basic {
        user: user.to_owned(),
        password: password.to_owned(),
    };
    assert_eq!(logins.of("registry.example").await, basic("me", "secret"));
    assert_eq!(logins.of("docker.io").await, basic("hub", "x123"));
    assert_eq!(logins.of("elsewhere.example").await, Credentials::Anonymous);
}

#[tokio::test]
async fn an_image_is_taken_as_it_is() {
    let registry = Registry::start().await;
    let folder = tempfile::tempdir().unwrap();
    let digest = registry.put_image("1", &[tar(&[("app", b"x")])], &json!({}));
    let source = Registry::source(folder.path());
    let name = format!("{}/team/app:1", registry.address);
    let image = pull(&name, &source).await.unwrap();
    assert_eq!(image.digest(), digest);
    assert_eq!(
        image.manifest.content,
        registry.content.lock().unwrap()[&digest]
    );
    assert_eq!(image.layers[0].media_type, LAYERS[1].0);
    let pinned = format!("{}/team/app@{digest}", registry.address);
    // By its digest nobody is asked again.
    registry.asked();
    assert_eq!(pull(&pinned, &source).await.unwrap(), image);
    assert_eq!(registry.asked(), Vec::<String>::new());
    registry.server.abort();
}
