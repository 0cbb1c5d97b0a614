//! The Prometheus text format, version 0.0.4.

use std::fmt::{self, Display, Write};

/// A page of metrics under construction: families in order, each with the same first label.
pub(super) struct Page {
    text: String,
    /// `cluster_name="…"`, escaped once.
    first_label: String,
}

/// What Prometheus is told a family is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    Untyped,
}

impl Page {
    pub(super) fn new(cluster_name: &str) -> Self {
        let mut first_label = String::new();
        push_label(&mut first_label, "cluster_name", cluster_name);
        Self { text: String::with_capacity(32 * 1024), first_label }
    }

    /// Starts a family; its samples must follow before the next family starts.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
            Kind::Untyped => "untyped",
        };
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family { page: self, name }
    }

    /// A family of one sample without labels of its own.
    pub(super) fn single(&mut self, name: &'static str, kind: Kind, help: &'static str, value: impl Display) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// As [`Page::single`], or nothing at all.
    pub(super) fn optional(
        &mut self,
        name: &'static str,
        kind: Kind,
        help: &'static str,
        value: Option<impl Display>,
    ) {
        if let Some(value) = value {
            self.single(name, kind, help, value);
        }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        _ = self.text.write_fmt(line);
    }
}

/// A family whose samples are being written.
pub(super) struct Family<'a> {
    page: &'a mut Page,
    name: &'static str,
}

impl Family<'_> {
    /// One sample with its labels.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        self.suffixed("", labels, value)
    }

    /// One sample under the family's name and a suffix such as `_sum`.
    pub(super) fn suffixed(
        &mut self,
        suffix: &str,
        labels: &[(&str, &str)],
        value: impl Display,
    ) -> &mut Self {
        let mut all = self.page.first_label.clone();
        for (name, value) in labels {
            all.push(',');
            push_label(&mut all, name, value);
        }
        let name = self.name;
        self.page.line(format_args!("{name}{suffix}{{{all}}} {value}\n"));
        self
    }
}

fn push_label(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push_str("=\"");
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_escaped_labels() {
        let mut page = Page::new("a \"b\" \\c\nd");
        page.family("x_total", Kind::Counter, "Things.")
            .sample(&[("kind", "ü")], 3_u64)
            .sample(&[], f64::NAN);
        page.optional("y", Kind::Gauge, "Absent.", None::<u64>);
        assert_eq!(
            page.finish(),
            concat!(
                "# HELP x_total Things.\n# TYPE x_total counter\n",
                "x_total{cluster_name=\"a \\\"b\\\" \\\\c\\nd\",kind=\"ü\"} 3\n",
                "x_total{cluster_name=\"a \\\"b\\\" \\\\c\\nd\"} NaN\n",
            )
        );
    }
}
