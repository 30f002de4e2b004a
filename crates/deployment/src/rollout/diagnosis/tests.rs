//! The whole table: what AWS (or the emulator) says, and what people are told.

use chrono::DateTime;

use super::*;
use crate::rollout::{FailedTask, HealthCheck, ServiceEvent, StoppedTask, Target};

/// Fails like this, told by the task.
fn task(stop_code: &str, reason: &str) -> Evidence {
    task_that(stop_code, reason, None, &[])
}

/// A program that ran, and how it ended.
fn task_that(stop_code: &str, reason: &str, exit_code: Option<i32>, log: &[&str]) -> Evidence {
    let container_reason = reason.strip_prefix("container: ").map(str::to_owned);
    let reason = container_reason
        .is_none()
        .then(|| reason.to_owned())
        .or_else(|| Some("Essential container in task exited".to_owned()));
    let task = StoppedTask {
        id: "0123456789".to_owned(),
        task_definition: "clock:2".to_owned(),
        stop_code: Some(stop_code.into()),
        reason,
        container_reason,
        exit_code,
        stopped_at: None,
    };
    let log = log.iter().map(|line| (*line).to_owned()).collect();
    Evidence {
        tasks: vec![FailedTask { task, log }],
        ..checked()
    }
}

/// Nothing but how targets are checked.
fn checked() -> Evidence {
    Evidence {
        health_check: Some(HealthCheck {
            path: "/health".to_owned(),
            codes: "200".to_owned(),
            timeout_seconds: 2,
        }),
        ..Evidence::default()
    }
}

fn target(state: &str, reason: &str, description: &str) -> Evidence {
    Evidence {
        targets: vec![Target {
            id: "10.0.0.13".to_owned(),
            state: state.into(),
            reason: Some(reason.to_owned()),
            description: Some(description.to_owned()),
        }],
        ..checked()
    }
}

fn event(message: &str) -> Evidence {
    Evidence {
        events: vec![ServiceEvent {
            at: DateTime::default(),
            message: message.to_owned(),
        }],
        ..Evidence::default()
    }
}

fn registering(reason: &str) -> Evidence {
    let target = Target {
        id: "10.0.0.13".to_owned(),
        state: "initial".into(),
        reason: Some(reason.to_owned()),
        description: None,
    };
    Evidence {
        registering: vec![target.clone(), target],
        had_tasks: Some(true),
        ..Evidence::default()
    }
}

/// Both together.
fn and(one: Evidence, other: Evidence) -> Evidence {
    Evidence {
        tasks: [one.tasks, other.tasks].concat(),
        targets: [one.targets, other.targets].concat(),
        events: [one.events, other.events].concat(),
        ..one
    }
}

fn context(ended: Ended) -> Context<'static> {
    Context {
        port: 8080,
        memory: 512,
        architecture: "X86_64",
        ended,
        start_seconds: 20,
        logs: "deployer logs --stack clock",
    }
}

/// The table of these rows.
fn table(rows: &[(&str, Evidence)]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for (name, evidence) in rows {
        let ended = match () {
            () if name.contains("(goes on)") => Ended::GoesOn,
            () if name.contains("(superseded)") => Ended::Superseded,
            () => Ended::ForGood,
        };
        let _ = writeln!(text, "{name}");
        match diagnose(evidence, None, &context(ended)) {
            Some(Diagnosis { message, hints }) => {
                let _ = writeln!(text, "  = {message}");
                for hint in hints {
                    let _ = writeln!(text, "    {hint}");
                }
            }
            None => text.push_str("  = nothing\n"),
        }
    }
    text
}

const PULL: &str = "CannotPullContainerError: pull image manifest has been retried";
const IMAGE: &str = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/clock@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const NOT_STARTED: &str = "TaskFailedToStart";
const EXITED: &str = "EssentialContainerExited";
const INITIALISE: &str = "ResourceInitializationError: unable to pull secrets or registry auth:";

