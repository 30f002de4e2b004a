//! Calls that are made without an SDK crate: what is sent, its signature, and what is read from responses.

use std::fmt::{Debug, Write as _};

use chrono::DateTime;
use insta::assert_snapshot;
use sha2::{Digest as _, Sha256};

use super::{answering, http, recording};
use crate::Aws;
use crate::remote::{
    LogLine, LogPage, Logs as _, Remote, RemoteErrorKind, Roles as _, Rollouts as _, Secrets as _,
};
use deployment::names::{LoadBalancerArn, LogGroupName, LogStreamName, TargetGroupArn};
use deployment::rollout::{HealthCheck, Target};
use deployment::template::Store;

/// HMAC-SHA256 of a key of at most one block.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let padded = |with: u8| -> Vec<u8> {
        let key = key.iter().copied().chain(std::iter::repeat(0));
        key.take(64).map(|byte| byte ^ with).collect()
    };
    let inner = Sha256::new_with_prefix(padded(0x36)).chain_update(message);
    let outer = Sha256::new_with_prefix(padded(0x5c)).chain_update(inner.finalize());
    outer.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The key that signs for this scope (`DATE/REGION/SERVICE/aws4_request`).
fn signing_key(secret: &str, scope: &str) -> Vec<u8> {
    let secret = format!("AWS4{secret}").into_bytes();
    scope
        .split('/')
        .fold(secret, |key, part| hmac(&key, part.as_bytes()).to_vec())
}

/// The example of AWS's documentation for Signature Version 4.
#[test]
fn the_signing_key_of_the_documented_example() {
    let key = signing_key(
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "20150830/us-east-1/iam/aws4_request",
    );
    assert_eq!(
        hex(&key),
        "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
    );
}

/// Computes the signature of a request again, from what was sent, and compares.
fn check_signature(request: &str, service: &str) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let header = |name: &str| {
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let mut values = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        let (_, value) = values.next().unwrap_or_else(|| panic!("no {name}: {head}"));
        value.trim().to_owned()
    };
    let authorization = header("authorization");
    let part = |name: &str| {
        let (_, rest) = authorization.split_once(&format!("{name}=")).unwrap();
        rest.split(',').next().unwrap().to_owned()
    };
    let credential = part("Credential");
    let (_, scope) = credential.split_once('/').unwrap();
    let time = header("x-amz-date");
    let expected = format!("{}/us-east-1/{service}/aws4_request", &time[..8]);
    assert_eq!(scope, expected);
    let signed = part("SignedHeaders");
    assert!(signed.contains("host;x-amz-date"), "{signed}");
    let mut canonical = "POST\n/\n\n".to_owned();
    for name in signed.split(';') {
        writeln!(canonical, "{name}:{}", header(name)).unwrap();
    }
    write!(canonical, "\n{signed}\n{}", hex(&Sha256::digest(body))).unwrap();
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
        hex(&Sha256::digest(canonical))
    );
    let signature = hmac(&signing_key("test", scope), to_sign.as_bytes());
    assert_eq!(part("Signature"), hex(&signature));
}

/// Makes a call, checks what was sent for its signature, and returns it: operation and body.
macro_rules! sent {
    ($service:literal, $aws:ident => $call:expr) => {{
        let ($aws, requests) = recording(http("500 Internal Server Error", "")).await;
        assert!($call.await.is_err());
        let requests = requests.lock().unwrap();
        let [request] = requests.as_slice() else {
            panic!("not one request: {requests:?}");
        };
        check_signature(request, $service);
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let mut of_protocol: Vec<&str> = head
            .lines()
            .filter(|line| line.starts_with("content-type:") || line.starts_with("x-amz-target:"))
            .collect();
        of_protocol.sort_unstable();
        format!(
            "{}\n{}\n{body}\n",
            head.lines().next().unwrap(),
            of_protocol.join("\n")
        )
    }};
}

