use super::*;
use crate::cli::ImageOptions;
use aws::access::Pace;

const MINIMAL: &str = "stack = \"clock\"\n";

fn shared() -> Shared {
    Shared {
        timeout: "30m".to_owned(),
        ..Shared::default()
    }
}

fn service_options() -> ServiceOptions {
    ServiceOptions {
        image_options: ImageOptions {
            architecture: Some("X86_64".to_owned()),
            builder: None,
        },
        ..ServiceOptions::default()
    }
}

fn resolved(
    shared: &Shared,
    service_options: &ServiceOptions,
    text: &str,
) -> Result<Config, Failure> {
    let files = Files::parse(text).unwrap();
    let file = files.select(shared.environment()).unwrap();
    let root = Path::new("/project");
    let overrides = Overrides {
        service: service_options.clone(),
        ..Overrides::default()
    };
    resolve(shared, overrides, file, root)
}

#[test]
fn defaults() {
    let config = resolved(&shared(), &service_options(), MINIMAL).unwrap();
    assert_eq!(config.template, TemplateSource::BuiltIn);
    assert_eq!(config.image.dockerfile, Path::new("/project/Dockerfile"));
    // Cargo says which program it is.
    assert_eq!(config.image.package, None);
    assert_eq!(config.program_name(), "clock");
    assert!(config.image.is_built());
    assert_eq!(config.parameters["DesiredCount"], "2");
    assert_eq!(config.parameters["ContainerPort"], "8080");
    assert_eq!(config.parameters["CpuArchitecture"], "X86_64");
    assert_eq!(config.access.endpoint_url, None);
    assert_eq!(config.access.pace, Pace::REMOTE);
    assert_eq!(config.timeout, Duration::from_mins(30));
}

#[test]
fn a_program_may_be_given_more_time_to_start() {
    let usual = resolved(&shared(), &service_options(), MINIMAL).unwrap();
    assert_eq!(usual.parameters.get("StartSeconds"), None);
    assert_eq!(usual.start_seconds(), 20);
    let text = |seconds| format!("{MINIMAL}[service]\nstart_seconds = {seconds}\n");
    let slow = resolved(&shared(), &service_options(), &text(120)).unwrap();
    assert_eq!(slow.parameters["StartSeconds"], "120");
    assert_eq!(slow.start_seconds(), 120);
    let local = Shared {
        local: true,
        ..shared()
    };
    // Times are a fifth there.
    let here = resolved(&local, &service_options(), &text(120)).unwrap();
    assert_eq!(here.start_seconds(), 24);
    let failure = resolved(&shared(), &service_options(), &text(3601)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Preflight);
}

#[test]
fn flags_override_the_file() {
    let text = "stack = \"clock\"\nregion = \"eu-west-1\"\nprofile = \"p\"\n[service]\ntasks = 3\ncpu = 512\nmemory = 1024\n";
    let from_file = resolved(&shared(), &self::service_options(), text).unwrap();
    assert_eq!(from_file.access.region.as_deref(), Some("eu-west-1"));
    assert_eq!(from_file.parameters["DesiredCount"], "3");
    let flags = Shared {
        region: Some("eu-north-1".to_owned()),
        stack: Some("other".to_owned()),
        ..shared()
    };
    let service_options = ServiceOptions {
        tasks: Some(4),
        ..self::service_options()
    };
    let from_flags = resolved(&flags, &service_options, text).unwrap();
    assert_eq!(from_flags.access.region.as_deref(), Some("eu-north-1"));
    assert_eq!(from_flags.stack.as_str(), "other");
    assert_eq!(from_flags.parameters["DesiredCount"], "4");
    assert_eq!(from_flags.parameters["Cpu"], "512");
}

