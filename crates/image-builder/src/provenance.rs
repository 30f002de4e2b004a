//! Provenance of an image: the labels `org.opencontainers.image.revision` and `…created`, and the
//! time in its configuration.
//!
//! They affect the digest, so another commit would mean another image. To avoid a rollout after a
//! change to the README, the revision is the *last commit that touched a source of the image*, and
//! not `HEAD`.
//!
//! There is no label if the revision is uncertain: with uncommitted changes, in a shallow clone, or
//! without git. A missing label is better than a wrong one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use url::Url;

use crate::pack_error::PackError;
use process::Program;

/// Label with the commit.
pub const REVISION: &str = "org.opencontainers.image.revision";
/// Prefix of the labels that name the base image (OCI image specification, "Pre-Defined Annotation
/// Keys").
pub const BASE_LABEL: &str = "org.opencontainers.image.base";
const CREATED: &str = "org.opencontainers.image.created";
/// Time limit for git, which only reads from disk.
const GIT_LIMIT: Duration = Duration::from_secs(20);
/// Limit for the number of paths: a command line has a maximum length.
const MAX_PATHS: usize = 4000;

/// Commit that an image was built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Commit hash, 40 or 64 hexadecimal digits.
    pub commit: String,
    /// Time of the commit.
    pub time: DateTime<Utc>,
    /// Root folder of the checkout.
    pub top: PathBuf,
    /// URL of the remote `origin` with the prefix `git+`, without credentials; absent if there is
    /// none, or if it is a path of this machine.
    pub url: Option<String>,
}

/// Provenance data of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Creation time in the configuration.
    pub created: DateTime<Utc>,
    /// Labels in addition to those of the Dockerfile.
    pub labels: BTreeMap<String, String>,
}

impl Provenance {
    /// Builds the provenance. The time is `SOURCE_DATE_EPOCH` in seconds, or that of the revision,
    /// or else 1970 without a label. The time of the build would change the digest each time.
    pub fn new(
        source_date_epoch: Option<&str>,
        revision: Option<&Revision>,
    ) -> Result<Self, PackError> {
        let stated = source_date_epoch.map(time).transpose()?;
        let known = stated.or(revision.map(|revision| revision.time));
        let mut labels = BTreeMap::new();
        if let Some(revision) = revision {
            labels.insert(REVISION.to_owned(), revision.commit.clone());
        }
        if let Some(time) = known {
            let text = time.to_rfc3339_opts(SecondsFormat::Secs, true);
            labels.insert(CREATED.to_owned(), text);
        }
        Ok(Self {
            created: known.unwrap_or(DateTime::UNIX_EPOCH),
            labels,
        })
    }
}

fn time(source_date_epoch: &str) -> Result<DateTime<Utc>, PackError> {
    let seconds = source_date_epoch.parse().ok();
    seconds
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .ok_or_else(|| PackError::Created(source_date_epoch.to_owned()))
}

/// Reason why there is no revision label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// There is no repository, or it has none of the sources.
    NoRepository,
    /// Some sources have uncommitted changes.
    Changed,
    /// The clone is shallow.
    Shallow,
    /// The repository belongs to another user.
    OtherUser {
        /// Folder of the repository.
        folder: PathBuf,
    },
    /// There are more sources than git can be asked about.
    TooMany,
}

impl Unknown {
    /// Returns the reason in a few words.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoRepository => "no git repository has the sources",
            Self::Changed => "some sources had uncommitted changes",
            Self::Shallow => "the clone had no history",
            Self::OtherUser { .. } => "the checkout belonged to another user",
            Self::TooMany => "there were too many sources",
        }
    }

    /// Returns a message for the user, with the reason and a hint.
    pub fn note(&self) -> Option<String> {
        let text = match self {
            // Normal during development.
            Self::NoRepository | Self::Changed => return None,
            Self::Shallow => "the clone has no history: fetch all of it (`git fetch --unshallow`; in GitHub Actions `fetch-depth: 0`)".to_owned(),
            Self::OtherUser { folder } => format!(
                "git does not answer, since the checkout belongs to another user: run `git config --global --add safe.directory {}`",
                folder.display()
            ),
            Self::TooMany => format!("it is built from more than {MAX_PATHS} files"),
        };
        Some(format!("the image has no label with its commit: {text}"))
    }
}

