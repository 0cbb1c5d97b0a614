//! `esp-connector cost`: what the routes of a configuration cost, from a dated table of list prices, next to the same
//! routes with other numbers of records in a call.
//!
//! An estimate: the prices are lists, the function is a guess that the operator replaces by what was measured. Says what it
//! leaves out, and where no price is known says that.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::PathBuf,
};

use adapters::TargetConfig;
use clap::{Args, ValueHint};
use serde::Serialize;

use crate::{
    config::{self, Config, Destination, Problems},
    encode::FormatError,
};

mod model;
mod prices;
mod routes;
mod text;

pub use model::Architecture;
use model::{Call, Consumer, MONTH_HOURS, Traffic, Way};
use prices::Prices;
use routes::{Packing, Route};

/// What the configured routes cost per million records and per month, next to the same routes at other batch sizes.
#[derive(Args, Clone, Debug)]
pub struct CostArgs {
    /// The configuration file (YAML)
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: PathBuf,
    /// Records each second
    #[arg(long, value_name = "R", value_parser = positive)]
    rate: f64,
    /// Bytes of an encoded record, with the comma or line end after it
    #[arg(long, value_name = "B", value_parser = clap::value_parser!(u64).range(1..=134_217_728))]
    size: u64,
    /// Take the prices of this AWS region, wherever the calls go
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Milliseconds that the function takes for a call, whatever it holds. A guess: measure yours
    #[arg(long, value_name = "MS", default_value_t = 20.0, value_parser = not_negative)]
    ms_per_call: f64,
    /// Milliseconds that it takes for each record, on top. A guess too
    #[arg(long, value_name = "MS", default_value_t = 0.5, value_parser = not_negative)]
    ms_per_record: f64,
    /// Memory of the function, MB
    #[arg(long, value_name = "MB", default_value_t = 256.0, value_parser = positive)]
    memory_mb: f64,
    /// Processor of a Lambda function
    #[arg(long, value_enum, default_value_t = Architecture::Arm64)]
    architecture: Architecture,
    /// Processors of a Cloud Run instance, which has one call at a time
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = positive)]
    vcpu: f64,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// Why there is no estimate.
#[derive(Debug, thiserror::Error)]
pub enum CostError {
    /// The configuration cannot run.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// Nobody knows the prices there.
    #[error("no prices of {asked} are known; known: {known}")]
    Region {
        /// What was asked for.
        asked: String,
        /// What the table has.
        known: String,
    },
    /// The format cannot be used as configured.
    #[error("the format of {records}: {error}")]
    Format {
        /// Whose it is.
        records: String,
        /// What is wrong with it.
        error: FormatError,
    },
    /// The estimate cannot be written.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

/// The whole estimate, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Estimate {
    traffic: Traffic,
    records_per_month: f64,
    hours_per_month: f64,
    function: Consumer,
    prices: Vec<PriceList>,
    left_out: Vec<String>,
    routes: Vec<RouteCost>,
    /// Routes that are not shown, because there are too many.
    more_routes: usize,
}

