//! Template parameters: the sizes of the service, and all other configured ones.

use std::collections::BTreeMap;

use super::file::Scalar;
use super::forms::{FARGATE_SIZES, NOT_SET_BY_HAND};
use deployment::error::{Failure, FailureKind};
use deployment::stack::template_names::ParameterName;
use image_builder::Architecture;

/// Parameters whose resources the emulator does not support, and their purpose.
const NOT_LOCAL: [(&str, &str); 1] = [(ParameterName::MaxCount.as_str(), "more tasks under load")];
/// Default grace period of the health checks, in seconds.
pub(super) const USUAL_START_SECONDS: u32 = 20;
/// Maximum grace period that the template allows, in seconds.
const LONGEST_START_SECONDS: u32 = 3600;
/// Maximum number of tasks that the template allows.
const MOST_TASKS: u32 = 50;
/// Sizes of the service, as the settings give them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSizes {
    /// TCP port that the program listens on.
    pub port: u16,
    /// Desired number of tasks.
    pub tasks: u32,
    /// Maximum number of tasks under load.
    pub max_tasks: Option<u32>,
    /// CPU units of a task.
    pub cpu: u32,
    /// Memory of a task, in MiB.
    pub memory: u32,
    /// Configured seconds after a task's start in which failed health checks do not count.
    pub start_seconds: Option<u32>,
    /// Processor architecture of the tasks.
    pub architecture: Architecture,
}

/// Returns all parameters except the image: the service's sizes, and those from the file and the
/// command line.
pub(super) fn resolve(
    service: &ServiceSizes,
    of_file: BTreeMap<String, Scalar>,
    of_command_line: &[String],
) -> Result<BTreeMap<String, String>, Failure> {
    numbers_of_tasks(service)?;
    if service.port == 0 {
        return Err(
            Failure::preflight("`port` cannot be 0").hint("set it to a number from 1 to 65535")
        );
    }
    fargate_pair(service.cpu, service.memory)?;
    if let Some(seconds) = service
        .start_seconds
        .filter(|it| *it > LONGEST_START_SECONDS)
    {
        return Err(
            Failure::preflight(format!("`start_seconds` cannot be {seconds}")).hint(format!(
                "set it to a number from 0 to {LONGEST_START_SECONDS}"
            )),
        );
    }
    let mut parameters: BTreeMap<String, String> = of_file
        .into_iter()
        .map(|(key, value)| (key, value.into_text()))
        .collect();
    // After those of the file: the command line takes precedence.
    for parameter in of_command_line {
        let (name, value) = parameter.split_once('=').ok_or_else(|| {
            Failure::new(
                FailureKind::Usage,
                format!("`--parameter {parameter}` gives no value"),
            )
            .hint("write it like `--parameter Network=private`")
        })?;
        parameters.insert(name.to_owned(), value.to_owned());
    }
    for (name, who) in NOT_SET_BY_HAND {
        if parameters.contains_key(name) {
            return Err(Failure::preflight(format!(
                "the parameter `{name}` cannot be set by hand"
            ))
            .hint(format!("remove it: {who}")));
        }
    }
    let numbers = [
        (ParameterName::ContainerPort, Some(u32::from(service.port))),
        (ParameterName::DesiredCount, Some(service.tasks)),
        (ParameterName::MaxCount, service.max_tasks),
        (ParameterName::Cpu, Some(service.cpu)),
        (ParameterName::Memory, Some(service.memory)),
        (ParameterName::StartSeconds, service.start_seconds),
    ];
    // The settings of `[service]` take precedence over parameters of the same name.
    for (key, value) in numbers {
        parameters.extend(value.map(|value| (key.to_string(), value.to_string())));
    }
    let architecture = service.architecture.to_string();
    parameters.insert(ParameterName::CpuArchitecture.to_string(), architecture);
    Ok(parameters)
}

/// Removes parameters that the emulator does not support. Returns the purposes of those that would
/// have had an effect.
pub(super) fn leave_out(
    parameters: &mut BTreeMap<String, String>,
    service: &ServiceSizes,
) -> Vec<&'static str> {
    // A maximum of 0, or equal to the number of tasks, has no effect.
    let does_something = |value: &String| value != "0" && *value != service.tasks.to_string();
    let known = NOT_LOCAL.into_iter().filter_map(|(name, what)| {
        let asked_for = parameters.remove(name);
        asked_for.filter(does_something).map(|_| what)
    });
    known.collect()
}

fn numbers_of_tasks(service: &ServiceSizes) -> Result<(), Failure> {
    let tasks = service.tasks;
    if !(1..=MOST_TASKS).contains(&tasks) {
        return Err(
            Failure::preflight(format!("`tasks` cannot be {tasks}")).hint(format!(
                "set it to a number from 1, better 2 (one for each zone), to {MOST_TASKS}"
            )),
        );
    }
    match service.max_tasks {
        Some(most) if !(tasks..=MOST_TASKS).contains(&most) => Err(Failure::preflight(format!(
            "`max_tasks` cannot be {most}"
        ))
        .hint(format!(
            "set it to a number from {tasks}, which is `tasks`, to {MOST_TASKS}, or leave it out"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Rejects combinations that Fargate does not offer.
pub(super) fn fargate_pair(cpu: u32, memory: u32) -> Result<(), Failure> {
    let size = FARGATE_SIZES.iter().find(|(units, ..)| *units == cpu);
    let Some(&(_, least, most, step)) = size else {
        return Err(Failure::preflight(format!(
            "the template takes no tasks with {cpu} CPU units"
        ))
        .hint("set `cpu` to 256, 512, 1024, 2048 or 4096"));
    };
    // The smallest CPU size skips 1536 MiB: it has 512, 1024 and 2048 only.
    let odd = cpu == 256 && memory == 1536;
    if (least..=most).contains(&memory) && memory.is_multiple_of(step) && !odd {
        return Ok(());
    }
    Err(Failure::preflight(format!(
        "Fargate has no tasks with {cpu} CPU units and {memory} MiB"
    ))
    .hint(format!(
        "set `memory` to a multiple of {step} from {least} to {most}"
    )))
}
