//! List prices of AWS, by region.

/// List prices of a region, dollars an hour.
pub(super) struct Prices {
    pub(super) region: &'static str,
    /// Year, or year and month, of the price list.
    pub(super) as_of: &'static str,
    /// Application Load Balancer, without capacity units.
    pub(super) load_balancer: f64,
    /// Interface endpoint in one availability zone.
    pub(super) endpoint: f64,
    pub(super) x86: Fargate,
    pub(super) arm: Fargate,
}

/// Price of Fargate on demand, for Linux, dollars an hour.
#[derive(Clone, Copy)]
pub(super) struct Fargate {
    pub(super) vcpu: f64,
    /// Price of 1024 MiB, which Fargate calls a GB.
    pub(super) gb: f64,
}

/// Fargate prices in Virginia, Ohio, Oregon and Ireland.
const X86: Fargate = fargate(0.04048, 0.004_445);
const ARM: Fargate = fargate(0.03238, 0.00356);
/// Fargate prices in Singapore and Tokyo.
const X86_ASIA: Fargate = fargate(0.05056, 0.00553);
const ARM_ASIA: Fargate = fargate(0.04045, 0.00442);

/// Public price lists, for the last lines of the table.
pub(super) const SOURCES: [(&str, &str); 4] = [
    ("Fargate", "https://aws.amazon.com/fargate/pricing/"),
    (
        "load balancer",
        "https://aws.amazon.com/elasticloadbalancing/pricing/",
    ),
    ("public addresses", "https://aws.amazon.com/vpc/pricing/"),
    ("endpoints", "https://aws.amazon.com/privatelink/pricing/"),
];

/// Known prices; a region whose prices are not certain is left out.
///
/// Fargate in us-east-1 as public pages of March to June 2026 repeat the list (vantage.sh,
/// cloudburn.io, factualminds.com). Its load balancer, endpoints and addresses cost the same there.
/// No page of 2026 was found for the other regions: theirs are of 2025.
pub(super) const PRICES: [Prices; 8] = [
    prices("us-east-1", "2026-06", (0.0225, 0.01), (X86, ARM)),
    prices("us-east-2", "2025", (0.0225, 0.01), (X86, ARM)),
    prices("us-west-2", "2025", (0.0225, 0.01), (X86, ARM)),
    prices("eu-west-1", "2025", (0.0252, 0.011), (X86, ARM)),
    prices(
        "eu-central-1",
        "2025",
        (0.027, 0.012),
        (fargate(0.04656, 0.00511), fargate(0.03725, 0.00409)),
    ),
    prices(
        "ap-southeast-1",
        "2025",
        (0.0252, 0.013),
        (X86_ASIA, ARM_ASIA),
    ),
    prices(
        "ap-southeast-2",
        "2025",
        (0.0252, 0.013),
        (fargate(0.04856, 0.00532), fargate(0.03885, 0.00426)),
    ),
    prices(
        "ap-northeast-1",
        "2025",
        (0.0243, 0.014),
        (X86_ASIA, ARM_ASIA),
    ),
];

const fn fargate(vcpu: f64, gb: f64) -> Fargate {
    Fargate { vcpu, gb }
}

const fn prices(
    region: &'static str,
    as_of: &'static str,
    (load_balancer, endpoint): (f64, f64),
    (x86, arm): (Fargate, Fargate),
) -> Prices {
    Prices {
        region,
        as_of,
        load_balancer,
        endpoint,
        x86,
        arm,
    }
}
