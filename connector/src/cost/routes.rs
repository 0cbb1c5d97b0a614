//! The routes of a configuration, as far as they have a price: who gets the records, in calls of which size.

use std::num::NonZeroUsize;

use adapters::{
    TargetConfig,
    aws_lambda::InvocationType,
    http::{Compression, HealthCheck},
};

use super::{
    model::Way,
    prices::{AWS_REGION, GOOGLE_REGION, Prices},
};
use crate::{
    batch::BatchPolicy,
    config::{self, Batching, Config, Destination, Effective, Routing},
    encode::{Encoder, FormatError},
};

/// Kinds of record that go the same way.
pub(super) struct Route<'a> {
    /// The first of them, in words.
    pub(super) records: String,
    /// How many others there are.
    pub(super) more: usize,
    /// Whether every record goes to all the destinations, and not to some of them by its value.
    pub(super) to_all: bool,
    pub(super) destinations: Vec<(&'a str, &'a Destination)>,
    effective: Effective<'a>,
}

/// How records are put into calls to one destination.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packing {
    /// Most records in a call, as configured.
    pub(super) records_max: usize,
    /// Most bytes in one, as configured. A single record may be larger.
    pub(super) batch_bytes_max: usize,
    /// Most bytes in one that the destination takes.
    pub(super) body_bytes_max: usize,
    pub(super) interval_ms: f64,
    pub(super) base64: bool,
}

impl Packing {
    /// Records of `size` bytes in a call that may have `wanted`. `None` when not even one fits.
    pub(super) fn fit(&self, wanted: usize, size: usize) -> Option<usize> {
        if size > self.body_bytes_max {
            return None;
        }
        let room = self.batch_bytes_max.min(self.body_bytes_max) / size.max(1);
        Some(wanted.min(room).max(1))
    }
}

/// Every route, those of the most particular records first; no more than anyone would read, and how many kinds of record
/// go still other ways.
pub(super) fn routes(config: &Config) -> (Vec<Route<'_>>, usize) {
    let mut others = 0;
    let mut routes: Vec<Route<'_>> = Vec::new();
    let several = config.scopes().nth(1).is_some();
    for scope in config.scopes() {
        let effective = config.effective(scope);
        if !effective.goes_somewhere() {
            continue;
        }
        if let Some(same) = routes.iter_mut().find(|route| alike(&route.effective, &effective)) {
            same.more += 1;
        } else if routes.len() < MAX_ROUTES {
            let names = effective.destinations().into_iter();
            routes.push(Route {
                records: if several { scope.to_string() } else { "every record".to_owned() },
                more: 0,
                to_all: matches!(effective.routing, Some(Routing::To(_))),
                destinations: names.filter_map(|name| Some((name, config.destinations.get(name)?))).collect(),
                effective,
            });
        } else {
            others += 1;
        }
    }
    (routes, others)
}

const MAX_ROUTES: usize = 20;

/// Whether two kinds of record cost the same: what happens to their bins does not matter.
fn alike(one: &Effective<'_>, other: &Effective<'_>) -> bool {
    (one.routing, one.format, one.batching) == (other.routing, other.format, other.batching)
}

impl Route<'_> {
    /// As it is configured.
    pub(super) fn packing(&self, destination: &Destination) -> Result<Packing, FormatError> {
        self.packed(self.effective.batching, destination)
    }

    /// As it would be with so many records in a call.
    pub(super) fn packing_of(
        &self,
        records: usize,
        destination: &Destination,
    ) -> Result<Packing, FormatError> {
        let configured =
            self.effective.batching.filter(|batching| batching.enabled && batching.max_records.get() > 1);
        let batching = Batching {
            max_records: NonZeroUsize::new(records).unwrap_or(NonZeroUsize::MIN),
            ..configured.cloned().unwrap_or_default()
        };
        self.packed(Some(&batching), destination)
    }

    fn packed(&self, batching: Option<&Batching>, destination: &Destination) -> Result<Packing, FormatError> {
        let Some(format) = self.effective.format else {
            return Err(FormatError { problem: "there is none".to_owned() });
        };
        let BatchPolicy { body, records_max, bytes_max, interval } =
            Encoder::new(format.clone())?.batch_policy(batching)?;
        let content_type = body.content_type();
        let text = content_type == "application/json" || content_type == "application/x-ndjson";
        let squeezed = config::compression(&destination.target) != Compression::None;
        Ok(Packing {
            records_max,
            batch_bytes_max: bytes_max,
            body_bytes_max: body_bytes_max(&destination.target, content_type),
            interval_ms: interval.as_secs_f64() * 1000.0,
            base64: !text || squeezed,
        })
    }
}

/// What the target itself says. It is built without whatever is read from files and variables, which are not here when
/// somebody only wants to know a price.
fn body_bytes_max(target: &TargetConfig, content_type: &str) -> usize {
    let mut settings = target.clone();
    if let Some(headers) = config::headers_mut(&mut settings) {
        headers.clear();
    }
    if let Some(http) = config::http_settings_mut(&mut settings) {
        http.tls = None;
        http.health_check = HealthCheck { enabled: false, ..HealthCheck::default() };
    }
    match &mut settings {
        TargetConfig::AwsAlb(alb) => alb.token = None,
        // Signed like plain HTTP otherwise, as far as sizes go.
        TargetConfig::Webhook(hook) => settings = TargetConfig::Http(hook.http.clone()),
        _ => {}
    }
    settings.build("cost").map_or(usize::MAX, |target| target.body_bytes_max(content_type))
}

/// How calls to a target are billed: several where the settings do not tell, the cheaper first; none when nobody bills
/// them, or nobody knows how.
pub(super) fn ways(target: &TargetConfig) -> &'static [Way] {
    match target {
        TargetConfig::AwsApiGateway(_) => &[Way::HttpApi, Way::RestApi],
        TargetConfig::AwsFunctionUrl(_) => &[Way::FunctionUrl],
        TargetConfig::AwsAlb(_) => &[Way::LoadBalancer],
        TargetConfig::AwsLambda(lambda) if lambda.invocation_type == InvocationType::Event => {
            &[Way::InvokeByQueue]
        }
        TargetConfig::AwsLambda(_) => &[Way::Invoke],
        TargetConfig::GcpFunctions(_) => &[Way::CloudRun],
        TargetConfig::Http(_)
        | TargetConfig::AwsOpensearch(_)
        | TargetConfig::Webhook(_)
        | TargetConfig::File(_) => &[],
    }
}

/// The region whose prices are taken: the one asked for, the configured one, or the one there are prices of. With a remark
/// when that is not where the calls go.
pub(super) fn region(
    target: &TargetConfig,
    asked: Option<&str>,
    prices: &Prices,
) -> (String, Option<String>) {
    if matches!(target, TargetConfig::GcpFunctions(_)) {
        return (GOOGLE_REGION.to_owned(), None);
    }
    if let Some(asked) = asked {
        return (asked.to_owned(), None);
    }
    match config::aws_credentials(target).and_then(|credentials| credentials.region.as_deref()) {
        Some(region) if prices.aws.regions.contains_key(region) => (region.to_owned(), None),
        Some(region) => (
            AWS_REGION.to_owned(),
            Some(format!("no prices of {region} are known; those of {AWS_REGION} stand in")),
        ),
        None => (AWS_REGION.to_owned(), None),
    }
}
