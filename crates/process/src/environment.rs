//! Least privilege for child processes: selects the variables that they do not inherit. Pure
//! functions.
//!
//! A compilation runs the build scripts and procedural macros of all dependencies, and none of them
//! needs the credentials for the deployment. An allow-list would break builds, since build scripts
//! read variables such as `OPENSSL_DIR` and `CFLAGS`. Therefore secrets are detected by words in
//! the name, and by values with a password or a key.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

/// Prefixes of variables with credentials of AWS, of GitHub Actions, and of password managers.
const PREFIXES: [&str; 4] = ["AWS_", "ACTIONS_", "OP_SESSION", "BW_SESSION"];

/// Names of further variables: files that set the environment of later GitHub workflow steps,
/// Azure's secret, and the path of a netrc file.
const NAMES: [&str; 6] = [
    "GITHUB_ENV",
    "GITHUB_PATH",
    "GITHUB_OUTPUT",
    "GITHUB_STATE",
    "IDENTITY_HEADER",
    "NETRC",
];

/// Suffixes of words that denote a secret. `SYSTEM_ACCESSTOKEN`, `PGPASSWORD` and
/// `npm_config_authToken` have no separator.
const WORD_ENDS: [&str; 14] = [
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "PASSCODE",
    "PASSFILE",
    "CREDENTIAL",
    "KEY",
    "KEYFILE",
    "KEYSTORE",
    "JWT",
    "AUTH",
    "WEBHOOK",
];

/// Whole words that denote a secret, too short to be matched as suffixes.
const WORDS: [&str; 8] = [
    "PASS", "PW", "PWD", "PAT", "SAS", "COOKIE", "NETRC", "CREDS",
];

/// Prefixes of AWS access keys and of tokens from GitHub, GitLab and Slack, which are designed to
/// be recognizable.
const TOKENS: [&str; 11] = [
    "AKIA",
    "ASIA",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
];

/// Names that look like secrets but are not: folders, and the agent's socket, which cargo needs for
/// Git dependencies over SSH.
const HARMLESS: [&str; 3] = ["PWD", "OLDPWD", "SSH_AUTH_SOCK"];

/// Prefixes of Git's settings in variables. Git refuses to start if one of them is missing, so they
/// are removed together.
const GIT_SETTINGS: [&str; 3] = ["GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"];

/// Returns whether a variable contains a secret or leads to one.
pub fn is_secret(name: &OsStr, value: &OsStr) -> bool {
    let name = name.to_string_lossy();
    // The choice of cargo's credential provider is a setting and not a secret.
    let is_provider = name.starts_with("CARGO_REGISTR")
        && (name.ends_with("_CREDENTIAL_PROVIDER") || name.ends_with("_CREDENTIAL_PROVIDERS"));
    if HARMLESS.contains(&&*name) || is_provider || name.starts_with("CARGO_CREDENTIAL_ALIAS_") {
        return false;
    }
    is_secret_name(&name) || is_secret_value(&name, &value.to_string_lossy())
}

/// Returns the names of the variables that a child process does not inherit. Each entry of
/// `allowed` is a name, or a prefix that ends in `*`.
pub fn withheld(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    allowed: &[String],
) -> BTreeSet<OsString> {
    let is_allowed = |name: &OsStr| {
        let name = name.to_string_lossy();
        allowed
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => name == *pattern,
            })
    };
    let mut withheld = BTreeSet::new();
    let mut git_settings = BTreeSet::new();
    let mut git_has_secret = false;
    for (name, value) in variables {
        if is_allowed(&name) {
            continue;
        }
        let secret = is_secret(&name, &value);
        if is_git_setting(&name.to_string_lossy()) {
            git_has_secret |= secret;
            git_settings.insert(name);
        } else if secret {
            withheld.insert(name);
        }
    }
    if git_has_secret {
        withheld.append(&mut git_settings);
    }
    withheld
}

fn is_git_setting(name: &str) -> bool {
    GIT_SETTINGS
        .iter()
        .any(|beginning| name.starts_with(beginning))
}

