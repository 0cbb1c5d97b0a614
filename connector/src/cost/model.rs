//! What calls cost: formulas over the prices, nothing else. Pure.

use clap::ValueEnum;
use serde::Serialize;

use super::prices::{Aws, Google, Lambda};

/// Hours of a month, as the clouds count them.
pub(super) const MONTH_HOURS: f64 = 730.0;
const MONTH_SECONDS: f64 = MONTH_HOURS * 3600.0;
/// Headers and answer of one call: a guess, and what the reference figures of this project were made with.
pub(super) const CALL_OVERHEAD_BYTES: f64 = 1536.0;
/// What base64 makes of a byte.
const BASE64: f64 = 4.0 / 3.0;
const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// The way of a record to the function, as far as it is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Way {
    HttpApi,
    RestApi,
    FunctionUrl,
    LoadBalancer,
    Invoke,
    InvokeByQueue,
    CloudRun,
}

impl Way {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::HttpApi => "HTTP API + Lambda",
            Self::RestApi => "REST API + Lambda",
            Self::FunctionUrl => "function URL",
            Self::LoadBalancer => "ALB + Lambda",
            Self::Invoke => "Invoke",
            Self::InvokeByQueue => "Invoke (Event)",
            Self::CloudRun => "Cloud Run",
        }
    }

    pub(super) fn is_lambda(self) -> bool {
        self != Self::CloudRun
    }
}

/// Processor of a Lambda function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
pub enum Architecture {
    /// Graviton.
    #[value(name = "arm64")]
    #[serde(rename = "arm64")]
    Arm64,
    /// Intel and AMD.
    #[value(name = "x86_64")]
    #[serde(rename = "x86_64")]
    X86,
}

/// What is assumed of the function.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Consumer {
    pub(super) ms_per_call: f64,
    pub(super) ms_per_record: f64,
    pub(super) memory_mb: f64,
    pub(super) architecture: Architecture,
    /// Processors of a Cloud Run instance.
    pub(super) vcpu: f64,
}

