"""What the measurements of Tests/Peers/compare say: a row each, and a Markdown table of them."""
import statistics


def summary(section, setting, processors, own, peer):
    ratios = [b["median_seconds"] / a["median_seconds"] for a, b in zip(own, peer)]

    def side(rounds):
        result = {"median_seconds": statistics.median(r["median_seconds"] for r in rounds), "rounds": rounds}
        if "peak_bytes" in rounds[0]:
            result["peak_bytes"] = statistics.median(r["peak_bytes"] for r in rounds)
        return result

    return {"comparison": section, "setting": list(setting), "float32": "bf16" not in setting,
            "processors": processors, "vergence": side(own), "pytorch": side(peer),
            "ratio": statistics.median(ratios), "ratio_range": [min(ratios), max(ratios)]}


def table(report, options):
    titles = {"train": f"training step, {options.batch} pairs, {options.threads} threads",
              "ddp": f"2 ranks of 1 thread, {options.batch} pairs each",
              "inference": f"inference of one pair, {options.threads} threads"}
    machine = report["machine"]
    lines = [f"W-net at {options.size}. {machine['processor']}; Vergence with kernels {machine['kernels']}; PyTorch "
             f"{report['pytorch']['torch']}; medians of {options.rounds} rounds."]
    for section, title in titles.items():
        rows = [row for row in report["comparisons"] if row["comparison"] == section]
        if not rows:
            continue
        pairs = {"train": options.batch, "ddp": 2 * options.batch, "inference": 1}[section]
        exact = [row for row in rows if row["float32"]]
        best = min(exact, key=lambda row: row["pytorch"]["median_seconds"])
        with_memory = "peak_bytes" in rows[0]["vergence"]
        lines += ["", f"| {title} | PyTorch s | pairs/s | Vergence s | pairs/s | ratio | range |"
                      + (" peak MB, PyTorch | Vergence |" if with_memory else ""),
                  "|---|---|---|---|---|---|---|" + ("---|---|" if with_memory else "")]
        for row in rows:
            name = ", ".join(row["setting"])
            name = f"**{name}** (its best)" if row is best else name
            name += "" if row["float32"] else " (not float32)"
            theirs, own = row["pytorch"], row["vergence"]
            line = (f"| {name} | {theirs['median_seconds']:.3f} | {pairs / theirs['median_seconds']:.2f} | "
                    f"{own['median_seconds']:.3f} | {pairs / own['median_seconds']:.2f} | {row['ratio']:.2f} | "
                    f"{row['ratio_range'][0]:.2f}–{row['ratio_range'][1]:.2f} |")
            if with_memory:
                line += f" {theirs['peak_bytes'] / 1e6:.0f} | {own['peak_bytes'] / 1e6:.0f} |"
            lines.append(line)
    for note in report["notes"]:
        lines += ["", note]
    return "\n".join(lines)