/// Returns the last commit that touched one of these paths, which are absolute or relative to
/// `folder`. Fails if any of them has uncommitted changes. Paths outside of the repository are
/// ignored.
pub async fn revision(folder: &Path, paths: &[PathBuf]) -> Result<Revision, Unknown> {
    let top = repository(folder).await?;
    let paths: Vec<OsString> = paths
        .iter()
        .map(|path| folder.join(path))
        .filter(|path| path.starts_with(&top))
        .map(PathBuf::into_os_string)
        .collect();
    if paths.is_empty() {
        return Err(Unknown::NoRepository);
    }
    if paths.len() > MAX_PATHS {
        return Err(Unknown::TooMany);
    }
    let with_paths = |arguments: &[&str]| {
        let arguments = arguments.iter().map(OsString::from);
        let arguments: Vec<OsString> = arguments.chain(paths.iter().cloned()).collect();
        git(folder, GIT_LIMIT, arguments)
    };
    let (log, changes, origin) = tokio::join!(
        with_paths(&["log", "-1", "--format=%H %ct", "--"]),
        // `--ignored`: an ignored file that gets into the image is not in the commit either.
        with_paths(&[
            "status",
            "--porcelain",
            // Overrides the user's `status.showUntrackedFiles`, which may hide new files.
            "--untracked-files=all",
            "--ignored",
            "--"
        ]),
        git(folder, GIT_LIMIT, ["config", "--get", "remote.origin.url"]),
    );
    // A path is dirty, or git failed: in both cases the revision is not certain.
    if changes.map_or(true, |changes| !changes.trim().is_empty()) {
        return Err(Unknown::Changed);
    }
    let (commit, time) = log
        .ok()
        .and_then(|log| parse(&log))
        .ok_or(Unknown::Changed)?;
    Ok(Revision {
        commit,
        time,
        top,
        url: origin.ok().and_then(|origin| public_url(origin.trim())),
    })
}

/// Returns a remote's URL in the form of package managers, `git+https://…`, without credentials.
fn public_url(remote: &str) -> Option<String> {
    // `git@host:path` is short for SSH. A drive or a path has no such user.
    let short = remote.split_once(':').filter(|(host, path)| {
        host.contains('@') && !host.contains('/') && !path.starts_with("//")
    });
    let mut url = match short {
        Some((host, path)) => Url::parse(&format!("ssh://{host}/{path}")).ok()?,
        None => Url::parse(remote).ok()?,
    };
    if !matches!(url.scheme(), "https" | "http" | "ssh" | "git") {
        return None;
    }
    // Even a user name may be a token. For SSH, it is part of the address.
    url.set_password(None).ok()?;
    if url.scheme() != "ssh" {
        url.set_username("").ok()?;
    }
    Some(format!("git+{url}"))
}

/// Returns the root folder of the repository that contains `folder`, with all of its history.
pub async fn repository(folder: &Path) -> Result<PathBuf, Unknown> {
    let asked = ["rev-parse", "--show-toplevel", "--is-shallow-repository"];
    let top = git(folder, GIT_LIMIT, asked).await.map_err(|said| {
        // Git refuses to read a repository of another user unless `safe.directory` lists it.
        if said.contains("dubious ownership") {
            Unknown::OtherUser {
                folder: top_of(folder),
            }
        } else {
            Unknown::NoRepository
        }
    })?;
    whole_repository(&top)
}

/// Finds the root of the repository without git, for a message.
pub(crate) fn top_of(folder: &Path) -> PathBuf {
    let mut above = folder.ancestors();
    // In a worktree or a submodule, `.git` is a file and not a folder.
    let top = above.find(|folder| folder.join(".git").exists());
    top.unwrap_or(folder).to_owned()
}

/// Parses the output of `rev-parse`. A shallow clone is rejected, since its oldest commit seems to
/// touch every file.
fn whole_repository(answer: &str) -> Result<PathBuf, Unknown> {
    let (top, shallow) = answer
        .trim_end()
        // From the right, since the path itself may contain a line break.
        .rsplit_once('\n')
        .ok_or(Unknown::NoRepository)?;
    if shallow == "false" {
        Ok(PathBuf::from(top))
    } else {
        Err(Unknown::Shallow)
    }
}

