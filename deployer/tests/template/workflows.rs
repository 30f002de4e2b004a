//! `.github/workflows`: what runs there is what was read, may little, and ends.

use serde_json::{Value, json};

use crate::read::{self, items};

type Change = fn(&mut Value);

fn workflows() -> Vec<(String, String)> {
    let folder = crate::root().join(".github/workflows");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap());
    let mut found: Vec<_> = files
        .map(|file| {
            let name = file.file_name().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(file.path()).unwrap())
        })
        .collect();
    found.sort();
    found
}

/// What breaks the rules in a workflow.
fn broken(workflow: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    if workflow["permissions"] != json!({ "contents": "read" }) {
        broken.push("it may more than read".to_owned());
    }
    if workflow["on"].get("pull_request_target").is_some() {
        broken.push("strangers' changes run with our rights".to_owned());
    }
    for (name, job) in workflow["jobs"].as_object().unwrap() {
        // A job that is another workflow keeps that one's rules.
        if let Some(uses) = job["uses"].as_str() {
            if !uses.starts_with("./.github/workflows/") || job.get("secrets").is_some() {
                broken.push(format!("{name} uses {uses}, which was not read"));
            }
            continue;
        }
        let limit = job["timeout-minutes"].as_i64();
        if limit.is_none_or(|limit| limit > 60) {
            broken.push(format!("{name} has no end"));
        }
        let own = job.get("permissions");
        let identity = json!({ "contents": "read", "id-token": "write" });
        if own.is_some_and(|own| *own != identity && !may_publish(workflow, name, own)) {
            broken.push(format!("{name} may more"));
        }
        for step in items(&job["steps"]) {
            if let Some(uses) = step["uses"].as_str() {
                let (_, version) = uses.split_once('@').unwrap_or_default();
                // The action of this repository, of the same commit.
                let is_commit = uses == "./"
                    || version.len() == 40 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
                if !is_commit {
                    broken.push(format!("{name} uses {uses}, which may change"));
                }
                let keeps = &step["with"]["persist-credentials"];
                if uses.starts_with("actions/checkout@") && *keeps != json!(false) {
                    broken.push(format!("{name} leaves GitHub's token on the disk"));
                }
            }
            let run = step["run"].as_str().unwrap_or_default();
            // What others may write, as titles and names of branches, must not become part of a command.
            if run.contains("${{") {
                broken.push(format!("{name} runs {run}"));
            }
            // Build scripts and macros are code of many others.
            let compiles = ["cargo", "rustc", "rustup", "make"]
                .iter()
                .any(|program| run.split_whitespace().any(|word| word == *program));
            if compiles && own.is_some() {
                broken.push(format!(
                    "{name} compiles where there are credentials: {run}"
                ));
            }
            // The oldest compiler only checks: nothing that it makes is kept.
            let only_checks = name == "msrv" && run.contains("cargo \"+$version\" check ");
            let other_compiler =
                run.contains("toolchain install ") || run.contains("rustup default");
            if other_compiler && !only_checks {
                broken.push(format!("{name} compiles with another compiler: {run}"));
            }
        }
        broken.extend(deploying(name, job));
    }
    if workflow.to_string().contains("secrets.") {
        broken.push("it has a secret".to_owned());
    }
    broken
}

/// Whether a job publishes what jobs without rights have built, and may no more than that takes.
fn may_publish(workflow: &Value, job: &str, own: &Value) -> bool {
    let release = json!({ "contents": "write", "id-token": "write", "attestations": "write" });
    let pages = json!({ "pages": "write", "id-token": "write" });
    let of_tag = workflow["on"]["push"]["tags"] == json!(["v*"]);
    job == "publish" && (*own == pages || of_tag && *own == release)
}

