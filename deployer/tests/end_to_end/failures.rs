//! Deployments that fail: each leaves the old version serving, says why, and ends with its exit code.

use crate::copy::Copy;
use crate::faulty::Faulty;
use crate::load::Load;
use crate::outside::Outside;
use crate::run::{CleanUp, Surroundings};
use crate::step;

/// What is wrong with a version, how its deployment ends, and what the message names.
struct Case {
    fault: &'static str,
    exit_code: i32,
    words: &'static [&'static str],
}

const CASES: [Case; 5] = [
    Case {
        fault: "exits",
        exit_code: 4,
        words: &[
            "the program ended by itself with exit code 7",
            "cannot open the database",
        ],
    },
    Case {
        fault: "wrong-port",
        exit_code: 4,
        words: &["listens on port 9090, the load balancer asks on port 8080"],
    },
    Case {
        fault: "slow",
        exit_code: 4,
        words: &[
            "or it starts more slowly than the 4 s it is given",
            "`start_seconds` under `[service]`",
        ],
    },
    Case {
        fault: "unhealthy",
        exit_code: 4,
        words: &["/health answers 500 instead of 200"],
    },
    Case {
        fault: "wrong-clock",
        exit_code: 6,
        words: &["is SKEWED, proven twice in a row", "ahead"],
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn failures() {
    let copy = Copy::of_the_project();
    let surroundings = Surroundings::new(&copy);
    let _clean_up = CleanUp(&surroundings);
    let outside = Outside::new(&surroundings);
    let service = Faulty::new(&copy, &surroundings);
    let faulty = |fault: &str| service.deploy(fault, &["--verify-timeout", "5m"]);

    step("a first deployment that fails leaves nothing that runs");
    let first = faulty("exits");
    first.failed_with(4, &["exit code 7", "nothing ran before it"]);
    outside.wait_for_running_containers(0).await;

    step("and is repaired by the next `up`");
    surroundings.deployer(&["up", "--local"]).succeeded();
    let version = outside.version().await;

    let load = Load::start(outside.url().await, outside.port());
    load.wait_for_requests(50).await;
    for case in CASES {
        step(&format!("a version with a fault: {}", case.fault));
        let finished = faulty(case.fault);
        finished.failed_with(case.exit_code, case.words);
        finished.failed_with(case.exit_code, &["is restored and answers"]);
        assert_eq!(outside.version().await, version, "{}", case.fault);
        outside.wait_for_running_containers(2).await;
    }

    step("a program that is slow to start is given the time it needs");
    let patient = ["--parameter", "StartSeconds=300"];
    service.deploy("slow", &patient).succeeded();
    // A rollback would keep the parameter.
    surroundings.deployer(&["up", "--local"]).succeeded();
    assert_eq!(outside.version().await, version);

    step("an image that is not in the repository");
    let nowhere = format!("sha256:{}", "0".repeat(64));
    surroundings
        .deployer(&["rollback", "--local", "--to", &nowhere])
        .failed_with(3, &["is not in the repository", &nowhere]);

    step("a template with an invalid resource");
    let template = copy.read("infra/service.yaml");
    for (resource, exit_code, words) in INVALID {
        let broken = template.replace("Outputs:\n", &format!("{resource}\nOutputs:\n"));
        copy.write("infra/broken.yaml", &broken);
        surroundings
            .deployer(&["up", "--local", "--template", "infra/broken.yaml"])
            .failed_with(exit_code, words);
        assert_eq!(outside.version().await, version, "{resource}");
    }

    let result = load.stop().await;
    let failed = result.failures.len();
    println!("{} requests, {failed} failed", result.requests);
    assert_eq!(
        failed,
        0,
        "from {:?} to {:?}",
        result.failures.first(),
        result.failures.last()
    );

    step("the history tells all of it, and `rollback` goes back on demand");
    let history = surroundings.deployer(&["history", "--local"]);
    history.succeeded();
    assert_eq!(
        history.stdout.matches("rolled back").count(),
        1 + CASES.len(),
        "{}",
        history.stdout
    );
    faulty("none").succeeded();
    assert_ne!(outside.version().await, version);

    step("a command runs once in the deployed image, and leaves nothing");
    let run = |exit_code: &str| surroundings.deployer(&["run", "--local", "--", exit_code]);
    run("0").succeeded();
    let failed = run("42");
    // The command's own end, not an error of the deployer.
    assert_eq!(failed.code, Some(42), "{}", failed.stderr);
    let words = "the command ended with exit code 42\n";
    assert!(failed.stderr.ends_with(words), "{}", failed.stderr);
    assert_eq!(failed.stdout, "ends with 42\n");
    outside.wait_for_running_containers(2).await;
    surroundings.deployer(&["rollback", "--local"]).succeeded();
    assert_eq!(outside.version().await, version);

    surroundings.deployer(&["down", "--local"]).succeeded();
}

/// Resources that CloudFormation refuses, or cannot make; with the exit code, and what the message names.
const INVALID: [(&str, i32, &[&str]); 2] = [
    (
        "  Nonsense:\n    Type: AWS::Does::NotExist\n",
        3,
        &["CloudFormation refuses the change", "AWS::Does::NotExist"],
    ),
    (
        "  Nowhere:\n    Type: AWS::ElasticLoadBalancingV2::Listener\n    Properties:\n      LoadBalancerArn: arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/none/0123456789abcdef\n      Port: 81\n      Protocol: HTTP\n      DefaultActions: [{Type: forward, TargetGroupArn: !Ref TargetGroup}]\n",
        4,
        &["Nowhere", "the previous state is restored"],
    ),
];