fn parse(log: &str) -> Option<(String, DateTime<Utc>)> {
    let (commit, seconds) = log.trim().split_once(' ')?;
    let time = DateTime::from_timestamp(seconds.parse().ok()?, 0)?;
    Some((commit.to_owned(), time))
}

/// Runs git in a folder, and returns its output, or what it says if it fails.
pub(crate) async fn git<S: AsRef<std::ffi::OsStr>>(
    folder: &Path,
    limit: Duration,
    arguments: impl IntoIterator<Item = S>,
) -> Result<String, String> {
    let git = program(folder, arguments);
    output(&git, limit).await
}

/// Returns the call of git in a folder.
pub(crate) fn program<S: AsRef<std::ffi::OsStr>>(
    folder: &Path,
    arguments: impl IntoIterator<Item = S>,
) -> Program {
    Program::new("git")
        // Takes no lock that could disturb a concurrent git, and expands no wildcards in paths.
        .args(["--no-optional-locks", "--literal-pathspecs"])
        .args(arguments)
        .current_dir(folder)
}

/// Runs git, and returns its output, or what it says if it fails.
pub(crate) async fn output(git: &Program, limit: Duration) -> Result<String, String> {
    let answer = git.output(limit).await.map_err(|error| error.to_string())?;
    if !answer.status.success() {
        tracing::debug!(stderr = answer.stderr.trim(), "git does not know");
        return Err(answer.stderr);
    }
    Ok(answer.stdout)
}