#[test]
fn local_presets_four_settings_and_each_can_be_overridden() {
    let local = Shared {
        local: true,
        region: Some("eu-west-1".to_owned()),
        ..shared()
    };
    let access = resolved(&local, &service_options(), MINIMAL)
        .unwrap()
        .access;
    assert_eq!(
        access.endpoint_url.unwrap().as_str(),
        "http://127.0.0.1:4566/"
    );
    assert_eq!(access.registry.unwrap().to_string(), "localhost:4566");
    assert_eq!(access.connect_to.unwrap().to_string(), "127.0.0.1:4566");
    assert_eq!(access.region.as_deref(), Some("us-east-1"));

    let moved = Shared {
        endpoint_url: Some("http://127.0.0.1:4999".to_owned()),
        connect_to: Some("127.0.0.1:80".to_owned()),
        ..local
    };
    let access = resolved(&moved, &service_options(), MINIMAL)
        .unwrap()
        .access;
    assert_eq!(access.registry.unwrap().to_string(), "localhost:4999");
    assert_eq!(access.connect_to.unwrap().to_string(), "127.0.0.1:80");
}

#[test]
fn local_stays_on_this_machine() {
    for elsewhere in ["http://example.com:4566", "https://127.0.0.1:4566"] {
        let shared = Shared {
            local: true,
            endpoint_url: Some(elsewhere.to_owned()),
            ..shared()
        };
        let failure = resolved(&shared, &service_options(), MINIMAL).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Usage, "{elsewhere}");
    }
}

#[test]
fn only_pairs_that_fargate_offers() {
    for (cpu, memory, offered) in [
        (256, 512, true),
        (256, 1024, true),
        (256, 1536, false),
        (256, 2048, true),
        (256, 4096, false),
        (512, 512, false),
        (512, 3072, true),
        (1024, 512, false),
        (1024, 2048, true),
        (1024, 2500, false),
        (4096, 30720, true),
        (300, 512, false),
    ] {
        assert_eq!(
            parameters::fargate_pair(cpu, memory).is_ok(),
            offered,
            "{cpu} {memory}"
        );
    }
}

#[test]
fn where_the_profile_is_named() {
    use aws::access::ProfileSource as S;
    let some = |text: &str| Some(text.to_owned());
    let file = "stack = \"clock\"\nprofile = \"file\"\n";
    for (flag, variable, key, expected) in [
        (
            some("flag"),
            some("variable"),
            some("AKIA"),
            ("flag", S::Flag),
        ),
        // As a flag, it is one also where the environment says the same.
        (some("both"), some("both"), some("AKIA"), ("both", S::Flag)),
        (None, some("variable"), None, ("variable", S::Environment)),
        (
            None,
            some("variable"),
            some("AKIA"),
            ("variable", S::BehindKeys),
        ),
        (None, None, some("AKIA"), ("file", S::File)),
    ] {
        let shared = Shared {
            profile: flag,
            default_profile: variable,
            environment_key: key,
            ..shared()
        };
        let access = resolved(&shared, &service_options(), file).unwrap().access;
        let found = (access.profile.as_deref().unwrap(), access.profile_source);
        assert_eq!(found, expected);
    }
    let shared = |newer: &str| Shared {
        default_profile: Some(newer.to_owned()),
        older_profile: some("older"),
        ..shared()
    };
    for (newer, expected) in [("newer", "newer"), ("", "older")] {
        let access = resolved(&shared(newer), &service_options(), file)
            .unwrap()
            .access;
        assert_eq!(access.profile.as_deref(), Some(expected));
    }
}

#[test]
fn empty_variables_are_none() {
    let empty = || Some(String::new());
    let shared = Shared {
        region: empty(),
        default_profile: empty(),
        older_profile: empty(),
        environment_key: empty(),
        endpoint_url: empty(),
        stack: empty(),
        registry: empty(),
        ..shared()
    };
    let text = "stack = \"clock\"\nregion = \"eu-west-1\"\n";
    let config = resolved(&shared, &service_options(), text).unwrap();
    assert_eq!(config.access.region.as_deref(), Some("eu-west-1"));
    assert_eq!(config.access.profile, None);
    assert_eq!(config.access.endpoint_url, None);
}

#[test]
fn local_leaves_out_what_the_emulator_does_not_know() {
    let local = Shared {
        local: true,
        ..shared()
    };
    let text = "stack = \"clock\"\n[service]\nmax_tasks = 8\n";
    let remote = resolved(&shared(), &service_options(), text).unwrap();
    assert_eq!(remote.left_out, Vec::<&str>::new());
    assert_eq!(remote.parameters["MaxCount"], "8");
    let config = resolved(&local, &service_options(), text).unwrap();
    assert_eq!(config.left_out, ["more tasks under load"]);
    assert!(!config.parameters.contains_key("MaxCount"));
    // Where it would do nothing, there is nothing to be told.
    let text = "stack = \"clock\"\n[service]\nmax_tasks = 2\n";
    let config = resolved(&local, &service_options(), text).unwrap();
    assert_eq!(config.left_out, Vec::<&str>::new());
}

