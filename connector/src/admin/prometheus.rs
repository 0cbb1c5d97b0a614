//! Every series and label Prometheus sees: the vendor's, so that its boards and alerts work, then ours.

use std::time::Instant;

use super::{text::Page, view::View};
use crate::metrics::process::Process;

mod destinations;
mod own;
mod vendor;

pub(super) use self::vendor::lag_ms;

/// The whole page.
pub(super) fn render(view: &View, now: Instant) -> String {
    let totals = view.metrics.totals();
    let destinations = view.destination_readings();
    let process = Process::read();
    let mut page = Page::new(&view.cluster_name);
    vendor::write(&mut page, view, &totals, &destinations, now);
    if view.jvm_compat {
        vendor::write_jvm(&mut page, &process, view.metrics.load.read(&process, now));
    }
    own::write(&mut page, view, &totals);
    own::write_window(&mut page, view);
    destinations::write_lanes(&mut page, &destinations);
    destinations::write_requests(&mut page, &destinations);
    destinations::write_access(&mut page, &destinations);
    destinations::write_endpoints(&mut page, &destinations);
    own::write_process(&mut page, &process);
    page.finish()
}

/// Media type of the page.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Which quantiles are shown.
pub(super) const QUANTILES: [(&str, f64); 6] =
    [("0.5", 0.5), ("0.75", 0.75), ("0.95", 0.95), ("0.98", 0.98), ("0.99", 0.99), ("0.999", 0.999)];

const MICROS_PER_SECOND: f64 = 1_000_000.0;
const MILLIS_PER_SECOND: f64 = 1_000.0;

#[cfg(test)]
mod tests;
