//! Answers that are no answers, over HTTP: none may be taken for a fact.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::Aws;
use crate::access::{Access, AccessKey};
use crate::remote::{
    Account as _, Identity as _, Logs as _, Remote, RemoteErrorKind, Repositories as _,
    Rollouts as _, Stacks as _,
};
use deployment::names::{
    ChangeSetId, ClusterName, LoadBalancerArn, LogGroupName, LogStreamName, RepositoryName,
    RequestToken, ServiceName, StackId, StackName, TargetGroupArn, TaskDefinitionArn,
};

mod calls;

#[tokio::test]
async fn a_login_is_asked_for_in_the_region_of_the_registry() {
    let body = r#"{"authorizationData":[{"authorizationToken":"QVdTOnNlY3JldA=="}]}"#;
    let (aws, requests) = recording(http("200 OK", body)).await;
    for region in [None, Some("us-east-1"), Some("eu-west-1")] {
        assert_eq!(aws.login(region).await.unwrap().user, "AWS");
        let request = requests.lock().unwrap().pop().unwrap();
        let signed_for = format!("/{}/ecr/aws4_request", region.unwrap_or("us-east-1"));
        assert!(request.contains(&signed_for), "{request}");
    }
}

/// A service that gives the same answer to everything, bytes as they are; one request per connection.
async fn answering(answer: String) -> Aws {
    recording(answer).await.0
}

/// The same, and the requests that it has had.
async fn recording(answer: String) -> (Aws, Arc<Mutex<Vec<String>>>) {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&requests);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, record) = (answer.clone(), Arc::clone(&record));
            tokio::spawn(async move {
                // Requests of these tests are small; what was not read yet would reset the connection.
                let mut request = Vec::new();
                while !is_whole(&request) && stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
                let request = String::from_utf8(request).unwrap();
                keep(&request);
                record.lock().unwrap().push(request);
                stream.write_all(answer.as_bytes()).await.ok();
            });
        }
    });
    let access = Access {
        local: true,
        region: Some("us-east-1".to_owned()),
        endpoint_url: Some(format!("http://127.0.0.1:{port}").parse().unwrap()),
        ..Access::remote()
    };
    let key = AccessKey {
        id: "test".to_owned(),
        secret: "test".to_owned(),
    };
    (Aws::connect(&access, Some(key)).await.unwrap(), requests)
}