/// What breaks the rules in a job that makes the image, or acts on it.
fn deploying(name: &str, job: &Value) -> Vec<String> {
    let steps = items(&job["steps"]);
    let runs = |what: &str| {
        let run = |step: &Value| step["run"].as_str().is_some_and(|run| run.contains(what));
        steps.iter().copied().any(run)
    };
    let mut broken = Vec::new();
    // Without the history, the image does not name its commit, and is another one than from a full clone.
    let has_history = steps
        .iter()
        .any(|step| step["with"]["fetch-depth"] == json!(0));
    if (runs("image build") || runs("make test")) && !has_history {
        broken.push(format!("{name} builds without the history"));
    }
    for step in steps.iter().filter(|step| step["uses"] == "./") {
        let arguments = step["with"]["arguments"].as_str().unwrap_or_default();
        let program = step["with"]["program"].as_str().unwrap_or_default();
        if !arguments.starts_with("--image-archive\nimage.tar\n") || program.is_empty() {
            broken.push(format!("{name} compiles, or runs another program: {step}"));
        }
    }
    for command in ["deployer up", "deployer plan"] {
        if runs(command) && !runs(&format!("{command} --image-archive")) {
            broken.push(format!("{name} compiles in `{command}`"));
        }
    }
    broken
}

/// Names of the jobs that one waits for, and of those that they wait for.
fn needs(workflow: &Value, job: &str) -> Vec<String> {
    let needs = &workflow["jobs"][job]["needs"];
    let direct = items(needs).into_iter().filter_map(Value::as_str);
    direct
        .flat_map(|name| [vec![name.to_owned()], self::needs(workflow, name)].concat())
        .collect()
}

/// Whether a job runs only when the tests of the same commit have passed.
fn is_gated(workflow: &Value, job: &str) -> bool {
    let is_test = |name: &String| workflow["jobs"][name]["uses"] == "./.github/workflows/test.yml";
    let ignores_failures = workflow["jobs"][job]["if"]
        .as_str()
        .is_some_and(|condition| {
            condition.contains("always()") || condition.contains("cancelled()")
        });
    needs(workflow, job).iter().any(is_test) && !ignores_failures
}

#[test]
fn nothing_is_deployed_that_is_not_tested() {
    let all = workflows();
    let workflow = |wanted: &str| {
        let (_, text) = all.iter().find(|(name, _)| name == wanted).unwrap();
        read::template(text)
    };
    let deploy = workflow("deploy.yml");
    assert!(is_gated(&deploy, "deploy"));
    assert!(is_gated(&workflow("release.yml"), "publish"));
    let test = workflow("test.yml");
    assert!(
        test["on"]
            .as_object()
            .unwrap()
            .contains_key("workflow_call")
    );
    assert_eq!(
        items(&test["jobs"]["test"]["steps"]).last().unwrap()["run"],
        "make test"
    );
    // A workflow that is called may ask for no more than the caller has.
    for called in [&test, &workflow("build.yml")] {
        assert!(!called.to_string().contains("id-token"));
    }

    let spoilt: [Change; 3] = [
        |workflow| workflow["jobs"]["deploy"]["needs"] = json!(["build"]),
        |workflow| workflow["jobs"]["deploy"]["if"] = json!("always()"),
        |workflow| workflow["jobs"]["test"]["uses"] = json!("./.github/workflows/build.yml"),
    ];
    for spoil in spoilt {
        let mut workflow = deploy.clone();
        spoil(&mut workflow);
        assert!(!is_gated(&workflow, "deploy"), "{workflow}");
    }
}

#[test]
fn the_image_is_built_with_one_compiler_everywhere() {
    let read = |name: &str| std::fs::read_to_string(crate::root().join(name)).unwrap();
    let toolchain: toml::Table = read("rust-toolchain.toml").parse().unwrap();
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    let is_version = channel
        .split('.')
        .filter(|part| part.parse::<u32>().is_ok())
        .count()
        == 3;
    assert!(is_version, "{channel} moves");
    let dockerfile = read("Dockerfile");
    assert!(
        dockerfile.contains(&format!("\nARG RUST_VERSION={channel}\n")),
        "{dockerfile}"
    );
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let oldest = manifest["workspace"]["package"]["rust-version"]
        .as_str()
        .unwrap();
    let numbers = |version: &str| -> Vec<u32> {
        version
            .split('.')
            .map(|part| part.parse().unwrap())
            .collect()
    };
    assert!(
        numbers(channel) >= numbers(oldest),
        "{channel} is older than {oldest}"
    );
}

