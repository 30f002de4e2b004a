//! Why there are no credentials: each case has its own message, and a hint that helps in that case.

use std::process::Command;

use crate::endpoint::{Answer, Endpoint, Request, error};
use crate::home::{Home, run, text};
use crate::profiles::{EARLIER, LATER};

/// Runs `deployer status` so, and checks the exit code and that each of these is said.
#[track_caller]
fn assert_says(command: &mut Command, said: &[&str]) {
    let output = run(command);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    for said in said {
        assert!(stderr.contains(said), "{said:?} is not in: {stderr}");
    }
    let messages = stderr.lines().filter(|line| line.starts_with("error: "));
    assert_eq!(messages.count(), 1, "{stderr}");
}

fn refusing(call: &'static str, answer: Answer) -> Endpoint {
    Endpoint::scripted(move |request: &Request| (request.call == call).then(|| answer.clone()))
}

#[test]
fn a_profile_that_does_not_exist() {
    let home = Home::with_all(LATER);
    home.write("named.toml", "stack = \"clock\"\nprofile = \"prdo\"\n");
    let endpoint = Endpoint::start();
    let message = "error: the AWS profile `prdo` could not be found";
    let list = "hint: `aws configure list-profiles`";
    let flag = ["status", "--profile", "prdo"];
    assert_says(&mut home.program(&endpoint, &flag), &[message, list]);
    // A typo may not become the identity of the keys, the token or the machine that are there as well.
    let mut command = home.program(&endpoint, &["status", "--region", "eu-central-1"]);
    command
        .env("AWS_PROFILE", "prdo")
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", home.path().join("token.jwt"))
        .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/deploy");
    assert_says(&mut command, &[message, "`AWS_PROFILE` names it"]);
    command
        .env("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
        .env("AWS_SECRET_ACCESS_KEY", "secret");
    assert_says(&mut command, &[message, "`AWS_PROFILE` names it"]);
    let file = ["status", "--config", "named.toml"];
    assert_says(
        &mut home.program(&endpoint, &file),
        &[message, "`deployer.toml`", "`--profile ''`"],
    );
    assert_eq!(endpoint.requests().len(), 0, "{:?}", endpoint.requests());
}

#[test]
fn a_source_profile_that_does_not_exist() {
    let home =
        Home::new("[profile role]\nregion = eu-central-1\nrole_arn = r\nsource_profile = prdo\n");
    let endpoint = Endpoint::start();
    assert_says(
        &mut home.program(&endpoint, &["status", "--profile", "role"]),
        &[
            "`prdo` could not be found",
            "because: it is the `source_profile` of `role`",
        ],
    );
}

#[test]
fn a_role_that_wants_a_code() {
    let home = Home::with_all(LATER);
    home.add(
        "[profile mfa]\nregion = eu-central-1\nsource_profile = keys\n\
        role_arn = arn:aws:iam::123456789012:role/deploy\n\
        mfa_serial = arn:aws:iam::123456789012:mfa/somebody\n",
    );
    let denied = error(
        403,
        "AccessDenied",
        "not authorized to perform: sts:AssumeRole",
    );
    let endpoint = refusing("AssumeRole", denied);
    let exported = "`eval \"$(aws configure export-credentials --profile mfa --format env)\"`";
    assert_says(
        &mut home.program(&endpoint, &["status", "--profile", "mfa"]),
        &[
            "profile `mfa` needs an MFA code",
            exported,
            "`--profile ''`",
        ],
    );
    assert_says(
        home.program(&endpoint, &["status"])
            .env("AWS_PROFILE", "mfa"),
        &["needs an MFA code", exported, "run the same command again"],
    );
    assert_says(
        &mut home.program(&endpoint, &["status", "--profile", "role"]),
        &[
            "profile `role` may not assume its role",
            "`aws sts get-caller-identity --profile keys`",
        ],
    );
}

#[test]
fn a_region_that_is_not_enabled() {
    let home = Home::with_all(LATER);
    let unknown = error(403, "InvalidClientTokenId", "The security token is invalid");
    let endpoint = refusing("GetCallerIdentity", unknown);
    let hint = "`aws account get-region-opt-status --region-name eu-south-2`";
    let there = ["status", "--profile", "keys", "--region", "eu-south-2"];
    let keys = "the access keys of profile `keys` are used";
    assert_says(&mut home.program(&endpoint, &there), &[hint, keys]);
    let output = run(&mut home.program(&endpoint, &["status", "--profile", "keys"]));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains(keys) && !stderr.contains("opt-status"),
        "{stderr}"
    );
    // Nothing was started.
    assert!(!stderr.contains("goes on"), "{stderr}");
}

