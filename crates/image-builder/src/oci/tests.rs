//! The same image twice; what is in it; what is refused.

mod start;

use std::fs;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use oci_spec::image::{ImageConfiguration, ImageManifest};

use super::*;
use crate::Hint as _;
use crate::digest::digest;
use crate::image::{Document, Executable};
use crate::testing::{BUILD, bytes, parse};

struct Folder {
    root: tempfile::TempDir,
    program: Executable,
    labels: BTreeMap<String, String>,
    cache: LayerCache,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("target/app");
        fs::create_dir(folder.path().join("target")).unwrap();
        fs::write(&path, "the program").unwrap();
        let program = Executable {
            name: "app".to_owned(),
            path,
        };
        Self {
            root: folder,
            program,
            labels: BTreeMap::new(),
            cache: LayerCache::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn file(&self, name: &str, content: &str) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn build(&self, body: &str) -> Result<BuiltImage, PackError> {
        self.build_starting("/app", body)
    }

    fn build_starting(&self, first: &str, body: &str) -> Result<BuiltImage, PackError> {
        let text = format!("{BUILD}FROM scratch\n{body}\nENTRYPOINT [\"{first}\"]");
        let stage = parse(&text).unwrap().stage;
        build(&Recipe {
            stage: &stage,
            program: &self.program.name,
            program_path: Some(&self.program.path),
            bases: &Bases::new(),
            context: self.root.path(),
            ignore_file: &self.path(".dockerignore"),
            own_folder: Some(&self.path("target/image")),
            architecture: Architecture::X86_64,
            created: DateTime::UNIX_EPOCH,
            labels: &self.labels,
            notices: &[],
            cache: &self.cache,
        })
    }
}

const PROGRAM: &str = "COPY --from=build /out/app /app\n";

/// Each entry as `mode uid:gid mtime path content`.
fn listing(layer: &Layer) -> Vec<String> {
    let mut archive = Vec::new();
    flate2::read::MultiGzDecoder::new(layer.content.open())
        .read_to_end(&mut archive)
        .unwrap();
    assert_eq!(digest(&archive), layer.diff_id);
    assert_eq!(archive.len() as u64, layer.uncompressed_size);
    assert_eq!(digest(&bytes(layer)), layer.digest);
    tar::Archive::new(archive.as_slice())
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            let header = entry.header();
            let link = header.link_name().unwrap();
            let link = link.map(|to| format!(" -> {}", to.display()));
            format!(
                "{:o} {}:{} {} {}{} {content}",
                header.mode().unwrap(),
                header.uid().unwrap(),
                header.gid().unwrap(),
                header.mtime().unwrap(),
                String::from_utf8_lossy(&entry.path_bytes()),
                link.unwrap_or_default(),
            )
            .trim_end()
            .to_owned()
        })
        .collect()
}