#[tokio::test]
async fn requests_are_signed_and_in_the_form_of_the_service() {
    let name = "a b&c=ü";
    let sent = [
        sent!("iam", aws => aws.role_exists(name)),
        sent!("iam", aws => aws.make_service_linked_role("ecs.amazonaws.com")),
        sent!("elasticloadbalancing", aws => aws.targets(&TargetGroupArn::new("arn:aws:tg"))),
        sent!("elasticloadbalancing", aws => aws.health_check(&TargetGroupArn::new("arn:aws:tg"))),
        sent!("elasticloadbalancing", aws => aws.listener_rule("arn:aws:rule")),
        sent!("elasticloadbalancing", aws => aws.load_balancer_exists(&LoadBalancerArn::new("arn:aws:lb"))),
        sent!("logs", aws => aws.tail(&LogGroupName::new("/ecs/a\"b"), &LogStreamName::new("s"), 20)),
        sent!("logs", aws => aws.lines(&LogGroupName::new("g"), None, 1_700_000_000_000, None)),
        sent!("logs", aws => aws.lines(&LogGroupName::new("g"), None, 0, Some("token"))),
        sent!("logs", aws => aws.group_exists(&LogGroupName::new("g"))),
        sent!("secretsmanager", aws => aws.secret_exists(Store::SecretsManager, &["arn".to_owned()])),
        sent!("ssm", aws => aws.secret_exists(Store::ParameterStore, &["/a".to_owned(), "a".to_owned()])),
    ];
    assert_snapshot!(sent.join("\n"), @r#"
    POST / HTTP/1.1
    content-type: application/x-www-form-urlencoded
    Action=GetRole&Version=2010-05-08&RoleName=a+b%26c%3D%C3%BC

    POST / HTTP/1.1
    content-type: application/x-www-form-urlencoded
    Action=CreateServiceLinkedRole&Version=2010-05-08&AWSServiceName=ecs.amazonaws.com

    POST / HTTP/1.1
    content-type: application/x-www-form-urlencoded
    Action=DescribeTargetHealth&Version=2015-12-01&TargetGroupArn=arn%3Aaws%3Atg

    POST / HTTP/1.1
    content-type: application/x-www-form-urlencoded
    Action=DescribeTargetGroups&Version=2015-12-01&TargetGroupArns.member.1=arn%3Aaws%3Atg

    POST / HTTP/1.1
    content-type: application/x-www-form-urlencoded
    Action=DescribeRules&Version=2015-12-01&RuleArns.member.1=arn%3Aaws%3Arule

    POST / HTTP/1.1
    content-type: application/x-www-form-urlencoded
    Action=DescribeLoadBalancers&Version=2015-12-01&LoadBalancerArns.member.1=arn%3Aaws%3Alb

    POST / HTTP/1.1
    content-type: application/x-amz-json-1.1
    x-amz-target: Logs_20140328.GetLogEvents
    {"limit":20,"logGroupName":"/ecs/a\"b","logStreamName":"s","startFromHead":false}

    POST / HTTP/1.1
    content-type: application/x-amz-json-1.1
    x-amz-target: Logs_20140328.FilterLogEvents
    {"logGroupName":"g","startTime":1700000000000}

    POST / HTTP/1.1
    content-type: application/x-amz-json-1.1
    x-amz-target: Logs_20140328.FilterLogEvents
    {"logGroupName":"g","nextToken":"token","startTime":0}

    POST / HTTP/1.1
    content-type: application/x-amz-json-1.1
    x-amz-target: Logs_20140328.DescribeLogGroups
    {"logGroupNamePrefix":"g"}

    POST / HTTP/1.1
    content-type: application/x-amz-json-1.1
    x-amz-target: secretsmanager.DescribeSecret
    {"SecretId":"arn"}

    POST / HTTP/1.1
    content-type: application/x-amz-json-1.1
    x-amz-target: AmazonSSM.DescribeParameters
    {"ParameterFilters":[{"Key":"Name","Option":"Equals","Values":["/a","a"]}]}
    "#);
}

async fn answered(body: &str) -> Aws {
    answering(http("200 OK", body)).await
}

#[tokio::test]
async fn responses_of_the_load_balancer_are_read() {
    let aws = answered(
        r#"<?xml version="1.0"?>
        <DescribeTargetHealthResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/">
          <DescribeTargetHealthResult>
            <TargetHealthDescriptions>
              <member>
                <HealthCheckPort>8080</HealthCheckPort>
                <TargetHealth>
                  <State>unhealthy</State>
                  <Reason>Target.ResponseCodeMismatch</Reason>
                  <Description>Health checks failed with these codes: [503] &amp; more</Description>
                </TargetHealth>
                <Target><Port>8080</Port><Id>10.0.0.5</Id><AvailabilityZone>z</AvailabilityZone></Target>
              </member>
              <member><Target><Id>10.0.0.6</Id></Target></member>
            </TargetHealthDescriptions>
          </DescribeTargetHealthResult>
          <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>
        </DescribeTargetHealthResponse>"#,
    )
    .await;
    let target = |id: &str, state: &str| Target {
        id: id.to_owned(),
        state: state.into(),
        reason: None,
        description: None,
    };
    let ill = Target {
        reason: Some("Target.ResponseCodeMismatch".to_owned()),
        description: Some("Health checks failed with these codes: [503] & more".to_owned()),
        ..target("10.0.0.5", "unhealthy")
    };
    assert_eq!(
        aws.targets(&TargetGroupArn::new("arn")).await.unwrap(),
        [ill, target("10.0.0.6", "unknown")]
    );

    let empty = "<DescribeTargetHealthResponse><DescribeTargetHealthResult>\
        <TargetHealthDescriptions/></DescribeTargetHealthResult></DescribeTargetHealthResponse>";
    let none = answered(empty)
        .await
        .targets(&TargetGroupArn::new("arn"))
        .await
        .unwrap();
    assert_eq!(none, []);

    let aws = answered(
        "<DescribeTargetGroupsResponse><DescribeTargetGroupsResult><TargetGroups><member>\
        <HealthCheckPath>/healthz</HealthCheckPath><Matcher><HttpCode>200-299</HttpCode></Matcher>\
        <HealthCheckTimeoutSeconds>5</HealthCheckTimeoutSeconds><LoadBalancerArns><member>a</member>\
        </LoadBalancerArns></member></TargetGroups></DescribeTargetGroupsResult>\
        </DescribeTargetGroupsResponse>",
    )
    .await;
    let expected = HealthCheck {
        path: "/healthz".to_owned(),
        codes: "200-299".to_owned(),
        timeout_seconds: 5,
    };
    assert_eq!(
        aws.health_check(&TargetGroupArn::new("arn")).await.unwrap(),
        Some(expected)
    );

    let aws = answered(
        "<DescribeLoadBalancersResponse><DescribeLoadBalancersResult><LoadBalancers><member>\
        <LoadBalancerArn>a</LoadBalancerArn><State><Code>active</Code></State></member>\
        </LoadBalancers></DescribeLoadBalancersResult></DescribeLoadBalancersResponse>",
    )
    .await;
    assert!(
        aws.load_balancer_exists(&LoadBalancerArn::new("arn"))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn listener_rules_are_read() {
    let rule = |conditions: &str, actions: &str| {
        format!(
            "<DescribeRulesResponse><DescribeRulesResult><Rules><member><RuleArn>arn</RuleArn>\
            <Priority>1</Priority><Conditions>{conditions}</Conditions><Actions>{actions}</Actions>\
            <IsDefault>false</IsDefault></member></Rules></DescribeRulesResult></DescribeRulesResponse>"
        )
    };
    let gate = rule(
        "<member><Field>http-header</Field><HttpHeaderConfig><HttpHeaderName>x-gate</HttpHeaderName>\
        <Values><member>0123</member><member>4567</member></Values></HttpHeaderConfig></member>",
        "<member><Type>forward</Type><ForwardConfig><TargetGroups><member><TargetGroupArn>a</TargetGroupArn>\
        <Weight>100</Weight></member><member><TargetGroupArn>b</TargetGroupArn><Weight>0</Weight></member>\
        </TargetGroups><TargetGroupStickinessConfig><Enabled>false</Enabled></TargetGroupStickinessConfig>\
        </ForwardConfig></member>",
    );
    let pattern = "<member><Field>path-pattern</Field><Values><member>*</member></Values>\
        <PathPatternConfig><Values><member>*</member></Values></PathPatternConfig></member>";
    let group = |name: &str, weight| (TargetGroupArn::new(name), weight);
    let one = "<member><Type>forward</Type><TargetGroupArn>a</TargetGroupArn></member>";
    let fixed = "<member><Type>fixed-response</Type></member>";
    for (response, condition, groups) in [
        (
            gate,
            "x-gate: 0123, 4567",
            vec![group("a", 100), group("b", 0)],
        ),
        (rule(pattern, one), "path-pattern: *", vec![group("a", 1)]),
        (rule(pattern, fixed), "path-pattern: *", vec![]),
    ] {
        let found = answered(&response)
            .await
            .listener_rule("arn")
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (found.conditions, found.groups),
            (vec![condition.to_owned()], groups)
        );
    }
    let gone = http(
        "400 Bad Request",
        "<ErrorResponse><Error><Type>Sender</Type><Code>RuleNotFound</Code><Message>no</Message></Error></ErrorResponse>",
    );
    assert_eq!(
        answering(gone).await.listener_rule("arn").await.unwrap(),
        None
    );
}

#[tokio::test]
async fn responses_of_the_logs_are_read() {
    let events = r#"{"events": [
        {"eventId": "1", "timestamp": 1700000000123, "logStreamName": "s", "message": "ü\n",
         "ingestionTime": 1700000000999},
        {"message": "no more than this"}
    ], "nextToken": "more", "searchedLogStreams": []}"#;
    let aws = answered(events).await;
    let line = |id: &str, at: i64, stream: &str, message: &str| LogLine {
        id: id.to_owned(),
        at: DateTime::from_timestamp_millis(at).unwrap(),
        stream: stream.to_owned(),
        message: message.to_owned(),
    };
    let expected = LogPage {
        lines: vec![
            line("1", 1_700_000_000_123, "s", "ü\n"),
            line("", 0, "", "no more than this"),
        ],
        next: Some("more".to_owned()),
    };
    assert_eq!(
        aws.lines(&LogGroupName::new("g"), None, 0, None)
            .await
            .unwrap(),
        expected
    );
    assert_eq!(
        aws.tail(&LogGroupName::new("g"), &LogStreamName::new("s"), 2)
            .await
            .unwrap(),
        ["ü\n", "no more than this"]
    );

    // The prefix of a name finds others, too.
    let aws = answered(r#"{"logGroups": [{"logGroupName": "clock-2", "storedBytes": 0}]}"#).await;
    assert!(!aws.group_exists(&LogGroupName::new("clock")).await.unwrap());
    assert!(
        aws.group_exists(&LogGroupName::new("clock-2"))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn responses_of_iam_are_read() {
    let role = "<GetRoleResponse><GetRoleResult><Role><RoleName>r</RoleName></Role>\
        </GetRoleResult></GetRoleResponse>";
    assert!(answered(role).await.role_exists("r").await.unwrap());
    let created = "<CreateServiceLinkedRoleResponse><CreateServiceLinkedRoleResult><Role/>\
        </CreateServiceLinkedRoleResult></CreateServiceLinkedRoleResponse>";
    let make = |aws: Aws| async move { aws.make_service_linked_role("ecs.amazonaws.com").await };
    assert!(make(answered(created).await).await.unwrap());

    let refused = |code: &str, message: &str| {
        let body = format!(
            "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error>\
            <Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
            <RequestId>1</RequestId></ErrorResponse>"
        );
        http("400 Bad Request", &body)
    };
    let aws = answering(refused("NoSuchEntity", "there is none")).await;
    assert!(!aws.role_exists("r").await.unwrap());
    let taken = "Service role name AWSServiceRoleForECS has been taken in this account";
    let aws = answering(refused("InvalidInput", taken)).await;
    assert!(!make(aws).await.unwrap());
}

fn refusal<T: Debug>(answer: Remote<T>) -> String {
    let error = answer.unwrap_err();
    format!(
        "{:?}, {:?}, {}, {:?}",
        error.kind, error.code, error.message, error.request_id
    )
}

#[tokio::test]
async fn refusals_keep_code_message_and_request() {
    let with = |headers: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 400 Bad Request\r\ncontent-length: {length}\r\n{headers}connection: close\r\n\r\n{body}"
        )
    };
    let id = "x-amzn-requestid: 0ad-1\r\n";
    let xml = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
        <Message>a &lt;b&gt;</Message></Error></ErrorResponse>";
    let mut seen = String::new();
    let aws = answering(with(id, xml)).await;
    writeln!(
        seen,
        "{}",
        refusal(aws.targets(&TargetGroupArn::new("arn")).await)
    )
    .unwrap();
    for (headers, body) in [
        (
            "",
            r#"{"__type": "com.amazon#ThrottlingException", "message": "Rate exceeded"}"#,
        ),
        (
            "",
            r#"{"code": "AccessDeniedException", "Message": "no", "message": "no"}"#,
        ),
        (
            "x-amzn-errortype: InvalidParameterException:http://x/\r\n",
            "{}",
        ),
        ("", "{"),
    ] {
        let aws = answering(with(&format!("{id}{headers}"), body)).await;
        writeln!(
            seen,
            "{}",
            refusal(aws.lines(&LogGroupName::new("g"), None, 0, None).await)
        )
        .unwrap();
    }
    // A success that cannot be read keeps the request, too.
    let odd = with(id, r#"{"events": 3}"#).replace("400 Bad Request", "200 OK");
    let aws = answering(odd).await;
    writeln!(
        seen,
        "{}",
        refusal(aws.lines(&LogGroupName::new("g"), None, 0, None).await)
    )
    .unwrap();
    assert_snapshot!(seen, @r#"
    Denied, Some("AccessDenied"), a <b>, Some("0ad-1")
    Throttled, Some("ThrottlingException"), Rate exceeded, Some("0ad-1")
    Denied, Some("AccessDeniedException"), no, Some("0ad-1")
    Refused, Some("InvalidParameterException"), HTTP status 400, Some("0ad-1")
    Unreachable, None, HTTP status 400, Some("0ad-1")
    Unreachable, None, response error: invalid type: integer `3`, expected a sequence at line 1 column 12, Some("0ad-1")
    "#);

    // What does not exist is no error where that is asked.
    let gone = r#"{"__type": "ResourceNotFoundException", "message": "no such stream"}"#;
    let aws = answering(with("", gone)).await;
    assert_eq!(
        aws.tail(&LogGroupName::new("g"), &LogStreamName::new("s"), 1)
            .await
            .unwrap(),
        Vec::<String>::new()
    );
    let error = aws
        .lines(&LogGroupName::new("g"), None, 0, None)
        .await
        .unwrap_err();
    assert_eq!(error.kind, RemoteErrorKind::NotFound);
}

#[tokio::test]
async fn responses_about_secrets_are_read() {
    let exists = |aws: Aws, store| async move { aws.secret_exists(store, &["a".to_owned()]).await };
    let (secrets, parameters) = (Store::SecretsManager, Store::ParameterStore);
    let secret = answered(r#"{"ARN":"arn","Name":"a"}"#).await;
    assert!(exists(secret, secrets).await.unwrap());
    let deleted = answered(r#"{"ARN":"arn","Name":"a","DeletedDate":1795341845.5}"#).await;
    assert!(!exists(deleted, secrets).await.unwrap());
    let gone = r#"{"__type":"ResourceNotFoundException","Message":"no"}"#;
    let gone = answering(http("400 Bad Request", gone)).await;
    assert!(!exists(gone, secrets).await.unwrap());
    let one = answered(r#"{"Parameters":[{"Name":"a"}]}"#).await;
    assert!(exists(one, parameters).await.unwrap());
    let none = answered(r#"{"Parameters":[]}"#).await;
    assert!(!exists(none, parameters).await.unwrap());
    for store in [secrets, parameters] {
        assert!(exists(answered("{}").await, store).await.is_err());
    }
}
