//! A template with characters outside ASCII, behind an endpoint that returns `?` for them as CloudFormation does; and a secret, which
//! it does not return at all. What is restored is what was there before, and what is not is not said to be.

use std::collections::BTreeSet;

use tokio::net::{TcpListener, TcpStream};

use crate::copy::Copy;
use crate::outside::Outside;
use crate::request::{Answer, Request};
use crate::run::{CleanUp, Finished, Surroundings};
use crate::step;

const SETTINGS: &str = "deployer/tests/end_to_end/faulty/deployer.toml";
const DOCKERFILE: &str = "deployer/tests/end_to_end/faulty/Dockerfile";
const AUDITOR: &str = "arn:aws:iam::210987654321:role/auditor";

/// What the template says, in a value, in a comment and in a parameter.
const GREETING: &str = "GREETING=Grüße – 日本";
const VARIABLES: &str = "
            # Für alle, die es sehen – 日本
            - {Name: GREETING, Value: 'Grüße – 日本'}
            - {Name: MOTTO, Value: !Sub '${Motto}'}
            - {Name: API_KEY, Value: !Ref ApiKey}
";
const PARAMETERS: &str = "Parameters:
  Motto: {Type: String, Default: ''}
  ApiKey: {Type: String, NoEcho: true, Default: ''}
";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_restored_is_what_was_there() {
    let copy = Copy::of_the_project();
    let surroundings = Surroundings::new(&copy);
    let _clean_up = CleanUp(&surroundings);
    let outside = Outside::new(&surroundings);
    let template = copy.read("infra/service.yaml");
    let line = template
        .lines()
        .find(|line| line.contains("Name: IMAGE_DIGEST"));
    let line = format!("{}\n", line.expect("the variables of the task"));
    let template = template
        .replace(&line, &(line.clone() + VARIABLES.trim_start_matches('\n')))
        .replacen("Parameters:\n", PARAMETERS, 1);
    copy.write("infra/other.yaml", &template);

    let port = surroundings.port;
    let endpoint = mangling(port).await;
    let direct = surroundings
        .with_credentials()
        .with("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{endpoint}"))
        .with("DEPLOYER_CONFIG", &copy.path(SETTINGS))
        .with("DEPLOYER_TEMPLATE", &copy.path("infra/other.yaml"))
        .with("DEPLOYER_REGISTRY", &format!("localhost:{port}"))
        .with("DEPLOYER_CONNECT_TO", &format!("127.0.0.1:{port}"));
    let up = |fault: &str, key: &str| -> Finished {
        let text = copy.read(DOCKERFILE);
        let line = text.lines().find(|line| line.starts_with("ENV FAULT="));
        let line = line.expect("the line that names the fault");
        copy.write(
            DOCKERFILE,
            &text.replace(line, &format!("ENV FAULT={fault}")),
        );
        let key = format!("ApiKey={key}");
        direct.deployer(&[
            "up",
            "--verify-timeout",
            "6s",
            "--parameter",
            "Motto=Größe",
            "--parameter",
            &key,
        ])
    };
    let assert_variables = async |key: &str| {
        outside.wait_for_running_containers(2).await;
        let expected = [GREETING, "MOTTO=Größe", &format!("API_KEY={key}")];
        let expected: BTreeSet<String> = expected.map(str::to_owned).into();
        for variables in outside.variables().await {
            assert!(variables.is_superset(&expected), "{variables:?}");
        }
    };

    step("a version with other characters");
    surroundings
        .deployer(&[
            "up",
            "--local",
            "--config",
            SETTINGS,
            "--template",
            &copy.path("infra/other.yaml"),
            "--parameter",
            "Motto=Größe",
            "--parameter",
            "ApiKey=right",
        ])
        .succeeded();
    let first = outside.version().await;
    assert_variables("right").await;

    step("one that does not start: what was there before is restored");
    let failed = up("exits", "right");
    failed.failed_with(4, &["is restored and answers"]);
    assert!(!failed.stderr.contains("cannot be restored"));
    assert_eq!(outside.version().await, first);
    assert_variables("right").await;

    step("another version, and back");
    up("nothing", "right").succeeded();
    assert_ne!(outside.version().await, first);
    assert_variables("right").await;
    direct.deployer(&["rollback"]).succeeded();
    assert_eq!(outside.version().await, first);
    assert_variables("right").await;

    step("tags are added to those of others; another account is refused");
    let settings = copy.read(SETTINGS) + "[tags]\nteam = \"blue\"\n";
    copy.write(SETTINGS, &settings);
    up("none", "right").succeeded();
    let tags = outside.tags().await;
    assert_eq!(
        tags.get("team").map(String::as_str),
        Some("blue"),
        "{tags:?}"
    );
    direct
        .with("DEPLOYER_ACCOUNT", "123456789012")
        .deployer(&["down"])
        .failed_with(3, &["are of account 000000000000, not of 123456789012"]);
    assert_variables("right").await;

    step("access for a reviewer replaces no task");
    let containers = outside.containers().await;
    direct
        .deployer(&["reviewer", "grant", "--role", AUDITOR])
        .succeeded();
    assert_eq!(outside.containers().await, containers);
    assert_variables("right").await;

    step("a secret that was changed cannot be restored, and is named");
    let words = [
        "this could not be restored exactly: the parameter `ApiKey`",
        "--parameter ApiKey=VALUE",
    ];
    let failed = up("exits", "wrong");
    failed.failed_with(5, &words);
    assert!(
        failed
            .stderr
            .contains("this cannot be restored: the parameter `ApiKey`")
    );
    assert!(!failed.stderr.contains("is restored and"));
    assert_variables("wrong").await;

    step("and is restored as the hint says");
    up("none", "right").succeeded();
    assert_eq!(outside.version().await, first);
    assert_variables("right").await;
    assert_eq!(outside.tags().await, tags);
    surroundings.deployer(&["down", "--local"]).succeeded();
}

/// An endpoint before that of the emulator which returns `?` for characters outside ASCII; returns its port.
async fn mangling(emulator: u16) -> u16 {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("a bound address").port();
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(client.clone(), emulator, stream));
        }
    });
    port
}

async fn serve(client: reqwest::Client, emulator: u16, mut stream: TcpStream) {
    while let Some(request) = Request::read(&mut stream).await {
        let call = request.call().map(|(call, _)| call).unwrap_or_default();
        let method = request.method.parse().expect("a method");
        let url = format!("http://127.0.0.1:{emulator}{}", request.path);
        let mut forwarded = client.request(method, url).body(request.body.clone());
        for (name, value) in &request.headers {
            if !matches!(name.as_str(), "connection" | "content-length") {
                forwarded = forwarded.header(name, value);
            }
        }
        let answer = forwarded.send().await.expect("the emulator answers");
        let status = answer.status().as_u16();
        let kind = answer.headers().get("content-type");
        let kind = kind.and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or("text/xml").to_owned();
        let mut body = answer.text().await.expect("a text");
        if matches!(call.as_str(), "GetTemplate" | "DescribeStacks") {
            let shown = |sign: char| if sign.is_ascii() { sign } else { '?' };
            body = body.chars().map(shown).collect();
        }
        let answer = Answer::new(status, &kind, &body);
        if answer.write(&mut stream, &request.method).await.is_err() {
            return;
        }
    }
}