#[test]
fn parameters_on_the_command_line() {
    let with = |parameters: &[&str]| ServiceOptions {
        parameters: parameters.iter().map(ToString::to_string).collect(),
        ..service_options()
    };
    let text = "stack = \"clock\"\n[parameters]\nNetwork = \"public\"\n";
    let given = with(&["Network=private", "AlarmEmail=a=b@example.com"]);
    let config = resolved(&shared(), &given, text).unwrap();
    assert_eq!(config.parameters["Network"], "private");
    assert_eq!(config.parameters["AlarmEmail"], "a=b@example.com");
    let failure = resolved(&shared(), &with(&["Network"]), text).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Usage);
    let by_hand = with(&["ReviewerPassword=correct horse"]);
    let failure = resolved(&shared(), &by_hand, text).unwrap_err();
    assert!(failure.message.contains("ReviewerPassword"), "{failure:?}");
    assert!(!format!("{failure:?}").contains("correct horse"));
}

#[test]
fn as_many_tasks_under_load_as_there_may_be() {
    for (tasks, most, fits) in [(2, 1, false), (2, 2, true), (3, 50, true), (2, 51, false)] {
        let text = format!("{MINIMAL}[service]\ntasks = {tasks}\nmax_tasks = {most}\n");
        let config = resolved(&shared(), &service_options(), &text);
        assert_eq!(config.is_ok(), fits, "{tasks} to {most}");
    }
}

#[test]
fn mistakes_are_named() {
    let unknown = Files::parse("stack = \"clock\"\n[service]\ntask = 2\n")
        .unwrap_err()
        .to_string();
    assert!(unknown.contains("unknown field `task`"), "{unknown}");
    assert!(unknown.contains("line 3"), "{unknown}");
    let failure = resolved(&shared(), &service_options(), "").unwrap_err();
    assert_eq!(failure.message, "no stack name is set");
    let failure = resolved(
        &shared(),
        &service_options(),
        "stack = \"clock\"\n[service]\ntasks = 0\n",
    )
    .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Preflight);
    let failure = resolved(
        &shared(),
        &service_options(),
        "stack = \"clock\"\n[parameters]\nImageUri = \"x\"\n",
    )
    .unwrap_err();
    assert!(failure.message.contains("ImageUri"));
    let bad = Shared {
        timeout: "soon".to_owned(),
        ..shared()
    };
    assert_eq!(
        resolved(&bad, &service_options(), MINIMAL)
            .unwrap_err()
            .kind,
        FailureKind::Usage
    );
}

#[test]
fn our_own_files_agree() {
    let template = include_str!("../../../infra/service.yaml");
    let parameters = template.split("\nConditions:").next().unwrap();
    let config = resolved(
        &shared(),
        &service_options(),
        include_str!("../../../deployer.toml"),
    )
    .unwrap();
    for name in config
        .parameters
        .keys()
        .map(String::as_str)
        .chain(["ImageUri"])
    {
        assert!(
            parameters.contains(&format!("\n  {name}:\n")),
            "{name} is not in the template"
        );
    }
    assert!(template.len() <= 51_200);
}

#[test]
fn template_parameters_of_every_type_become_text() {
    let text = "stack = \"clock\"\n[parameters]\nLogRetentionDays = 14\nVpcCidr = \"10.1.0.0/24\"\nFlag = true\n";
    let config = resolved(&shared(), &service_options(), text).unwrap();
    assert_eq!(config.parameters["LogRetentionDays"], "14");
    assert_eq!(config.parameters["VpcCidr"], "10.1.0.0/24");
    assert_eq!(config.parameters["Flag"], "true");
}

