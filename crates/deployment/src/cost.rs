//! Cost estimate of the service: list prices times sizes. Pure.
//!
//! Traffic, capacity units of the load balancer, images and logs are not included. The five alarms
//! and the dashboard are within the free tier of each account (ten and three). The result is an
//! estimate for people, not a bill.

mod prices;
mod table;

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::names::StackId;
use prices::PRICES;
use support::architecture::Architecture;

use crate::stack::template_names::ParameterName;
pub use table::{Table, table};

/// Region that is assumed if none is configured.
pub const USUAL_REGION: &str = "us-east-1";
/// Hours of a month, as the AWS pricing calculator counts them.
const HOURS_A_MONTH: f64 = 730.0;
/// Dollars an hour for each public IPv4 address, in all regions here.
///
/// <https://aws.amazon.com/vpc/pricing/>, since February 2024.
const ADDRESS: f64 = 0.005;
/// Public addresses of the load balancer: one in each of its two zones.
const LOAD_BALANCER_ADDRESSES: u32 = 2;
/// Interface endpoints of the private VPC: ECR (two) and CloudWatch Logs, each in two zones.
const ENDPOINTS: u32 = 3 * 2;
/// Price of a Spot task as a share of the on-demand price.
///
/// The price varies; AWS promises up to 70 % less.
const SPOT: f64 = 0.3;

/// Size and region of a deployment, the input of the estimate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    /// AWS region.
    pub region: String,
    /// CPU architecture of the tasks.
    pub architecture: Architecture,
    /// CPU units of a task: 1024 are one virtual CPU.
    pub cpu: u32,
    /// Memory of a task, MiB.
    pub memory: u32,
    /// Number of running tasks; with autoscaling, the minimum.
    pub tasks: u32,
    /// Maximum number of tasks with autoscaling; equal to `tasks` without.
    pub most_tasks: u32,
    /// Share of Spot among the tasks beyond the first, in percent.
    pub spot_percent: u32,
    /// Set if the tasks run in subnets without public addresses.
    pub is_private: bool,
}

impl Sizes {
    /// Reads the sizes from the parameters of a stack; `None` if a required one is missing or
    /// invalid.
    pub fn of_parameters(region: &str, parameters: &BTreeMap<String, String>) -> Option<Self> {
        let number = |name: ParameterName| parameters.get(name.as_str())?.parse().ok();
        let tasks: u32 = number(ParameterName::DesiredCount)?;
        // 0, or no such parameter in a custom template, means that the number of tasks is fixed.
        let most_tasks = number(ParameterName::MaxCount).unwrap_or(0);
        Some(Self {
            region: region.to_owned(),
            architecture: parameters
                .get(ParameterName::CpuArchitecture.as_str())?
                .parse()
                .ok()?,
            cpu: number(ParameterName::Cpu)?,
            memory: number(ParameterName::Memory)?,
            tasks,
            most_tasks: most_tasks.max(tasks),
            spot_percent: number(ParameterName::SpotPercent).unwrap_or(0),
            // A custom template without this parameter counts as public.
            is_private: parameters
                .get("Network")
                .is_some_and(|kind| kind == "private"),
        })
    }

    /// Returns the number of public IPv4 addresses: the load balancer's, and the tasks' if they are
    /// public.
    fn addresses(&self) -> u32 {
        LOAD_BALANCER_ADDRESSES + if self.is_private { 0 } else { self.tasks }
    }

    /// Returns the number of on-demand tasks that would cost as much as these with their Spot
    /// share.
    fn tasks_on_demand(&self) -> f64 {
        // The first task is the base of the capacity provider strategy and always runs on demand.
        let beyond = f64::from(self.tasks.saturating_sub(1));
        let saved = beyond * f64::from(self.spot_percent) / 100.0 * (1.0 - SPOT);
        f64::from(self.tasks) - saved
    }
}

/// Cost of a deployment in dollars an hour, by part.
#[derive(Debug, Clone, PartialEq)]
pub struct Cost {
    /// Hours of the load balancer, without capacity units.
    pub load_balancer: f64,
    /// Fargate price of all tasks together.
    pub tasks: f64,
    /// Public IPv4 addresses of load balancer and tasks together.
    pub addresses: f64,
    /// Interface endpoints of the private VPC; 0 in a public one.
    pub endpoints: f64,
    sizes: Sizes,
    as_of: &'static str,
}

/// Named part of the cost.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Part {
    /// Description for people, such as `load balancer`.
    pub name: String,
    /// Dollars an hour.
    pub per_hour: f64,
}

impl Part {
    fn new(name: impl Into<String>, per_hour: f64) -> Self {
        Self {
            name: name.into(),
            per_hour,
        }
    }
}