#[test]
fn tasks_that_do_not_start() {
    let failed = |reason: String| task(NOT_STARTED, &reason);
    let rows = [
        ("no such digest", failed(format!("{PULL} 1 time(s): failed to resolve ref {IMAGE}: {IMAGE}: not found"))),
        ("no such digest, emulator", failed(format!("CannotPullContainerError: 404 Client Error for http+docker://localhost/v1.47/images/create: Not Found (\"manifest for localhost:4566/clock@{} not found: manifest unknown\")", IMAGE.rsplit('@').next().unwrap()))),
        ("other platform", failed(format!("{PULL} 7 time(s): image Manifest does not contain descriptor matching platform 'linux/amd64'."))),
        ("timeout on pulling", failed(format!("{PULL} 5 time(s): failed to resolve ref {IMAGE}: failed to do request: Head \"https://x/v2/\": dial tcp 10.0.3.17:443: i/o timeout"))),
        ("connection issue", failed("CannotPullContainerError: The task cannot pull the image. There is a connection issue between the task and the registry. Check your task network configuration.".to_owned())),
        ("timeout on login", failed(format!("{INITIALISE} execution resource retrieval failed: unable to retrieve ecr registry auth: service call has been retried 3 time(s): RequestError: send request failed caused by: Post \"https://api.ecr.eu-central-1.amazonaws.com/\": dial tcp 1.2.3.4:443: i/o timeout. Please check your task network configuration."))),
        ("login was killed", failed(format!("{INITIALISE} pull command failed: : signal: killed"))),
        ("login without a right", failed(format!("{INITIALISE} execution resource retrieval failed: unable to retrieve ecr registry auth: service call has been retried 1 time(s): AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/clock-ExecutionRole/0123 is not authorized to perform: ecr:GetAuthorizationToken on resource: * because no identity-based policy allows it"))),
        ("pull without a right", failed(format!("{PULL} 1 time(s): failed to resolve ref {IMAGE}: pulling from host failed with status code [manifests]: 403 Forbidden"))),
        ("role that cannot be assumed", failed("ECS was unable to assume the role 'arn:aws:iam::123456789012:role/clock-ExecutionRole' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions".to_owned())),
        ("no log group", failed("ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist. : exit status 1".to_owned())),
        ("too many pulls", failed(format!("{PULL} 1 time(s): httpReadSeeker: failed open: unexpected status code: 429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit"))),
        ("disk full", failed("CannotPullContainerError: ref pull has been retried 1 time(s): failed to extract layer: write /x: no space left on device".to_owned())),
        ("pulling, unknown", failed("CannotPullContainerError: something new".to_owned())),
        ("no program", failed("CannotStartContainerError: failed to create shim task: OCI runtime create failed: exec: \"/app\": stat /app: no such file or directory".to_owned())),
        ("no program, emulator", failed("ResourceInitializationError: unable to pull image or start container: 400 Client Error: Bad Request (\"failed to create task for container\")".to_owned())),
        ("network interface", failed("ResourceInitializationError: Timeout waiting for network interface provisioning to complete.".to_owned())),
    ];
    insta::assert_snapshot!(table(&rows), @r"
    no such digest
      = the image sha256:0123456789ab… is not in the repository
        somebody or a lifecycle rule deleted it: `deployer up` pushes what is missing
    no such digest, emulator
      = the image sha256:0123456789ab… is not in the repository
        somebody or a lifecycle rule deleted it: `deployer up` pushes what is missing
    other platform
      = the program is built for another CPU architecture than that of the tasks (X86_64)
        set `architecture` under `[service]` to that of the program, or build the program for that of the tasks
    timeout on pulling
      = the tasks have no way out to the registry and to secrets: route, public address or egress 443
        check the template: `AssignPublicIp: ENABLED`, a route to 0.0.0.0/0 from both subnets, egress to port 443, DNS
    connection issue
      = the tasks have no way out to the registry and to secrets: route, public address or egress 443
        check the template: `AssignPublicIp: ENABLED`, a route to 0.0.0.0/0 from both subnets, egress to port 443, DNS
    timeout on login
      = the tasks have no way out to the registry and to secrets: route, public address or egress 443
        check the template: `AssignPublicIp: ENABLED`, a route to 0.0.0.0/0 from both subnets, egress to port 443, DNS
    login was killed
      = the tasks have no way out to the registry and to secrets: route, public address or egress 443
        check the template: `AssignPublicIp: ENABLED`, a route to 0.0.0.0/0 from both subnets, egress to port 443, DNS
    login without a right
      = the execution role lacks the right `ecr:GetAuthorizationToken`
        give it to `ExecutionRole` in the template
    pull without a right
      = the execution role lacks the right to pull the image
        give it to `ExecutionRole` in the template
    role that cannot be assumed
      = ECS cannot assume the execution role
        let `ecs-tasks.amazonaws.com` assume `ExecutionRole` in the template
    no log group
      = the log group does not exist
        somebody deleted it: make one of that name again, or `deployer down` and `deployer up`
    too many pulls
      = the registry limits how often images are pulled
        wait a while, then run `deployer up` again
    disk full
      = the image is too large for the disk of a task
        make the image smaller: a task has 20 GiB
    pulling, unknown
      = the image cannot be pulled
    no program
      = the program cannot be started
        check `ENTRYPOINT`, `CMD` and `USER` in the Dockerfile: the program has to be there, and that user has to be allowed to run it
    no program, emulator
      = the program cannot be started
        check `ENTRYPOINT`, `CMD` and `USER` in the Dockerfile: the program has to be there, and that user has to be allowed to run it
    network interface
      = nothing
    ");
}

const SECRET: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:clock/db-a1B2c3";

#[test]
fn secrets_that_are_not_there() {
    let asm = "execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s):";
    let ssm = "execution resource retrieval failed: unable to retrieve secrets from ssm: service call has been retried 1 time(s):";
    let fetch = format!("{asm} failed to fetch secret {SECRET} from secrets manager:");
    let failed = |reason: String| task(NOT_STARTED, &format!("{INITIALISE} {reason}"));
    let rows = [
        ("no such secret", failed(format!("{fetch} ResourceNotFoundException: Secrets Manager can't find the specified secret. status code: 400, request id: 0"))),
        ("no value", failed(format!("{fetch} ResourceNotFoundException: Secrets Manager can't find the specified secret value for staging label: AWSCURRENT"))),
        ("no such key", failed(format!("{asm} retrieved secret from Secrets Manager did not contain json key password"))),
        ("no such parameter", failed(format!("{ssm} invalid ssm parameters: /clock/token"))),
        ("no right", failed(format!("{asm} AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/clock-ExecutionRole/0123 is not authorized to perform: secretsmanager:GetSecretValue on resource: {SECRET} because no identity-based policy allows it"))),
        ("no way", failed("unable to retrieve secrets from ssm: The task cannot pull secrets from AWS Systems Manager. There is a connection issue between the task and AWS Systems Manager Parameter Store. Check your task network configuration.".to_owned())),
    ];
    insta::assert_snapshot!(table(&rows), @r"
    no such secret
      = the secret arn:aws:secretsmanager:eu-central-1:123456789012:secret:clock/db-a1B2c3 does not exist
        create it: `aws secretsmanager create-secret --name clock/db --secret-string file://FILE`, with its ARN under `[service.secrets]` in `deployer.toml`
    no value
      = the secret arn:aws:secretsmanager:eu-central-1:123456789012:secret:clock/db-a1B2c3 does not exist
        create it: `aws secretsmanager create-secret --name clock/db --secret-string file://FILE`, with its ARN under `[service.secrets]` in `deployer.toml`
    no such key
      = a secret has no key `password`
        add it to the secret's JSON, or correct the key under `[service.secrets]` in `deployer.toml`
    no such parameter
      = the secret /clock/token does not exist
        create it: `aws ssm put-parameter --type SecureString --name /clock/token --value file://FILE`, or another name under `[service.secrets]` in `deployer.toml`
    no right
      = the execution role lacks the right `secretsmanager:GetSecretValue`
        name the secret under `[service.secrets]` in `deployer.toml`, so that `ExecutionRole` gets this right; a `PermissionsBoundary` has to allow it, too
    no way
      = the tasks have no way out to the registry and to secrets: route, public address or egress 443
        check the template: `AssignPublicIp: ENABLED`, a route to 0.0.0.0/0 from both subnets, egress to port 443, DNS
    ");
}

#[test]
fn programs_that_end() {
    let exited = "Essential container in task exited";
    let ended = |code: i32| task_that(EXITED, exited, Some(code), &[]);
    let rows = [
        (
            "out of memory",
            task_that(
                EXITED,
                "container: OutOfMemoryError: Container killed due to memory usage",
                Some(137),
                &[],
            ),
        ),
        ("exit code 0", ended(0)),
        ("exit code 1", ended(1)),
        ("exit code 101", ended(101)),
        ("exit code 137", ended(137)),
        ("exit code 139", ended(139)),
        ("no exit code", task(EXITED, exited)),
        (
            "emulator",
            task_that(EXITED, "Essential container exited", Some(3), &[]),
        ),
        (
            "other processor",
            task_that(EXITED, exited, Some(255), &["exec /app: exec format error"]),
        ),
        (
            "spot",
            task("SpotInterruption", "Your Spot Task was interrupted."),
        ),
        (
            "retired",
            task(
                "TerminationNotice",
                "Task is stopping because of a scheduled retirement",
            ),
        ),
    ];
    insta::assert_snapshot!(table(&rows), @r"
    out of memory
      = the program was killed for lack of memory (512 MiB)
        give it more: `memory` under `[service]`, or `--memory`
        read its log: `deployer logs --stack clock --since 1h`
    exit code 0
      = the program ended by itself with exit code 0: a service has to go on running
        read its log: `deployer logs --stack clock --since 1h`
    exit code 1
      = the program ended by itself with exit code 1
        read its log: `deployer logs --stack clock --since 1h`
    exit code 101
      = the program ended by itself with exit code 101 (it panicked)
        read its log: `deployer logs --stack clock --since 1h`
    exit code 137
      = the program was killed (exit code 137), perhaps for lack of memory (512 MiB)
        read its log: `deployer logs --stack clock --since 1h`
        if it needs more memory: `memory` under `[service]`, or `--memory`
    exit code 139
      = the program ended by itself with exit code 139 (invalid memory access)
        read its log: `deployer logs --stack clock --since 1h`
    no exit code
      = the program ended by itself
        read its log: `deployer logs --stack clock --since 1h`
    emulator
      = the program ended by itself with exit code 3
        read its log: `deployer logs --stack clock --since 1h`
    other processor
      = the program is built for another CPU architecture than that of the tasks (X86_64)
        set `architecture` under `[service]` to that of the program, or build the program for that of the tasks
    spot
      = interrupted Spot capacity: not your code
        wait a while, then run `deployer up` again
    retired
      = AWS took the machine under the task away: not your code
        wait a while, then run `deployer up` again
    ");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn targets_and_checks() {
    let group = "(target-group arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/clock/0123456789abcdef)";
    let elb = |log: &[&str]| {
        task_that(
            "ServiceSchedulerInitiated",
            &format!("Task failed ELB health checks in {group}"),
            Some(143),
            log,
        )
    };
    let rows = [
        (
            "wrong status",
            target(
                "unhealthy",
                "Target.ResponseCodeMismatch",
                "Health checks failed with these codes: [500]",
            ),
        ),
        (
            "no answer in time",
            target("unhealthy", "Target.Timeout", "Request timed out"),
        ),
        (
            "no connection",
            target(
                "unhealthy",
                "Target.FailedHealthChecks",
                "Health checks failed",
            ),
        ),
        (
            "load balancer broken",
            target(
                "unhealthy",
                "Elb.InternalError",
                "Health checks failed due to an internal error",
            ),
        ),
        (
            "not in use",
            target(
                "unused",
                "Target.NotInUse",
                "Target group is not configured to receive traffic from the load balancer",
            ),
        ),
        ("stopped for its checks", elb(&[])),
        (
            "stopped for its checks, with targets",
            and(
                elb(&["listening on 0.0.0.0:8080"]),
                target(
                    "unhealthy",
                    "Target.ResponseCodeMismatch",
                    "Health checks failed with these codes: [404]",
                ),
            ),
        ),
        (
            "listens for itself",
            and(
                elb(&["listening on 127.0.0.1:8080"]),
                target(
                    "unhealthy",
                    "Target.FailedHealthChecks",
                    "Health checks failed",
                ),
            ),
        ),
        (
            "listens where it should, but too late",
            and(
                elb(&["listening on 0.0.0.0:8080"]),
                target(
                    "unhealthy",
                    "Target.FailedHealthChecks",
                    "Health checks failed",
                ),
            ),
        ),
        (
            "listens elsewhere",
            and(
                elb(&["listening on 0.0.0.0:3000"]),
                target(
                    "unhealthy",
                    "Target.FailedHealthChecks",
                    "Health checks failed",
                ),
            ),
        ),
        (
            "told by the service",
            event(&format!(
                "(service clock) (port 8080) is unhealthy in {group} due to (reason Health checks failed with these codes: [502])."
            )),
        ),
        (
            "told by the service, no answer",
            event(&format!(
                "(service clock) (port 8080) is unhealthy in {group} due to (reason Request timed out)"
            )),
        ),
        (
            "told by the service, no connection",
            event(&format!(
                "(service clock) (port 8080) is unhealthy in {group} due to (reason Health checks failed)"
            )),
        ),
        (
            "the container's own check",
            task(
                "ServiceSchedulerInitiated",
                "Task failed container health checks",
            ),
        ),
    ];
    insta::assert_snapshot!(table(&rows), @"
    wrong status
      = /health answers 500 instead of 200
        the program has to answer `GET /health` with 200, or set `health_path` under `[service]` to a path where it does
        read its log: `deployer logs --stack clock --since 1h`
    no answer in time
      = /health does not answer within 2 s on port 8080: the program is slow or stuck, or a security group is in the way
        try it here: start the program, then `curl -i http://localhost:8080/health`
        read its log: `deployer logs --stack clock --since 1h`
    no connection
      = nothing answers on port 8080: the program listens on another port, or not on all addresses, or it starts more slowly than the 20 s it is given
        listen on `0.0.0.0` and port 8080, which the variable `PORT` names
        read its log: `deployer logs --stack clock --since 1h`
        if it needs longer to start: `start_seconds` under `[service]`
    load balancer broken
      = the load balancer fails to check the targets: not your code
        wait a while, then run `deployer up` again
    not in use
      = the load balancer does not use the targets: no listener leads to their group, or their zone is not enabled
        check the template: a listener that forwards to the target group, and subnets of the same zones
    stopped for its checks
      = the load balancer's health check fails
        try it here: start the program, then `curl -i http://localhost:8080/health`
        read its log: `deployer logs --stack clock --since 1h`
    stopped for its checks, with targets
      = /health answers 404 instead of 200
        the program has to answer `GET /health` with 200, or set `health_path` under `[service]` to a path where it does
        read its log: `deployer logs --stack clock --since 1h`
    listens for itself
      = the program listens on 127.0.0.1:8080, where the load balancer cannot reach it
        listen on `0.0.0.0` and port 8080, which the variable `PORT` names
        read its log: `deployer logs --stack clock --since 1h`
    listens where it should, but too late
      = the program starts more slowly than the 20 s it is given: it listens on port 8080, but did not answer in time
        if it needs longer to start: `start_seconds` under `[service]`
        read its log: `deployer logs --stack clock --since 1h`
    listens elsewhere
      = the program listens on port 3000, the load balancer asks on port 8080
        set `port = 3000` under `[service]`, or listen on port 8080, which the variable `PORT` names
        read its log: `deployer logs --stack clock --since 1h`
    told by the service
      = the health check answers 502
        read its log: `deployer logs --stack clock --since 1h`
    told by the service, no answer
      = the health check does not answer on port 8080: the program is slow or stuck, or a security group is in the way
        read its log: `deployer logs --stack clock --since 1h`
    told by the service, no connection
      = nothing answers on port 8080: the program listens on another port, or not on all addresses, or it starts more slowly than the 20 s it is given
        listen on `0.0.0.0` and port 8080, which the variable `PORT` names
        read its log: `deployer logs --stack clock --since 1h`
        if it needs longer to start: `start_seconds` under `[service]`
    the container's own check
      = the container's own health check fails
        read its log: `deployer logs --stack clock --since 1h`
    ");
}

#[test]
fn what_only_the_service_tells() {
    let rows = [
        (
            "capacity",
            event(
                "(service clock) was unable to place a task. Reason: Capacity is unavailable at this time. Please try again later or in a different availability zone.",
            ),
        ),
        (
            "quota",
            event(
                "(service clock) was unable to place a task. Reason: You've reached the limit on the number of vCPUs you can run concurrently.",
            ),
        ),
        (
            "addresses",
            event(
                "(service clock) was unable to place a task. Reason: The subnet subnet-0123 does not have enough free addresses.",
            ),
        ),
        (
            "pull",
            event(
                "(service clock) was unable to place a task. Reason: CannotPullContainerError: pull image manifest has been retried 7 time(s): image Manifest does not contain descriptor matching platform 'linux/amd64'.",
            ),
        ),
        (
            "service-linked role",
            event(
                "(service clock) failed to launch a task with (error Unable to assume the service linked role. Please verify that the ECS service linked role exists.).",
            ),
        ),
        (
            "nothing new",
            event("(service clock) is unable to consistently start tasks successfully."),
        ),
        (
            "registering (goes on)",
            registering("Elb.RegistrationInProgress"),
        ),
        (
            "first checks (goes on)",
            registering("Elb.InitialHealthChecking"),
        ),
        (
            "registering, but over",
            registering("Elb.InitialHealthChecking"),
        ),
        (
            "no tasks, no events",
            Evidence {
                had_tasks: Some(false),
                ..Evidence::default()
            },
        ),
        (
            "no tasks, no events (superseded)",
            Evidence {
                had_tasks: Some(false),
                ..Evidence::default()
            },
        ),
        ("nothing seen", Evidence::default()),
    ];
    insta::assert_snapshot!(table(&rows), @"
    capacity
      = AWS has no capacity for these tasks in these zones: not your code
        wait a while, then run `deployer up` again
    quota
      = a quota of the account is reached
        ask for more: `aws service-quotas list-service-quotas --service-code fargate` shows what there is
    addresses
      = the subnets have no free addresses left
        set a larger `VpcCidr` under `[parameters]`
    pull
      = the program is built for another CPU architecture than that of the tasks (X86_64)
        set `architecture` under `[service]` to that of the program, or build the program for that of the tasks
    service-linked role
      = ECS lacks its service-linked role in this account
        make it: `aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com`
    nothing new
      = nothing
    registering (goes on)
      = nothing is wrong yet: 2 targets are still registering
    first checks (goes on)
      = nothing is wrong yet: 2 targets are still registering
    registering, but over
      = nothing
    no tasks, no events
      = ECS started no task and does not say why: its service-linked role is missing, or a quota is reached
        make it: `aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com`
        look at the quotas: `aws service-quotas list-service-quotas --service-code fargate`
    no tasks, no events (superseded)
      = nothing
    nothing seen
      = nothing
    ");
}

#[test]
fn what_the_program_did_comes_before_what_follows_from_it() {
    let panicked = || task_that(EXITED, "Essential container in task exited", Some(101), &[]);
    let timeout = || {
        task(
            NOT_STARTED,
            "CannotPullContainerError: dial tcp 1.2.3.4:443: i/o timeout",
        )
    };
    let unhealthy = || {
        target(
            "unhealthy",
            "Target.FailedHealthChecks",
            "Health checks failed",
        )
    };
    let no_place = || {
        event(
            "(service clock) was unable to place a task. Reason: Capacity is unavailable at this time.",
        )
    };
    let spot = || task("SpotInterruption", "Your Spot Task was interrupted.");
    let rows = [
        ("panic, unhealthy", and(unhealthy(), panicked())),
        ("panic, timeout", and(timeout(), panicked())),
        ("timeout, unhealthy", and(unhealthy(), timeout())),
        ("unhealthy, no place", and(no_place(), unhealthy())),
        ("spot, panic", and(spot(), panicked())),
        ("spot, no place", and(spot(), no_place())),
    ];
    let message = |(name, evidence): &(&str, Evidence)| {
        let diagnosis = diagnose(evidence, None, &context(Ended::ForGood)).unwrap();
        format!("{name}: {}\n", diagnosis.message)
    };
    insta::assert_snapshot!(rows.iter().map(message).collect::<String>(), @"
    panic, unhealthy: the program ended by itself with exit code 101 (it panicked)
    panic, timeout: the program ended by itself with exit code 101 (it panicked)
    timeout, unhealthy: the tasks have no way out to the registry and to secrets: route, public address or egress 443
    unhealthy, no place: nothing answers on port 8080: the program listens on another port, or not on all addresses, or it starts more slowly than the 20 s it is given
    spot, panic: the program ended by itself with exit code 101 (it panicked)
    spot, no place: AWS has no capacity for these tasks in these zones: not your code
    ");
}

#[test]
fn what_was_said_counts_too() {
    let said = "service (Service): Resource handler returned message: \"Unable to assume the service linked role.\"";
    let found = diagnose(&Evidence::default(), Some(said), &context(Ended::ForGood)).unwrap();
    assert_eq!(
        found.message,
        "ECS lacks its service-linked role in this account"
    );
    let said = "ECS deployment circuit breaker: tasks failed to start.";
    assert_eq!(
        diagnose(&Evidence::default(), Some(said), &context(Ended::ForGood)),
        None
    );
}

#[test]
fn what_a_service_lacks_that_needs_more_than_a_port() {
    let failed = |reason: &str| {
        task(
            NOT_STARTED,
            &format!("{INITIALISE} execution resource retrieval failed: {reason}"),
        )
    };
    let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db";
    let rows = [
        (
            "no parameter",
            failed(
                "unable to retrieve secrets from ssm: service call has been retried 1 time(s): invalid ssm parameters: /clock/token",
            ),
        ),
        (
            "no secret",
            failed(&format!(
                "unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret {arn} from secrets manager: ResourceNotFoundException: Secrets Manager can't find the specified secret."
            )),
        ),
        (
            "no key",
            failed(
                "unable to retrieve secret from asm: service call has been retried 1 time(s): retrieved secret from Secrets Manager did not contain json key password",
            ),
        ),
        (
            "no right",
            failed(
                "unable to retrieve secrets from ssm: AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/x is not authorized to perform: ssm:GetParameters on resource: arn",
            ),
        ),
        (
            "no way",
            failed(
                "unable to retrieve secrets from ssm: service call has been retried 5 time(s): RequestCanceled: request context canceled caused by: context deadline exceeded",
            ),
        ),
        (
            "no writable folder",
            task_that(
                EXITED,
                "Essential container in task exited",
                Some(1),
                &[
                    "Error: Os { code: 30, kind: ReadOnlyFilesystem, message: \"Read-only file system\" }",
                ],
            ),
        ),
    ];
    insta::assert_snapshot!(table(&rows));
}