#[test]
fn every_workflow_keeps_the_rules() {
    let workflows = workflows();
    let names: Vec<_> = workflows.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "acceptance.yml",
        "build.yml",
        "check.yml",
        "deploy.yml",
        "docs.yml",
        "plan.yml",
        "release.yml",
        "test.yml",
    ];
    assert_eq!(names, expected);
    for (name, text) in &workflows {
        assert_eq!(
            broken(&read::template(text)),
            Vec::<String>::new(),
            "{name}"
        );
        // A commit tells nobody which version it is.
        for line in text.lines().filter(|line| line.contains("uses: ")) {
            let is_here = line.contains("uses: ./");
            assert!(is_here || line.contains(" # v"), "{name}: {line}");
        }
    }
}

#[test]
fn a_workflow_that_breaks_them_is_noticed() {
    let all = workflows();
    let of = |wanted: &str| {
        let (_, text) = all.iter().find(|(name, _)| name == wanted).unwrap();
        read::template(text)
    };
    let spoilt: [(&str, Change); 14] = [
        ("everything is allowed", |workflow| {
            workflow["permissions"] = json!("write-all");
        }),
        ("a job may write", |workflow| {
            workflow["jobs"]["deploy"]["permissions"]["contents"] = json!("write");
        }),
        ("it never ends", |workflow| {
            workflow["jobs"]["deploy"]
                .as_object_mut()
                .unwrap()
                .remove("timeout-minutes")
                .unwrap();
        }),
        ("a version that moves", |workflow| {
            workflow["jobs"]["deploy"]["steps"][0]["uses"] = json!("actions/checkout@v5");
        }),
        ("a command made of what others wrote", |workflow| {
            workflow["jobs"]["deploy"]["steps"][1]["run"] = json!("echo ${{ github.head_ref }}");
        }),
        ("a key", |workflow| {
            workflow["jobs"]["deploy"]["env"] = json!({ "KEY": "${{ secrets.AWS_KEY }}" });
        }),
        ("for strangers", |workflow| {
            workflow["on"]["pull_request_target"] = json!({});
        }),
        ("compiled with an identity", |workflow| {
            workflow["jobs"]["deploy"]["steps"][2]["run"] = json!("cargo build --locked");
        }),
        ("compiled by the deployer, with an identity", |workflow| {
            workflow["jobs"]["deploy"]["steps"][4]["run"] = json!("target/debug/deployer up");
        }),
        ("compiled by the action, with an identity", |workflow| {
            workflow["jobs"]["deploy"]["steps"][4]["with"]["arguments"] = json!("--yes\n");
        }),
        ("a workflow of somebody else", |workflow| {
            workflow["jobs"]["test"]["uses"] = json!("other/repository/.github/workflows/a.yml@v1");
        }),
        ("all secrets for another workflow", |workflow| {
            workflow["jobs"]["build"]["secrets"] = json!("inherit");
        }),
        ("GitHub's token on the disk", |workflow| {
            workflow["jobs"]["deploy"]["steps"][0]["with"] = json!({});
        }),
        ("a compiler that moves", |workflow| {
            workflow["jobs"]["deploy"]["steps"][2]["run"] =
                json!("rustup toolchain install stable");
        }),
    ];
    for (name, spoil) in spoilt {
        let mut workflow = of("deploy.yml");
        spoil(&mut workflow);
        assert!(!broken(&workflow).is_empty(), "{name}");
    }
    let mut release = of("release.yml");
    release["on"] = json!({ "pull_request": {} });
    assert!(!broken(&release).is_empty(), "a release of strangers");
    let mut build = of("build.yml");
    build["jobs"]["build"]["steps"][0]["with"]["fetch-depth"] = json!(1);
    assert!(!broken(&build).is_empty(), "half a history");
}
