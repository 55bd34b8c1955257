"""The tables: medians, ratios formed round by round, goals beside them."""

import datetime
import os
import platform
import re
import statistics
import subprocess

from . import cache, workloads

PEERS = ("mapproxy", "mapcache", "nginx")
SHOWN = {"rhumb": "rhumb", "mapproxy": "MapProxy", "mapcache": "MapCache", "nginx": "nginx"}


def median(rounds, field):
    return statistics.median(answer[field] for answer in rounds)


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def ratio_cell(ratio, goal):
    if ratio is None:
        return "–"
    shown = f"{ratio:.1f}×" if ratio >= 10 else f"{ratio:.2f}×"
    return f"**{shown}** ({goal:g}×)" if ratio >= goal else f"{shown} (**missed** {goal:g}×)"


def ratios(kept, peer):
    pairs = zip(kept["rhumb"], kept[peer])
    return [ours["rate"] / theirs["rate"] for ours, theirs in pairs if theirs["rate"] > 0]


def tables(chosen, results):
    rows = ["| answers per second | rhumb | MapProxy | MapCache | nginx | over MapProxy (goal) | over MapCache (goal) | over nginx (goal) |", "|---|---|---|---|---|---|---|---|"]
    details = ["| median of rounds | server | rate/s | of rounds | p50 ms | p99 ms | mean bytes | faults |", "|---|---|---|---|---|---|---|---|"]
    for work in chosen:
        kept = results["rates"].get(work.name)
        if not kept:
            continue
        cells = [number(median(kept[peer], "rate")) if peer in kept else "–" for peer in ("rhumb", *PEERS)]
        for peer in PEERS:
            found = ratios(kept, peer) if peer in kept else []
            cells.append(ratio_cell(statistics.median(found) if found else None, work.goals.get(peer)))
        rows.append(f"| {work.name} | " + " | ".join(cells) + " |")
        for peer, rounds in sorted(kept.items(), key=lambda item: list(SHOWN).index(item[0])):
            faults = {}
            for answer in rounds:
                for what, count in answer["faults"].items():
                    faults[what] = faults.get(what, 0) + count
            spread = " ".join(number(answer["rate"]) for answer in rounds)
            told = ", ".join(f"{what}: {count}" for what, count in faults.items()) or "0"
            details.append(
                f"| {work.name} | {SHOWN[peer]} | {number(median(rounds, 'rate'))} | {spread} | {median(rounds, 'p50_ms'):.2f} "
                f"| {median(rounds, 'p99_ms'):.2f} | {median(rounds, 'mean_bytes'):,.0f} | {told} |"
            )
    text = ["\n".join(rows)]
    other = other_table(results)
    if other:
        text.append(other)
    if results["parts"]:
        text.append("### Where the time of one map goes\n\nOne thread, inside one process; *whole GetMap* reads and decodes every tile anew, "
                    "*tiles in memory* finds them decoded.\n\n" + results["parts"].strip())
    text.append("### Raw medians\n\n" + "\n".join(details))
    return "\n\n".join(text) + "\n"


def other_table(results):
    rows = []
    starts, memory = results.get("starts", {}), results.get("memory", {})
    if all(peer in starts for peer in ("rhumb", "mapproxy")):
        ours, theirs = (statistics.median(starts[peer]) for peer in ("rhumb", "mapproxy"))
        rows.append(f"| start with 1,000 layers to the first map | {ours:.0f} ms | {theirs:.0f} ms | {ratio_cell(theirs / ours, 12)}, 200 ms |")
    if results.get("reloads"):
        ours = statistics.median(results["reloads"])
        verdict = "reached" if ours <= 1_000 else "**missed**"
        rows.append(f"| reload with 1,000 layers, from SIGHUP to its effect on every new connection | {ours:.0f} ms | – | 1,000 ms: {verdict} |")
    if all(peer in memory for peer in ("rhumb", "mapproxy")):
        ours, theirs = memory["rhumb"] / 1024, memory["mapproxy"] / 1024
        verdict = "less: reached" if ours < theirs else "less: **missed**"
        rows.append(f"| largest worker under this load (PSS, memory tiers included) | {ours:.0f} MiB | {theirs:.0f} MiB | {verdict} |")
    for name, sizes in results.get("sizes", {}).items():
        ours, theirs = sizes["rhumb"], sizes["mapproxy"]
        verdict = "not above: reached" if ours <= theirs else "not above: **missed**"
        mapcache = f" (MapCache {sizes['mapcache']:,.0f})" if "mapcache" in sizes else ""
        rows.append(f"| mean bytes of {name.split(',')[0]}, {workloads.SIZED_MAPS} maps | {ours:,.0f} | {theirs:,.0f}{mapcache} | {verdict} |")
    return "\n".join(["| | rhumb | MapProxy | goal |", "|---|---|---|---|", *rows]) if rows else ""


