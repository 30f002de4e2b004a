//! A second opinion: the same requests to the emulator and to another one, `SECOND_EMULATOR=URL`, about stacks alone. Prints where the
//! two disagree; which of them is right, AWS decides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::copy::Copy;
use crate::listing::CommandLine;
use crate::run::{CleanUp, Surroundings};
use crate::step;

/// Stack in both, and its template.
const STACK: &str = "--stack-name second-opinion";
const TEMPLATE: &str = "--template-body file://infra/service.yaml";
const PATIENCE: Duration = Duration::from_mins(3);

/// What an emulator says, by what it was asked.
type Said = BTreeMap<String, String>;

#[tokio::test(flavor = "multi_thread")]
async fn two_emulators_are_asked_the_same() {
    let Some(second) = std::env::var("SECOND_EMULATOR")
        .ok()
        .filter(|url| !url.is_empty())
    else {
        println!("SECOND_EMULATOR is not set: there is no second opinion");
        return;
    };
    let url: url::Url = second.parse().expect("SECOND_EMULATOR is a URL");
    let is_local = ["127.0.0.1", "localhost", "[::1]"].contains(&url.host_str().unwrap_or(""));
    assert!(is_local, "SECOND_EMULATOR is on this machine, not {url}");
    let copy = Copy::of_the_project();
    let surroundings = Surroundings::new(&copy);
    let _clean_up = CleanUp(&surroundings);

    step("the emulator of the project");
    surroundings.deployer(&["up", "--local"]).succeeded();
    let here = format!("http://127.0.0.1:{}", surroundings.port);
    let ours = said_by(
        &surroundings
            .with_credentials()
            .with("AWS_ENDPOINT_URL", &here),
    );
    assert_eq!(ours["created: stack"], "\"CREATE_COMPLETE\"");
    assert_eq!(ours["deployed: stack"], "\"UPDATE_COMPLETE\"");
    assert!(
        ours["deleted: stack"].contains("does not exist"),
        "{ours:?}"
    );

    surroundings.deployer(&["down", "--local"]).succeeded();

    step("the second one");
    let mut there = surroundings
        .with_credentials()
        .with("AWS_ENDPOINT_URL", &second);
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ] {
        there = there.with(name, value);
    }
    let theirs = said_by(&there);

    step("where the two disagree");
    let asked: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let say = |said: &Said, what: &str| {
        said.get(what)
            .cloned()
            .unwrap_or_else(|| "nothing".to_owned())
    };
    let differing: Vec<_> = asked
        .iter()
        .map(|what| (what, say(&ours, what), say(&theirs, what)))
        .filter(|(_, ours, theirs)| ours != theirs)
        .collect();
    for (what, ours, theirs) in &differing {
        println!("{what}\n    first   {ours}\n    second  {theirs}");
    }
    println!("{} of {} answers differ", differing.len(), asked.len());
}

/// Takes a stack through its life, as the deployer does: without an image, with one, and away.
fn said_by(surroundings: &Surroundings) -> Said {
    let asked = Asked {
        aws: CommandLine::new(surroundings),
        said: Said::new(),
    };
    asked.all()
}

struct Asked<'a> {
    aws: CommandLine<'a>,
    said: Said,
}

