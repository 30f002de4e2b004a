//! The rules hold for the template with settings of other services, too. `scripts/lint-template` lints what is written here.

use std::path::PathBuf;

use clap::Parser as _;
use deployer::commands::Cli;
use deployer::config::{self, Config};

use crate::{read, root, rules, text};

/// Alarms are on both target groups then, and one role moves traffic.
const GATED: [&str; 3] = [
    "missing tasks are noticed",
    "roles may little",
    "who is made is bounded",
];

/// Settings under `[service]`, and the rules that cannot hold with them: those about the numbers of our own program, and about what
/// a program without settings may do.
const MATRIX: [(&str, &str, &[&str]); 13] = [
    ("none", "", &[]),
    (
        "files",
        "health_path = '/healthz?full'\nhealth_codes = '200-299,404'\nwritable = ['/tmp', '/data']\nuser = 'nobody:nogroup'\n\
         command = ['serve', '--title', 'Gr\u{fc}\u{df}e: \u{1f600} \"#\" {{x}} ${y}']",
        &["the container can do little"],
    ),
    ("one task", "tasks = 1\nstart_seconds = 0\nport = 5000", &[]),
    (
        "slow",
        "stop_seconds = 120\nidle_seconds = 4000",
        &["connections outlive the load balancer's patience"],
    ),
    (
        "quick",
        "stop_seconds = 2",
        &["draining fits into stopping"],
    ),
    (
        "database",
        "egress = [443, 5432, 6379]\nsecurity_groups = ['sg-0123456789abcdef0', 'sg-01234567']\n\
         [service.secrets]\nDATABASE_URL = 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-AbCdEf:url::'\n\
         KEY = '/clock/key'\nOTHER = 'arn:aws:ssm:eu-central-1:123456789012:parameter/other'",
        &["the container can do little", "who is made is bounded"],
    ),
    (
        "environment",
        "[service.environment]\nA = ''\nB = ' '\nYES = true\nNUMBER = 0\nLINES = \"a\\nb\\t\\\"\"\n\
         MOTTO = 'Gr\u{fc}\u{df}e \u{2013} \u{65e5}\u{672c}'\nJSON = '{\"a\": [1, \"${b}\"]} # !Ref x'",
        &[],
    ),
    (
        "network",
        "[service.network]\nvpc = 'vpc-01234567'\ncidr = '10.1.0.0/16'\n\
         public_subnets = ['subnet-01234567', 'subnet-12345678']\ntask_subnets = ['subnet-23456789', 'subnet-3456789a']",
        // All zones and subnets are somebody else's.
        &[
            "zones stay",
            "two zones are used",
            "private tasks have no way out",
            "ways out are listed",
            "endpoints lead to what is ours",
        ],
    ),
    (
        "blue-green",
        "health_path = '/'\n[deployment]\nstrategy = 'blue-green'\nbake_minutes = 5",
        &GATED,
    ),
    (
        "linear",
        "[deployment]\nstrategy = 'linear'\nstep_percent = 20\nstep_minutes = 1",
        &GATED,
    ),
    (
        "release",
        "release_command = ['migrate', '--all', 'Gr\u{fc}\u{df}e: \"#\" ${y}']\nhealth_path = '/'",
        &[],
    ),
    (
        "release at a gate",
        "release_command = ['migrate']\n[service.network]\nvpc = 'vpc-01234567'\ncidr = '10.1.0.0/16'\n\
         public_subnets = ['subnet-01234567', 'subnet-12345678']\n[deployment]\nstrategy = 'canary'",
        &[
            "missing tasks are noticed",
            "roles may little",
            "who is made is bounded",
            "zones stay",
            "two zones are used",
            "private tasks have no way out",
            "ways out are listed",
            "endpoints lead to what is ours",
        ],
    ),
    (
        "permissions",
        "[service.permissions]\npolicy = 'deployer/tests/template/task-policy.json'",
        &["the container can do little", "who is made is bounded"],
    ),
];

fn settings(service: &str) -> Config {
    let cli = Cli::try_parse_from(["deployer", "up", "--architecture", "X86_64"]).unwrap();
    let file = format!("stack = 'clock'\n[service]\n{service}\n");
    let files = config::Files::parse(&file).unwrap();
    let file = files.select(None).unwrap();
    config::resolve(&cli.shared, config::Overrides::default(), file, &root()).unwrap()
}

#[test]
fn the_rules_hold_for_every_service() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("rendered");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, service, exceptions) in MATRIX {
        let rendered = deployer::template::rendered(&settings(service)).unwrap();
        assert!(rendered.is_ascii(), "{name}");
        assert!(rendered.len() < 51_200, "{name}: {} bytes", rendered.len());
        let mut template = read::template(&rendered);
        let resources = template["Resources"].as_object_mut().unwrap();
        // The second one is as the first.
        if let Some(other) = resources.remove("OtherTargetGroup") {
            assert_eq!(other, resources["TargetGroup"], "{name}");
        }
        for (rule, check) in rules::ALL {
            let broken = check(&template);
            let is_expected = exceptions.contains(&rule);
            assert!(
                broken.is_empty() || is_expected,
                "{name}: {rule}: {broken:#?}"
            );
        }
        if name == "none" {
            assert_eq!(rendered, text());
        }
        std::fs::write(
            folder.join(format!("{}.yaml", name.replace(' ', "-"))),
            rendered,
        )
        .unwrap();
    }
}

#[test]
fn values_arrive_as_they_were_set() {
    let template = |service: &str| {
        let rendered = deployer::template::rendered(&settings(service)).unwrap();
        read::template(&rendered)
    };
    let container = |service: &str| {
        let template = template(service);
        template["Resources"]["TaskDefinition"]["Properties"]["ContainerDefinitions"][0].clone()
    };
    let values = |service: &str| -> Vec<String> {
        let container = container(service);
        let variables = container["Environment"].as_array().unwrap().iter().skip(2);
        variables
            .map(|variable| variable["Value"].as_str().unwrap().to_owned())
            .collect()
    };
    let matrix = |name: &str| MATRIX.iter().find(|(found, ..)| *found == name).unwrap().1;
    assert_eq!(
        values(matrix("environment")),
        [
            "",
            " ",
            "{\"a\": [1, \"${b}\"]} # !Ref x",
            "a\nb\t\"",
            "Gr\u{fc}\u{df}e \u{2013} \u{65e5}\u{672c}",
            "0",
            "true"
        ]
    );
    let files = container(matrix("files"));
    assert_eq!(
        files["Command"][2],
        "Gr\u{fc}\u{df}e: \u{1f600} \"#\" {{x}} ${y}"
    );
    assert_eq!(files["User"], "nobody:nogroup");
    assert_eq!(
        files["LinuxParameters"]["Tmpfs"][1]["ContainerPath"],
        "/data"
    );
    assert_eq!(files["LinuxParameters"]["Tmpfs"][1]["Size"], 256);
    let group = &template(matrix("files"))["Resources"]["TargetGroup"]["Properties"];
    assert_eq!(group["HealthCheckPath"], "/healthz?full");
    assert_eq!(group["Matcher"]["HttpCode"], "200-299,404");
    let role = &template(matrix("permissions"))["Resources"]["TaskRole"]["Properties"];
    assert_eq!(
        role["Policies"][0]["PolicyDocument"]["Statement"][0]["Action"],
        "s3:GetObject"
    );
}
