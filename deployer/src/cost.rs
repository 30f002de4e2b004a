//! What the service costs to run: list prices times sizes. Pure.
//!
//! Traffic, capacity units of the load balancer, images and logs come on top. It is an estimate for people, not a bill.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::image::Architecture;
use crate::names::StackId;

/// Hours of a month, as AWS's own calculator has it.
const HOURS_A_MONTH: f64 = 730.0;
/// Dollars an hour for each public IPv4 address, in all regions here. <https://aws.amazon.com/vpc/pricing/>, since February 2024.
const ADDRESS: f64 = 0.005;
/// Public addresses of the load balancer: one in each of its two zones.
const LOAD_BALANCER_ADDRESSES: u32 = 2;

/// List prices of a region, dollars an hour.
struct Prices {
    region: &'static str,
    /// When the list had them.
    as_of: &'static str,
    /// An application load balancer, without capacity units.
    load_balancer: f64,
    x86: Fargate,
    arm: Fargate,
}

/// Price of Fargate on demand, for Linux, dollars an hour.
#[derive(Clone, Copy)]
struct Fargate {
    vcpu: f64,
    /// GB as Fargate counts them: 1024 MiB.
    gb: f64,
}

/// Fargate in Virginia, Ohio, Oregon and Ireland.
const X86: Fargate = fargate(0.04048, 0.004_445);
const ARM: Fargate = fargate(0.03238, 0.00356);
/// Fargate in Singapore and Tokyo.
const X86_ASIA: Fargate = fargate(0.05056, 0.00553);
const ARM_ASIA: Fargate = fargate(0.04045, 0.00442);

/// What is known, and no more: a region whose prices are not certain is left out.
///
/// Fargate: <https://aws.amazon.com/fargate/pricing/>, load balancer: <https://aws.amazon.com/elasticloadbalancing/pricing/>, both
/// per region. Those of us-east-1 are the ones that the README names with their date; the others stand as they were known in 2025,
/// and have not been read off the lists since.
const PRICES: [Prices; 8] = [
    prices("us-east-1", "2026-11", 0.0225, (X86, ARM)),
    prices("us-east-2", "2025", 0.0225, (X86, ARM)),
    prices("us-west-2", "2025", 0.0225, (X86, ARM)),
    prices("eu-west-1", "2025", 0.0252, (X86, ARM)),
    prices(
        "eu-central-1",
        "2025",
        0.027,
        (fargate(0.04656, 0.00511), fargate(0.03725, 0.00409)),
    ),
    prices("ap-southeast-1", "2025", 0.0252, (X86_ASIA, ARM_ASIA)),
    prices(
        "ap-southeast-2",
        "2025",
        0.0252,
        (fargate(0.04856, 0.00532), fargate(0.03885, 0.00426)),
    ),
    prices("ap-northeast-1", "2025", 0.0243, (X86_ASIA, ARM_ASIA)),
];

const fn fargate(vcpu: f64, gb: f64) -> Fargate {
    Fargate { vcpu, gb }
}

const fn prices(
    region: &'static str,
    as_of: &'static str,
    load_balancer: f64,
    (x86, arm): (Fargate, Fargate),
) -> Prices {
    Prices {
        region,
        as_of,
        load_balancer,
        x86,
        arm,
    }
}

/// How much of it runs, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    /// AWS region.
    pub region: String,
    /// Processor of the tasks.
    pub architecture: Architecture,
    /// CPU units of a task: 1024 are one virtual CPU.
    pub cpu: u32,
    /// Memory of a task, MiB.
    pub memory: u32,
    /// Tasks that run.
    pub tasks: u32,
}

impl Sizes {
    /// The sizes that the parameters of a stack give; `None` where they do not say all of it.
    pub fn of_parameters(region: &str, parameters: &BTreeMap<String, String>) -> Option<Self> {
        let number = |key: &str| parameters.get(key)?.parse().ok();
        Some(Self {
            region: region.to_owned(),
            architecture: parameters.get("CpuArchitecture")?.parse().ok()?,
            cpu: number("Cpu")?,
            memory: number("Memory")?,
            tasks: number("DesiredCount")?,
        })
    }
}

/// What something costs, dollars an hour, part by part.
#[derive(Debug, Clone, PartialEq)]
pub struct Cost {
    /// The load balancer's hours.
    pub load_balancer: f64,
    /// All tasks.
    pub tasks: f64,
    /// All public addresses.
    pub addresses: f64,
    sizes: Sizes,
    as_of: &'static str,
}

/// What a service of these sizes costs; `None` where the region's prices are not known.
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
        tasks: f64::from(sizes.tasks) * task,
        addresses: f64::from(sizes.tasks + LOAD_BALANCER_ADDRESSES) * ADDRESS,
        sizes: sizes.clone(),
        as_of: prices.as_of,
    })
}

impl Cost {
    /// All of it, dollars an hour, to a ten thousandth of a cent.
    pub fn per_hour(&self) -> f64 {
        let sum = self.load_balancer + self.tasks + self.addresses;
        (sum * 1e6).round() / 1e6
    }

