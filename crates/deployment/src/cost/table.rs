//! Cost table: part by part in the configured region, and the total in each of the others.

use serde::Serialize;

use super::prices::{PRICES, SOURCES};
use super::{Cost, HOURS_A_MONTH, Part, Sizes, cents, per_hour};

/// Cost of a service in every known region, one JSON object. Dollars an hour; a month has 730
/// hours.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Table {
    /// Region that is configured.
    pub region: String,
    /// Parts of the cost in `region`; empty if its prices are not known.
    pub parts: Vec<Part>,
    /// Total in `region`.
    pub per_hour: Option<f64>,
    /// Total in `region` with the maximum number of tasks.
    pub most_per_hour: Option<f64>,
    /// Totals in every region whose prices are known.
    pub regions: Vec<InRegion>,
    /// URLs of the price lists.
    pub sources: Vec<&'static str>,
    /// Maximum number of tasks, for the text only.
    #[serde(skip)]
    most_tasks: u32,
}

/// Total in one region.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct InRegion {
    /// Name of the region.
    pub region: &'static str,
    /// Year, or year and month, of the price list.
    pub prices_of: &'static str,
    /// Dollars an hour.
    pub per_hour: f64,
}

/// Builds the cost table of a service of these sizes.
pub fn table(sizes: &Sizes) -> Table {
    let here = per_hour(sizes);
    let most = Sizes {
        tasks: sizes.most_tasks,
        ..sizes.clone()
    };
    let regions = PRICES.iter().filter_map(|prices| {
        let there = Sizes {
            region: prices.region.to_owned(),
            ..sizes.clone()
        };
        Some(InRegion {
            region: prices.region,
            prices_of: prices.as_of,
            per_hour: per_hour(&there)?.per_hour(),
        })
    });
    Table {
        region: sizes.region.clone(),
        parts: here.as_ref().map(Cost::parts).unwrap_or_default(),
        per_hour: here.as_ref().map(Cost::per_hour),
        most_per_hour: per_hour(&most).as_ref().map(Cost::per_hour),
        regions: regions.collect(),
        sources: SOURCES.iter().map(|(_, url)| *url).collect(),
        most_tasks: sizes.most_tasks,
    }
}

impl Table {
    /// Formats the table for people.
    pub fn text(&self) -> String {
        let mut lines = vec![columns("dollars", "an hour", "a month", "prices of")];
        let region = &self.region;
        if let Some(per_hour) = self.per_hour {
            lines.extend(
                self.parts
                    .iter()
                    .map(|part| row(&part.name, part.per_hour, "")),
            );
            lines.push(row(&format!("all of it, in {region}"), per_hour, ""));
            // Without autoscaling both totals are equal, and a second line would say nothing.
            if let Some(most) = self.most_per_hour.filter(|most| *most > per_hour) {
                let name = format!("under load, with {} tasks", self.most_tasks);
                lines.push(row(&name, most, ""));
            }
            lines.push(String::new());
        }
        let regions = self.regions.iter();
        lines.extend(regions.map(|there| row(there.region, there.per_hour, there.prices_of)));
        if self.per_hour.is_none() {
            lines.push(format!(
                "What it costs in {region} is not known here: https://calculator.aws"
            ));
        }
        lines.push(USE.to_owned());
        lines.extend(SOURCES.map(|(what, url)| format!("  {what:<17} {url}")));
        lines.join("\n") + "\n"
    }
}

/// Footnote on the costs that the table leaves out.
const USE: &str = "\
Traffic, capacity units of the load balancer, logs and images come on top, by use. Five alarms and a dashboard are within
what AWS gives each account (ten and three). Nothing else is free: an hour's look costs what the column says, and `deployer
down` ends it. Accounts that are new since July 2025 have $100 to $200 of credits, which pay for all of it.";

fn row(name: &str, per_hour: f64, remark: &str) -> String {
    let month = cents(per_hour * HOURS_A_MONTH);
    columns(name, &format!("{per_hour:.4}"), &month, remark)
}

fn columns(name: &str, hour: &str, month: &str, remark: &str) -> String {
    let line = format!("  {name:<44} {hour:>8} {month:>9}  {remark}");
    // Rows without a remark would otherwise end in spaces.
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use support::architecture::Architecture;

    fn sizes(region: &str) -> Sizes {
        Sizes {
            region: region.to_owned(),
            architecture: Architecture::Arm64,
            cpu: 256,
            memory: 512,
            tasks: 2,
            most_tasks: 10,
            spot_percent: 0,
            is_private: false,
        }
    }

    #[test]
    fn in_a_region_that_is_known() {
        insta::assert_snapshot!(table(&sizes("eu-central-1")).text(), @"
          dollars                                       an hour   a month  prices of
          load balancer                                  0.0270     19.71
          2 tasks                                        0.0227     16.58
          4 public addresses                             0.0200     14.60
          all of it, in eu-central-1                     0.0697     50.89
          under load, with 10 tasks                      0.2006    146.42

          us-east-1                                      0.0622     45.44  2026-06
          us-east-2                                      0.0622     45.44  2025
          us-west-2                                      0.0622     45.44  2025
          eu-west-1                                      0.0649     47.41  2025
          eu-central-1                                   0.0697     50.89  2025
          ap-southeast-1                                 0.0698     50.99  2025
          ap-southeast-2                                 0.0689     50.29  2025
          ap-northeast-1                                 0.0689     50.33  2025
        Traffic, capacity units of the load balancer, logs and images come on top, by use. Five alarms and a dashboard are within
        what AWS gives each account (ten and three). Nothing else is free: an hour's look costs what the column says, and `deployer
        down` ends it. Accounts that are new since July 2025 have $100 to $200 of credits, which pay for all of it.
          Fargate           https://aws.amazon.com/fargate/pricing/
          load balancer     https://aws.amazon.com/elasticloadbalancing/pricing/
          public addresses  https://aws.amazon.com/vpc/pricing/
          endpoints         https://aws.amazon.com/privatelink/pricing/
        ");
    }

    #[test]
    fn in_one_that_is_not() {
        let unknown = table(&sizes("xx-east-9"));
        assert!(unknown.text().contains("xx-east-9 is not known"));
        assert_eq!((unknown.per_hour, unknown.parts.len()), (None, 0));
        assert_eq!(unknown.regions.len(), PRICES.len());
    }
}