impl Consumer {
    pub(super) fn seconds(&self, records: f64) -> f64 {
        (self.ms_per_call + self.ms_per_record * records) / 1000.0
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Traffic {
    /// Records each second.
    pub(super) rate: f64,
    /// Bytes of an encoded record, with what stands between two.
    pub(super) size: f64,
}

impl Traffic {
    pub(super) fn records_per_month(&self) -> f64 {
        self.rate * MONTH_SECONDS
    }
}

/// One call, as it is billed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) records: f64,
    pub(super) bytes: f64,
    /// Whether the function gets the body as base64.
    pub(super) base64: bool,
}

/// Dollars for one call that AWS bills.
pub(super) fn aws(way: Way, call: Call, consumer: &Consumer, prices: &Aws) -> f64 {
    let run = lambda(call, consumer, &prices.lambda);
    let request = prices.lambda.million_requests / 1e6;
    match way {
        Way::HttpApi => {
            let steps = (call.bytes / prices.http_api.step_bytes).ceil().max(1.0);
            run + request + steps * prices.http_api.million_requests / 1e6
        }
        Way::RestApi => run + request + prices.rest_api.million_requests / 1e6,
        Way::LoadBalancer => {
            let gib = (call.bytes + CALL_OVERHEAD_BYTES) / GIB;
            run + request + gib / prices.load_balancer.lcu_hour_gib * prices.load_balancer.lcu_hour
        }
        Way::InvokeByQueue => {
            let event = call.bytes * if call.base64 { BASE64 } else { 1.0 } + CALL_OVERHEAD_BYTES;
            let further = (event - prices.lambda.event_first_bytes).max(0.0) / prices.lambda.event_step_bytes;
            run + request * (1.0 + further.ceil())
        }
        Way::Invoke | Way::FunctionUrl | Way::CloudRun => run + request,
    }
}

/// Dollars for the time that a call runs.
fn lambda(call: Call, consumer: &Consumer, prices: &Lambda) -> f64 {
    let gb_second = match consumer.architecture {
        Architecture::Arm64 => prices.gb_second_arm64,
        Architecture::X86 => prices.gb_second_x86_64,
    };
    consumer.memory_mb / 1024.0 * consumer.seconds(call.records) * gb_second
}

/// Dollars for one call to Cloud Run, where no two share an instance.
pub(super) fn google(call: Call, consumer: &Consumer, prices: &Google) -> f64 {
    let second = consumer.vcpu * prices.vcpu_second + consumer.memory_mb / 1024.0 * prices.gib_second;
    prices.million_requests / 1e6 + second * consumer.seconds(call.records)
}

/// How many records gather for a call while the one before runs: a request goes when the last one is answered, when it is
/// full, or when its first record has waited `interval_ms`. At least one, at most `most`.
pub(super) fn gathered(rate: f64, consumer: &Consumer, interval_ms: f64, most: f64) -> f64 {
    let (per_ms, share) = (rate / 1000.0, rate * consumer.ms_per_record / 1000.0);
    let by_answer = if share < 1.0 { per_ms * consumer.ms_per_call / (1.0 - share) } else { f64::INFINITY };
    by_answer.min(per_ms * interval_ms).floor().clamp(1.0, most.max(1.0))
}

/// Calls at once, and the concurrency that Lambda wants for so many calls a second, ten for each of it.
pub(super) fn at_once(rate: f64, records: f64, consumer: &Consumer) -> (f64, f64) {
    let calls = rate / records;
    let running = (calls * consumer.seconds(records)).max(f64::MIN_POSITIVE);
    (running.ceil(), running.max(calls / 10.0).ceil())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::prices::{AWS_REGION, GOOGLE_REGION, Prices};

    const CONSUMER: Consumer = Consumer {
        ms_per_call: 20.0,
        ms_per_record: 0.5,
        memory_mb: 256.0,
        architecture: Architecture::Arm64,
        vcpu: 1.0,
    };

    fn per_million(way: Way, records: f64, size: f64, consumer: &Consumer) -> f64 {
        let prices = Prices::table();
        let call = Call { records, bytes: records * size, base64: false };
        aws(way, call, consumer, &prices.aws.regions[AWS_REGION]) / records * 1e6
    }

    /// The reference table of the project: records of 1 KiB, a function on arm64 with 256 MB that takes 20 ms and 0.5 ms for
    /// each record. To the last figure that it has.
    #[test]
    fn a_million_records_cost_what_the_reference_says() {
        let ways = [Way::HttpApi, Way::RestApi, Way::LoadBalancer, Way::Invoke];
        for (records, expected) in [
            (1.0, ["1.27", "3.77", "0.32", "0.27"]),
            (10.0, ["0.128", "0.378", "0.050", "0.028"]),
            (100.0, ["0.014", "0.039", "0.024", "0.004"]),
            (500.0, ["0.004", "0.009", "0.021", "0.002"]),
        ] {
            for (way, expected) in ways.into_iter().zip(expected) {
                let decimals = expected.split_once('.').unwrap().1.len();
                let found = format!("{:.decimals$}", per_million(way, records, 1024.0, &CONSUMER));
                assert_eq!(found, expected, "{records} records by {way:?}");
            }
        }
        let invoke = per_million(Way::Invoke, 10.0, 1024.0, &CONSUMER);
        assert_eq!(per_million(Way::FunctionUrl, 10.0, 1024.0, &CONSUMER), invoke);
    }

    #[test]
    fn a_month_of_a_thousand_records_a_second_costs_what_the_reference_says() {
        let traffic = Traffic { rate: 1000.0, size: 1024.0 };
        let ways = [Way::HttpApi, Way::RestApi, Way::LoadBalancer, Way::Invoke];
        for (records, expected) in [(1.0, [3333, 9903, 830, 705]), (100.0, [38, 103, 62, 11])] {
            for (way, expected) in ways.into_iter().zip(expected) {
                let month =
                    per_million(way, records, traffic.size, &CONSUMER) * traffic.records_per_month() / 1e6;
                assert_eq!(month.round() as i64, expected, "{records} records by {way:?}");
            }
        }
    }

    #[test]
    fn an_http_api_counts_steps_of_512_kib() {
        let gateway = |records: f64, size: f64| {
            per_million(Way::HttpApi, records, size, &CONSUMER)
                - per_million(Way::Invoke, records, size, &CONSUMER)
        };
        let step = 512.0 * 1024.0;
        for (bytes, steps) in [(1.0, 1.0), (step, 1.0), (step + 1.0, 2.0), (5.0 * step, 5.0)] {
            assert!((gateway(1.0, bytes) - steps).abs() < 1e-9, "{bytes}");
        }
    }

    #[test]
    fn a_queued_event_is_one_request_up_to_256_kib_and_another_for_each_64() {
        let prices = Prices::table();
        let prices = &prices.aws.regions[AWS_REGION];
        let requests = |bytes: f64, base64: bool| {
            let call = Call { records: 1.0, bytes, base64 };
            let more =
                aws(Way::InvokeByQueue, call, &CONSUMER, prices) - lambda(call, &CONSUMER, &prices.lambda);
            (more / (prices.lambda.million_requests / 1e6)).round()
        };
        let first = 256.0 * 1024.0 - CALL_OVERHEAD_BYTES;
        assert_eq!(
            (requests(1024.0, false), requests(first, false), requests(first + 1.0, false)),
            (1.0, 1.0, 2.0)
        );
        assert_eq!(requests(first + 65_537.0, false), 3.0);
        // As base64 the same bytes are a third more.
        assert_eq!((requests(200_000.0, false), requests(200_000.0, true)), (1.0, 2.0));
    }

    #[test]
    fn processors_and_memory_are_paid_for() {
        let x86 = Consumer { architecture: Architecture::X86, ..CONSUMER };
        let larger = Consumer { memory_mb: 512.0, ..CONSUMER };
        let usual = per_million(Way::Invoke, 1.0, 1024.0, &CONSUMER);
        assert!((per_million(Way::Invoke, 1.0, 1024.0, &x86) - 0.2 - (usual - 0.2) * 1.25).abs() < 1e-4);
        assert!((per_million(Way::Invoke, 1.0, 1024.0, &larger) - 0.2 - (usual - 0.2) * 2.0).abs() < 1e-9);
    }

    #[test]
    fn cloud_run_is_requests_processors_and_memory() {
        let prices = Prices::table();
        let call = Call { records: 160.0, bytes: 1.0, base64: false };
        // 100 ms: 0.4 + 100,000 s of a processor and 25,000 GiB-seconds for a million calls.
        let million = google(call, &CONSUMER, &prices.google.regions[GOOGLE_REGION]) * 1e6;
        assert!((million - (0.4 + 2.4 + 0.0625)).abs() < 1e-9, "{million}");
    }

    #[test]
    fn records_gather_while_a_call_runs() {
        let gathered = |rate, interval, most| gathered(rate, &CONSUMER, interval, most);
        // 40 records take 40 ms, in which 40 come.
        assert_eq!(gathered(1000.0, 8000.0, 100.0), 40.0);
        assert_eq!(gathered(1000.0, 8000.0, 25.0), 25.0);
        assert_eq!(gathered(1000.0, 10.0, 100.0), 10.0);
        assert_eq!(gathered(1.0, 8000.0, 100.0), 1.0);
        // Faster than one call can work: batches are full.
        assert_eq!(gathered(2000.0, 8000.0, 500.0), 500.0);
        assert_eq!(gathered(1e9, 8000.0, 0.5), 1.0);
    }

    #[test]
    fn concurrency_is_rate_times_duration_and_a_tenth_of_the_calls() {
        assert_eq!(at_once(1000.0, 1.0, &CONSUMER), (21.0, 100.0));
        assert_eq!(at_once(1000.0, 100.0, &CONSUMER), (1.0, 1.0));
        assert_eq!(at_once(10_000.0, 500.0, &CONSUMER), (6.0, 6.0));
    }
}
