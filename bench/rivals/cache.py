"""The tiles that all four servers read: three caches of GLOBAL_WEBMERCATOR over Europe and its neighbours, seeded once and kept in target/bench."""

import os
import shutil
import subprocess

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BENCH = os.path.join(ROOT, "target", "bench")
TILES = os.path.join(BENCH, "tiles")
PEERS = os.environ.get("RHUMB_PEERS", os.path.join(ROOT, "target", "peers"))
PYTHON = os.path.join(PEERS, "venv", "bin", "python")

# Some 3,500 tiles in each cache; a map of this level shows coasts and borders nearly anywhere.
AREA_DEGREES = (-15, 28, 50, 71)
LEVEL_MAX = 8
# name, extension, WMS layers, transparent
CACHES = (
    ("map", "png", "countries,borders", False),
    ("photo", "jpeg", "bluemarble", False),
    ("lines", "png", "borders", True),
)


def directory(name):
    """Level/column/row below this folder, rows from the north."""
    return os.path.join(TILES, f"{name}_cache_EPSG3857")


def map_yaml(upstream, stripped=False):
    """One configuration for rhumb and MapProxy. The upstream of a measured server is closed and its errors
    are not painted over, so that a missing tile cannot go unseen."""
    lines = [
        "services:",
        "  tms: {use_grid_names: true, origin: nw}",
        "  wmts: {kvp: true, restful: true}",
        "  wms:",
        "    srs: ['EPSG:3857', 'EPSG:4326', 'EPSG:25832']",
        "    image_formats: ['image/png', 'image/jpeg']",
        "    on_source_errors: raise",
        "    md: {title: Benchmark}",
        "layers:",
        *[f"  - {{name: {n}, title: {n}, sources: [{n}_cache]}}" for n, *_ in CACHES],
        "caches:",
    ]
    for name, extension, _, _ in CACHES:
        lines += [
            f"  {name}_cache:",
            "    grids: [GLOBAL_WEBMERCATOR]",
            f"    sources: [{name}_wms]",
            f"    format: image/{extension}",
            "    cache: {type: file, directory_layout: tms}",
        ]
    lines.append("sources:")
    for name, extension, layers, transparent in CACHES:
        request = f"url: {upstream!r}, layers: {layers!r}, transparent: {str(transparent).lower()}"
        lines += [
            f"  {name}_wms:",
            "    type: wms",
            f"    req: {{{request}}}",
            "    supported_srs: ['EPSG:3857']",
        ]
        if not transparent:
            lines.append(f"    supported_formats: [image/{extension}]")
    lines += [
        "globals:",
        f"  cache: {{base_dir: {TILES!r}, lock_dir: {os.path.join(BENCH, 'locks')!r}, meta_size: [8, 8]}}",
        "",
    ]
    return "\n".join(lines)


def seed_yaml():
    west, south, east, north = AREA_DEGREES
    names = ", ".join(f"{name}_cache" for name, *_ in CACHES)
    return (
        f"seeds:\n  all:\n    caches: [{names}]\n    levels: {{to: {LEVEL_MAX}}}\n    coverages: [europe]\n"
        f"coverages:\n  europe: {{bbox: [{west}, {south}, {east}, {north}], srs: 'EPSG:4326'}}\n"
    )


def seed(anew):
    if anew:
        shutil.rmtree(TILES, ignore_errors=True)
    done = os.path.join(TILES, "complete")
    if os.path.exists(done):
        return
    os.makedirs(TILES, exist_ok=True)
    upstream, own = os.environ.get("RHUMB_UPSTREAM"), None
    tool = os.path.join(ROOT, "tests", "upstream", "upstream")
    if not upstream:
        own = os.path.join(PEERS, "upstream")
        upstream = subprocess.run([tool, "start", own, "18091"], check=True, capture_output=True, text=True).stdout.strip()
    try:
        for name, text in (("seeding.yaml", map_yaml(upstream)), ("seed.yaml", seed_yaml())):
            with open(os.path.join(BENCH, name), "w") as file:
                file.write(text)
        print(f"seeding {TILES} from {upstream}", flush=True)
        program = os.path.join(PEERS, "venv", "bin", "mapproxy-seed")
        subprocess.run(
            [PYTHON, program, "-f", "seeding.yaml", "-s", "seed.yaml", "-c", "2", "--quiet", "--quiet"],
            cwd=BENCH, check=True, stdout=subprocess.DEVNULL,
        )
    finally:
        if own:
            subprocess.run([tool, "stop", own], check=False)
    open(done, "w").close()


def addresses(name, level):
    """All stored tiles of a level as (column, row), in the order of their names."""
    found = []
    base = os.path.join(directory(name), str(level))
    for column in sorted(os.listdir(base), key=int):
        rows = (row.split(".")[0] for row in os.listdir(os.path.join(base, column)) if not row.endswith(".tmp"))
        found += [(int(column), int(row)) for row in rows]
    return sorted(found)
