use std::path::Path;

use serde_json::Value as Json;
use test_support::schema::Comparison;
use toml::{Table, Value};

use super::super::{Files, Overrides, resolve};
use super::schema;
use crate::cli::Shared;
use crate::testing::schema::Validator;

/// What the schema accepts and the settings refuse, by the message: each compares two values, or
/// reads a file.
const BEYOND_A_SCHEMA: [&str; 12] = [
    "`max_tasks` cannot be",
    "`gate_minutes` under `[deployment]` cannot be",
    "`health_codes` cannot be `299-200`",
    "cannot read `299-200` as status codes",
    "is under `[service.environment]` and under `[service.secrets]`",
    "is not a target for tasks on",
    "`writable` names 2 folders, 1 different",
    "every environment needs its own",
    "`check.headers` cannot be used",
    // Of an environment and the rest of the file.
    "Fargate has no tasks with",
    "`check.max_skew` is about a clock",
    "missing field `cidr`",
];

/// Strings that are right for some setting, or nearly, between bars.
const TEXTS: &str = "\
    | |a|A-b|-a|1a|a b|ä|a\nb|\u{0}|x.y_z|a/b|app|root|root:x|0|00:1|1000|1000:1000|1:2:3|team|a~0|a\tb|\u{7f}|\
    123456789012|12345678901|/|//|/health|/a b|/a?b=c|/a#b|/ä|/tmp|/tmp/|/tmp//x|/./x|/.../x|/..|tmp|~|/a~1b|/a~2|\
    1s|0s|00s|5|500ms|1.5s|2m|2min|1h|168h|169h|604800s|604801s|604800000ms|604800001ms|10080min|10081m|007s|1d|14d|\
    200|0200|+200|99|499|500|600|200,204|200, 204|200-299|299-200|200-|{{resolve:ssm:x}}|\
    sg-01234567|sg-0123456789abcdef0|sg-0123456g|vpc-01234567|subnet-01234567|10.1.0.0/16|10.1.0.0/15|10.1.0.0/016|\
    10.1.0/16|10.01.0.0/16|10.1.0.256/16|X86_64|x86_64|ARM64|arm|amd64|AARCH64|musl|x86_64-unknown-linux-gnu|\
    x86_64-linux|aarch64-unknown-linux-musl|auto|native|Docker|docker|rolling|blue-green|blue_green|linear|canary|\
    clock|http|outside|target-health|/now|now|http://proxy.example:3128|https://proxy.example|http://|\
    proxy.example:3128|/clock/database-url|database-url|arn:aws:ssm:eu-west-1:123456789012:parameter/a|\
    arn:aws:ssm::123456789012:parameter/a|arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf|\
    arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf:key::|\
    arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf:key:|arn:aws:secretsmanager:eu-west-1:1:secret:a|\
    CAPABILITY_NAMED_IAM|CAPABILITY_IAM|PORT|IMAGE_DIGEST|DATABASE_URL|ImageUri|LogRetentionDays|aws:x|AWS:x|x-key|\
    x key|@no-such-file";

/// Reads a file as a run does, in each of its environments.
fn parse(file: &Table) -> Result<(), String> {
    let text = toml::to_string(file).unwrap();
    let shared = Shared {
        stack: Some("clock".to_owned()),
        timeout: "30m".to_owned(),
        ..Shared::default()
    };
    let environments = file.get("environments").and_then(Value::as_table);
    let names = environments.into_iter().flat_map(Table::keys);
    let names: Vec<_> = names.map(|name| Some(name.as_str())).collect();
    for name in if names.is_empty() { vec![None] } else { names } {
        let files = Files::parse(&text).map_err(|error| error.to_string())?;
        let file = files.select(name).map_err(|failure| failure.message)?;
        resolve(&shared, Overrides::default(), file, Path::new("/project"))
            .map_err(|failure| format!("{} {:?}", failure.message, failure.cause))?;
    }
    Ok(())
}