fn is_secret_name(name: &str) -> bool {
    let upper = name.to_uppercase();
    if PREFIXES.iter().any(|prefix| upper.starts_with(prefix)) || NAMES.contains(&&*upper) {
        return true;
    }
    // `GIT_CONFIG_KEY_0` contains the name of a setting.
    if is_git_setting(&upper) {
        return false;
    }
    let mut words = upper.split(|letter: char| !letter.is_alphanumeric());
    upper.contains("OIDC")
        || upper.contains("CONNECTION_STRING")
        || words.any(|word| {
            // Plurals and numbered variables count as well: `API_KEYS`, `TOKEN2`.
            let word = word.trim_end_matches(|letter: char| letter.is_ascii_digit());
            let singular = word.strip_suffix('S').unwrap_or(word);
            WORDS.contains(&word) || WORD_ENDS.iter().any(|end| singular.ends_with(end))
        })
}

fn is_secret_value(name: &str, value: &str) -> bool {
    // Cargo, pip and Git need these to reach the network, even with a password.
    if name.to_uppercase().ends_with("_PROXY") {
        return false;
    }
    value.contains("PRIVATE KEY-----")
        || value.to_lowercase().contains("authorization:")
        || is_json_web_token(value)
        || TOKENS.iter().any(|beginning| value.starts_with(beginning))
        || has_password(value)
}

/// Returns whether the value is a JWT: three parts, of which the first two are JSON objects in
/// Base64.
fn is_json_web_token(value: &str) -> bool {
    let mut parts = value.split('.');
    // `eyJ` is Base64 for `{"`, the start of a JSON object.
    let is_object = |part: Option<&str>| part.is_some_and(|part| part.starts_with("eyJ"));
    is_object(parts.next()) && is_object(parts.next()) && parts.next().is_some()
}

