//! Credentials are asked for once per run: some cost a code, a touched key or a password.

use crate::endpoint::Endpoint;
use crate::home::{Home, assert_works, run};
use crate::profiles::LATER;

#[test]
fn a_process_is_run_once() {
    let home = Home::with_all(LATER);
    let endpoint = Endpoint::start();
    assert_works(&home.status(&endpoint, &["--profile", "process"]));
    let log = std::fs::read_to_string(home.path().join("process.log")).expect("it was run");
    assert_eq!(log.lines().count(), 1);
}

#[test]
fn a_role_is_assumed_once() {
    let home = Home::with_all(LATER);
    for profile in ["role", "web", "sso"] {
        for by_variable in [false, true] {
            let endpoint = Endpoint::start();
            let mut command = home.program(&endpoint, &["status"]);
            if by_variable {
                command.env("AWS_PROFILE", profile);
            } else {
                command.args(["--profile", profile]);
            }
            assert_works(&run(&mut command));
            let given = [
                "AssumeRole",
                "AssumeRoleWithWebIdentity",
                "GET /federation/credentials",
            ]
            .map(|call| endpoint.count(call));
            assert_eq!(given.iter().sum::<usize>(), 1, "{profile} {by_variable}");
        }
    }
}

#[test]
fn what_ends_is_asked_for_again() {
    let home = Home::with_all(LATER);
    // Over before the second call: the SDK wants them to last a little.
    home.write(
        "process.json",
        r#"{"Version": 1, "AccessKeyId": "AKIAPROCESS", "SecretAccessKey": "secret",
        "SessionToken": "token", "Expiration": "2020-01-01T00:00:00Z"}"#,
    );
    let endpoint = Endpoint::start();
    home.status(&endpoint, &["--profile", "process"]);
    let log = std::fs::read_to_string(home.path().join("process.log")).expect("it was run");
    assert!(log.lines().count() > 1);
}
