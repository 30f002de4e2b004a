//! Each kind of profile gets its credentials, and CloudFormation is asked with them.

use crate::endpoint::Endpoint;
use crate::home::{Home, KEYS, assert_works, run};
use crate::profiles::{self, EARLIER, LATER};

#[test]
fn each_gives_its_credentials() {
    let home = Home::with_all(LATER);
    for (profile, key, asked) in [
        ("keys", "AKIAPROFILE", None),
        ("role", "ASIAAssumeRole", Some("AssumeRole")),
        ("process", "AKIAPROCESS", None),
        ("sso", "ASIASSO", Some("GET /federation/credentials")),
        ("legacy", "ASIASSO", Some("GET /federation/credentials")),
        (
            "web",
            "ASIAAssumeRoleWithWebIdentity",
            Some("AssumeRoleWithWebIdentity"),
        ),
        ("login", "ASIALOGIN", None),
        ("renewed", "ASIARENEWED", Some("POST /v1/token")),
        ("through", "ASIAAssumeRole", Some("AssumeRole")),
    ] {
        let endpoint = Endpoint::start();
        assert_works(&home.status(&endpoint, &["--profile", profile]));
        assert_eq!(endpoint.keys(), [key], "{profile}");
        if let Some(asked) = asked {
            assert_eq!(endpoint.count(asked), 1, "{profile}");
        }
        // The same by a variable, and by the project's file.
        let endpoint = Endpoint::start();
        let mut command = home.program(&endpoint, &["status"]);
        assert_works(&run(command.env("AWS_PROFILE", profile)));
        assert_eq!(endpoint.keys(), [key], "{profile}");
        let named = format!("stack = \"clock\"\nprofile = \"{profile}\"\n");
        home.write("named.toml", &named);
        let endpoint = Endpoint::start();
        assert_works(&home.status(&endpoint, &["--config", "named.toml"]));
        assert_eq!(endpoint.keys(), [key], "{profile}");
        // The session that was renewed is stored: the next one has to be old again.
        let session = "arn:aws:iam::123456789012:user/renewed";
        profiles::login(home.path(), &KEYS, session, EARLIER);
    }
}

#[test]
fn a_token_that_the_environment_names() {
    let home = Home::with_all(LATER);
    let endpoint = Endpoint::giving("ASIAGIVEN", "secret");
    let mut command = home.program(&endpoint, &["status", "--region", "eu-central-1"]);
    command
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", home.path().join("token.jwt"))
        .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/deploy");
    assert_works(&run(&mut command));
    assert_eq!(endpoint.keys(), ["ASIAGIVEN"]);
    let requests = endpoint.requests();
    assert!(requests[0].body.contains("header.claims.signature"));
}

#[test]
fn a_service_that_is_elsewhere() {
    let sts = Endpoint::start();
    let home = Home::with_all(LATER);
    home.add(&format!(
        "[profile elsewhere]\nregion = eu-central-1\nservices = here\n\
        role_arn = arn:aws:iam::123456789012:role/deploy\nsource_profile = keys\n\
        [services here]\nsts =\n  endpoint_url = {}\n",
        sts.url
    ));
    let endpoint = Endpoint::start();
    // All calls of the deployer go to its own endpoint; credentials come from where the profile says.
    let arguments = ["--profile", "elsewhere", "--endpoint-url", &endpoint.url];
    let arguments = [&["status"], arguments.as_slice()].concat();
    let mut command = home.program(&endpoint, &arguments);
    assert_works(&run(command.env_remove("AWS_ENDPOINT_URL")));
    assert_eq!(endpoint.keys(), ["ASIAAssumeRole"]);
    assert_eq!(
        (endpoint.count("AssumeRole"), sts.count("AssumeRole")),
        (0, 1)
    );
}

#[test]
fn an_endpoint_of_the_profile_is_named() {
    let endpoint = Endpoint::start();
    let home = Home::with_all(LATER);
    home.add(&format!(
        "[profile proxied]\nregion = eu-central-1\nendpoint_url = {}\n\
        aws_access_key_id = AKIAPROXIED\naws_secret_access_key = secret\n",
        endpoint.url
    ));
    let mut command = home.program(&endpoint, &["down", "--yes", "--profile", "proxied"]);
    let output = run(command.env_remove("AWS_ENDPOINT_URL"));
    assert_works(&output);
    assert_eq!(endpoint.keys(), ["AKIAPROXIED"]);
    // Whoever reads it has to know that it is not AWS.
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!(" at {}", endpoint.url)), "{said}");
}
