"""What was measured, as a table, as JSON, and as a picture of cost against load."""

import html

COLUMNS = [
    ("cpu_us", "µs CPU", "{:.2f}"), ("rate", "records/s", "{:,.0f}"), ("busy", "cores busy", "{:.2f}"),
    ("receiver_busy", "receiver's", "{:.2f}"), ("waits", "waits", "{:.3f}"), ("peak_mib", "peak MiB", "{:.1f}"), ("latency.p50_us", "p50 µs", "{:.0f}"),
    ("latency.p99_us", "p99 µs", "{:.0f}"), ("ready_ms", "ms", "{:.1f}"),
]
# Latency under full load is the length of the queue, which says nothing.
ONLY_IN = {"latency.p50_us": "latency", "latency.p99_us": "latency", "ready_ms": "start"}


def table(group, rows):
    """A Markdown table, aligned so that it can be read as it is."""
    by_name = {row.name: row for row in rows}
    columns = [column for column in COLUMNS if ONLY_IN.get(column[0], group) == group and any(row.median(column[0]) is not None for row in rows)]
    lines = [[group, *(header for _, header, _ in columns), "against others in the same round, and goals"]]
    for row in rows:
        lines.append([row.name, *(shown(row.median(key), form) for key, _, form in columns), judgement(row, by_name)])
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    align = lambda at, cell: cell.ljust(widths[at]) if at in (0, len(widths) - 1) else cell.rjust(widths[at])
    text = ["| " + " | ".join(align(at, cell) for at, cell in enumerate(line)) + " |" for line in lines]
    text.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(text)


def shown(value, form):
    return "" if value is None else form.format(value)


def judgement(row, by_name):
    """How a row stands to others and to its goals, in words."""
    said, open_goals = [], list(row.goals)
    for name in row.against:
        if name not in by_name:
            continue
        other = by_name[name]
        if row.compared.startswith("latency"):
            half, value = (row.added(other, key) for key in ("latency.p50_us", "latency.p99_us"))
            text = f"p50 {half:+.0f} µs, p99 {value:+.0f} µs" if None not in (half, value) else "not measured"
        else:
            value = row.ratios(other, row.compared)
            what = f"the rate of {name}" if row.compared == "rate" else name
            text = f"{value:.2f} × {what}" if value is not None else f"{name}: not measured"
        goals = [goal for goal in open_goals if goal[1] == name]
        open_goals = [goal for goal in open_goals if goal[1] != name]
        said.append(text + "".join(verdict(goal, value) for goal in goals))
    for goal in open_goals:
        figure, against, _ = goal
        if against is None:
            said.append(verdict(goal, row.median(figure)).strip(" ()"))
    return ", ".join(said)


def verdict(goal, value):
    """Whether a goal is met."""
    figure, _, bound = goal
    if value is None:
        return ""
    more_is_better = figure == "rate"
    met = value >= bound if more_is_better else value <= bound
    return f" (goal {'≥' if more_is_better else '≤'} {bound:g}: {'met' if met else 'missed'})"


def as_json(row):
    return {"name": row.name, "goals": [list(goal) for goal in row.goals], "against": list(row.against), "rounds": row.rounds,
            "medians": {key: row.median(key) for key, _, _ in COLUMNS if row.median(key) is not None}}


def picture(rows):
    """Cost against load, both logarithmic: one line for each kind of delivery."""
    lines = {}
    for row in rows:
        if (cost := row.median("cpu_us")) is not None:
            lines.setdefault(row.name.rsplit(", ", 1)[0], []).append((row.median("rate"), cost))
    points = [point for line in lines.values() for point in line]
    if not points:
        return None
    left, right, top, bottom, width, height = 70, 200, 40, 60, 790, 420
    x, x_ticks = axis([rate for rate, _ in points], left, width - right)
    y, y_ticks = axis([cost for _, cost in points], height - bottom, top)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="{left}" y="22" font-size="15">CPU of the connector for each record, against load</text>',
           f'<text x="{(left + width - right) / 2}" y="{height - 15}" text-anchor="middle">records per second</text>',
           f'<text transform="translate(18 {(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle">µs of CPU per record</text>']
    for tick in x_ticks:
        out.append(f'<path d="M{x(tick):.1f} {top}V{height - bottom}" stroke="#ddd"/>'
                   f'<text x="{x(tick):.1f}" y="{height - bottom + 18}" text-anchor="middle">{tick:,g}</text>')
    for tick in y_ticks:
        out.append(f'<path d="M{left} {y(tick):.1f}H{width - right}" stroke="#ddd"/>'
                   f'<text x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for at, ((name, line), colour) in enumerate(zip(lines.items(), ("#1b6ca8", "#c8553d", "#3c8d5a", "#7a5195"))):
        line.sort()
        path = "L".join(f"{x(rate):.1f} {y(cost):.1f}" for rate, cost in line)
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x(rate):.1f}" cy="{y(cost):.1f}" r="3.5" fill="{colour}"><title>{html.escape(name)}: {rate:,.0f}/s, {cost:.2f} µs</title></circle>'
                for rate, cost in line]
        # Lines end close together, so names stand in a list.
        legend = top + 20 * at
        out.append(f'<path d="M{width - right + 20} {legend}h20" stroke="{colour}" stroke-width="2"/>'
                   f'<text x="{width - right + 46}" y="{legend + 4}">{html.escape(name)}</text>')
    return "\n".join([*out, "</svg>", ""])


def axis(values, begin, end):
    """A logarithmic axis from pixel `begin` to `end`, and its ticks: 1, 2 and 5 of each power of ten."""
    from math import floor, log10

    low, high = min(values) / 1.2, max(values) * 1.2
    at = lambda value: begin + (end - begin) * (log10(value) - log10(low)) / (log10(high) - log10(low))
    decades = range(floor(log10(low)), floor(log10(high)) + 1)
    return at, [step * 10**decade for decade in decades for step in (1, 2, 5) if low <= step * 10**decade <= high]
