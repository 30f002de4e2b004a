//! A stand-in for a distroless base: users, certificates, links of folders, and a registry that has it. Made of files of this machine.

#![expect(
    clippy::disallowed_methods,
    reason = "a test runs programs as a user does"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use sha2::{Digest as _, Sha256};

/// The image, by its name at a registry that lives as long as the test.
pub(crate) struct Base {
    pub(crate) reference: String,
}

impl Base {
    /// Makes the image in a folder, with further files by their path: a loader and libraries, say.
    pub(crate) fn new(folder: &Path, more: &[PathBuf]) -> Self {
        let layer = layer(folder, more);
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": {
                "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
                "Entrypoint": ["/greeter"],
                "User": "65532",
                "WorkingDir": "/home/nonroot",
                "ExposedPorts": { "80/tcp": {} },
                "Labels": { "base": "distroless", "of": "base" },
            },
            "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
            "history": [{ "created_by": "files" }],
        });
        let config = config.to_string().into_bytes();
        let at = folder.join("v2/base");
        fs::create_dir_all(at.join("blobs")).expect("a folder");
        fs::create_dir_all(at.join("manifests")).expect("a folder");
        let descriptor = |content: &[u8], media_type: &str| {
            fs::write(at.join("blobs").join(digest(content)), content).expect("a blob");
            json!({ "digest": digest(content), "size": content.len(), "mediaType": media_type })
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor(&config, "application/vnd.oci.image.config.v1+json"),
            "layers": [descriptor(&layer, "application/vnd.oci.image.layer.v1.tar")],
        });
        let manifest = manifest.to_string();
        // By its tag, and by its digest.
        for name in ["1", &digest(manifest.as_bytes())] {
            fs::write(at.join("manifests").join(name), &manifest).expect("a manifest");
        }
        Self {
            reference: format!("{}/base:1", serve(folder.to_owned())),
        }
    }
}

/// The archive of its files.
fn layer(folder: &Path, more: &[PathBuf]) -> Vec<u8> {
    let root = folder.join("root");
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    write(
        "etc/passwd",
        "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534::/:/sbin/nologin\nnonroot:x:65532:65532::/home/nonroot:/sbin/nologin\n",
    );
    write(
        "etc/group",
        "root:x:0:\nnobody:x:65534:\nstaff:x:50:\nnonroot:x:65532:\n",
    );
    write(
        "etc/ssl/certs/ca-certificates.crt",
        "-----BEGIN CERTIFICATE-----\n",
    );
    write("usr/share/zones/Europe/Berlin", "TZif");
    write("usr/bin/sh", "#!/greeter\n");
    fs::set_permissions(root.join("usr/bin/sh"), fs::Permissions::from_mode(0o755)).expect("mine");
    for name in ["bin", "lib", "lib64"] {
        fs::create_dir_all(root.join("usr").join(name)).expect("a folder");
        symlink(format!("usr/{name}"), root.join(name)).expect("a link");
    }
    for path in more {
        let copy = root.join(path.strip_prefix("/").expect("an absolute path"));
        fs::create_dir_all(copy.parent().expect("a folder")).expect("a folder");
        fs::copy(path, copy).expect("a file of this machine");
    }
    let home = folder.join("home");
    fs::create_dir_all(home.join("home/nonroot")).expect("a folder");
    fs::create_dir_all(root.join("home")).expect("a folder");
    let file = folder.join("layer.tar");
    let tar = |mode: &str, owner: &str, from: &Path, names: &[&str]| {
        let made = Command::new("tar")
            .args([
                mode,
                "--sort=name",
                "--mtime=@0",
                "--numeric-owner",
                "--format=gnu",
                "--mode=go-w",
            ])
            .args([format!("--owner={owner}"), format!("--group={owner}")])
            .arg("--file")
            .arg(&file)
            .arg("--directory")
            .arg(from)
            .args(names)
            .status();
        assert!(made.expect("tar").success());
    };
    tar(
        "--create",
        "0",
        &root,
        &["bin", "etc", "home", "lib", "lib64", "usr"],
    );
    tar("--append", "65532", &home, &["home/nonroot"]);
    fs::read(file).expect("an archive")
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(content))
}

/// Gives the files of a folder by HTTP, as a registry does. Returns its address.
fn serve(folder: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let folder = folder.clone();
            std::thread::spawn(move || answer(stream, &folder));
        }
    });
    address
}

fn answer(stream: TcpStream, folder: &Path) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    let path = first.split(' ').nth(1)?.trim_start_matches('/');
    let found = fs::read(folder.join(path)).ok();
    let status = if path == "v2/" || found.is_some() {
        "200 OK"
    } else {
        "404 Not Found"
    };
    let body = found.unwrap_or_default();
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .ok()?;
    if first.starts_with("HEAD ") {
        return Some(());
    }
    stream.write_all(&body).ok()
}
