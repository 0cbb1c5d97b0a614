"""A run over time as an SVG: memory, descriptors and lag, with what failed marked."""

import html

WIDTH, HEIGHT, LEFT, RIGHT, GAP = 900, 130, 70, 20, 45


def over_time(samples, lags, events):
    end = max([at for at, *_ in samples] + [at for at, _ in lags] + [1.0])
    panels = [("memory, MiB", [(at, rss) for at, rss, _ in samples]), ("descriptors", [(at, files) for at, _, files in samples]),
              ("lag, s", [(at, value) for at, value in lags if value is not None])]
    x = lambda at: LEFT + (WIDTH - LEFT - RIGHT) * at / end
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {len(panels) * (HEIGHT + GAP) + 20}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>']
    for number, (title, points) in enumerate(panels):
        top = 25 + number * (HEIGHT + GAP)
        most = max([value for _, value in points] + [1]) * 1.05
        y = lambda value: top + HEIGHT * (1 - value / most)
        for kind, begin, until in events:
            out.append(f'<rect x="{x(begin):.1f}" y="{top}" width="{max(1.0, x(until) - x(begin)):.1f}" height="{HEIGHT}" fill="#f3d9d3">'
                       f"<title>{html.escape(kind)}, {begin:.0f} s</title></rect>")
        # As many points as can be told apart.
        shown = points[:: max(1, len(points) // 1500)]
        path = "L".join(f"{x(at):.1f} {y(value):.1f}" for at, value in shown)
        out += [f'<text x="{LEFT}" y="{top - 7}">{title}</text>', f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{most:.0f}</text>',
                f'<text x="{LEFT - 6}" y="{top + HEIGHT}" text-anchor="end">0</text>',
                f'<path d="M{LEFT} {top}V{top + HEIGHT}H{WIDTH - RIGHT}" fill="none" stroke="#888"/>']
        if path:
            out.append(f'<path d="M{path}" fill="none" stroke="#1b6ca8" stroke-width="1.5"/>')
        for part in range(1, 7):
            out.append(f'<text x="{x(end * part / 6):.0f}" y="{top + HEIGHT + 14}" text-anchor="end" fill="#555">{end * part / 360:.1f} min</text>')
    return "\n".join([*out, "</svg>", ""])