/// Returns whether the value is a URL with a password, such as `postgres://user:password@host/`. In
/// an HTTP URL, a user name alone counts: it may be a token.
fn has_password(value: &str) -> bool {
    value.match_indices("://").any(|(at, mark)| {
        let (before, rest) = (&value[..at], &value[at + mark.len()..]);
        let authority = rest.split(['/', '?', '#', ' ', '\n']).next();
        let user = authority.and_then(|authority| authority.rsplit_once('@'));
        user.is_some_and(|(user, _host)| {
            before.ends_with("http")
                || before.ends_with("https")
                || user
                    .split_once(':')
                    .is_some_and(|(_, password)| !password.is_empty())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn withheld_of(variables: &[(&str, &str)], allowed: &[&str]) -> Vec<String> {
        let variables = variables
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let allowed: Vec<String> = allowed.iter().map(|&name| name.to_owned()).collect();
        withheld(variables, &allowed)
            .into_iter()
            .map(|name| name.into_string().unwrap())
            .collect()
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in [
            // AWS, and the ways to its credentials.
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_PROFILE",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN",
            // Our own, registries.
            "DEPLOYER_REGISTRY_PASSWORD",
            "DOCKER_AUTH_CONFIG",
            "DOCKER_PASSWORD",
            "CARGO_REGISTRY_TOKEN",
            "CARGO_REGISTRIES_OURS_TOKEN",
            "CARGO_REGISTRIES_OURS_SECRET_KEY",
            "TWINE_PASSWORD",
            "npm_config__authToken",
            "NODE_AUTH_TOKEN",
            // GitHub.
            "GITHUB_TOKEN",
            "GH_TOKEN",
            "GITHUB_PAT",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            "ACTIONS_RUNTIME_TOKEN",
            "ACTIONS_RUNTIME_URL",
            "GITHUB_ENV",
            "GITHUB_PATH",
            // Other pipelines.
            "CI_JOB_TOKEN",
            "CI_JOB_JWT",
            "CI_JOB_JWT_V2",
            "GITLAB_OIDC_TOKEN",
            "SIGSTORE_ID_TOKEN",
            "CI_REGISTRY_PASSWORD",
            "CIRCLE_OIDC_TOKEN",
            "CIRCLE_OIDC_TOKEN_V2",
            "BITBUCKET_STEP_OIDC_TOKEN",
            "SYSTEM_ACCESSTOKEN",
            "SYSTEM_OIDCREQUESTURI",
            "BUILDKITE_AGENT_ACCESS_TOKEN",
            "SEMAPHORE_OIDC_TOKEN",
            // Other clouds and services.
            "AZURE_CLIENT_SECRET",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_STORAGE_CONNECTION_STRING",
            "IDENTITY_HEADER",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "GCP_SA_KEY",
            "VAULT_TOKEN",
            "TF_TOKEN_app_terraform_io",
            "OP_SESSION_my",
            "STRIPE_API_KEY",
            "OPENAI_APIKEY",
            "SLACK_WEBHOOK_URL",
            "DB_PASS",
            "PGPASSWORD",
            "PGPASSFILE",
            "MYSQL_PWD",
            "SSH_PRIVATE_KEY",
            "ANDROID_KEYSTORE_BASE64",
            "GPG_PASSPHRASE",
            "SESSION_SECRETS",
            "MY_CREDS",
        ] {
            assert!(is_secret(name.as_ref(), "x".as_ref()), "{name}");
        }
    }

    #[test]
    fn settings_are_inherited() {
        for name in [
            "PATH",
            "HOME",
            "PWD",
            "OLDPWD",
            "USER",
            "LANG",
            "TMPDIR",
            "TERM",
            "CI",
            "SSH_AUTH_SOCK",
            "SSL_CERT_FILE",
            "XDG_SESSION_ID",
            "XAUTHORITY",
            "DBUS_SESSION_BUS_ADDRESS",
            "GITHUB_ACTIONS",
            "GITHUB_SHA",
            "GITHUB_STEP_SUMMARY",
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER",
            "CARGO_REGISTRY_CREDENTIAL_PROVIDER",
            "CARGO_REGISTRIES_OURS_CREDENTIAL_PROVIDER",
            "CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS",
            "CARGO_CREDENTIAL_ALIAS_MINE",
            "CARGO_REGISTRIES_OURS_INDEX",
            "CARGO_NET_GIT_FETCH_WITH_CLI",
            "RUSTFLAGS",
            "RUSTC_WRAPPER",
            "RUSTUP_TOOLCHAIN",
            "SCCACHE_BUCKET",
            "PKG_CONFIG_PATH",
            "OPENSSL_DIR",
            "LIBCLANG_PATH",
            "CFLAGS",
            "DOCKER_HOST",
            "DOCKER_CONFIG",
            "DOCKER_CERT_PATH",
            "DOCKER_BUILDKIT",
            "SOURCE_DATE_EPOCH",
            "KEYBOARD",
            "COMPASS",
        ] {
            assert!(!is_secret(name.as_ref(), "x".as_ref()), "{name}");
        }
    }

    #[test]
    fn secrets_are_known_by_their_values() {
        for (name, value, expected) in [
            ("DATABASE_URL", "postgres://me:hunter2@db/clock", true),
            ("DATABASE_URL", "postgres://db/clock", false),
            ("DATABASE_URL", "postgres://me@db/clock", false),
            ("CI_REPOSITORY_URL", "https://ghs_123@host/a.git", true),
            ("HOMEPAGE", "https://host/a@b", false),
            ("DOCKER_HOST", "ssh://me@host", false),
            ("HTTPS_PROXY", "http://me:hunter2@proxy:3128", false),
            ("https_proxy", "http://me:hunter2@proxy:3128", false),
            ("DEPLOY", "-----BEGIN OPENSSH PRIVATE KEY-----\nx", true),
            ("IDENTITY", "eyJhbGciOi.eyJzdWIi.c2ln", true),
            ("HEADER", "Authorization: Basic eA==", true),
            ("PROD_ID", "AKIAIOSFODNN7EXAMPLE", true),
            ("DEPLOY", "github_pat_11AAAA", true),
            ("GREETING", "two://words: and @ sign", false),
        ] {
            assert_eq!(
                is_secret(name.as_ref(), value.as_ref()),
                expected,
                "{name}={value}"
            );
        }
    }

    #[test]
    fn what_is_allowed_is_inherited() {
        let variables = [
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SECRET_ACCESS_KEY", "b"),
            ("GITHUB_TOKEN", "c"),
            ("PATH", "/bin"),
        ];
        let left = |allowed: &[&str]| withheld_of(&variables, allowed);
        let all = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN"];
        assert_eq!(left(&[]), all);
        assert_eq!(left(&["AWS_*"]), ["GITHUB_TOKEN"]);
        assert_eq!(left(&["GITHUB_TOKEN", "AWS_"]), &all[..2]);
    }

    #[test]
    fn settings_of_git_are_inherited_together_or_not_at_all() {
        let settings = |value| {
            [
                ("GIT_CONFIG_COUNT", "1"),
                ("GIT_CONFIG_KEY_0", "http.extraheader"),
                ("GIT_CONFIG_VALUE_0", value),
            ]
        };
        assert_eq!(withheld_of(&settings("X-Trace: 1"), &[]).len(), 0);
        assert_eq!(
            withheld_of(&settings("AUTHORIZATION: basic eA=="), &[]).len(),
            3
        );
    }
}
