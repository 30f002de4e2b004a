//! AWS partitions, which differ in ARNs, console and sign-in pages: public AWS, China, GovCloud,
//! sovereign and isolated clouds. Pure.

/// AWS partition, by its name in ARNs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition(&'static str);

/// Prefixes of region names, from botocore's `partitions.json` (1.44.8, `regionRegex`); all others
/// are in `aws`.
///
/// `us-iso-` and `us-isob-` differ by the hyphen.
const REGIONS: [(&str, Partition); 7] = [
    ("cn-", Partition("aws-cn")),
    ("us-gov-", Partition("aws-us-gov")),
    ("eusc-", Partition("aws-eusc")),
    ("us-iso-", Partition("aws-iso")),
    ("us-isob-", Partition("aws-iso-b")),
    ("eu-isoe-", Partition("aws-iso-e")),
    ("us-isof-", Partition("aws-iso-f")),
];

impl Partition {
    /// Public AWS.
    pub const PUBLIC: Self = Self("aws");

    /// Returns the partition that a region is in.
    pub fn of_region(region: &str) -> Self {
        let found = REGIONS.iter().find(|(begin, _)| region.starts_with(begin));
        found.map_or(Self::PUBLIC, |(_, partition)| *partition)
    }

    /// Returns the partition of an ARN, if AWS has one of that name.
    pub fn of_arn(arn: &str) -> Option<Self> {
        let name = arn.strip_prefix("arn:")?.split(':').next()?;
        let all = REGIONS.iter().map(|(_, partition)| *partition);
        all.chain([Self::PUBLIC])
            .find(|partition| partition.0 == name)
    }

    /// Returns the region that hosts the partition's global services, which have a single endpoint.
    pub fn global_region(self) -> &'static str {
        match self.0 {
            "aws-cn" => "cn-north-1",
            "aws-us-gov" => "us-gov-west-1",
            "aws-eusc" => "eusc-de-east-1",
            "aws-iso" => "us-iso-east-1",
            "aws-iso-b" => "us-isob-east-1",
            "aws-iso-e" => "eu-isoe-west-1",
            "aws-iso-f" => "us-isof-south-1",
            // Public AWS: every other partition is listed above.
            _ => "us-east-1",
        }
    }

    /// Returns the domains of its services, and of those that have IPv6 as well.
    fn domains(self) -> [&'static str; 2] {
        match self.0 {
            "aws-cn" => ["amazonaws.com.cn", "on.amazonwebservices.com.cn"],
            "aws-eusc" => ["amazonaws.eu", "on.amazonwebservices.eu"],
            "aws-iso" => ["c2s.ic.gov", "on.aws.ic.gov"],
            "aws-iso-b" => ["sc2s.sgov.gov", "on.aws.scloud"],
            "aws-iso-e" => ["cloud.adc-e.uk", "on.cloud-aws.adc-e.uk"],
            "aws-iso-f" => ["csp.hci.ic.gov", "on.aws.hci.ic.gov"],
            // Public AWS and GovCloud.
            _ => ["amazonaws.com", "on.aws"],
        }
    }

    /// Returns the name in ARNs.
    pub const fn name(self) -> &'static str {
        self.0
    }

    /// Returns the domains of the console and its sign-in page; `None` if they are not public.
    pub fn console(self) -> Option<(&'static str, &'static str)> {
        match self.0 {
            "aws" => Some(("console.aws.amazon.com", "signin.aws.amazon.com")),
            "aws-cn" => Some(("console.amazonaws.cn", "signin.amazonaws.cn")),
            "aws-us-gov" => Some((
                "console.amazonaws-us-gov.com",
                "signin.amazonaws-us-gov.com",
            )),
            "aws-eusc" => Some((
                "console.amazonaws-eusc.eu",
                "eusc-de-east-1.signin.amazonaws-eusc.eu",
            )),
            _ => None,
        }
    }
}

/// Returns the region of a private registry of ECR (`ACCOUNT.dkr.ecr.REGION.amazonaws.com`, and
/// likewise with FIPS or IPv6), or `None` for any other host: it must not see a login of AWS.
pub fn region_of_registry(host: &str) -> Option<&str> {
    let (account, rest) = host.split_once(".dkr")?;
    let is_account = account.len() == 12 && account.bytes().all(|it| it.is_ascii_digit());
    let names = [".ecr.", ".ecr-fips.", "-ecr.", "-ecr-fips."];
    let rest = names.iter().find_map(|name| rest.strip_prefix(name))?;
    let (region, domain) = rest.split_once('.')?;
    let is_region = !region.is_empty()
        && region
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || it == b'-');
    let is_of_aws = Partition::of_region(region).domains().contains(&domain);
    (is_account && is_region && is_of_aws).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_region_has_its_partition() {
        for (region, expected) in [
            ("us-east-1", "aws"),
            ("mx-central-1", "aws"),
            ("eu-central-1", "aws"),
            ("cn-northwest-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("eusc-de-east-1", "aws-eusc"),
            ("us-iso-west-1", "aws-iso"),
            ("us-isob-east-1", "aws-iso-b"),
            ("eu-isoe-west-1", "aws-iso-e"),
            ("us-isof-south-1", "aws-iso-f"),
        ] {
            let partition = Partition::of_region(region);
            assert_eq!(partition.name(), expected, "{region}");
            let arn = format!("arn:{expected}:iam::123456789012:role/x");
            assert_eq!(Partition::of_arn(&arn), Some(partition));
        }
    }

    #[test]
    fn only_a_registry_of_aws_gets_its_login() {
        for (host, region) in [
            (".dkr.ecr.eu-west-1.amazonaws.com", Some("eu-west-1")),
            (".dkr.ecr-fips.us-east-1.amazonaws.com", Some("us-east-1")),
            (".dkr-ecr.eu-west-1.on.aws", Some("eu-west-1")),
            (".dkr-ecr-fips.us-gov-west-1.on.aws", Some("us-gov-west-1")),
            (".dkr.ecr.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            (
                ".dkr.ecr.eusc-de-east-1.amazonaws.eu",
                Some("eusc-de-east-1"),
            ),
            (".dkr.ecr.us-iso-east-1.c2s.ic.gov", Some("us-iso-east-1")),
            (".dkr.ecr.eu-west-1.amazonaws.com.cn", None),
            (".dkr.ecr.eu-west-1.amazonaws.com.example.org", None),
            (".dkr.ecr.eu-west-1.example.org", None),
            (".dkr.ecr.eu-west-1.amazonaws.com:5000", None),
            (".dkr.ecr..amazonaws.com", None),
            (".dkr.other.eu-west-1.amazonaws.com", None),
            (".example.org", None),
        ] {
            let host = format!("123456789012{host}");
            assert_eq!(region_of_registry(&host), region, "{host}");
        }
        let other = "x.dkr.ecr.eu-west-1.amazonaws.com";
        assert_eq!(region_of_registry(other), None);
    }

    #[test]
    fn what_is_in_no_partition() {
        for other in ["arn:other:iam::123456789012:role/x", "aws", ""] {
            assert_eq!(Partition::of_arn(other), None, "{other}");
        }
    }
}