#[derive(Debug, Serialize)]
struct PriceList {
    of: &'static str,
    as_of: String,
    sources: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RouteCost {
    /// The records, in words.
    records: String,
    /// How many more kinds of record go the same way.
    more_kinds: usize,
    destinations: Vec<DestinationCost>,
    /// What a record costs that goes to several, as configured.
    together: Option<Dollars>,
}

#[derive(Debug, Serialize)]
struct DestinationCost {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    /// Whose prices these are; `None` when there are none.
    region: Option<String>,
    /// Most bytes in a call that it takes.
    body_bytes_max: Option<usize>,
    remarks: Vec<String>,
    /// What it costs each month whatever it does.
    standing_per_month: Option<f64>,
    rows: Vec<Row>,
}

/// One number of records in a call.
#[derive(Debug, Serialize)]
struct Row {
    records_per_call: usize,
    /// Whether this is the most that the configuration lets into a call.
    configured: bool,
    /// Whether this is what gathers at this rate while a call runs.
    gathered: bool,
    /// Whether more were asked for and do not fit.
    cut: bool,
    calls_per_second: f64,
    /// Calls that run at once.
    at_once: f64,
    /// Concurrency that the account has to grant; Lambda only.
    quota: Option<f64>,
    costs: Vec<Cost>,
}

#[derive(Clone, Debug, Serialize)]
struct Cost {
    way: Way,
    #[serde(flatten)]
    dollars: Dollars,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Dollars {
    per_million_records: f64,
    per_month: f64,
}

/// Numbers of records that are always shown.
const USUAL: [usize; 4] = [1, 10, 100, 500];

/// Prints the estimate.
pub fn run(arguments: &CostArgs, out: &mut dyn Write) -> Result<(), CostError> {
    let loaded = config::load(&arguments.config)?;
    let estimate = estimate(&loaded.config, arguments)?;
    if arguments.json {
        serde_json::to_writer_pretty(&mut *out, &estimate).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        text::print(&arguments.config, &estimate, out)?;
    }
    Ok(())
}

fn estimate(config: &Config, arguments: &CostArgs) -> Result<Estimate, CostError> {
    let prices = Prices::table();
    if let Some(asked) = arguments.region.as_ref().filter(|asked| !prices.aws.regions.contains_key(*asked)) {
        let known: Vec<&str> = prices.aws.regions.keys().map(String::as_str).collect();
        return Err(CostError::Region { asked: asked.clone(), known: known.join(", ") });
    }
    let traffic = Traffic { rate: arguments.rate, size: arguments.size as f64 };
    let function = Consumer {
        ms_per_call: arguments.ms_per_call,
        ms_per_record: arguments.ms_per_record,
        memory_mb: arguments.memory_mb,
        architecture: arguments.architecture,
        vcpu: arguments.vcpu,
    };
    let question = Question { traffic, function, region: arguments.region.as_deref(), prices: &prices };
    let (routes, more_routes) = routes::routes(config);
    let routes = routes.iter().map(|route| {
        question.route(route).map_err(|error| CostError::Format { records: route.records.clone(), error })
    });
    let routes = routes.collect::<Result<Vec<_>, _>>()?;
    let list = |of, as_of: &str, sources: &[String]| PriceList {
        of,
        as_of: as_of.to_owned(),
        sources: sources.to_vec(),
    };
    Ok(Estimate {
        traffic,
        records_per_month: traffic.records_per_month(),
        hours_per_month: MONTH_HOURS,
        function,
        prices: vec![
            list("AWS", &prices.aws.as_of, &prices.aws.sources),
            list("Google", &prices.google.as_of, &prices.google.sources),
        ],
        left_out: prices.left_out.clone(),
        routes,
        more_routes,
    })
}

/// What is asked, for every route alike.
struct Question<'a> {
    traffic: Traffic,
    function: Consumer,
    region: Option<&'a str>,
    prices: &'a Prices,
}

impl Question<'_> {
    fn route(&self, route: &Route<'_>) -> Result<RouteCost, FormatError> {
        let destinations =
            route.destinations.iter().map(|(name, destination)| self.destination(route, name, destination));
        let destinations = destinations.collect::<Result<Vec<_>, _>>()?;
        let priced: Vec<Dollars> =
            destinations.iter().filter_map(|destination| destination.configured()).collect();
        let together = (route.to_all && priced.len() > 1).then(|| Dollars {
            per_million_records: priced.iter().map(|dollars| dollars.per_million_records).sum(),
            per_month: priced.iter().map(|dollars| dollars.per_month).sum(),
        });
        Ok(RouteCost { records: route.records.clone(), more_kinds: route.more, destinations, together })
    }

