//! The table of routes: for every kind of record where it goes and in which form.

use std::io::{self, Write};

use super::{bytes, duration, plural};
use crate::config::{
    AvroEncoding, BatchBody, Batching, BinTransforms, Config, ContentMode, Effective, Exclude, Format,
    NameTransform, Routing, RoutingKey, RoutingTable, Scope,
};

/// More lines than this help nobody.
const MAX_ROUTES: usize = 500;
/// And more values of one route than this.
const MAX_VALUES: usize = 20;

/// Prints the table, the most particular records first.
pub(super) fn print(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nroutes (the first line that fits a record counts)")?;
    let mut rows = vec![["port", "namespace", "set", "goes to", "how"].map(str::to_owned)];
    for scope in config.scopes().take(MAX_ROUTES) {
        route(scope, &config.effective(scope), &mut rows);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..4).map(width).collect();
    for [port, namespace, set, to, how] in &rows {
        let line = format!(
            "  {port:<0$}  {namespace:<1$}  {set:<2$}  {to:<3$}  {how}",
            widths[0], widths[1], widths[2], widths[3]
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    if config.scopes().nth(MAX_ROUTES).is_some() {
        writeln!(out, "  and more, not shown")?;
    }
    Ok(())
}

type Row = [String; 5];

/// A row for the scope, and one for each value when the route goes by value.
fn route(scope: Scope<'_>, effective: &Effective<'_>, rows: &mut Vec<Row>) {
    let any = |name: Option<&str>| name.map_or_else(|| "any".to_owned(), str::to_owned);
    let to = match effective.routing {
        None => "nowhere (no routing): acknowledged".to_owned(),
        Some(Routing::Skip) => "nowhere (skip): acknowledged".to_owned(),
        Some(Routing::To(names)) => names.join(", "),
        Some(Routing::By(table)) => by(table),
        Some(Routing::Rules(_)) => "by expressions".to_owned(),
    };
    let how = if effective.goes_somewhere() { how(effective) } else { String::new() };
    let port = scope.port.map_or_else(|| "any".to_owned(), |port| port.to_string());
    rows.push([port, any(scope.namespace), any(scope.set), to, how]);
    let empty = String::new;
    let mut more = |text: String| rows.push([empty(), empty(), empty(), text, empty()]);
    if let Some(Routing::Rules(rules)) = effective.routing {
        for rule in rules.rules.iter().take(MAX_VALUES) {
            more(format!("  when {}: {}", shown(&rule.when), destinations(&rule.destinations)));
        }
        if rules.rules.len() > MAX_VALUES {
            more(format!("  and {}", plural(rules.rules.len() - MAX_VALUES, "more rule")));
        }
        more(format!("  otherwise: {}", destinations(&rules.default)));
    }
    let Some(Routing::By(table)) = effective.routing else { return };
    for (value, names) in table.destinations.iter().take(MAX_VALUES) {
        more(format!("  {}: {}", value.escape_debug(), destinations(names)));
    }
    if table.destinations.len() > MAX_VALUES {
        more(format!("  and {}", plural(table.destinations.len() - MAX_VALUES, "more value")));
    }
    more(format!("  otherwise: {}", destinations(&table.default)));
}

fn by(table: &RoutingTable) -> String {
    let key = match &table.key {
        RoutingKey::Namespace => "the namespace".to_owned(),
        RoutingKey::Set => "the set".to_owned(),
        RoutingKey::Bin(name) => format!("the bin `{name}`"),
    };
    match table.transforms.as_slice() {
        [] => format!("by {key}"),
        steps => format!("by {key} after {}", names_of(steps)),
    }
}

/// An expression on one line, which is not too long.
fn shown(expression: &str) -> String {
    let words: Vec<&str> = expression.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(60) {
        Some((end, _)) => format!("`{}…`", &line[..end]),
        None => format!("`{line}`"),
    }
}

fn destinations(names: &[String]) -> String {
    if names.is_empty() { "nowhere: acknowledged".to_owned() } else { names.join(", ") }
}

/// Format, bins, order and batches.
fn how(effective: &Effective<'_>) -> String {
    let bins = effective.bin_transforms.and_then(bins);
    let ordering = effective.record_ordering.filter(|ordering| ordering.enabled);
    let batching = effective.batching.filter(|batching| batching.enabled);
    let parts = [
        Some(format(effective.format.unwrap_or(&Format::Xdr))),
        effective.filter.map(|filter| format!("only when {}", shown(&filter.expression))),
        bins,
        ordering.map(|ordering| format!("in order (remembers {})", duration(ordering.lut_cache_ttl))),
        batching.map(batches),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn format(format: &Format) -> String {
    match format {
        Format::Json(_) => "json".to_owned(),
        Format::FlatJson { metadata_key, .. } => format!("flat-json, metadata in `{metadata_key}`"),
        Format::MessagePack => "message-pack".to_owned(),
        Format::Xdr => "xdr".to_owned(),
        Format::Avro { encoding: AvroEncoding::Raw, .. } => "avro".to_owned(),
        Format::Avro { encoding: AvroEncoding::SingleObject, .. } => "avro, single objects".to_owned(),
        Format::Avro { encoding: AvroEncoding::Ocf, .. } => "avro, container files".to_owned(),
        Format::CloudEvents(events) => match events.content_mode {
            ContentMode::Structured => "cloudevents".to_owned(),
            ContentMode::Binary => "cloudevents, in binary mode".to_owned(),
        },
        Format::Template(template) => format!("template, {}", template.content_type),
    }
}

/// `None` when every bin goes under its own name.
fn bins(bins: &BinTransforms) -> Option<String> {
    let count = |bins: usize| plural(bins, "bin");
    let sent = match (&bins.include, &bins.exclude) {
        (_, Exclude::All) => "no bins".to_owned(),
        (Some(include), _) if include.is_empty() => "no bins".to_owned(),
        (Some(include), Exclude::These(exclude)) => count(include.difference(exclude).count()),
        (None, Exclude::These(exclude)) if exclude.is_empty() => String::new(),
        (None, Exclude::These(exclude)) => format!("all but {}", count(exclude.len())),
    };
    let renamed = if bins.map.is_empty() && bins.transforms.is_empty() { "" } else { "renamed" };
    match (sent.as_str(), renamed) {
        ("", "") => None,
        ("no bins", _) => Some(sent),
        ("", renamed) => Some(format!("bins {renamed}")),
        (_, "") => Some(sent),
        (_, renamed) => Some(format!("{sent}, {renamed}")),
    }
}

fn batches(batching: &Batching) -> String {
    let body = match batching.body {
        None => "batches",
        Some(BatchBody::JsonArray) => "batches as JSON arrays",
        Some(BatchBody::Ndjson) => "batches of JSON lines",
        Some(BatchBody::Concatenated) => "batches, concatenated",
    };
    // More records than anyone has in process are no limit.
    let records = match batching.max_records.get() {
        many if many >= 1_000_000 => String::new(),
        records => format!("{} or ", plural(records, "record")),
    };
    format!("{body} up to {records}{}", bytes(batching.max_bytes.get()))
}

fn names_of(steps: &[NameTransform]) -> String {
    let name = |step: &NameTransform| match step {
        NameTransform::Lowercase => "lowercase",
        NameTransform::Uppercase => "uppercase",
        NameTransform::Trim => "trim",
        NameTransform::Regex { .. } => "regex",
    };
    steps.iter().map(name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    fn table(sections: &str) -> String {
        let text =
            format!("destinations: {{a: {{urls: ['http://h/']}}, b: {{urls: ['http://h/']}}}}\n{sections}");
        let mut out = Vec::new();
        print(&config::parse(&text, Path::new("")).unwrap().config, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_section_that_applies_is_told() {
        let text = "
format: json
routing: {mode: static, destination: a}
batching: {max-records: 100, max-bytes: 262144, body: ndjson}
record-ordering: {}
bin-transforms: {include: {type: specified, bins: [x, y]}, exclude: {type: specified, bins: [y]}, map: {x: z}}
namespaces:
  n:
    format: message-pack
    batching: {}
    record-ordering: {enable: false}
    bin-transforms: {transforms: [trim]}
    sets:
      s:
        format: {mode: avro, schema: '{\"type\": \"map\", \"values\": \"bytes\"}', encoding: ocf}
        batching: {enabled: false}
        bin-transforms: {exclude: {type: specified, bins: [x, y]}}
      t: {routing: {mode: skip}}";
        assert_eq!(
            table(text),
            "
routes (the first line that fits a record counts)
  port  namespace  set  goes to                       how
  any   n          s    a                             avro, container files; all but 2 bins
  any   n          t    nowhere (skip): acknowledged
  any   n          any  a                             message-pack; bins renamed; batches up to 1000000 bytes
  any   any        any  a                             json; 1 bin, renamed; in order (remembers 30 s); batches of JSON \
             lines up to 100 records or 256 KiB
"
        );
    }

    #[test]
    fn routes_by_value_list_their_values() {
        let text = "
format: json
routing:
  mode: bin
  bin: region
  transforms: [trim, {regex: {pattern: x, replacement: y}}]
  destinations: {eu: [a, b], us: []}
  default: a
namespaces:
  n: {routing: {mode: set, destinations: {s: []}, default: []}}";
        assert_eq!(
            table(text),
            "
routes (the first line that fits a record counts)
  port  namespace  set  goes to                                how
  any   n          any  by the set
                          s: nowhere: acknowledged
                          otherwise: nowhere: acknowledged
  any   any        any  by the bin `region` after trim, regex  json
                          eu: a, b
                          us: nowhere: acknowledged
                          otherwise: a
"
        );
        let values: Vec<String> = (0..30).map(|n| format!("v{n}: a")).collect();
        let many = table(&format!(
            "format: json\nrouting: {{mode: set, destinations: {{{}}}, default: b}}",
            values.join(", ")
        ));
        assert!(many.contains("  and 10 more values\n") && many.contains("otherwise: b"), "{many}");
    }
}
