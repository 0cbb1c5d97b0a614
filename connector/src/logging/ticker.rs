//! The statistics line, with the vendor's names.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::{admin::View, metrics::Totals, watch};

/// Writes one statistics line per interval, until dropped. An interval of zero means none.
pub async fn ticker(views: watch::Receiver<Arc<View>>, every: Duration) {
    if every.is_zero() {
        return;
    }
    let mut last = (Instant::now(), views.borrow().metrics.totals());
    let mut ticks = interval_at(last.0 + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = ticks.tick().await;
        let view = Arc::clone(&views.borrow());
        let totals = view.metrics.totals();
        write(&view, &totals, rate(&last.1, &totals, now.saturating_duration_since(last.0)));
        last = (now, totals);
    }
}

fn write(view: &View, totals: &Totals, records_per_second: f64) {
    tracing::info!(
        "connections-active" = totals.connections_active(),
        "connections-closed" = totals.connections_closed,
        "requests-total" = totals.ended(),
        "requests-success" = totals.success,
        "requests-errors" = totals.errors(),
        "requests-parse-error" = totals.parse_error,
        "requests-skipped" = totals.skipped,
        "requests-queued" = (view.in_process)(),
        "records-per-second" = records_per_second,
        queues = %queues(view),
        "log-lines-lost" = Some(view.logs.lost_lines()).filter(|lost| *lost > 0),
        "statistics"
    );
}

/// Answered records per second, to a tenth.
fn rate(before: &Totals, after: &Totals, elapsed: Duration) -> f64 {
    let records = after.ended().saturating_sub(before.ended()) as f64;
    (records / elapsed.as_secs_f64().max(0.001) * 10.0).round() / 10.0
}

/// `orders:12/32768+3` means 12 records queued of at most 32768, and 3 parked.
fn queues(view: &View) -> String {
    let each = view.destination_readings().into_iter().map(|lane| {
        let parked = if lane.parked > 0 { format!("+{}", lane.parked) } else { String::new() };
        format!("{}:{}/{}{parked}", lane.name, lane.queued, lane.capacity)
    });
    each.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tracing::{Event, Subscriber, field::Visit};
    use tracing_subscriber::{Layer, layer::Context, prelude::*};

    use super::*;
    use crate::{admin::sample_view, metrics::Ended};

    /// The fields of each event, as text.
    #[derive(Clone, Default)]
    struct Events(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Events {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            struct Text(String);
            impl Visit for Text {
                fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                    self.0 += &format!(" {field}={value:?}");
                }
            }
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_line_per_interval_with_the_vendors_names() {
        let events = Events::default();
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(events.clone()));
        let view = Arc::new(sample_view("blue"));
        let before = view.metrics.totals().ended();

        let ticking = tokio::spawn(ticker(watch::channel(view.clone()).1, Duration::from_secs(10)));
        tokio::time::sleep(Duration::from_millis(9_999)).await;
        assert_eq!(events.0.lock().unwrap().len(), 0);
        for _ in 0..25 {
            view.metrics.ended(Ended::Success, Duration::from_millis(1));
        }
        tokio::time::sleep(Duration::from_millis(10_002)).await;
        ticking.abort();

        let lines = events.0.lock().unwrap();
        assert_eq!(lines.len(), 2, "{lines:?}");
        let total = format!(" requests-total={}", before + 25);
        for part in [
            " message=statistics",
            " connections-active=1",
            " connections-closed=1",
            &total,
            " requests-success=27",
            " requests-errors=4",
            " requests-parse-error=1",
            " requests-skipped=1",
            " requests-queued=7",
            " records-per-second=2.5",
            " queues=audit:5/100+2 orders:3/50",
        ] {
            assert!(lines[0].contains(part), "{part} in {}", lines[0]);
        }
        assert!(lines[1].contains(" records-per-second=0.0"), "{}", lines[1]);
    }

    #[tokio::test]
    async fn an_interval_of_zero_means_no_line() {
        ticker(watch::channel(Arc::new(sample_view("blue"))).1, Duration::ZERO).await;
    }
}