    fn destination(
        &self,
        route: &Route<'_>,
        name: &str,
        destination: &Destination,
    ) -> Result<DestinationCost, FormatError> {
        let target = &destination.target;
        let ways = routes::ways(target);
        let configured = route.packing(destination)?;
        let mut cost = DestinationCost {
            name: name.to_owned(),
            kind: config::type_name(target),
            region: None,
            body_bytes_max: Some(configured.body_bytes_max).filter(|bytes| *bytes < usize::MAX),
            remarks: Vec::new(),
            standing_per_month: None,
            rows: Vec::new(),
        };
        if ways.is_empty() {
            cost.remarks.push("no price is known: nobody bills a call, as far as this table goes".to_owned());
            return Ok(cost);
        }
        let (region, remark) = routes::region(target, self.region, self.prices);
        cost.remarks.extend(remark);
        if let (TargetConfig::AwsAlb(_), Some(prices)) = (target, self.prices.aws.regions.get(&region)) {
            cost.standing_per_month = Some(prices.load_balancer.hour * MONTH_HOURS);
        }
        let size = self.traffic.size as usize;
        let Some(most) = configured.fit(configured.records_max, size) else {
            cost.remarks.push(format!(
                "a record of {size} bytes is more than it takes, {} bytes: such records are dead letters",
                configured.body_bytes_max
            ));
            cost.region = Some(region);
            return Ok(cost);
        };
        let gathered =
            model::gathered(self.traffic.rate, &self.function, configured.interval_ms, most as f64) as usize;
        let mut cut = BTreeSet::new();
        let mut sizes = BTreeSet::from([most, gathered]);
        for wanted in USUAL {
            let fits = route.packing_of(wanted, destination)?.fit(wanted, size).unwrap_or(1);
            if fits < wanted {
                cut.insert(fits);
            }
            sizes.insert(fits);
        }
        if most < configured.records_max && configured.records_max < ANY_NUMBER {
            cut.insert(most);
        }
        cost.rows = sizes
            .into_iter()
            .map(|records| Row {
                configured: records == most,
                gathered: records == gathered,
                cut: cut.contains(&records),
                ..self.row(records, ways, &configured, &region)
            })
            .collect();
        cost.region = Some(region);
        Ok(cost)
    }

    fn row(&self, records: usize, ways: &[Way], packing: &Packing, region: &str) -> Row {
        let count = records as f64;
        let call = Call { records: count, bytes: count * self.traffic.size, base64: packing.base64 };
        let (at_once, quota) = model::at_once(self.traffic.rate, count, &self.function);
        let costs = ways.iter().filter_map(|way| {
            let per_call = if way.is_lambda() {
                model::aws(*way, call, &self.function, self.prices.aws.regions.get(region)?)
            } else {
                model::google(call, &self.function, self.prices.google.regions.get(region)?)
            };
            let per_record = per_call / count;
            let dollars = Dollars {
                per_million_records: per_record * 1e6,
                per_month: per_record * self.traffic.records_per_month(),
            };
            Some(Cost { way: *way, dollars })
        });
        Row {
            records_per_call: records,
            configured: false,
            gathered: false,
            cut: false,
            calls_per_second: self.traffic.rate / count,
            at_once,
            quota: ways.iter().all(|way| way.is_lambda()).then_some(quota),
            costs: costs.collect(),
        }
    }
}

/// The vendor's default of `max-records` stands for no limit.
const ANY_NUMBER: usize = i32::MAX as usize;

impl DestinationCost {
    /// What it costs as configured: with the calls that gather, the cheapest way.
    fn configured(&self) -> Option<Dollars> {
        let row = self.rows.iter().find(|row| row.gathered)?;
        row.costs.first().map(|cost| cost.dollars)
    }
}

/// What a million records of 1 KiB cost as calls of one record and of a hundred, for those who turn batching off. `None`
/// where no price is known.
pub(crate) fn alone_and_by_hundred(target: &TargetConfig) -> Option<(String, String)> {
    let prices = Prices::table();
    let function = Consumer {
        ms_per_call: 20.0,
        ms_per_record: 0.5,
        memory_mb: 256.0,
        architecture: Architecture::Arm64,
        vcpu: 1.0,
    };
    let way = routes::ways(target).first()?;
    let million = |records: f64| {
        let call = Call { records, bytes: records * 1024.0, base64: false };
        let per_call = if way.is_lambda() {
            model::aws(*way, call, &function, prices.aws.regions.get(prices::AWS_REGION)?)
        } else {
            model::google(call, &function, prices.google.regions.get(prices::GOOGLE_REGION)?)
        };
        Some(text::dollars(per_call / records * 1e6))
    };
    Some((million(1.0)?, million(100.0)?))
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("expected a number above 0".to_owned()),
    }
}

fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("expected a number, 0 or more".to_owned()),
    }
}

#[cfg(test)]
mod tests;
