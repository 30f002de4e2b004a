//! What a claim may change of a rebuild, and what it may not.

use std::os::unix::fs::symlink;

use super::*;

fn claim(change: impl FnOnce(&mut Parameters)) -> Claim {
    let mut parameters = Parameters {
        folder: "app".to_owned(),
        dockerfile: "app/Dockerfile".to_owned(),
        context: ".".to_owned(),
        architecture: "arm64".to_owned(),
        package: Some("clock".to_owned()),
        binary: Some("app".to_owned()),
        target: Some("aarch64-unknown-linux-musl".to_owned()),
        profile: Some("dist".to_owned()),
        features: vec!["postgres".to_owned()],
        no_default_features: true,
        rustflags: surroundings(&crate::testing::settings()).rustflags,
        source_date_epoch: Some("1".to_owned()),
        ..Parameters::default()
    };
    change(&mut parameters);
    Claim {
        digest: String::new(),
        commit: String::new(),
        source: None,
        parameters,
        rust: None,
        bases: BTreeMap::from([("debian:12".to_owned(), "sha256:1".to_owned())]),
        has_provenance: true,
    }
}

/// The settings of a rebuild, in a checkout with a Dockerfile and links that lead out of it.
fn settings_of(claim: &Claim) -> Result<Config, Failure> {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().canonicalize().unwrap();
    std::fs::create_dir(source.join("app")).unwrap();
    std::fs::write(source.join("app/Dockerfile"), "FROM scratch").unwrap();
    symlink("/etc", source.join("etc")).unwrap();
    let rebuilt = settings(&crate::testing::settings(), claim, &source, Path::new("/t"))?;
    assert_eq!(rebuilt.root, source.join("app"));
    Ok(rebuilt)
}

#[test]
fn a_rebuild_has_the_parameters_of_the_provenance() {
    let config = settings_of(&claim(|_| ())).unwrap();
    let image = config.image;
    assert!(image.dockerfile.ends_with("app/Dockerfile"));
    assert_eq!(image.package.as_deref(), Some("clock"));
    assert_eq!(image.target.as_deref(), Some("aarch64-unknown-linux-musl"));
    assert_eq!(image.features, Some(vec!["postgres".to_owned()]));
    assert_eq!(image.default_features, Some(false));
    assert_eq!(image.architecture, Architecture::Arm64);
    assert_eq!(image.builder, Builder::Native);
    let rebuild = image.rebuild.unwrap();
    assert_eq!(rebuild.target_folder, Path::new("/t"));
    assert_eq!(rebuild.source_date_epoch.as_deref(), Some("1"));
    assert_eq!(rebuild.base_digests["debian:12"], "sha256:1");
}

#[test]
fn nothing_in_it_leads_elsewhere_or_starts_a_program() {
    let changes: [fn(&mut Parameters); 11] = [
        |it| "../other".clone_into(&mut it.folder),
        |it| "/".clone_into(&mut it.folder),
        |it| "etc".clone_into(&mut it.context),
        |it| "etc/passwd".clone_into(&mut it.dockerfile),
        |it| "absent".clone_into(&mut it.dockerfile),
        |it| "riscv64".clone_into(&mut it.architecture),
        |it| it.rustflags.push("-Clinker=/tmp/program".to_owned()),
        |it| {
            it.args
                .insert("PROTOC".to_owned(), "/tmp/program".to_owned());
        },
        |it| it.features.push("--config=x".to_owned()),
        |it| it.profile = Some("-Zunstable".to_owned()),
        |it| it.package = Some("--manifest-path".to_owned()),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let failure = settings_of(&claim(change)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Preflight, "{number}");
    }
}
