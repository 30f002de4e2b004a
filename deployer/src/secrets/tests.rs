//! Transcripts: which secrets are asked for, given to the emulator, and missed.

use super::{FILE, merged, read};
use crate::testing::moment::error;
use crate::testing::{FOR_EVER, FakeHost, FakeWorld};
use aws::remote::RemoteErrorKind;
use deployment::template::SecretSource;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

const ARN: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:clock/db-a1B2c3";

fn secrets<const N: usize>(secrets: [(&str, &str); N]) -> BTreeMap<String, SecretSource> {
    let secrets = secrets.map(|(name, source)| (name.to_owned(), source.parse().unwrap()));
    secrets.into()
}

async fn required(world: FakeWorld, local_folder: Option<&Path>) -> String {
    let host = FakeHost::new(world).with(|config| {
        config.settings.secrets = secrets([
            ("PASSWORD", &format!("{ARN}:password::")),
            ("TOKEN", "/clock/token"),
        ]);
        if let Some(folder) = local_folder {
            config.access.local = true;
            folder.clone_into(&mut config.root);
        }
    });
    let command = async |context: crate::context::Context<'_>, host: &FakeHost| {
        context.require_secrets(host.world()).await
    };
    host.run(command).await
}

fn world() -> FakeWorld {
    FakeWorld::new([])
}

fn write(folder: &Path, text: &str, mode: u32) {
    let path = folder.join(FILE);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn on_aws_they_have_to_exist() {
    let all = world().there(ARN, FOR_EVER).there("/clock/token", FOR_EVER);
    assert_eq!(required(all, None).await, "exit code 0\n");
    insta::assert_snapshot!(required(world(), None).await, @r"
    error: no such secret: `PASSWORD` (arn:aws:secretsmanager:eu-central-1:123456789012:secret:clock/db-a1B2c3:password::), `TOKEN` (/clock/token)
      hint: create it: `aws secretsmanager create-secret --name clock/db --secret-string file://FILE`, with its ARN under `[service.secrets]` in `deployer.toml`
      hint: create it: `aws ssm put-parameter --type SecureString --name /clock/token --value file://FILE`, or another name under `[service.secrets]` in `deployer.toml`
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn whoever_may_not_ask_is_warned() {
    let denied = || error(RemoteErrorKind::Denied, "AccessDeniedException", "no");
    let world = world()
        .failing("DescribeSecret", denied())
        .failing("DescribeSecret", denied());
    insta::assert_snapshot!(required(world, None).await, @r"
    warning: cannot find out whether the secret of `PASSWORD` exists: DescribeSecret: no (AccessDeniedException)
    warning: cannot find out whether the secret of `TOKEN` exists: DescribeSecret: no (AccessDeniedException)
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn the_emulator_gets_those_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "PASSWORD = 'hunter2'\nOTHER = 'x'\n", 0o600);
    insta::assert_snapshot!(required(world(), Some(folder.path())).await, @r#"
    warning: `OTHER` in `deployer.local-secrets.toml` is not under `[service.secrets]` in `deployer.toml`
    > PutSecret SecretsManager clock/db-a1B2c3 of 22 bytes
    error: no such secret: `TOKEN` (/clock/token)
      hint: add it to `deployer.local-secrets.toml` beside `deployer.toml`: `TOKEN = "VALUE"`
    exit code 3
    "#);
}

#[test]
fn parts_of_a_secret_become_its_json() {
    let secrets = secrets([
        ("USER", &format!("{ARN}:user::")),
        ("PASSWORD", &format!("{ARN}:password::")),
        ("TOKEN", "/clock/token"),
        ("UNSET", "/clock/unset"),
    ]);
    let values = ["USER", "PASSWORD", "TOKEN"].map(|name| (name.to_owned(), name.to_lowercase()));
    let merged: Vec<String> = merged(&secrets, &values.into())
        .into_iter()
        .map(|((_, name), value)| format!("{name} {value}"))
        .collect();
    let json = r#"{"password":"password","user":"user"}"#;
    assert_eq!(
        merged,
        [
            format!("clock/db-a1B2c3 {json}"),
            "/clock/token token".to_owned()
        ]
    );
}

#[test]
fn nothing_of_the_file_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    for text in [
        "A = 'hunter2'\nB = hunter2\n",
        "A = 'x'\nhunter2 = 5\n",
        "A = 'x'\nB = ['hunter2']\n",
    ] {
        write(folder.path(), text, 0o600);
        let failure = read(&path).unwrap_err();
        assert_eq!(
            failure.cause.as_deref(),
            Some("line 2 is not `NAME = \"VALUE\"`")
        );
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    }
    write(folder.path(), "A = 'x'\n", 0o640);
    assert!(read(&path).unwrap_err().hints[0].contains("chmod 600"));
}