/// Returns the cost of a service of these sizes; `None` if the prices of the region are not known.
pub fn per_hour(sizes: &Sizes) -> Option<Cost> {
    let prices = PRICES
        .iter()
        .find(|prices| prices.region == sizes.region.as_str())?;
    let fargate = match sizes.architecture {
        Architecture::X86_64 => prices.x86,
        Architecture::Arm64 => prices.arm,
    };
    let task = f64::from(sizes.cpu) / 1024.0 * fargate.vcpu
        + f64::from(sizes.memory) / 1024.0 * fargate.gb;
    Some(Cost {
        load_balancer: prices.load_balancer,
        tasks: sizes.tasks_on_demand() * task,
        addresses: f64::from(sizes.addresses()) * ADDRESS,
        endpoints: if sizes.is_private {
            f64::from(ENDPOINTS) * prices.endpoint
        } else {
            0.0
        },
        sizes: sizes.clone(),
        as_of: prices.as_of,
    })
}

impl Cost {
    /// Returns the total in dollars an hour, rounded to a ten thousandth of a cent.
    pub fn per_hour(&self) -> f64 {
        let sum: f64 = self.parts().iter().map(|part| part.per_hour).sum();
        // Rounded, so that JSON shows no noise of the binary sum (0.049370000000000004).
        (sum * 1e6).round() / 1e6
    }

    /// Returns the parts with their hourly prices.
    fn parts(&self) -> Vec<Part> {
        let Sizes {
            tasks,
            spot_percent,
            ..
        } = &self.sizes;
        let s = if *tasks == 1 { "" } else { "s" };
        let spot = if *spot_percent > 0 && *tasks > 1 {
            format!(", {spot_percent} % of all but one on Spot")
        } else {
            String::new()
        };
        let mut parts = vec![
            Part::new("load balancer", self.load_balancer),
            Part::new(format!("{tasks} task{s}{spot}"), self.tasks),
            Part::new(
                format!("{} public addresses", self.sizes.addresses()),
                self.addresses,
            ),
        ];
        if self.sizes.is_private {
            parts.push(Part::new("3 endpoints in 2 zones", self.endpoints));
        }
        parts
    }

    /// Returns the total and its parts as one line of text.
    pub fn line(&self) -> String {
        let parts = self.parts().into_iter().map(|part| {
            let month = cents(part.per_hour * HOURS_A_MONTH);
            format!("{} ${month}", part.name)
        });
        format!(
            "{} ({}; {} prices of {}, without traffic)",
            in_short(self.per_hour()),
            parts.collect::<Vec<_>>().join(", "),
            self.sizes.region,
            self.as_of
        )
    }
}

/// Cost of a stack, as far as it is known.
#[derive(Debug, Clone, PartialEq)]
pub enum Estimate {
    /// Prices of the region are known.
    Known(Cost),
    /// No prices are known for this region.
    UnknownRegion(String),
}

impl Estimate {
    /// Returns the dollars an hour, if they are known.
    pub fn per_hour(&self) -> Option<f64> {
        match self {
            Self::Known(cost) => Some(cost.per_hour()),
            Self::UnknownRegion(_) => None,
        }
    }

    /// Returns the estimate as one line of text.
    pub fn line(&self) -> String {
        match self {
            Self::Known(cost) => cost.line(),
            Self::UnknownRegion(region) => {
                format!("unknown for this region ({region}): https://calculator.aws")
            }
        }
    }
}

/// Serializes as a number, the dollars an hour, or as `null`.
impl Serialize for Estimate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.per_hour().serialize(serializer)
    }
}

impl schemars::JsonSchema for Estimate {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Estimate".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<Option<f64>>()
    }
}

/// Returns the cost of a stack with these parameters; `None` if they do not give its size.
///
/// Without an image no task runs, so that only the other parts count.
pub fn of_parameters(region: &str, parameters: &BTreeMap<String, String>) -> Option<Estimate> {
    let mut sizes = Sizes::of_parameters(region, parameters)?;
    if parameters
        .get(ParameterName::ImageUri.as_str())
        .is_none_or(String::is_empty)
    {
        // The first phase of a deployment creates the stack without a service.
        sizes.tasks = 0;
    }
    Some(match per_hour(&sizes) {
        Some(cost) => Estimate::Known(cost),
        None => Estimate::UnknownRegion(sizes.region),
    })
}

/// Returns the cost of a stack with these parameters, in the region that its ARN names.
pub fn of_stack(stack: &StackId, parameters: &BTreeMap<String, String>) -> Option<Estimate> {
    of_parameters(stack.region()?, parameters)
}

/// Formats the price of an hour and of a month, for one line.
pub fn in_short(per_hour: f64) -> String {
    let month = (per_hour * HOURS_A_MONTH).round();
    format!("about ${} an hour, ${month} a month", cents(per_hour))
}

/// Describes the difference between two prices in dollars an hour, per month.
pub fn difference(before: f64, after: f64) -> String {
    let month = (after - before) * HOURS_A_MONTH;
    // Would be shown as $0.00.
    if month.abs() < 0.005 {
        return "as much as now".to_owned();
    }
    let direction = if month > 0.0 { "more" } else { "less" };
    format!("${} a month {direction} than now", cents(month.abs()))
}

