//! The estimate as tables for a terminal.

use std::{
    io::{self, Write},
    path::Path,
};

use super::{Architecture, DestinationCost, Estimate, RouteCost, Row};

/// Prints everything.
pub(super) fn print(file: &Path, estimate: &Estimate, out: &mut dyn Write) -> io::Result<()> {
    let (traffic, function) = (&estimate.traffic, &estimate.function);
    let millions = estimate.records_per_month / 1e6;
    writeln!(
        out,
        "{}: {} records/s of {} bytes, {} million a month of {} hours",
        file.display(),
        traffic.rate,
        traffic.size,
        if millions < 100.0 { format!("{millions:.2}") } else { thousands(millions) },
        estimate.hours_per_month
    )?;
    let dates: Vec<String> =
        estimate.prices.iter().map(|list| format!("{} of {}", list.of, list.as_of)).collect();
    writeln!(out, "list prices in US dollars, first tier: {}", dates.join(", "))?;
    let architecture = match function.architecture {
        Architecture::Arm64 => "arm64",
        Architecture::X86 => "x86_64",
    };
    writeln!(
        out,
        "the function: {} ms a call and {} ms a record, {} MB, {architecture} ({} vCPU on Cloud Run); a guess until you \
         measure yours",
        function.ms_per_call, function.ms_per_record, function.memory_mb, function.vcpu
    )?;
    match estimate.routes.len() {
        0 => writeln!(out, "\nNo record goes anywhere.")?,
        1 => {}
        _ => writeln!(out, "each route as if all records went that way")?,
    }
    for cost in &estimate.routes {
        route(cost, out)?;
    }
    if estimate.more_routes > 0 {
        writeln!(out, "\nand {} more kinds of record that go other ways, not shown", estimate.more_routes)?;
    }
    writeln!(out, "\nNot in these numbers:")?;
    for line in &estimate.left_out {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "Prices from:")?;
    for source in estimate.prices.iter().flat_map(|list| &list.sources) {
        writeln!(out, "  {source}")?;
    }
    Ok(())
}

fn route(route: &RouteCost, out: &mut dyn Write) -> io::Result<()> {
    let more = match route.more_kinds {
        0 => String::new(),
        1 => ", and 1 more kind of record".to_owned(),
        more => format!(", and {more} more kinds of record"),
    };
    writeln!(out, "\n{}{more}", route.records)?;
    for cost in &route.destinations {
        destination(cost, out)?;
    }
    if let Some(together) = &route.together {
        writeln!(
            out,
            "  to all of them, with what gathers{}: {} a million records, {} a month",
            if route.destinations.iter().any(|cost| cost.kind == "aws-api-gateway") {
                ", by an HTTP API"
            } else {
                ""
            },
            dollars(together.per_million_records),
            monthly(together.per_month)
        )?;
    }
    Ok(())
}

fn destination(cost: &DestinationCost, out: &mut dyn Write) -> io::Result<()> {
    let region = cost.region.as_ref().map(|region| format!(", prices of {region}")).unwrap_or_default();
    writeln!(out, "  {} ({}{region})", cost.name, cost.kind)?;
    for remark in &cost.remarks {
        writeln!(out, "    {remark}")?;
    }
    table(cost, out)?;
    if let Some(standing) = cost.standing_per_month {
        writeln!(
            out,
            "    and {} a month for the load balancer, whatever goes through it",
            monthly(standing)
        )?;
    }
    Ok(())
}

fn table(cost: &DestinationCost, out: &mut dyn Write) -> io::Result<()> {
    let Some(first) = cost.rows.first() else { return Ok(()) };
    let mut heads = vec!["records a call".to_owned(), "calls/s".to_owned(), "at once".to_owned()];
    heads.extend(first.quota.map(|_| "quota".to_owned()));
    let counts = heads.len();
    for _ in &first.costs {
        heads.extend(["  a million records".to_owned(), "a month".to_owned()]);
    }
    let mut lines = vec![(heads, String::new())];
    lines.extend(cost.rows.iter().map(|row| (cells(row), marks(row, cost))));
    let widths: Vec<usize> = (0..lines[0].0.len())
        .map(|column| lines.iter().map(|(cells, _)| cells[column].chars().count()).max().unwrap_or(0))
        .collect();
    let across = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
    let mut ways = " ".repeat(across(&widths[..counts]));
    for (way, pair) in first.costs.iter().zip(widths[counts..].chunks(2)) {
        let width = GAP + across(pair);
        ways.push_str(&format!("{:>width$}", way.way.words()));
    }
    writeln!(out, "    {ways}")?;
    for (cells, marks) in lines {
        let cells: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
        writeln!(out, "    {}", format!("{}  {marks}", cells.join("  ")).trim_end())?;
    }
    Ok(())
}

/// Blanks between two columns.
const GAP: usize = 2;

fn cells(row: &Row) -> Vec<String> {
    let calls = row.calls_per_second;
    let calls = if calls < 10.0 { format!("{calls:.2}") } else { thousands(calls) };
    let mut cells = vec![row.records_per_call.to_string(), calls, thousands(row.at_once)];
    cells.extend(row.quota.map(thousands));
    for cost in &row.costs {
        cells.push(dollars(cost.dollars.per_million_records));
        cells.push(monthly(cost.dollars.per_month));
    }
    cells
}

fn marks(row: &Row, cost: &DestinationCost) -> String {
    let mut marks = Vec::new();
    match (row.configured, row.gathered) {
        (true, true) => marks.push("<- configured, and reached at this rate".to_owned()),
        (true, false) => marks.push("<- configured, and not reached at this rate".to_owned()),
        (false, true) => marks.push("<- at this rate: so many gather while a call runs".to_owned()),
        (false, false) => {}
    }
    if row.cut {
        marks.push(match cost.body_bytes_max {
            Some(bytes) => {
                format!("(more does not fit: the limit is {bytes} bytes, or `batching.max-bytes`)")
            }
            None => "(more does not fit in `batching.max-bytes`)".to_owned(),
        });
    }
    marks.join(" ")
}

/// Dollars for a million records: three figures after the point when there are few before it.
pub(super) fn dollars(amount: f64) -> String {
    match amount {
        _ if amount >= 1.0 => format!("${amount:.2}"),
        _ if amount >= 0.001 => format!("${amount:.3}"),
        _ => format!("${amount:.6}"),
    }
}

/// Dollars a month: whole ones when there are many.
fn monthly(amount: f64) -> String {
    if amount >= 100.0 { format!("${}", thousands(amount)) } else { format!("${amount:.2}") }
}

/// A whole number with commas.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_well() {
        assert_eq!(
            [0.0, 999.0, 1000.0, 9903.2, 1_234_567.8].map(thousands),
            ["0", "999", "1,000", "9,903", "1,234,568"]
        );
        assert_eq!([1.268, 0.0143, 0.0042, 0.00001].map(dollars), ["$1.27", "$0.014", "$0.004", "$0.000010"]);
        assert_eq!([3333.18, 37.67, 0.4].map(monthly), ["$3,333", "$37.67", "$0.40"]);
    }
}