#[test]
fn every_value_of_every_setting_is_accepted_by_both_or_neither() {
    let schema = schema();
    let validator = Validator::new(&schema);
    let validate = |file: &Json| validator.validate(file);
    let texts: Vec<&str> = TEXTS.split('|').collect();
    let mut comparison = Comparison::new(&schema, &validate, &parse, &BEYOND_A_SCHEMA);
    comparison.compare_all(&texts, &|path| {
        let mut file = Table::new();
        // Its settings come together.
        if path.contains(&"network") {
            let network = "[service.network]\nvpc = 'vpc-01234567'\ncidr = '10.1.0.0/16'\n\
                public_subnets = ['subnet-01234567', 'subnet-76543210']\n";
            file = network.parse().unwrap();
        }
        let environment = vec!["environments".to_owned(), "x".to_owned()];
        vec![(file.clone(), Vec::new()), (file, environment)]
    });
    for two_values in [
        "[deployment]\ngate_minutes = 1980\nbake_minutes = 10",
        "stack = 'a'\n[environments.x]\nstack = 'a'",
        "[environments.x.check]\nkind = 'http'\nmax_skew = '1s'",
        "[environments.x.service.network]\nvpc = 'vpc-01234567'",
    ] {
        assert!(
            !comparison.compare(&two_values.parse().unwrap()),
            "{two_values}"
        );
    }
    comparison.assert_thorough(65, 5_000);
}

fn file(settings: impl IntoIterator<Item = (&'static str, Value)>, table: &str) -> Table {
    let settings: Table = settings
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    [(table.to_owned(), Value::Table(settings))]
        .into_iter()
        .collect()
}

#[test]
fn memory_goes_with_its_cpu_size() {
    let schema = schema();
    let validator = Validator::new(&schema);
    let validate = |file: &Json| validator.validate(file);
    let mut comparison = Comparison::new(&schema, &validate, &parse, &[]);
    for cpu in [
        None,
        Some(256),
        Some(512),
        Some(1024),
        Some(2048),
        Some(4096),
        Some(8192),
    ] {
        let memory = (0..=31).map(|gib| gib * 1024).chain([512, 1536, 2047]);
        for memory in memory.map(Some).chain([None]) {
            let sizes = [("cpu", cpu), ("memory", memory)].into_iter();
            let sizes = sizes.filter_map(|(key, value)| Some((key, Value::from(value?))));
            comparison.compare(&file(sizes, "service"));
        }
    }
    // With 256, which is the default, the default of the memory is right, too.
    assert_eq!(comparison.accepted(), 2 * (3 + 1) + 4 + 7 + 13 + 23);
}

#[test]
fn kinds_of_checks_are_told_apart() {
    let schema = schema();
    let validator = Validator::new(&schema);
    let validate = |file: &Json| validator.validate(file);
    let mut comparison = Comparison::new(&schema, &validate, &parse, &[]);
    let keys = [
        ("kind", Value::from("http")),
        ("kind", Value::from("clock")),
        ("max_skew", Value::from("2s")),
        ("field", Value::from("/time")),
        ("status", Value::from(204)),
        ("contains", Value::from("ok")),
    ];
    for choice in 0..1_u32 << keys.len() {
        let chosen = keys
            .iter()
            .enumerate()
            .filter(|(bit, _)| choice & 1 << bit != 0);
        comparison.compare(&file(chosen.map(|(_, key)| key.clone()), "check"));
    }
}

#[test]
fn files_of_the_repository_name_the_schema_and_match_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let schema = schema();
    let validator = Validator::new(&schema);
    let validate = |file: &Json| validator.validate(file);
    let mut comparison = Comparison::new(&schema, &validate, &parse, &[]);
    for folder in [
        ".",
        "examples/greeter",
        "examples/monitoring",
        "deployer/tests/services/rustypaste",
        "deployer/tests/services/simple-http-server",
        "deployer/tests/services/dufs",
        "deployer/tests/end_to_end/keeper",
        "deployer/tests/end_to_end/faulty",
    ] {
        let path = root.join(folder).join("deployer.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let named = text.lines().next().unwrap().strip_prefix("#:schema ");
        let named = path.parent().unwrap().join(named.expect(folder));
        assert_eq!(
            named.canonicalize().unwrap(),
            root.join("schemas/deployer.json")
        );
        assert!(comparison.compare(&text.parse().unwrap()), "{folder}");
    }
}