impl Asked<'_> {
    fn all(mut self) -> Said {
        let parameters = format!("cloudformation validate-template {TEMPLATE}");
        self.note(
            "template: parameters",
            &parameters,
            "sort(Parameters[].ParameterKey)",
        );
        self.note("template: capabilities", &parameters, "Capabilities");
        self.note(
            "nothing: stack",
            &format!("cloudformation describe-stacks {STACK}"),
            "Stacks",
        );
        // Which zones there are is a question of its own, that not every emulator can answer.
        let zones = "--parameters ParameterKey=ZoneA,ParameterValue=us-east-1a ParameterKey=ZoneB,ParameterValue=us-east-1b";
        self.change("created", "CREATE", zones);
        let image = format!(
            "ParameterKey=ImageUri,ParameterValue=localhost/none@sha256:{:064}",
            1
        );
        self.change("deployed", "UPDATE", &format!("{zones} {image}"));
        self.change_set("unchanged", "UPDATE", &format!("{zones} {image}"));
        self.note(
            "deleted: request",
            &format!("cloudformation delete-stack {STACK}"),
            "@",
        );
        self.settled("deleted");
        self.said
    }

    /// Notes the answer, or the error.
    fn note(&mut self, what: &str, command: &str, query: &str) -> Option<Value> {
        let answer = self.aws.answer(command, query);
        let (text, answer) = match answer {
            Ok(answer) => (answer.to_string(), Some(answer)),
            Err(error) => (error, None),
        };
        self.said.insert(what.to_owned(), text);
        answer
    }

    /// Notes each entry of a list under its name: an object with `name`, and the rest.
    fn note_each(&mut self, what: &str, command: &str, query: &str) {
        match self.aws.answer(command, query) {
            Ok(Value::Array(entries)) => {
                for mut entry in entries {
                    let name = entry.as_object_mut().and_then(|entry| entry.remove("name"));
                    let name = name.unwrap_or_default();
                    self.said
                        .insert(format!("{what} {name}"), entry.to_string());
                }
            }
            Ok(other) => {
                self.said.insert(what.to_owned(), other.to_string());
            }
            Err(error) => {
                self.said.insert(what.to_owned(), error);
            }
        }
    }

    /// Makes a change set and executes it.
    fn change(&mut self, step: &str, kind: &str, parameters: &str) {
        let Some(set) = self.change_set(step, kind, parameters) else {
            return;
        };
        let execute = format!("cloudformation execute-change-set {STACK} --change-set-name {set}");
        self.note(&format!("{step}: execution"), &execute, "@");
        self.settled(step);
        let resources = format!("cloudformation describe-stack-resources {STACK}");
        let query = "StackResources[].{name: LogicalResourceId, type: ResourceType, status: ResourceStatus}";
        self.note_each(&format!("{step}: resource"), &resources, query);
        let stack = format!("cloudformation describe-stacks {STACK}");
        self.note(
            &format!("{step}: outputs"),
            &stack,
            "Stacks[0].Outputs[].OutputKey",
        );
    }

    /// Makes a change set, and notes what it would change; returns its name.
    fn change_set(&mut self, step: &str, kind: &str, parameters: &str) -> Option<String> {
        let set = format!("set-{step}");
        let create = format!(
            "cloudformation create-change-set {STACK} --change-set-name {set} --change-set-type {kind} {TEMPLATE} \
             --capabilities CAPABILITY_IAM {parameters}"
        );
        // The answer has two identifiers, which differ.
        self.note(
            &format!("{step}: change set is made"),
            create.trim(),
            "keys(@)",
        )?;
        let described =
            format!("cloudformation describe-change-set {STACK} --change-set-name {set}");
        let what = format!("{step}: change set");
        let until = Instant::now() + PATIENCE;
        while let Some(status) = self.note(&what, &described, "[Status, StatusReason || `\"\"`]") {
            let is_over = !matches!(
                status[0].as_str(),
                Some("CREATE_PENDING" | "CREATE_IN_PROGRESS")
            );
            if is_over || Instant::now() > until {
                break;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        let query = "Changes[].ResourceChange.{name: LogicalResourceId, action: Action, type: ResourceType, replacement: Replacement}";
        self.note_each(&format!("{step}: change of"), &described, query);
        Some(set)
    }

    /// Waits until nothing is in progress, and notes the state of the stack.
    fn settled(&mut self, step: &str) {
        let stack = format!("cloudformation describe-stacks {STACK}");
        let what = format!("{step}: stack");
        let until = Instant::now() + PATIENCE;
        while let Some(status) = self.note(&what, &stack, "Stacks[0].StackStatus") {
            let is_over = !status.as_str().unwrap_or("").ends_with("_IN_PROGRESS");
            if is_over || Instant::now() > until {
                return;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}