    /// All of it and its parts, in one line.
    pub fn line(&self) -> String {
        let Sizes { region, tasks, .. } = &self.sizes;
        let month = |part: f64| cents(part * HOURS_A_MONTH);
        format!(
            "{} (load balancer ${}, {tasks} task{} ${}, {} public addresses ${}; {region} prices of {}, without traffic)",
            in_short(self.per_hour()),
            month(self.load_balancer),
            if *tasks == 1 { "" } else { "s" },
            month(self.tasks),
            tasks + LOAD_BALANCER_ADDRESSES,
            month(self.addresses),
            self.as_of
        )
    }
}

/// What is known about the cost of a stack.
#[derive(Debug, Clone, PartialEq)]
pub enum Estimate {
    /// This.
    Known(Cost),
    /// The prices of this region are not known.
    UnknownRegion(String),
}

impl Estimate {
    /// Dollars an hour, where they are known.
    pub fn per_hour(&self) -> Option<f64> {
        match self {
            Self::Known(cost) => Some(cost.per_hour()),
            Self::UnknownRegion(_) => None,
        }
    }

    /// In one line.
    pub fn line(&self) -> String {
        match self {
            Self::Known(cost) => cost.line(),
            Self::UnknownRegion(region) => {
                format!("unknown for this region ({region}): https://calculator.aws")
            }
        }
    }
}

/// The dollars an hour alone: for JSON.
impl Serialize for Estimate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.per_hour().serialize(serializer)
    }
}

/// What a stack in this region with these parameters costs; `None` where they do not tell how large it is. Without an image no
/// task runs.
pub fn of_parameters(region: &str, parameters: &BTreeMap<String, String>) -> Option<Estimate> {
    let mut sizes = Sizes::of_parameters(region, parameters)?;
    if parameters.get("ImageUri").is_none_or(String::is_empty) {
        sizes.tasks = 0;
    }
    Some(match per_hour(&sizes) {
        Some(cost) => Estimate::Known(cost),
        None => Estimate::UnknownRegion(sizes.region),
    })
}

/// What a stack with these parameters costs, the region being the one that its identifier names.
pub fn of_stack(stack: &StackId, parameters: &BTreeMap<String, String>) -> Option<Estimate> {
    of_parameters(stack.region()?, parameters)
}

/// Dollars an hour, and a month, in short.
pub fn in_short(per_hour: f64) -> String {
    let month = (per_hour * HOURS_A_MONTH).round();
    format!("about ${} an hour, ${month} a month", cents(per_hour))
}

/// What changes from one to the other, dollars an hour each.
pub fn difference(before: f64, after: f64) -> String {
    let month = (after - before) * HOURS_A_MONTH;
    if month.abs() < 0.005 {
        return format!("{}, as now", in_short(after));
    }
    let direction = if month > 0.0 { "more" } else { "less" };
    format!(
        "{}: ${} a month {direction} than now",
        in_short(after),
        cents(month.abs())
    )
}

/// Dollars with two digits, half a cent rounded up: 16.425 is 16.43, although the nearest binary number is a little less.
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
        }
    }

    #[test]
    fn the_figures_of_the_readme() {
        let readme = include_str!("../../README.md");
        let x86 = per_hour(&sizes("us-east-1", Architecture::X86_64, 2)).unwrap();
        let arm = per_hour(&sizes("us-east-1", Architecture::Arm64, 2)).unwrap();
        insta::assert_snapshot!(format!("{}\n{}", x86.line(), arm.line()), @"
        about $0.07 an hour, $49 a month (load balancer $16.43, 2 tasks $18.02, 4 public addresses $14.60; us-east-1 prices of 2026-11, without traffic)
        about $0.06 an hour, $45 a month (load balancer $16.43, 2 tasks $14.42, 4 public addresses $14.60; us-east-1 prices of 2026-11, without traffic)
        ");
        for figure in ["$45–49 a month", "16.43", "14.60", "14.42, or 18.02"] {
            assert!(readme.contains(figure), "{figure}");
        }
    }

    #[test]
    fn every_region() {
        let line = |prices: &Prices| {
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
            StackId(format!(
                "arn:aws:cloudformation:{region}:123456789012:stack/clock/1"
            ))
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
        insta::assert_snapshot!(line("us-east-1", &parameters).unwrap(), @"about $0.03 an hour, $24 a month (load balancer $16.43, 0 tasks $0.00, 2 public addresses $7.30; us-east-1 prices of 2026-11, without traffic)");
        parameters.remove("Cpu");
        assert_eq!(line("us-east-1", &parameters), None);
        assert_eq!(of_stack(&StackId("stack".to_owned()), &parameters), None);
    }

    #[test]
    fn differences() {
        insta::assert_snapshot!(difference(0.067_185, 0.067_185), @"about $0.07 an hour, $49 a month, as now");
        insta::assert_snapshot!(difference(0.067_185, 0.1), @"about $0.10 an hour, $73 a month: $23.95 a month more than now");
        insta::assert_snapshot!(difference(0.1, 0.067_185), @"about $0.07 an hour, $49 a month: $23.95 a month less than now");
    }
}
