use deployment::template::Settings;

use super::*;

fn given(text: &str) -> Result<Settings, Failure> {
    settings(&toml::from_str(text).unwrap(), 512)
}

/// What is said of a mistake: message, cause and hints.
fn said(text: &str) -> String {
    let failure = given(text).unwrap_err();
    let cause = failure.cause.map(|cause| format!("; {cause}"));
    format!(
        "{}{}; {}",
        failure.message,
        cause.unwrap_or_default(),
        failure.hints.join("; ")
    )
}

#[test]
fn everything_that_can_be_set() {
    let settings = given(
        r#"
        health_path = "/healthz?full=1"
        health_codes = "200,204-299"
        stop_seconds = 60
        idle_seconds = 120
        command = ["serve", "--root", "/data"]
        user = "1000:1000"
        writable = ["/tmp", "/data/"]
        egress = [443, 5432]
        security_groups = ["sg-0123456789abcdef0"]
        environment = { RUST_LOG = "info", WORKERS = 4, VERBOSE = true }
        secrets = { DATABASE_URL = "/clock/database-url" }
        "#,
    )
    .unwrap();
    assert_eq!(settings.health_path.as_deref(), Some("/healthz?full=1"));
    assert_eq!(settings.url_path.as_deref(), Some("/"));
    assert_eq!(settings.health_codes.as_deref(), Some("200,204-299"));
    assert_eq!(
        (settings.stop_seconds, settings.idle_seconds),
        (Some(60), Some(120))
    );
    assert_eq!(settings.command.unwrap().len(), 3);
    assert_eq!(settings.user.as_deref(), Some("1000:1000"));
    assert_eq!(settings.writable, ["/tmp", "/data"]);
    assert_eq!(settings.writable_mib, 256);
    assert_eq!(settings.egress.into_iter().collect::<Vec<_>>(), [5432]);
    let variables: Vec<_> = settings.environment.into_iter().collect();
    let expected = [("RUST_LOG", "info"), ("VERBOSE", "true"), ("WORKERS", "4")];
    assert_eq!(
        variables,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert_eq!(
        settings.secrets["DATABASE_URL"].to_string(),
        "/clock/database-url"
    );
}

#[test]
fn nothing_set_is_nothing_rendered() {
    let template = deployment::template::BUILT_IN;
    let rendered = deployment::template::render(template, &given("").unwrap());
    assert_eq!(rendered.as_deref(), Ok(template));
}

#[test]
fn mistakes_are_named_with_what_is_allowed() {
    let mistakes = [
        "health_path = 'health'",
        "health_path = '/a b'",
        "health_codes = '200-'",
        "health_codes = '302,500'",
        "stop_seconds = 121",
        "idle_seconds = 0",
        "command = []",
        "user = 'a:b:c'",
        "user = '0:0'",
        "user = 'root'",
        "writable = ['tmp']",
        "writable = ['/']",
        "writable = ['/data/../etc']",
        "writable = ['/tmp', '/tmp/']",
        "egress = [5432]",
        "egress = [443, 0]",
        "security_groups = ['default']",
        "environment = { PORT = 80 }",
        "environment = { '1A' = 'x' }",
        "environment = { KEY = '{{resolve:ssm-secure:/key}}' }",
        "secrets = { DATABASE_URL = 'postgres://clock:hunter2@db/clock' }",
        "environment = { A = 'x' }\nsecrets = { A = '/a' }",
    ];
    let said: Vec<String> = mistakes
        .iter()
        .map(|text| format!("{text}\n    {}", said(text)))
        .collect();
    let said = said.join("\n");
    assert!(!said.replace(mistakes[20], "").contains("hunter2"));
    insta::assert_snapshot!(said);
}

#[test]
fn variables_that_look_like_secrets() {
    let settings = given(
        r#"
        [environment]
        JWT_SECRET = "x"
        DB = "postgres://clock:hunter2@db/clock"
        DB_USER = "postgres://clock@db/clock"
        RUST_LOG = "info"
        TOKENS_PER_MINUTE_FILE = ""
        "#,
    );
    assert_eq!(look_secret(&settings.unwrap()), ["DB", "JWT_SECRET"]);
}