/// Appends a request to the file `AWS_REQUESTS`, for scripts/check-requests.py.
fn keep(request: &str) {
    let Some(path) = std::env::var_os("AWS_REQUESTS") else {
        return;
    };
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned())
    };
    let kept = serde_json::json!({
        "authorization": header("authorization"),
        "target": header("x-amz-target"),
        "body": body,
    });
    let mut file = std::fs::File::options();
    let mut file = file.append(true).create(true).open(path).unwrap();
    // One write, because tests run in parallel.
    std::io::Write::write_all(&mut file, format!("{kept}\n").as_bytes()).unwrap();
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn http(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// What each call makes of this answer, one line a call.
async fn made_of(answer: &str) -> Vec<(&'static str, Result<(), RemoteErrorKind>)> {
    fn kind<T>(answer: Remote<T>) -> Result<(), RemoteErrorKind> {
        answer.map(drop).map_err(|error| error.kind)
    }
    let aws = answering(answer.to_owned()).await;
    let stack = "arn:aws:cloudformation:us-east-1:0:stack/clock/1"
        .parse::<StackId>()
        .unwrap();
    let wanted = deployment::stack::request::Wanted {
        template: deployment::stack::request::Template::Text("{}".to_owned()),
        ..deployment::stack::request::Wanted::default()
    };
    let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
        .parse()
        .unwrap();
    let name: StackName = "clock".parse().unwrap();
    let token = RequestToken::new("t");
    let set = ChangeSetId::new("set");
    let repository = RepositoryName::new("r");
    let (cluster, service) = (ClusterName::new("c"), ServiceName::new("s"));
    let group = LogGroupName::new("g");
    vec![
        ("observe", kind(aws.observe((&name).into()).await)),
        ("events", kind(aws.events(&stack, 0).await)),
        ("newest_events", kind(aws.newest_events(&stack).await)),
        ("template", kind(aws.definition(&stack).await)),
        ("resources", kind(aws.resources(&stack).await)),
        ("create", kind(aws.create(&name, &wanted, &token).await)),
        ("propose", kind(aws.propose(&stack, &wanted, &token).await)),
        ("proposal", kind(aws.proposal(&set).await)),
        ("execute", kind(aws.execute(&stack, &set, &token).await)),
        ("discard", kind(aws.discard(&set).await)),
        ("delete", kind(aws.delete(&stack, &[], &token).await)),
        ("cancel", kind(aws.cancel_update(&stack, &token).await)),
        (
            "continue",
            kind(aws.continue_rollback(&stack, &[], &token).await),
        ),
        (
            "repository_uri",
            kind(aws.repository_uri(&repository).await),
        ),
        (
            "image_exists",
            kind(aws.image_exists(&repository, &digest).await),
        ),
        ("login", kind(aws.login(None).await)),
        ("service", kind(aws.service(&cluster, &service).await)),
        ("tasks", kind(aws.tasks(&cluster, &service).await)),
        (
            "stopped_tasks",
            kind(aws.stopped_tasks(&cluster, &service, None).await),
        ),
        (
            "image_of",
            kind(aws.image_of(&TaskDefinitionArn::new("arn")).await),
        ),
        (
            "targets",
            kind(aws.targets(&TargetGroupArn::new("arn")).await),
        ),
        ("cluster_exists", kind(aws.cluster_exists(&cluster).await)),
        (
            "load_balancer_exists",
            kind(aws.load_balancer_exists(&LoadBalancerArn::new("arn")).await),
        ),
        (
            "delete_task_definitions",
            kind(aws.delete_task_definitions("f").await),
        ),
        (
            "tail",
            kind(aws.tail(&group, &LogStreamName::new("s"), 1).await),
        ),
        ("lines", kind(aws.lines(&group, None, 0, None).await)),
        ("group_exists", kind(aws.group_exists(&group).await)),
        ("caller", kind(aws.caller().await)),
        ("account_resources", kind(aws.account_resources().await)),
    ]
}

#[tokio::test]
async fn nonsense_is_never_a_fact() {
    let truncated = "HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n<DescribeStacksResponse>";
    for answer in [
        http("200 OK", ""),
        http("200 OK", "{}"),
        http("200 OK", "{\"clusters\": [], \"serv"),
        http(
            "200 OK",
            "<html><body>Sign in to this network</body></html>",
        ),
        http("200 OK", "<DescribeStacksRes"),
        truncated.to_owned(),
        http("400 Bad Request", ""),
        http("403 Forbidden", "<html>no</html>"),
        http("503 Service Unavailable", "busy"),
        http("500 Internal Server Error", ""),
        http("429 Too Many Requests", ""),
        // Nothing at all: the connection ends.
        String::new(),
    ] {
        for (call, result) in made_of(&answer).await {
            let kind = result.expect_err(&format!("{call} believes {answer:?}"));
            assert!(kind.is_passing(), "{call} gives up on {answer:?}: {kind:?}");
        }
    }
}

#[tokio::test]
async fn an_envelope_without_a_letter_is_not_absence() {
    let envelope = http("200 OK", "<SomeResponse><SomeResult/></SomeResponse>");
    for (call, result) in made_of(&envelope).await {
        // These have no result: the envelope is all there is.
        let is_enough = ["execute", "discard", "delete", "cancel", "continue"].contains(&call);
        assert_eq!(result.is_ok(), is_enough, "{call}: {result:?}");
    }
}

#[tokio::test]
async fn refusals_stay_refusals() {
    let body = "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>\
        <Message>no</Message></Error><RequestId>1</RequestId></ErrorResponse>";
    let aws = answering(http("400 Bad Request", body)).await;
    let error = aws
        .observe((&"clock".parse::<StackName>().unwrap()).into())
        .await
        .unwrap_err();
    assert_eq!(error.kind, RemoteErrorKind::Refused);
    assert_eq!(error.code.as_deref(), Some("ValidationError"));

    let body = "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code>\
        <Message>Rate exceeded</Message></Error><RequestId>1</RequestId></ErrorResponse>";
    let aws = answering(http("400 Bad Request", body)).await;
    let error = aws
        .observe((&"clock".parse::<StackName>().unwrap()).into())
        .await
        .unwrap_err();
    assert_eq!(error.kind, RemoteErrorKind::Throttled);
}

#[tokio::test]
async fn an_endless_answer_is_given_up() {
    let body = format!("<DescribeStacksResponse>{}", " ".repeat(17 << 20));
    let aws = answering(http("200 OK", &body)).await;
    let name: StackName = "clock".parse().unwrap();
    let error = aws.observe((&name).into()).await.unwrap_err();
    assert_eq!(error.kind, RemoteErrorKind::Unreachable);
    assert!(error.message.contains("length limit exceeded"), "{error:?}");
}

#[tokio::test]
async fn the_image_of_a_task_definition_is_that_of_the_program() {
    let described = |containers: &[(&str, &str)]| {
        let containers: Vec<_> = containers
            .iter()
            .map(|(name, image)| serde_json::json!({ "name": name, "image": image }))
            .collect();
        let body = serde_json::json!({ "taskDefinition": { "containerDefinitions": containers } });
        http("200 OK", &body.to_string())
    };
    for (containers, image) in [
        (
            &[("proxy", "envoy:1"), ("app", "clock@sha256:1")][..],
            "clock@sha256:1",
        ),
        (
            &[("app", "clock@sha256:1"), ("proxy", "envoy:1")],
            "clock@sha256:1",
        ),
        // A template of somebody's own may name its program as it likes: it comes first then.
        (
            &[("web", "clock@sha256:1"), ("proxy", "envoy:1")],
            "clock@sha256:1",
        ),
    ] {
        let aws = answering(described(containers)).await;
        assert_eq!(
            aws.image_of(&TaskDefinitionArn::new("clock:1"))
                .await
                .unwrap()
                .as_deref(),
            Some(image)
        );
    }
}