#[test]
fn keys_of_the_environment_that_expired() {
    let home = Home::with_all(LATER);
    let expired = error(
        403,
        "ExpiredToken",
        "The security token included is expired",
    );
    let endpoint = refusing("GetCallerIdentity", expired);
    let mut command = home.program(&endpoint, &["status", "--region", "eu-central-1"]);
    command
        .env("AWS_ACCESS_KEY_ID", "ASIAENVIRONMENT")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_SESSION_TOKEN", "token");
    assert_says(
        &mut command,
        &[
            "are not accepted",
            "the access keys in the environment are used",
            "in CI",
        ],
    );
    assert!(!text(&run(&mut command).stderr).contains("sso login"));
}

#[test]
fn sessions_that_are_over() {
    let home = Home::with_all(EARLIER);
    let endpoint = Endpoint::start();
    for (profile, login) in [
        ("sso", "`aws sso login --profile sso`"),
        ("through", "`aws sso login --profile sso`"),
    ] {
        assert_says(
            &mut home.program(&endpoint, &["status", "--profile", profile]),
            &["the SSO session has expired, or there is none", login],
        );
    }
    let refused = (
        401,
        r#"{"message": "Session token not found or invalid"}"#.to_owned(),
    );
    let endpoint = refusing("GET /federation/credentials", refused);
    assert_says(
        &mut Home::with_all(LATER).program(&endpoint, &["status", "--profile", "legacy"]),
        &[
            "the SSO session has expired",
            "`aws sso login --profile legacy`",
        ],
    );
    let refused = (
        400,
        r#"{"error": "TOKEN_EXPIRED", "message": "The refresh token has expired"}"#.to_owned(),
    );
    let endpoint = refusing("POST /v1/token", refused);
    assert_says(
        &mut home.program(&endpoint, &["status", "--profile", "login"]),
        &[
            "the `aws login` session has expired",
            "`aws login --profile login`",
        ],
    );
    let empty = Home::with_all(LATER);
    std::fs::remove_dir_all(empty.path().join(".aws/sso")).expect("it is there");
    std::fs::remove_dir_all(empty.path().join(".aws/login")).expect("it is there");
    assert_says(
        &mut empty.program(&endpoint, &["status", "--profile", "login"]),
        &["`aws login` session", "`aws login --profile login`"],
    );
    assert_says(
        &mut empty.program(&endpoint, &["status", "--profile", "sso"]),
        &["SSO session", "`aws sso login --profile sso`"],
    );
}

#[test]
fn nobody_answers_who_gives_out_credentials() {
    // Bound, but not listening: no other test can get the port.
    let nobody = tokio::net::TcpSocket::new_v4().expect("a socket");
    let free = "127.0.0.1:0".parse().expect("an address");
    nobody.bind(free).expect("a free port");
    let address = nobody.local_addr().expect("an address");
    let home = Home::with_all(LATER);
    let endpoint = Endpoint::start();
    let mut command = home.program(&endpoint, &["status", "--profile", "role"]);
    command.env("AWS_ENDPOINT_URL_STS", format!("http://{address}"));
    let network = "this is about the network, not about the credentials";
    assert_says(&mut command, &["STS cannot be reached", network]);
}

#[test]
fn a_process_that_fails() {
    let home = Home::new(
        "[profile broken]\nregion = eu-central-1\ncredential_process = echo no vault >&2; exit 7\n",
    );
    let endpoint = Endpoint::start();
    assert_says(
        &mut home.program(&endpoint, &["status", "--profile", "broken"]),
        &[
            "the `credential_process` of profile `broken` failed",
            "no vault",
            "run that command",
        ],
    );
}

#[test]
fn files_that_cannot_be_read() {
    let home = Home::with_all(LATER);
    let endpoint = Endpoint::start();
    let mut command = home.program(&endpoint, &["status", "--profile", "keys"]);
    assert_says(
        command.env("AWS_CONFIG_FILE", "/dev/zero"),
        &["cannot read `/dev/zero`", "larger than"],
    );
    home.write(".aws/config", "[profile keys\nregion");
    assert_says(
        &mut home.program(&endpoint, &["status", "--profile", "keys"]),
        &["the AWS configuration files cannot be read"],
    );
    home.write(
        ".aws/config",
        "[profile keys]\naws_access_key_id = A\naws_secret_access_key = b\n",
    );
    assert_says(
        &mut home.program(&endpoint, &["status", "--profile", "keys"]),
        &["no AWS region is set"],
    );
}
