"""What is printed and stored."""

from statistics import median

from benchmarks.beside_stock.figures import percentile, verdict

HEADER = (
    *("", "stock ms", "p95", "ours ms", "p95", "ratio", "95 % interval", "middle half"),
    *("CPU ms stock", "ours", "SQL stock", "ours", "promise", ""),
)


def summary(measurement):
    """Return the figures of a row in the form in which they are stored."""
    pairs, row = measurement.all_pairs, measurement.row
    sides = {}
    for name, seconds in (("stock", pairs.stock), ("ours", pairs.ours)):
        queries = measurement.queries[name]
        sides[name] = {
            "median_ms": median(seconds) * 1e3,
            "p95_ms": percentile(seconds, 95) * 1e3,
            "cpu_ms": measurement.cpu[name] / len(seconds) * 1e3,
            "queries": median(queries),
            "queries_most": max(queries),
        }
    return {
        "row": row.name,
        **sides,
        "ratio": pairs.ratio,
        "interval": list(pairs.interval),
        "middle_half": list(pairs.spread),
        "pairs": len(pairs.ratios),
        "tries": [
            {"ratio": one.ratio, "interval": list(one.interval)} for one in measurement.tries
        ],
        "load_average": measurement.load,
        "promise": row.promise,
        "verdict": verdict(pairs.ratio, row.promise),
        "clear": row.promise is None or pairs.is_clear_about(row.promise),
    }


def cells(figures):
    """Return the cells of a line of the table."""
    stock, ours = figures["stock"], figures["ours"]
    promise, remark = figures["promise"], figures["verdict"]
    if remark and not figures["clear"]:
        remark += ", not clearly"
    return (
        figures["row"],
        f"{stock['median_ms']:.2f}",
        f"{stock['p95_ms']:.2f}",
        f"{ours['median_ms']:.2f}",
        f"{ours['p95_ms']:.2f}",
        f"{figures['ratio']:.3f}",
        "{:.3f} – {:.3f}".format(*figures["interval"]),
        "{:.3f} – {:.3f}".format(*figures["middle_half"]),
        f"{stock['cpu_ms']:.1f}",
        f"{ours['cpu_ms']:.1f}",
        _queries(stock),
        _queries(ours),
        "" if promise is None else f"≤ {promise:.2f}",
        remark,
    )


def _queries(side):
    usual, most = side["queries"], side["queries_most"]
    return f"{usual:g}" + (f" (≤ {most})" if most > usual else "")


def table(rows):
    """Return the lines of a table: the first and last column aligned left, the others right."""
    lines = [HEADER, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    return [
        "  ".join(
            text.ljust(width) if column in (0, len(HEADER) - 1) else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def tries(figures):
    """Return a line about a row that was measured more than once, or no line."""
    if len(figures["tries"]) < 2:
        return []
    each = ", ".join(
        "{:.3f} ({:.3f} – {:.3f})".format(one["ratio"], *one["interval"])
        for one in figures["tries"]
    )
    return [f"{figures['row']}: measured {len(figures['tries'])} times: {each}"]


def missed(results):
    """Return a line for each promise that was not kept."""
    return [
        f"missed: {figures['row']}: {figures['ratio']:.3f}, promised ≤ {figures['promise']:.2f}"
        for figures in results
        if figures["verdict"] == "missed"
    ]


def findings(found):
    """Return the lines of a check, aligned."""
    width = max(len(finding.name) for finding in found)
    lines = []
    for finding in found:
        line = f"{finding.name.ljust(width)}  {finding.value:>12,.1f} {finding.unit:<2}"
        if finding.promise is not None:
            kept = verdict(finding.value, finding.promise)
            line += f"  promised ≤ {finding.promise:,g}  {kept}"
        lines.append(line.rstrip())
    return lines


def missed_findings(found):
    """Return a line for each promise of a check that was not kept."""
    return [
        f"missed: {finding.name}: {finding.value:,.1f}, promised ≤ {finding.promise:,g}"
        for finding in found
        if verdict(finding.value, finding.promise) == "missed"
    ]


def same_configuration(settings, connects):
    """Return the lines that say how alike the two servers are.

    :param connects: the number of connections and of calls, by side
    """
    ours, stock = settings["ours"], settings["stock"]
    postgres = ours["PostgreSQL"]
    shown = (
        *("server_version", "fsync", "synchronous_commit", "full_page_writes"),
        *("wal_level", "shared_buffers"),
    )
    added = sorted(ours["modules"].keys() - stock["modules"].keys())
    return [
        f"odoo.conf: {len(stock['odoo.conf'])} settings, the same but for database, ports and the"
        f" add-on's path; workers = {stock['odoo.conf']['workers']}"
        f" ({stock['processes']['HTTP workers alive']} HTTP process(es) alive in each)",
        f"PostgreSQL: {len(postgres)} settings, all the same: "
        + ", ".join(f"{name} {postgres[name]}" for name in shown),
        f"modules: {len(stock['modules'])} the same; ours has also {', '.join(added)}",
        "connections: "
        + ", ".join(f"{name} {made} for {calls} calls" for name, (made, calls) in connects.items()),
    ]
