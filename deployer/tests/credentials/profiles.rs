//! Profiles of all kinds, in a home of their own.

use std::path::Path;

use sha2::{Digest as _, Sha256};

/// All kinds, and where each takes its credentials from. `KEY` and `SECRET` stand for access keys.
const PROFILES: &str = "\
[profile keys]
region = eu-central-1
aws_access_key_id = KEY
aws_secret_access_key = SECRET

[profile role]
role_arn = arn:aws:iam::123456789012:role/deploy
source_profile = keys

[profile process]
region = eu-central-1
credential_process = cat HOME/process.json; echo >>HOME/process.log

[profile sso]
region = eu-central-1
sso_session = corp
sso_account_id = 123456789012
sso_role_name = deploy

[sso-session corp]
sso_region = eu-central-1
sso_start_url = https://corp.awsapps.com/start

[profile legacy]
region = eu-central-1
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-central-1
sso_account_id = 123456789012
sso_role_name = deploy

[profile web]
region = eu-central-1
role_arn = arn:aws:iam::123456789012:role/deploy
web_identity_token_file = HOME/token.jwt

[profile login]
region = eu-central-1
login_session = arn:aws:iam::123456789012:user/somebody

[profile renewed]
region = eu-central-1
login_session = arn:aws:iam::123456789012:user/renewed

[profile through]
region = eu-central-1
role_arn = arn:aws:iam::123456789012:role/deploy
source_profile = sso
";

/// Far enough away.
pub(crate) const LATER: &str = "2099-01-01T00:00:00Z";
/// Long gone.
pub(crate) const EARLIER: &str = "2020-01-01T00:00:00Z";

/// In the encoding of SEC 1: an elliptic curve's key that anybody can guess. The sign-in service of these tests believes everything.
const SCALAR: &str = "MCUCAQEEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";

/// The access keys that profiles hold themselves, and the secret to all of them.
pub(crate) struct Keys<'a> {
    pub(crate) profile: &'a str,
    pub(crate) process: &'a str,
    pub(crate) login: &'a str,
    pub(crate) secret: &'a str,
}

/// Writes all profiles into this home, with sessions that end then.
pub(crate) fn write(home: &Path, keys: &Keys, ends: &str) {
    let config = PROFILES
        .replace("KEY", keys.profile)
        .replace("SECRET", keys.secret)
        .replace("HOME", &home.to_string_lossy());
    put(home, ".aws/config", &config);
    put(home, "token.jwt", "header.claims.signature");
    let (key, secret) = (keys.process, keys.secret);
    put(
        home,
        "process.json",
        &format!(r#"{{"Version": 1, "AccessKeyId": "{key}", "SecretAccessKey": "{secret}"}}"#),
    );
    let token = format!(
        r#"{{"accessToken": "token", "expiresAt": "{ends}", "region": "eu-central-1",
        "startUrl": "https://corp.awsapps.com/start"}}"#
    );
    // The names are the SHA-1 of the session's name and of its address.
    for name in [
        "ee0bfd2552fbd840c02cc48b6e823320543c450f",
        "a51746d4aa793ae07b25e90c3a5db96fc7832bd7",
    ] {
        put(home, &format!(".aws/sso/cache/{name}.json"), &token);
    }
    let session = |user: &str| format!("arn:aws:iam::123456789012:user/{user}");
    login(home, keys, &session("somebody"), ends);
    login(home, keys, &session("renewed"), EARLIER);
}

/// Writes a session of `aws login` that ends then.
pub(crate) fn login(home: &Path, keys: &Keys, session: &str, ends: &str) {
    let name = format!("{:x}", Sha256::digest(session));
    let label = "EC PRIVATE KEY";
    let key = format!("-----BEGIN {label}-----\\n{SCALAR}\\n-----END {label}-----\\n");
    let (id, secret) = (keys.login, keys.secret);
    let token = format!(
        r#"{{"accessToken": {{"accessKeyId": "{id}", "secretAccessKey": "{secret}",
        "sessionToken": "token", "accountId": "123456789012", "expiresAt": "{ends}"}},
        "tokenType": "aws_sigv4", "refreshToken": "again", "idToken": "id",
        "clientId": "arn:aws:signin:::devtools/same-device", "dpopKey": "{key}"}}"#
    );
    put(home, &format!(".aws/login/cache/{name}.json"), &token);
}

fn put(home: &Path, name: &str, text: &str) {
    let path = home.join(name);
    let folder = path.parent().expect("a folder");
    std::fs::create_dir_all(folder).expect("the folder can be made");
    std::fs::write(path, text).expect("the file can be written");
}
