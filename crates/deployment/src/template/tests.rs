use super::*;
use crate::stack::resource::resources_of;

const SMALL: &str = "\
Resources:
  Group:
    Path: /health  # deployer:health_path
    Codes: '200'
    Boundary:
      - IsBounded
      - !Sub 'arn:${AWS::Partition}:x'  # deployer:execution_boundary
    Environment:
      - {Name: PORT, Value: '1'}
      # deployer:environment
      # deployer:secrets
";

fn settings() -> Settings {
    Settings {
        health_path: Some("/".to_owned()),
        environment: [("A".to_owned(), "b: \"c\" # d\n\u{e9}".to_owned())].into(),
        secrets: [("KEY".to_owned(), "/clock/key".parse().unwrap())].into(),
        ..Settings::default()
    }
}

#[test]
fn values_are_replaced_and_lines_are_inserted() {
    insta::assert_snapshot!(render(SMALL, &settings()).unwrap(), @r#"
    Resources:
      Group:
        Path: "/"  # deployer:health_path
        Codes: '200'
        Boundary:
          - IsBounded
          - !Ref 'AWS::NoValue'  # deployer:execution_boundary
        Environment:
          - {Name: PORT, Value: '1'}
          # deployer:environment
          - {Name: "A", Value: "b: \"c\" # d\n\u00e9"}
          # deployer:secrets
          Secrets:
            - {Name: "KEY", ValueFrom: !Sub 'arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/clock/key'}
    "#);
}

#[test]
fn without_settings_a_template_stays_as_it_is() {
    for template in [SMALL, BUILT_IN, ""] {
        assert_eq!(
            render(template, &Settings::default()).as_deref(),
            Ok(template)
        );
    }
}

#[test]
fn a_setting_without_a_place_is_named() {
    let missing = render("Resources: {}\n", &settings()).unwrap_err();
    assert_eq!(missing.setting, "service.health_path");
    assert_eq!(missing.slot, "health_path");
}

#[test]
fn every_slot_of_the_built_in_template_is_filled_by_a_setting_and_the_other_way_round() {
    use std::collections::BTreeSet;
    let slots = full().slots();
    let filled: BTreeSet<&str> = slots.iter().map(|slot| slot.name).collect();
    let marked: BTreeSet<&str> = BUILT_IN
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(mark_of)
        .map(|mark| mark.trim_end_matches([' ', '{', '}']))
        .collect();
    assert_eq!(filled, marked);
}

/// Settings that fill every slot.
fn full() -> Settings {
    Settings {
        health_codes: Some("200-299".to_owned()),
        stop_seconds: Some(60),
        idle_seconds: Some(120),
        command: Some(vec!["serve".to_owned(), "--all".to_owned()]),
        release_command: Some(vec!["migrate".to_owned()]),
        user: Some("1000:1000".to_owned()),
        writable: vec!["/tmp".to_owned()],
        writable_mib: 256,
        egress: [5432].into(),
        security_groups: vec!["sg-0123456789abcdef0".to_owned()],
        permissions: Some("{\"Version\": \"2012-10-17\", \"Statement\": []}".to_owned()),
        url_path: Some("/".to_owned()),
        strategy: Strategy::Linear { step_percent: 25 },
        network: Some(Network {
            vpc: "vpc-0123456789abcdef0".to_owned(),
            cidr: "10.1.0.0/16".to_owned(),
            public_subnets: vec!["subnet-01234567".to_owned(), "subnet-12345678".to_owned()],
            task_subnets: vec!["subnet-23456789".to_owned()],
            public_addresses: false,
        }),
        ..settings()
    }
}

#[test]
fn what_is_rendered_is_yaml_in_ascii_within_the_limit() {
    let with_network = Settings {
        network: None,
        ..full()
    };
    let all = render(BUILT_IN, &with_network).unwrap();
    let with_comments = Settings {
        release_command: None,
        ..with_network
    };
    let rendered = render(BUILT_IN, &with_comments).unwrap();
    for text in [&all, &rendered] {
        assert!(text.is_ascii());
        assert!(text.len() < 51_200, "{}", text.len());
        for event in saphyr_parser::Parser::new_from_str(text) {
            event.unwrap();
        }
    }
    let declared = |text: &str| resources_of(text).len();
    assert!(declared(&all) == declared(&rendered) + 1);
    let comments = |text: &str| {
        text.lines()
            .filter(|line| line.trim_start().starts_with('#'))
            .count()
    };
    // Comments stay, but for the marks around what a setting removes.
    assert!(comments(&rendered) + 4 >= comments(BUILT_IN));
}

#[test]
fn secrets_are_named_by_arn_or_by_parameter() {
    let source = |text: &str| text.parse::<SecretSource>();
    let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:clock/db-AbCdEf";
    let secret = source(&format!("{arn}:url::")).unwrap();
    assert_eq!((secret.store(), secret.id()), (Store::SecretsManager, arn));
    assert_eq!(secret.resource(), format!("\"{arn}\""));
    assert_eq!(secret.value_from(), format!("\"{arn}:url::\""));
    assert_eq!(source(arn).unwrap().id(), arn);
    let parameter = "arn:aws-cn:ssm:cn-north-1:123456789012:parameter/clock/db";
    assert_eq!(source(parameter).unwrap().id(), parameter);
    let plain = source("db-url").unwrap();
    assert_eq!(plain.id(), "db-url");
    assert!(plain.resource().ends_with(":parameter/db-url'"));
    for wrong in [
        "",
        "/",
        "a b",
        "${AWS::Region}",
        "postgres://user:password@host/db",
        "arn:aws:s3:::bucket",
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:",
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:a:b",
        "arn:aws:secretsmanager:eu-central-1:1234:secret:a",
    ] {
        assert_eq!(source(wrong), Err(InvalidSecret), "{wrong}");
    }
}

#[test]
fn names_and_keys_of_secrets() {
    let of = |text: &str| {
        let source = text.parse::<SecretSource>().unwrap();
        (source.names(), source.json_key().map(str::to_owned))
    };
    let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:clock/db-a1B2c3";
    let both = vec!["clock/db-a1B2c3".to_owned(), "clock/db".to_owned()];
    assert_eq!(of(arn), (both.clone(), None));
    assert_eq!(
        of(&format!("{arn}:user::")),
        (both, Some("user".to_owned()))
    );
    let parameter = "arn:aws:ssm:eu-central-1:123456789012:parameter/clock/token";
    assert_eq!(of(parameter), (vec!["/clock/token".to_owned()], None));
    assert_eq!(of("/clock/token"), of(parameter));
    assert_eq!(of("token").0, ["/token", "token"]);
}