#[test]
fn what_cargo_would_take_for_a_flag_is_no_name() {
    for key in ["package", "binary"] {
        let resolved = |name: &str| {
            let text = format!("{MINIMAL}[image]\n{key} = {name:?}\n");
            resolved(&shared(), &service_options(), &text)
        };
        for good in ["app", "my-app_2", "_app", "app.v2", "日本"] {
            assert!(resolved(good).is_ok(), "{good}");
        }
        for bad in ["--config", "-v", "", "a b", "../app", "a*", "a\nb", "app@1"] {
            let failure = resolved(bad).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Preflight, "{bad}");
            assert!(failure.message.contains(key), "{}", failure.message);
        }
    }
}

#[test]
fn the_build_gets_the_secrets_that_are_listed() {
    let text = format!("{MINIMAL}[image]\nbuild_environment = [\"AWS_*\", \"DATABASE_URL\"]\n");
    let config = resolved(&shared(), &service_options(), &text).unwrap();
    assert_eq!(config.image.build_environment, ["AWS_*", "DATABASE_URL"]);
}

#[test]
fn only_the_registry_of_aws_or_the_emulator_is_logged_in_to() {
    let logs_in = |endpoint_url: Option<&str>, registry: Option<&str>| {
        let shared = Shared {
            endpoint_url: endpoint_url.map(str::to_owned),
            registry: registry.map(str::to_owned),
            ..shared()
        };
        let access = resolved(&shared, &service_options(), MINIMAL)
            .unwrap()
            .access;
        access.logs_in_to_registry()
    };
    let emulator = Some("http://127.0.0.1:4566");
    assert!(logs_in(None, None));
    assert!(logs_in(emulator, None));
    assert!(logs_in(emulator, Some("localhost:4566")));
    assert!(logs_in(Some("http://[::1]:4566"), Some("127.0.0.1:4566")));
    assert!(logs_in(emulator, Some("localhost:5000")));
    assert!(!logs_in(emulator, Some("registry.example:4566")));
    assert!(!logs_in(emulator, Some("registry.example")));
    assert!(!logs_in(Some("https://aws.example"), Some("localhost:443")));
    assert!(!logs_in(None, Some("localhost:4566")));
}

#[test]
fn the_account_that_is_asked_for() {
    let text = "stack = \"clock\"\naccount = \"123456789012\"\n";
    let config = resolved(&shared(), &service_options(), text).unwrap();
    assert_eq!(config.account.as_deref(), Some("123456789012"));
    let asked = |account: &str| Shared {
        account: Some(account.to_owned()),
        ..shared()
    };
    let config = resolved(&asked("210987654321"), &service_options(), text).unwrap();
    assert_eq!(config.account.as_deref(), Some("210987654321"));
    // A variable that is set to nothing is not set.
    let config = resolved(&asked(""), &service_options(), text).unwrap();
    assert_eq!(config.account.as_deref(), Some("123456789012"));
    let failure = resolved(&asked("prod"), &service_options(), text).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Usage);
    let text = "stack = \"clock\"\naccount = \"1234\"\n";
    let failure = resolved(&shared(), &service_options(), text).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Preflight);
}

#[test]
fn tags_that_aws_takes() {
    let with = |tags: &str| {
        let text = format!("stack = \"clock\"\n[tags]\n{tags}\n");
        resolved(&shared(), &service_options(), &text)
    };
    let many = |count: usize| {
        let tags: Vec<String> = (0..count).map(|number| format!("k{number} = 1")).collect();
        tags.join("\n")
    };
    let config = with("team = \"blau – nein\"").map(|config| config.tags);
    assert!(config.is_err(), "a dash that is no letter");
    let config = with("team = \"Größe\"\n\"cost:center\" = 12").unwrap();
    assert_eq!(config.tags["team"], "Größe");
    assert_eq!(config.tags["cost:center"], "12");
    for bad in [
        "\"aws:x\" = \"1\"".to_owned(),
        "\"AWS:x\" = \"1\"".to_owned(),
        format!("{} = \"1\"", "k".repeat(129)),
        format!("k = \"{}\"", "v".repeat(257)),
        "\"\" = \"1\"".to_owned(),
        "k = \"a?b\"".to_owned(),
        many(51),
    ] {
        let failure = with(&bad).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Preflight, "{bad}");
    }
    assert_eq!(with(&many(50)).unwrap().tags.len(), 50);
}

