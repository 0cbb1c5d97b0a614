//! The table of prices, `prices.json`: list prices with their date and where they come from. The one place to change when
//! they do.

use std::collections::BTreeMap;

use serde::Deserialize;

/// All prices, US dollars.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prices {
    /// What no number here contains.
    pub(super) left_out: Vec<String>,
    pub(super) aws: Cloud<Aws>,
    pub(super) google: Cloud<Google>,
}

/// Prices of one cloud, by region.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cloud<P> {
    /// The day, or the year, of which they are.
    pub(super) as_of: String,
    /// Pages that say so.
    pub(super) sources: Vec<String>,
    pub(super) regions: BTreeMap<String, P>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Aws {
    pub(super) lambda: Lambda,
    pub(super) http_api: HttpApi,
    pub(super) rest_api: RestApi,
    pub(super) load_balancer: LoadBalancer,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lambda {
    pub(super) million_requests: f64,
    pub(super) gb_second_arm64: f64,
    pub(super) gb_second_x86_64: f64,
    /// An event of up to so many bytes is one request.
    pub(super) event_first_bytes: f64,
    /// And each further step of so many is another.
    pub(super) event_step_bytes: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpApi {
    pub(super) million_requests: f64,
    /// A request counts once for each step of so many bytes.
    pub(super) step_bytes: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RestApi {
    pub(super) million_requests: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoadBalancer {
    pub(super) hour: f64,
    pub(super) lcu_hour: f64,
    /// What one LCU passes on in an hour where the targets are functions.
    pub(super) lcu_hour_gib: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Google {
    pub(super) million_requests: f64,
    pub(super) vcpu_second: f64,
    pub(super) gib_second: f64,
}

impl Prices {
    /// The table that this build carries.
    pub(super) fn table() -> Self {
        serde_json::from_str(include_str!("prices.json")).expect("a test reads the same text")
    }
}

/// Where prices are taken from when nothing else is asked for.
pub(super) const AWS_REGION: &str = "us-east-1";
/// The regions of Google's first tier share one price.
pub(super) const GOOGLE_REGION: &str = "tier 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole_dated_and_says_where_it_comes_from() {
        let prices = Prices::table();
        assert!(
            prices.aws.regions.contains_key(AWS_REGION) && prices.google.regions.contains_key(GOOGLE_REGION)
        );
        for (as_of, sources) in
            [(&prices.aws.as_of, &prices.aws.sources), (&prices.google.as_of, &prices.google.sources)]
        {
            assert!(as_of.starts_with("20"), "{as_of}");
            assert!(
                !sources.is_empty() && sources.iter().all(|source| source.contains("https://")),
                "{sources:?}"
            );
        }
        assert!(prices.left_out.len() > 3);
    }
}
