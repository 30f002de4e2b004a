//! Certificates that are not this machine's.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::endpoint::Endpoint;
use crate::home::{Home, assert_works, run, text};
use crate::profiles::LATER;

#[test]
fn a_bundle_that_cannot_be_used() {
    let home = Home::with_all(LATER);
    home.write("empty.pem", "# no certificates today\n");
    let endpoint = Endpoint::start();
    for (bundle, cause) in [
        ("missing.pem", "there is no such file"),
        ("empty.pem", "it holds no certificate"),
        ("/dev/zero", "it is larger than"),
        (".", "directory"),
    ] {
        let mut command = home.program(&endpoint, &["status", "--profile", "keys"]);
        let output = run(command.env("AWS_CA_BUNDLE", bundle));
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{stderr}");
        assert!(
            stderr.contains("cannot use the certificates in"),
            "{stderr}"
        );
        assert!(stderr.contains(cause), "{stderr}");
        assert!(stderr.contains("`AWS_CA_BUNDLE`"), "{stderr}");
    }
}

#[test]
fn a_machine_without_certificates() {
    let home = Home::with_all(LATER);
    home.write("none.pem", "");
    let endpoint = Endpoint::start();
    let mut command = home.program(&endpoint, &["status", "--profile", "keys"]);
    let output = run(command.env("SSL_CERT_FILE", "none.pem"));
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
}

/// Makes an authority of its own, and a server that shows a certificate of it. Debian's `ca-certificates` brings OpenSSL along.
fn secured(folder: &Path) -> Endpoint {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.current_dir(folder).args(arguments.split(' '));
        let output = run(&mut command);
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    let names = "subjectAltName=DNS:localhost,IP:127.0.0.1\n";
    std::fs::write(folder.join("names"), names).expect("the file can be written");
    let key = "-newkey rsa:2048 -nodes -subj";
    openssl(&format!(
        "req -x509 -days 2 {key} /CN=authority -keyout ca.key -out ca.pem"
    ));
    openssl(&format!(
        "req {key} /CN=server -keyout server.key -out server.csr"
    ));
    openssl(
        "x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out server.pem",
    );
    let certificate = CertificateDer::from_pem_file(folder.join("server.pem")).expect("PEM");
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).expect("PEM");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate and its key");
    Endpoint::secured(config)
}

#[test]
fn an_authority_of_its_own() {
    let home = Home::with_all(LATER);
    let endpoint = secured(home.path());
    // For AWS's calls, and for those to who gives out the credentials.
    for profile in ["keys", "role"] {
        let mut command = home.program(&endpoint, &["status", "--profile", profile]);
        let output = run(&mut command);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{stderr}");
        for said in [
            "of 127.0.0.1 is not trusted: UnknownIssuer",
            "`AWS_CA_BUNDLE=FILE`",
        ] {
            assert!(stderr.contains(said), "{stderr}");
        }
        assert_eq!(endpoint.requests().len(), 0);
    }
    let mut command = home.program(&endpoint, &["status", "--profile", "role"]);
    assert_works(&run(command.env("AWS_CA_BUNDLE", "ca.pem")));
    assert_eq!(endpoint.keys(), ["ASIAAssumeRole"]);
    let bundle = home.path().join("ca.pem");
    home.write(
        ".aws/config",
        &format!(
            "[profile keys]\nregion = eu-central-1\naws_access_key_id = AKIAPROFILE\n\
            aws_secret_access_key = secret\nca_bundle = {}\n",
            bundle.display()
        ),
    );
    assert_works(&home.status(&endpoint, &["--profile", "keys"]));
}

#[test]
fn the_clock_is_read_with_the_same_certificates() {
    let home = Home::with_all(LATER);
    let endpoint = secured(home.path());
    let clock = |bundle: Option<&str>| {
        let mut command = home.program(&endpoint, &["doctor", "--profile", "keys"]);
        command.envs(bundle.map(|bundle| ("AWS_CA_BUNDLE", bundle)));
        let output = run(&mut command);
        let report = text(&output.stdout) + &text(&output.stderr);
        let mut lines = report.lines();
        let line = lines.find(|line| line.split_whitespace().nth(1) == Some("clock"));
        line.unwrap_or_else(|| panic!("{report}")).to_owned()
    };
    assert!(clock(None).contains("UnknownIssuer"), "{}", clock(None));
    let trusted = clock(Some("ca.pem"));
    assert!(!trusted.contains("UnknownIssuer"), "{trusted}");
}