#[test]
fn what_can_be_acknowledged() {
    let with = |names: &str| {
        let text = format!("stack = \"clock\"\ncapabilities = [{names}]\n");
        resolved(&shared(), &service_options(), &text)
    };
    let config = with("\"CAPABILITY_NAMED_IAM\"").unwrap();
    assert_eq!(config.capabilities, ["CAPABILITY_NAMED_IAM"]);
    assert!(with("\"CAPABILITY_EVERYTHING\"").is_err());
}

#[test]
fn what_is_built_and_for_what() {
    let with = |image: &str| {
        let text = format!("{MINIMAL}[image]\n{image}");
        resolved(&shared(), &service_options(), &text)
    };
    let image = with("target = \"x86_64-unknown-linux-gnu\"\nargs = { A = 1, B = \"b\" }")
        .unwrap()
        .image;
    assert_eq!(image.target.as_deref(), Some("x86_64-unknown-linux-gnu"));
    assert_eq!(image.args["A"], "1");
    for wrong in [
        "aarch64-unknown-linux-gnu",
        "x86_64-apple-darwin",
        "musl",
        "",
    ] {
        let failure = with(&format!("target = \"{wrong}\"")).unwrap_err();
        assert_eq!(failure.kind.exit_code(), 3, "{wrong}");
    }
    let image = with("uri = \"ghcr.io/example/app:1\"").unwrap().image;
    assert!(!image.is_built());
}

/// What `[check]` with these lines amounts to, or why not.
fn check_of(lines: &str) -> Result<CheckSettings, String> {
    let text = format!("{MINIMAL}[check]\n{lines}");
    let config = resolved(&shared(), &service_options(), &text);
    config.map(|config| config.check).map_err(|failure| {
        assert_eq!(failure.kind, FailureKind::Preflight);
        assert!(!failure.hints.is_empty(), "{failure:?}");
        failure.message
    })
}

#[test]
fn what_is_set_tells_the_kind_of_check() {
    use clock::Kind;
    for (lines, kind) in [
        ("", None),
        ("path = \"/x\"\nheaders = { X-Key = \"1\" }", None),
        ("kind = \"clock\"\ncontains = \"x\"", Some(Kind::Clock)),
        ("max_skew = \"2s\"", Some(Kind::Clock)),
        ("field = \"/data/time\"", Some(Kind::Clock)),
        ("date_header = true", Some(Kind::Clock)),
        ("status = 204", Some(Kind::Http)),
        ("contains = \"Welcome\"", Some(Kind::Http)),
        ("json = { \"/status\" = \"ok\" }", Some(Kind::Http)),
    ] {
        assert_eq!(check_of(lines).unwrap().kind, kind, "{lines}");
    }
    for (lines, message) in [
        (
            "kind = \"http\"\nmax_skew = \"1s\"",
            "`check.max_skew` is about a clock",
        ),
        (
            "status = 200\nfield = \"/x\"",
            "`check.field` is about a clock, and",
        ),
        ("path = \"x\"", "`check.path` cannot be used"),
        ("path = \"//evil.test/\"", "`check.path` cannot be used"),
        ("contains = \"\"", "`check.contains` cannot be used"),
        (
            "headers = { \"a b\" = \"1\" }",
            "`check.headers` cannot be used",
        ),
        (
            "headers = { A = \"@none\" }",
            "`check.headers` cannot be used",
        ),
    ] {
        let failure = check_of(lines).unwrap_err();
        assert!(failure.starts_with(message), "{lines}: {failure}");
    }
    for lines in ["kind = \"tcp\"", "status = \"2xx\"", "json = { \"~\" = 1 }"] {
        let text = format!("{MINIMAL}[check]\n{lines}");
        assert!(Files::parse(&text).is_err(), "{lines}");
    }
}

#[test]
fn a_check_is_told_in_a_line() {
    assert_eq!(check_of("max_skew = \"2s\"").unwrap().words(), None);
    let all = "path = \"/s\"\nstatus = \"200-204\"\ncontains = \"a\"\njson = { \"/up\" = true }\nheaders = { X-Key = \"secret\" }";
    assert_eq!(
        check_of(all).unwrap().words().unwrap(),
        "http at /s, status 200-204, contains `a`, /up = true, with X-Key"
    );
}