/// Formats dollars with two digits, and rounds half a cent up.
///
/// 16.425 becomes 16.43, although the nearest binary number is slightly less.
fn cents(dollars: f64) -> String {
    format!("{:.2}", (dollars * 100.0 + 1e-6).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(region: &str, architecture: Architecture, tasks: u32) -> Sizes {
        Sizes {
            region: region.to_owned(),
            architecture,
            cpu: 256,
            memory: 512,
            tasks,
            most_tasks: tasks,
            spot_percent: 0,
            is_private: false,
        }
    }

    #[test]
    fn without_public_addresses_and_on_spot() {
        let private = Sizes {
            is_private: true,
            ..sizes("us-east-1", Architecture::Arm64, 2)
        };
        insta::assert_snapshot!(per_hour(&private).unwrap().line(), @"about $0.11 an hour, $82 a month (load balancer $16.43, 2 tasks $14.42, 2 public addresses $7.30, 3 endpoints in 2 zones $43.80; us-east-1 prices of 2026-06, without traffic)");
        let spot = Sizes {
            spot_percent: 75,
            ..sizes("us-east-1", Architecture::Arm64, 5)
        };
        insta::assert_snapshot!(per_hour(&spot).unwrap().line(), @"about $0.09 an hour, $63 a month (load balancer $16.43, 5 tasks, 75 % of all but one on Spot $20.91, 7 public addresses $25.55; us-east-1 prices of 2026-06, without traffic)");
    }

    #[test]
    fn the_figures_of_the_readme() {
        let readme = include_str!("../../../README.md");
        let x86 = per_hour(&sizes("us-east-1", Architecture::X86_64, 2)).unwrap();
        let arm = per_hour(&sizes("us-east-1", Architecture::Arm64, 2)).unwrap();
        insta::assert_snapshot!(format!("{}\n{}", x86.line(), arm.line()), @"
        about $0.07 an hour, $49 a month (load balancer $16.43, 2 tasks $18.02, 4 public addresses $14.60; us-east-1 prices of 2026-06, without traffic)
        about $0.06 an hour, $45 a month (load balancer $16.43, 2 tasks $14.42, 4 public addresses $14.60; us-east-1 prices of 2026-06, without traffic)
        ");
        for figure in ["$45–49 a month", "16.43", "14.60", "14.42, or 18.02"] {
            assert!(readme.contains(figure), "{figure}");
        }
    }

    #[test]
    fn every_region() {
        let line = |prices: &prices::Prices| {
            [Architecture::X86_64, Architecture::Arm64].map(|architecture| {
                per_hour(&sizes(prices.region, architecture, 2))
                    .unwrap()
                    .per_hour()
            })
        };
        let table: Vec<String> = PRICES
            .iter()
            .map(|prices| format!("{:<15}{:?}", prices.region, line(prices)))
            .collect();
        insta::assert_snapshot!(table.join("\n"), @"
        us-east-1      [0.067185, 0.06225]
        us-east-2      [0.067185, 0.06225]
        us-west-2      [0.067185, 0.06225]
        eu-west-1      [0.069885, 0.06495]
        eu-central-1   [0.07539, 0.069715]
        ap-southeast-1 [0.07601, 0.069845]
        ap-southeast-2 [0.0748, 0.068885]
        ap-northeast-1 [0.07511, 0.068945]
        ");
    }

    #[test]
    fn parameters_of_a_stack() {
        let stack = |region: &str| {
            let id = format!("arn:aws:cloudformation:{region}:123456789012:stack/clock/1");
            id.parse::<StackId>().unwrap()
        };
        let mut parameters: BTreeMap<String, String> = [
            ("Cpu", "1024"),
            ("Memory", "2048"),
            ("CpuArchitecture", "ARM64"),
            ("DesiredCount", "3"),
            ("ImageUri", "registry.example/clock@sha256:0"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let line = |region: &str, parameters: &BTreeMap<String, String>| {
            of_stack(&stack(region), parameters).map(|estimate| estimate.line())
        };
        insta::assert_snapshot!(line("eu-central-1", &parameters).unwrap(), @"about $0.19 an hour, $137 a month (load balancer $19.71, 3 tasks $99.49, 5 public addresses $18.25; eu-central-1 prices of 2025, without traffic)");
        insta::assert_snapshot!(line("xx-east-9", &parameters).unwrap(), @"unknown for this region (xx-east-9): https://calculator.aws");
        parameters.remove("ImageUri");
        insta::assert_snapshot!(line("us-east-1", &parameters).unwrap(), @"about $0.03 an hour, $24 a month (load balancer $16.43, 0 tasks $0.00, 2 public addresses $7.30; us-east-1 prices of 2026-06, without traffic)");
        parameters.remove("Cpu");
        assert_eq!(line("us-east-1", &parameters), None);
        assert_eq!(
            of_stack(&"arn:stack/clock/1".parse().unwrap(), &parameters),
            None
        );
    }

    #[test]
    fn differences() {
        insta::assert_snapshot!(difference(0.067_185, 0.067_185), @"as much as now");
        insta::assert_snapshot!(difference(0.067_185, 0.1), @"$23.95 a month more than now");
        insta::assert_snapshot!(difference(0.1, 0.067_185), @"$23.95 a month less than now");
    }
}