def said(command, pattern=r"\d+\.\d+[\w.+-]*"):
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=cache.ROOT)
    except OSError:
        return "?"
    found = re.search(pattern, done.stdout + done.stderr)
    return found.group(0) if found else "?"


def processor():
    with open("/proc/cpuinfo") as file:
        return re.search(r"model name\s*:\s*(.*)", file.read()).group(1)


def versions():
    package = lambda name: said(["dpkg-query", "-W", "-f", "${Version}", name], r".+")  # noqa: E731
    inside = lambda code: said([cache.PYTHON, "-c", code], r".+")  # noqa: E731
    commit = said(["git", "rev-parse", "--short=12", "HEAD"], r"\w+")
    changed = subprocess.run(["git", "status", "--porcelain", "src", "Cargo.toml", "Cargo.lock"], capture_output=True, cwd=cache.ROOT).stdout
    return [
        ("rhumb", f"commit {commit}" + (" with changes" if changed else "")),
        ("MapProxy", inside("import importlib.metadata as m; print(m.version('MapProxy'), 'gunicorn', m.version('gunicorn'), '2 workers of 8 threads')")),
        ("Pillow", inside("import PIL, PIL.features as f; print(PIL.__version__, 'zlib', f.version('zlib'), 'zlib-ng' if f.check('zlib_ng') else '', 'libjpeg-turbo', f.version('libjpeg_turbo'))")),
        ("MapProxy's Python and PROJ", inside("import platform, pyproj; print(platform.python_version(), 'pyproj', pyproj.__version__, 'PROJ', pyproj.proj_version_str)")),
        ("MapCache", package("libapache2-mod-mapcache")),
        ("Apache", package("apache2") + ", event MPM, 2 processes of 25 threads"),
        ("nginx", package("nginx") + ", 2 workers"),
        ("libproj of the system", package("libproj25")),
        ("rustc", said(["rustc", "--version"])),
    ]


def write(text, results):
    now = datetime.datetime.now(datetime.timezone.utc)
    load = os.getloadavg()
    head = [
        "# Benchmark results",
        "",
        "Written by `bench/run`; how it measures stands there. 16 keep-alive connections, the same requests in the same order for each server, whole "
        f"answers of the right type only. {results['rounds']} interleaved rounds of {results['seconds']:g} s for each server; the tables hold medians, and "
        "ratios are formed round by round. **Bold**: DESIGN's goal is reached; *missed* says by its goal where it is not.",
        "",
        f"- Date: {now:%Y-%m-%d %H:%M} UTC. One-minute load average at the end: {load[0]:.1f}.",
        f"- Machine: {len(os.sched_getaffinity(0))} cores of {processor()}, Linux {platform.release()}. The load generator shares them with the server.",
        *[f"- {name}: {version}" for name, version in versions()],
        f"- Tiles: {', '.join(f'{name} ({extension})' for name, extension, *_ in cache.CACHES)}, levels 0–{cache.LEVEL_MAX} of GLOBAL_WEBMERCATOR over "
        f"{cache.AREA_DEGREES}, made by MapProxy's seeder, in the page cache. rhumb, nginx and Apache write an access log, as they do by default; gunicorn does not.",
        f"- *From disk*: {len(workloads.tile_list(None))} tiles, a rhumb whose memory tier is set to 1 MiB; *memory tier*: {workloads.MEMORY_TILES} tiles, the default of 32 MiB a worker.",
        "- Every server draws at its defaults: rhumb and MapProxy bicubic, MapCache bilinear; PNG of 256 colours, JPEG of quality 90.",
        "",
    ]
    path = os.path.join(cache.ROOT, "bench", "RESULTS.md")
    # The section of bench/crowd stays.
    with open(path) as file:
        _, heading, crowd = file.read().partition("## A crowd of slow clients")
    with open(path, "w") as file:
        file.write("\n".join(head) + "\n" + text + (f"\n\n{heading}{crowd}" if heading else ""))
    print(f"wrote {path}")