/// Parses the sources from a dependency file that cargo writes next to the program
/// (`app: a b\ c …`).
pub(super) fn sources(dependencies: &str) -> Vec<PathBuf> {
    let Some((_, sources)) = dependencies.trim().split_once(": ") else {
        return Vec::new();
    };
    let mut paths = Vec::new();
    let mut path = String::new();
    let mut letters = sources.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            // Cargo escapes a space in a path by a backslash.
            '\\' if letters.peek() == Some(&' ') => path.extend(letters.next()),
            ' ' | '\n' => paths.push(std::mem::take(&mut path)),
            letter => path.push(letter),
        }
    }
    paths.push(path);
    paths.retain(|path| !path.is_empty());
    paths.into_iter().map(PathBuf::from).collect()
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use std::fs;

    /// A repository with two commits, the second to the README.
    pub(crate) struct Repository(tempfile::TempDir);

    impl Repository {
        pub(crate) async fn new() -> Self {
            let repository = Self(tempfile::tempdir().unwrap());
            repository.git(&["init", "--quiet"]).await;
            repository.write("main.rs", "one");
            repository.commit(1_000_000_000).await;
            repository.write("README.md", "two");
            repository.commit(1_100_000_000).await;
            repository
        }

        pub(crate) fn path(&self) -> PathBuf {
            self.0.path().canonicalize().unwrap()
        }

        pub(crate) fn write(&self, name: &str, text: &str) {
            fs::write(self.path().join(name), text).unwrap();
        }

        pub(crate) async fn git(&self, arguments: &[&str]) -> String {
            git(&self.path(), GIT_LIMIT, arguments)
                .await
                .expect("git works")
        }

        pub(crate) async fn commit(&self, seconds: u32) {
            self.git(&["add", "."]).await;
            let date = format!("{seconds} +0000");
            let commit = Program::new("git")
                .args([
                    "-c",
                    "user.name=n",
                    "-c",
                    "user.email=e",
                    "commit",
                    "--quiet",
                    "-m",
                    "m",
                ])
                .env("GIT_COMMITTER_DATE", &date)
                .current_dir(self.path());
            assert!(commit.output(GIT_LIMIT).await.unwrap().status.success());
        }

        pub(crate) async fn revision(&self, path: &str) -> Result<Revision, Unknown> {
            revision(&self.path(), &[path.into(), "/elsewhere/lib.rs".into()]).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Repository;
    use super::*;

    #[test]
    fn what_the_image_says() {
        let revision = Revision {
            commit: "0123".to_owned(),
            time: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            top: PathBuf::from("/src"),
            url: None,
        };
        let say = |epoch, revision| {
            let said = Provenance::new(epoch, revision).unwrap();
            (said.created.timestamp(), said.labels)
        };
        let labels = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| {
                    (
                        format!("org.opencontainers.image.{name}"),
                        (*value).to_owned(),
                    )
                })
                .collect::<BTreeMap<_, _>>()
        };
        assert_eq!(say(None, None), (0, labels(&[])));
        assert_eq!(
            say(Some("86400"), None),
            (86400, labels(&[("created", "1970-01-02T00:00:00Z")]))
        );
        let known = [("revision", "0123"), ("created", "2023-11-14T22:13:20Z")];
        assert_eq!(say(None, Some(&revision)), (1_700_000_000, labels(&known)));
        let stated = [("revision", "0123"), ("created", "1970-01-02T00:00:00Z")];
        assert_eq!(
            say(Some("86400"), Some(&revision)),
            (86400, labels(&stated))
        );
        for wrong in ["", "yesterday", "1.5", "99999999999999999999"] {
            assert!(Provenance::new(Some(wrong), None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_url_of_the_source_has_no_credentials() {
        for (remote, expected) in [
            (
                "https://example.org/team/app.git",
                Some("git+https://example.org/team/app.git"),
            ),
            (
                "https://token:x-oauth@example.org/app",
                Some("git+https://example.org/app"),
            ),
            (
                "git@example.org:team/app.git",
                Some("git+ssh://git@example.org/team/app.git"),
            ),
            (
                "ssh://git:secret@example.org:2222/app",
                Some("git+ssh://git@example.org:2222/app"),
            ),
            ("/srv/git/app.git", None),
            ("../app", None),
            ("file:///srv/git/app.git", None),
            ("", None),
        ] {
            assert_eq!(public_url(remote).as_deref(), expected, "{remote}");
        }
    }

    #[test]
    fn what_a_program_was_compiled_from() {
        let text = "/t/image/app: /src/app/build.rs /src/my\\ app/main.rs /src/page.html\n";
        let expected = ["/src/app/build.rs", "/src/my app/main.rs", "/src/page.html"];
        assert_eq!(sources(text), expected.map(PathBuf::from));
        assert_eq!(sources("/t/image/app:\n"), Vec::<PathBuf>::new());
        assert_eq!(sources(""), Vec::<PathBuf>::new());
    }

    #[tokio::test]
    async fn the_last_commit_to_what_is_built() {
        let repository = Repository::new().await;
        let main = repository.revision("main.rs").await.unwrap();
        assert_eq!(main.time.timestamp(), 1_000_000_000);
        let whole = repository.revision("").await.unwrap();
        assert_eq!(whole.time.timestamp(), 1_100_000_000);
        assert_eq!(
            whole.commit,
            repository.git(&["rev-parse", "HEAD"]).await.trim()
        );
        assert_ne!(main.commit, whole.commit);

        // What is not built may be changed; what is built may not.
        repository.write("README.md", "three");
        assert_eq!(repository.revision("main.rs").await, Ok(main));
        assert_eq!(
            repository.revision("README.md").await,
            Err(Unknown::Changed)
        );
        repository.write("new.rs", "");
        assert_eq!(repository.revision("new.rs").await, Err(Unknown::Changed));
        repository.write(".gitignore", "hidden.rs");
        repository.write("hidden.rs", "");
        assert_eq!(
            repository.revision("hidden.rs").await,
            Err(Unknown::Changed)
        );
    }

    #[tokio::test]
    async fn nothing_is_said_without_the_history() {
        let repository = Repository::new().await;
        let clone = tempfile::tempdir().unwrap();
        let address = format!("file://{}", repository.path().display());
        let path = clone.path().to_str().unwrap();
        repository
            .git(&["clone", "--quiet", "--depth", "1", &address, path])
            .await;
        let shallow = revision(clone.path(), &["main.rs".into()]).await;
        assert_eq!(shallow, Err(Unknown::Shallow));
        assert!(Unknown::Shallow.note().unwrap().contains("fetch-depth: 0"));
        let nowhere = tempfile::tempdir().unwrap();
        let none = Err(Unknown::NoRepository);
        assert_eq!(revision(nowhere.path(), &["main.rs".into()]).await, none);
        assert_eq!(revision(&repository.path(), &[]).await, none);
    }

    #[test]
    fn a_checkout_of_another_user_is_told_with_its_remedy() {
        let unknown = Unknown::OtherUser {
            folder: "/src/clone".into(),
        };
        let note = unknown.note().unwrap();
        assert!(
            note.contains("git config --global --add safe.directory /src/clone"),
            "{note}"
        );
        assert_eq!(Unknown::Changed.note(), None);
    }
}
