//! What comes first where several things name credentials: the same as for the AWS CLI.

use crate::endpoint::Endpoint;
use crate::home::{Home, assert_works, run};
use crate::profiles::LATER;

#[test]
fn a_flag_beats_keys_in_the_environment_and_a_variable_does_not() {
    let home = Home::with_all(LATER);
    home.write("named.toml", "stack = \"clock\"\nprofile = \"keys\"\n");
    let named = ["--config", "named.toml"].as_slice();
    let nothing = ["--config", "named.toml", "--profile", ""].as_slice();
    for (arguments, profile, key) in [
        (["--profile", "keys"].as_slice(), None, "AKIAPROFILE"),
        // The same name in both places: the flag is still a flag.
        (&["--profile", "keys"], Some("keys"), "AKIAPROFILE"),
        (&["--profile", "keys"], Some("process"), "AKIAPROFILE"),
        (&["--profile", "sso"], Some("keys"), "ASIASSO"),
        (&[], Some("keys"), "AKIAENVIRONMENT"),
        (&[], None, "AKIAENVIRONMENT"),
        (named, None, "AKIAPROFILE"),
        (named, Some("process"), "AKIAENVIRONMENT"),
        (nothing, None, "AKIAENVIRONMENT"),
        (nothing, Some("keys"), "AKIAENVIRONMENT"),
    ] {
        let endpoint = Endpoint::start();
        let arguments = [&["status"], arguments].concat();
        let mut command = home.program(&endpoint, &arguments);
        command
            .env("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_DEFAULT_REGION", "eu-central-1");
        if let Some(profile) = profile {
            command.env("AWS_PROFILE", profile);
        }
        assert_works(&run(&mut command));
        assert_eq!(endpoint.keys(), [key], "{arguments:?} {profile:?}");
    }
}