#[test]
fn what_a_dockerfile_copies_is_in_the_layers() {
    let folder = Folder::new();
    folder
        .file("etc/zone", "UTC")
        .file("etc/deep/er", "x")
        .file("run.sh", "#!")
        .file("secret", "!")
        .file("logs/a", "!")
        .file("logs/keep", "kept")
        .file(
            ".dockerignore",
            "secret\n**/*.bak\ntarget\nlogs\n!logs/keep\n",
        )
        .file("etc/old.bak", "!");
    fs::set_permissions(folder.path("run.sh"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink("zone", folder.path("etc/link")).unwrap();
    let image = folder
        .build(
            "COPY --from=build /out/app /app\n\
             COPY --chown=5:6 etc /etc/app/\n\
             COPY run.sh /etc/app\n\
             COPY --chmod=0400 etc/link /usr/share/\n\
             WORKDIR /all\n\
             COPY . .",
        )
        .unwrap();
    let layers: Vec<_> = image.layers.iter().map(listing).collect();
    insta::assert_debug_snapshot!(layers);
}

#[test]
fn the_configuration_says_what_the_dockerfile_says() {
    let image = Folder::new()
        .build(
            "COPY --from=build /out/app /app\nUSER 65532:65532\nENV PORT=8080 A=b\n\
             EXPOSE 9000 8080 53/udp\nLABEL z=1 a=2 m=3\nSTOPSIGNAL SIGTERM\nWORKDIR /w\nCMD [\"x\"]",
        )
        .unwrap();
    let config: Value = serde_json::from_slice(&image.config.content).unwrap();
    insta::assert_json_snapshot!(config);
    let manifest: Value = serde_json::from_slice(&image.manifest.content).unwrap();
    insta::assert_json_snapshot!(manifest);

    // Also in the eyes of others.
    let config = ImageConfiguration::from_reader(image.config.content.as_ref()).unwrap();
    assert_eq!(config.rootfs().diff_ids().len(), image.layers.len());
    let manifest = ImageManifest::from_reader(image.manifest.content.as_ref()).unwrap();
    assert_eq!(
        manifest.layers()[0].digest().to_string(),
        image.layers[0].digest
    );
    assert_eq!(manifest.config().digest().to_string(), image.config.digest);
}

#[test]
fn an_own_path_replaces_the_default_one() {
    let image = Folder::new()
        .build(&format!("{PROGRAM}ENV PATH=/bin"))
        .unwrap();
    let config = ImageConfiguration::from_reader(image.config.content.as_ref()).unwrap();
    let env = config.config().as_ref().unwrap().env().clone();
    assert_eq!(env, Some(vec!["PATH=/bin".to_owned()]));
}

#[test]
fn neither_folder_nor_time_nor_order_nor_permissions_matter() {
    let body = format!("{PROGRAM}COPY etc /etc/");
    let one = Folder::new();
    one.file("etc/b", "b").file("etc/a", "a");
    let first = one.build(&body).unwrap();
    let two = Folder::new();
    two.file("etc/a", "a").file("etc/b", "b");
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
    let touched = fs::File::open(two.path("etc/a")).unwrap();
    touched.set_modified(long_ago).unwrap();
    fs::set_permissions(two.path("etc/a"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(first, two.build(&body).unwrap());
    assert_eq!(first, one.build(&body).unwrap());
    two.file("etc/a", "other");
    assert_ne!(first.digest(), two.build(&body).unwrap().digest());
}

/// Fixed content, fixed digest. When this changes, every image of every user does: on purpose only. (A new version of the
/// compressing library may do it too; the archive's own digest then stays.)
#[test]
fn the_digest_of_a_tiny_image() {
    let image = Folder::new().build(PROGRAM).unwrap();
    insta::assert_snapshot!(format!(
        "archive  {}\nlayer    {}\nconfig   {}\nmanifest {}\ntag      {}",
        image.layers[0].diff_id,
        image.layers[0].digest,
        image.config.digest,
        image.digest(),
        image.tag()
    ));
}

#[test]
fn a_heredoc_is_a_file_of_its_layer() {
    let folder = Folder::new();
    let body =
        "COPY --chown=5:6 <<one <<two /etc/x/\n1\none\n22\ntwo\nCOPY <<EOF /etc/x/one\nnew\nEOF";
    let image = folder.build(&format!("{PROGRAM}{body}")).unwrap();
    let added: Vec<_> = image.layers[1..].iter().flat_map(listing).collect();
    assert_eq!(
        added,
        [
            "755 5:6 0 etc/",
            "755 5:6 0 etc/x/",
            "644 5:6 0 etc/x/one 1",
            "644 5:6 0 etc/x/two 22",
            "644 0:0 0 etc/x/one new",
        ]
    );
    // A script may be started; its content is checked as that of a file is.
    let started = |mode: &str, text: &str| {
        let body = format!("{PROGRAM}COPY {mode} <<EOF /run\n{text}\nEOF");
        let built = folder.build_starting("/run", &body);
        built.map_or_else(|error| error.to_string(), |_| "ok".to_owned())
    };
    assert_eq!(started("--chmod=0755", "#!/app"), "ok");
    let plain = started("", "#!/app");
    assert!(plain.contains("0644"), "{plain}");
    let text = started("--chmod=0755", "app");
    assert!(text.contains("not a 64-bit Linux program"), "{text}");
}

#[test]
fn long_names_survive() {
    let name = format!("{}/{}", "d".repeat(120), "f".repeat(200));
    let folder = Folder::new();
    folder.file(&format!("long/{name}"), "x");
    let image = folder.build(&format!("{PROGRAM}COPY long /long")).unwrap();
    let last = listing(&image.layers[1]).pop().unwrap();
    assert_eq!(last, format!("644 0:0 0 long/{name} x"));
}

#[test]
fn labels_of_the_origin_give_way_to_those_of_the_dockerfile() {
    let mut folder = Folder::new();
    let labels = [("revision", "0123"), ("title", "ours")];
    folder.labels = labels
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let image = folder
        .build(&format!("LABEL title=app\n{PROGRAM}"))
        .unwrap();
    let config: serde_json::Value = serde_json::from_slice(&image.config.content).unwrap();
    let expected = serde_json::json!({ "revision": "0123", "title": "app" });
    assert_eq!(config["config"]["Labels"], expected);
}

#[test]
fn a_kept_layer_gives_the_same_image() {
    let mut folder = Folder::new();
    let fresh = folder.build(PROGRAM).unwrap();
    let layers = folder.path("layers");
    folder.cache = LayerCache::in_folder(layers.clone());
    assert_eq!(folder.build(PROGRAM).unwrap(), fresh);
    let kept = || {
        fs::read_dir(&layers)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path()
    };
    assert_eq!(folder.build(PROGRAM).unwrap(), fresh);
    // Damaged, it is created again.
    fs::write(kept(), "nonsense").unwrap();
    assert_eq!(folder.build(PROGRAM).unwrap(), fresh);
    assert_eq!(fs::read(kept()).unwrap(), bytes(&fresh.layers[0]));
}

#[test]
fn a_large_layer_is_compressed_as_a_stream() {
    let folder = Folder::new();
    let file = folder.path("large");
    let size = 16 * layer::MAX_PART + 1;
    fs::File::create(&file).unwrap().set_len(size).unwrap();
    let image = folder
        .build(&format!("{PROGRAM}COPY large /large"))
        .unwrap();
    let content = image.layers[1].content.open();
    let mut hash = crate::digest::Hashing::new(std::io::sink());
    std::io::copy(&mut flate2::read::MultiGzDecoder::new(content), &mut hash).unwrap();
    assert_eq!(image.layers[1].diff_id, hash.digest());
    assert!(image.layers[1].uncompressed_size > size);
}

#[test]
fn an_archive_is_a_layout_and_what_docker_saves() {
    let folder = Folder::new();
    // What reads the archive again looks at the program.
    fs::write(&folder.program.path, "#!/a/script").unwrap();
    let image = folder.build(&format!("{PROGRAM}{PROGRAM}")).unwrap();
    let file = folder.path("image.tar");
    let write = || {
        crate::archive::write(&image, "app:v1", &file).unwrap();
        fs::read(&file).unwrap()
    };
    let written = write();
    assert_eq!(written, write(), "the same image, the same bytes");
    let mut archive = tar::Archive::new(written.as_slice());
    let names: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let blob = |digest: &str| format!("blobs/{}", digest.replace(':', "/"));
    let expected = [
        "oci-layout".to_owned(),
        "index.json".to_owned(),
        "manifest.json".to_owned(),
        blob(image.digest()),
        blob(&image.config.digest),
        blob(&image.layers[0].digest),
    ];
    assert_eq!(names, expected);
    // Reading it back gives the same image, also with the list of its parts.
    let restore = |architecture| crate::unpack::restore(&file, architecture);
    assert_eq!(restore(Architecture::X86_64).unwrap(), image);
    let error = restore(Architecture::Arm64).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the image is made for `amd64`, not for `arm64`"
    );
    let with_bill = BuiltImage {
        sbom: Some(Document::new(crate::sbom::MEDIA_TYPE, "{}\n")),
        statements: vec![crate::testing::statement(image.digest())],
        ..image.clone()
    };
    crate::archive::write(&with_bill, "app:v1", &file).unwrap();
    assert_eq!(restore(Architecture::X86_64).unwrap(), with_bill);
    let of_another = BuiltImage {
        statements: vec![crate::testing::statement(&image.config.digest)],
        ..image.clone()
    };
    crate::archive::write(&of_another, "app:v1", &file).unwrap();
    let error = restore(Architecture::X86_64).unwrap_err();
    assert!(
        format!("{error:?}").contains("about another image"),
        "{error:?}"
    );
    // Any byte of it that is changed is noticed.
    let whole = write();
    let layer = bytes(&image.layers[0]);
    for part in [
        &layer[..],
        image.config.content.as_ref(),
        image.manifest.content.as_ref(),
    ] {
        let at = whole.windows(part.len()).position(|there| there == part);
        let mut spoilt = whole.clone();
        spoilt[at.unwrap() + part.len() / 2] ^= 1;
        fs::write(&file, spoilt).unwrap();
        let error = restore(Architecture::X86_64).unwrap_err();
        assert!(error.to_string().ends_with("is damaged"), "{error}");
    }
    write();
    // What another builder's archive is read by reads ours, too.
    let wanted = crate::unpack::Wanted {
        architecture: Architecture::X86_64,
        created: DateTime::UNIX_EPOCH,
        labels: &BTreeMap::new(),
        cache: &LayerCache::default(),
    };
    let again = crate::unpack::unpack(&file, &wanted).unwrap();
    assert_eq!(again.layers, image.layers);
    let seen = crate::inspect::inspect(&again, "app").unwrap();
    assert_eq!(seen.layers[0].files[0].path, "/app");
    assert_eq!(seen.layers[0].files[0].mode, "0755");
}

#[test]
fn an_archive_goes_where_a_link_or_a_pipe_leads() {
    let folder = Folder::new();
    let image = folder.build(PROGRAM).unwrap();
    let write = |name: &str| crate::archive::write(&image, "app:v1", &folder.path(name));
    write("plain.tar").unwrap();
    let expected = fs::read(folder.path("plain.tar")).unwrap();

    folder.file("elsewhere/old.tar", "old");
    symlink("elsewhere/old.tar", folder.path("link.tar")).unwrap();
    write("link.tar").unwrap();
    let link = fs::symlink_metadata(folder.path("link.tar")).unwrap();
    assert!(link.is_symlink());
    assert_eq!(
        fs::read(folder.path("elsewhere/old.tar")).unwrap(),
        expected
    );

    let (mut reader, writer) = std::io::pipe().unwrap();
    let pipe = format!("/proc/self/fd/{}", writer.as_raw_fd());
    symlink(pipe, folder.path("pipe")).unwrap();
    let reader = std::thread::spawn(move || {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).unwrap();
        content
    });
    write("pipe").unwrap();
    drop(writer);
    assert_eq!(reader.join().unwrap(), expected);
    // What is neither is left alone.
    fs::create_dir(folder.path("folder")).unwrap();
    assert!(write("folder").is_err());
}

#[test]
fn what_cannot_be_packed_is_told_with_its_line() {
    let folder = Folder::new();
    folder
        .file("secret", "!")
        .file("private/key", "!")
        .file("tree/app/x", "")
        .file("flat/app", "not the program")
        .file(".dockerignore", "secret\nprivate\n!private/other")
        .file("plain", "");
    symlink("/etc", folder.path("out")).unwrap();
    symlink("private", folder.path("open")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path("socket")).unwrap();
    let bodies = [
        "COPY plain /app".to_owned(),
        "COPY --from=build /out/app /elsewhere".to_owned(),
        format!("{PROGRAM}COPY ../x /x"),
        format!("{PROGRAM}COPY out/hostname /x"),
        format!("{PROGRAM}COPY out /x"),
        format!("{PROGRAM}COPY absent /x"),
        format!("{PROGRAM}COPY plain/x /x"),
        format!("{PROGRAM}COPY secret /x"),
        format!("{PROGRAM}COPY ./plain/../secret /x"),
        format!("{PROGRAM}COPY socket /x"),
        // Of a folder that is left out nothing is left, whatever name leads to it.
        format!("{PROGRAM}COPY private /x"),
        format!("{PROGRAM}COPY open /x"),
        format!("{PROGRAM}COPY open/key /x"),
        // The program's place is taken.
        format!("{PROGRAM}COPY tree /"),
        format!("{PROGRAM}COPY tree/app /app"),
        format!("{PROGRAM}COPY plain /app/"),
        format!("{PROGRAM}COPY flat /"),
        format!("{PROGRAM}COPY plain /app"),
        "COPY tree /\nCOPY --from=build /out/app /".to_owned(),
        format!("{PROGRAM}COPY tree flat /x/"),
    ];
    let mut table = Vec::new();
    for body in bodies {
        let error = folder.build(&body).expect_err(&body);
        let text = format!("{error}: {}", error.hint().unwrap());
        table.push(
            text.replace(
                &folder
                    .path("")
                    .canonicalize()
                    .unwrap()
                    .display()
                    .to_string(),
                "",
            ),
        );
    }
    insta::assert_debug_snapshot!(table);
}

#[test]
fn what_is_kept_of_a_folder_that_is_left_out_is_copied() {
    let folder = Folder::new();
    folder
        .file("logs/a", "!")
        .file("logs/keep", "kept")
        .file(".dockerignore", "logs\n!logs/keep");
    symlink("logs", folder.path("link")).unwrap();
    for source in ["logs", "link"] {
        let image = folder.build(&format!("{PROGRAM}COPY {source} /x")).unwrap();
        let files = listing(&image.layers[1]);
        assert_eq!(files, ["755 0:0 0 x/", "644 0:0 0 x/keep kept"]);
    }
    // Also where another source has a file of that name.
    folder.file("a/keep", "replaced");
    let image = folder.build(&format!("{PROGRAM}COPY a logs /x/")).unwrap();
    let files = listing(&image.layers[1]);
    assert_eq!(files, ["755 0:0 0 x/", "644 0:0 0 x/keep kept"]);
}

#[test]
fn a_program_that_is_there_twice_may_be_replaced_once() {
    let folder = Folder::new();
    folder.file("plain", "");
    let body = format!("{PROGRAM}COPY --from=build /out/app /old\nCOPY plain /old");
    assert!(folder.build(&body).is_ok());
    let body = format!("COPY --from=build /out/app /old\nCOPY plain /old\n{PROGRAM}");
    assert!(folder.build(&body).is_ok());
}

#[test]
fn a_pattern_that_docker_refuses_is_refused() {
    let folder = Folder::new();
    folder.file(".dockerignore", "a\n[b");
    let error = folder.build(PROGRAM).unwrap_err();
    assert!(
        matches!(error, PackError::BadPattern { line: 2, .. }),
        "{error}"
    );
}

#[test]
fn more_than_the_limit_is_refused_before_it_is_read() {
    let folder = Folder::new();
    let huge = fs::File::create(folder.path("huge")).unwrap();
    // Sparse: it takes no room on the disk.
    huge.set_len(super::super::context::MAX_CONTENT).unwrap();
    let error = folder.build(&format!("{PROGRAM}COPY huge /x")).unwrap_err();
    assert!(
        matches!(error, PackError::TooLarge { line: 5, .. }),
        "{error}"
    );
}

/// `path owner` of the folders and files of all layers.
fn owners(image: &BuiltImage) -> Vec<String> {
    let words = |line: String| {
        let words: Vec<&str> = line.split(' ').collect();
        format!("{} {}", words[3], words[1])
    };
    image.layers.iter().flat_map(listing).map(words).collect()
}

#[test]
fn a_working_folder_belongs_to_the_user_in_force() {
    let folder = Folder::new();
    folder.file("one", "");
    let image = |body: &str| owners(&folder.build(&format!("{body}\n{PROGRAM}")).unwrap());
    assert_eq!(
        image("USER 1000:1001\nWORKDIR /data/in"),
        ["data/ 1000:1001", "data/in/ 1000:1001", "app 0:0"]
    );
    // As with BuildKit: a number without a group is that of the group, too.
    assert_eq!(image("USER 7\nWORKDIR /data")[0], "data/ 7:7");
    let copied = "WORKDIR /srv/app\nCOPY --chown=1000:1000 one .\nUSER 1000:1000";
    assert_eq!(
        image(copied),
        [
            "srv/ 0:0",
            "srv/app/ 0:0",
            "srv/app/one 1000:1000",
            "app 0:0"
        ]
    );
    // An existing folder stays as it is, and makes no layer.
    let twice = "COPY one /data/\nUSER 5\nWORKDIR /data";
    assert_eq!(image(twice), ["data/ 0:0", "data/one 0:0", "app 0:0"]);
    folder.file("passwd", "me:x:5:6::/:\n");
    let by_name = "COPY passwd /etc/\nUSER me\nWORKDIR /data\nCOPY --chown=me:0 one /two";
    let found = image(by_name);
    assert!(found.contains(&"data/ 5:6".to_owned()), "{found:?}");
    assert!(found.contains(&"two 5:0".to_owned()), "{found:?}");
    let error = folder
        .build(&format!("{PROGRAM}COPY --chown=me one /x"))
        .unwrap_err();
    assert!(matches!(error, PackError::UnknownName { .. }), "{error}");
}

#[test]
fn a_name_that_would_delete_another_file_is_refused() {
    let folder = Folder::new();
    folder.file("w/.wh.app", "").file("v/.wh..wh..opq", "");
    for source in ["w", "v", "w/.wh.app"] {
        let error = folder
            .build(&format!("{PROGRAM}COPY {source} /"))
            .unwrap_err();
        assert!(
            matches!(error, PackError::Whiteout { line: 5, .. }),
            "{error}"
        );
    }
}

#[test]
fn the_builders_own_folder_is_never_copied() {
    let folder = Folder::new();
    let body = format!("{PROGRAM}COPY . /context/");
    folder.file("target/image/layers/1", "a layer");
    let image = folder.build(&body).unwrap();
    folder.file("target/image/layers/2", "another layer");
    assert_eq!(folder.build(&body).unwrap(), image);
    let files = owners(&image);
    assert!(files.iter().any(|it| it.starts_with("context/target/app")));
    assert!(!files.iter().any(|it| it.contains("layers")), "{files:?}");
}

#[test]
fn stages_that_only_copy_are_copied_from_and_started_from() {
    let folder = Folder::new();
    folder
        .file("web/index.html", "hello")
        .file("web/img/a", "a")
        .file("ca.pem", "certificate");
    symlink("index.html", folder.path("web/link")).unwrap();
    let text = format!(
        "{BUILD}FROM scratch AS assets\nCOPY --chown=3:4 --chmod=0600 web /web\nCOPY ca.pem /etc/ca.pem\n\
         FROM scratch AS base\nENV A=1\nUSER 9\nWORKDIR /srv\nCOPY --from=assets /web/ ./web\n\
         FROM base\nCOPY --from=1 /etc/ca.pem /web/link /\nCOPY --from=build /out/app /app\n\
         ENV B=$A\nCMD [\"/app\"]"
    );
    let image = crate::testing::pack(&text, folder.root.path(), &folder.program.path).unwrap();
    let layers: Vec<_> = image.layers.iter().map(listing).collect();
    insta::assert_debug_snapshot!(layers);
    let config: Value = serde_json::from_slice(&image.config.content).unwrap();
    assert_eq!(config["config"]["User"], "9");
    assert_eq!(config["config"]["Env"][2], "B=1");

    let absent = text.replace("/etc/ca.pem /web/link", "/etc/nothing");
    let error = crate::testing::pack(&absent, folder.root.path(), &folder.program.path);
    let error = error.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("there is no `/etc/nothing` in `1`"),
        "{error}"
    );
}

#[test]
fn everything_is_found_without_the_program_and_all_at_once() {
    let folder = Folder::new();
    let stage = |body: &str| {
        let text = format!("{BUILD}FROM scratch\n{body}\nENTRYPOINT [\"/app\"]");
        parse(&text).unwrap().stage
    };
    let errors = |body: &str| {
        let errors = check(&Recipe {
            stage: &stage(body),
            program: "app",
            program_path: None,
            bases: &Bases::new(),
            context: folder.root.path(),
            ignore_file: &folder.path(".dockerignore"),
            own_folder: None,
            architecture: Architecture::X86_64,
            created: DateTime::UNIX_EPOCH,
            labels: &folder.labels,
            notices: &[],
            cache: &folder.cache,
        });
        errors.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(errors(PROGRAM).is_empty());
    assert_eq!(
        errors(&format!(
            "{PROGRAM}COPY absent /x\nCOPY ../x /x\nCOPY --chown=me target /y"
        )),
        [
            "line 5: there is no `absent`",
            "line 6: `../x` is outside of the build context",
            "`me` is not known: it is not in `/etc/passwd` of the image",
        ]
    );
    let elsewhere = errors("COPY --from=build /out/app /elsewhere");
    assert_eq!(
        elsewhere,
        ["`/app` is to be started, but it is not in the image"]
    );
    assert_eq!(errors("COPY --from=build /out/app /app\nUSER me").len(), 1);
    assert!(errors("")[0].starts_with("the program `app` would not be in the image"));
    // A file of the build context is started, so there is no program to compile.
    fs::write(folder.path("ready"), crate::testing::elf(62, &[1])).unwrap();
    assert!(errors("COPY --chmod=0755 ready /app").is_empty());
    assert_eq!(
        errors("COPY ready /app"),
        [
            "`/app` is to be started, but its mode 0644 does not let the user of the image execute it"
        ]
    );
    assert!(errors("COPY ready /other")[0].starts_with("the program `app` would not be"));
}

/// Paths in the last layer but the program's.
fn copied(folder: &Folder, body: &str) -> Result<Vec<String>, String> {
    let built = folder.build(&format!("{PROGRAM}{body}"));
    let image = built.map_err(|error| error.to_string())?;
    let listed = image.layers.iter().skip(1).flat_map(listing);
    Ok(listed
        .map(|line| line.split(' ').nth(3).unwrap().to_owned())
        .collect())
}

#[test]
fn patterns_are_those_of_docker() {
    let folder = Folder::new();
    for name in [
        "a.toml",
        "b.toml",
        "c.md",
        "x/1.sql",
        "x/2.sql",
        "x/y/3.sql",
        "z/1.sql",
        "[q].md",
    ] {
        folder.file(name, "");
    }
    folder.file(".dockerignore", "b.toml\nz");
    let found = |source: &str| copied(&folder, &format!("COPY {source} /d/")).unwrap();
    assert_eq!(found("*.toml"), ["d/", "d/a.toml"]);
    assert_eq!(found("?.md"), ["d/", "d/c.md"]);
    assert_eq!(found("[ac].*"), ["d/", "d/a.toml", "d/c.md"]);
    assert_eq!(found("x/*.sql"), ["d/", "d/1.sql", "d/2.sql"]);
    // The content of a folder that matches, without its name. `**` is `*`.
    assert_eq!(found("x/?"), ["d/", "d/3.sql"]);
    assert_eq!(found("**/1.sql"), ["d/", "d/1.sql"]);
    assert_eq!(found("./x/../c.m*"), ["d/", "d/c.md"]);
    assert_eq!(found("[[]q].md"), ["d/", "d/[q].md"]);
    // Nothing matches: a layer without files, as with BuildKit.
    assert!(found("none*").is_empty());
    let refused = |body: &str| copied(&folder, body).unwrap_err();
    assert_eq!(refused("COPY [x /d/"), "line 5: `[x` is not a pattern");
    assert_eq!(
        refused("COPY *.md /d"),
        "line 5: `*.md` matches several files, and the destination is not a folder"
    );
    assert_eq!(
        refused("COPY ../*.md /d/"),
        "line 5: `../*.md` is outside of the build context"
    );
    assert_eq!(
        refused("COPY nowhere/* /d/"),
        "line 5: there is no `nowhere`"
    );
    assert_eq!(copied(&folder, "COPY c.* /d").unwrap(), ["d"]);
    // What is built from names each of them.
    let paths = crate::context_paths(folder.root.path(), "/x/*.sql");
    assert_eq!(paths, [folder.path("x/1.sql"), folder.path("x/2.sql")]);

    let text = format!(
        "{BUILD}FROM scratch AS web\nCOPY x /x\nCOPY c.md /x/y/\n\
         FROM scratch\nCOPY --from=build /out/app /app\nCOPY --from=web /x/*.sql /x/*/*.md /d/\nCMD [\"/app\"]"
    );
    let image = crate::testing::pack(&text, folder.root.path(), &folder.program.path).unwrap();
    let files: Vec<String> = owners(&image);
    assert_eq!(
        files,
        [
            "app 0:0",
            "d/ 0:0",
            "d/1.sql 0:0",
            "d/2.sql 0:0",
            "d/c.md 0:0"
        ]
    );
}

#[test]
fn what_is_added_is_no_archive() {
    use std::io::Write as _;
    let folder = Folder::new();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(0);
    archive
        .append_data(&mut header, "x", std::io::empty())
        .unwrap();
    let archive = archive.into_inner().unwrap();
    let gzip = |content: &[u8]| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(content).unwrap();
        writer.finish().unwrap()
    };
    let files = [
        ("a.tar", archive.clone(), false),
        ("named.txt", gzip(&archive), false),
        ("a.tar.xz", b"\xfd7zXZ\0".to_vec(), false),
        ("dump.sql.gz", gzip(b"select"), true),
        ("a.txt", b"text".to_vec(), true),
        ("empty.tar", Vec::new(), true),
    ];
    for (name, content, is_copied) in files {
        fs::write(folder.path(name), content).unwrap();
        let added = folder.build(&format!("{PROGRAM}ADD {name} /x"));
        match added {
            Ok(_) => assert!(is_copied, "{name}"),
            Err(error) => {
                assert!(!is_copied, "{name}");
                assert!(error.needs_docker());
                assert_eq!(
                    error.to_string(),
                    format!("line 5: `ADD` unpacks `{name}`, which needs Docker")
                );
            }
        }
        assert!(folder.build(&format!("{PROGRAM}COPY {name} /x")).is_ok());
    }
    // In a folder it stays an archive.
    fs::create_dir(folder.path("d")).unwrap();
    fs::write(folder.path("d/a.tar"), archive).unwrap();
    assert_eq!(copied(&folder, "ADD d /d").unwrap(), ["d/", "d/a.tar"]);
}

#[test]
fn the_target_folder_is_noticed_in_a_copy() {
    let folder = Folder::new();
    folder.file(".dockerignore", "a/target");
    let takes = |sources: &[&str], target: &str| {
        let sources: Vec<String> = sources.iter().map(|it| (*it).to_owned()).collect();
        let (root, ignore) = (folder.root.path(), folder.path(".dockerignore"));
        crate::takes_folder(root, &ignore, &sources, &folder.path(target))
    };
    fs::create_dir_all(folder.path("a/b")).unwrap();
    assert!(takes(&["."], "target"));
    assert!(takes(&["x", "/a/../a/"], "a/b/target"));
    assert!(takes(&["target"], "target"));
    assert!(!takes(&["."], "a/target"));
    assert!(!takes(&["a", "targets", "target/debug"], "target"));
    assert!(!takes(&["."], "../target"));
    assert!(!takes(&["."], "nowhere/target"));
}
