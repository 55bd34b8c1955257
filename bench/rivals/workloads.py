"""What is asked of the servers: lists of targets, the same for each of them, in its own dialect of addresses."""

import itertools
import math
import os
import random
from dataclasses import dataclass

from . import cache

HALF_M = 20037508.342789244
TILE_PX = 256
MAP_PX = 512
# Numbers of the random drawings: every run asks for the same.
SEED = 20261122
FRESH_MAPS = 20_000
MEMORY_TILES = 300


def resolution(level):
    return 2 * HALF_M / TILE_PX / 2**level


def mercator(lon, lat):
    return (math.radians(lon) * 6378137, 6378137 * math.log(math.tan(math.pi / 4 + math.radians(lat) / 2)))


# The seeded area, and what of it a map in EPSG:25832 may show (corners stay inside of it).
WEST, SOUTH, EAST, NORTH = cache.AREA_DEGREES
AREA_MERCATOR = (*mercator(WEST, SOUTH), *mercator(EAST, NORTH))
AREA_UTM = (-500_000, 4_600_000, 1_700_000, 7_200_000)
TOWN_MERCATOR = (*mercator(5, 45), *mercator(17, 54))
TOWN_UTM = (150_000, 5_000_000, 950_000, 6_000_000)


def box(centre, res):
    reach = res * MAP_PX / 2
    return (centre[0] - reach, centre[1] - reach, centre[0] + reach, centre[1] + reach)


def fresh(area, finest):
    """Maps anywhere in the area, at scales of mostly the last level: they touch more tiles than any memory tier holds."""
    drawing = random.Random(SEED)
    for _ in range(FRESH_MAPS):
        res = finest * math.exp(drawing.uniform(math.log(0.92), math.log(2.3)))
        reach = res * MAP_PX / 2
        yield box((drawing.uniform(area[0] + reach, area[2] - reach), drawing.uniform(area[1] + reach, area[3] - reach)), res)


def overlapping(area, finest):
    """Sixteen people who pan and zoom about one region: most tiles were seen before, though hardly a map twice."""
    drawing = random.Random(SEED + 1)
    people = [[drawing.uniform(area[0], area[2]), drawing.uniform(area[1], area[3]), drawing.choice((1, 2))] for _ in range(16)]
    for number in range(FRESH_MAPS):
        person = people[number % 16]
        if drawing.random() < 0.2:
            person[2] = drawing.choice((1, 1.4142, 2, 2.8284))
        else:
            for axis in (0, 1):
                step = drawing.uniform(-0.4, 0.4) * MAP_PX * finest * person[2]
                person[axis] = min(max(person[axis] + step, area[axis]), area[axis + 2])
        yield box(person[:2], finest * person[2])


def map_targets(peer, layers, mime, srs, boxes):
    path = {"mapcache": "/png/" if mime == "image/png" else "/jpeg/"}.get(peer, "/service")
    for extent in boxes:
        bbox = ",".join(f"{value:.4f}" for value in extent)
        yield (
            f"{path}?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS={layers}&STYLES=&SRS={srs}&BBOX={bbox}"
            f"&WIDTH={MAP_PX}&HEIGHT={MAP_PX}&FORMAT={mime}"
        )


def tile_list(count):
    """Stored tiles of the last levels of the photo and the map, shuffled; `count` of them, or all."""
    found = [(n, e, z, x, y) for n, e, *_ in cache.CACHES[:2] for z in (7, 8) for x, y in cache.addresses(n, z)]
    random.Random(SEED).shuffle(found)
    return found[:count]


def tile_targets(peer, count):
    for name, extension, z, x, y in tile_list(count):
        extension_shown = {"nginx": extension, "mapcache": "jpg" if extension == "jpeg" else extension}.get(peer, extension)
        if peer == "nginx":
            yield f"/{name}/{z}/{x}/{y}.{extension}"
        elif peer == "mapcache":
            yield f"/png/gmaps/{name}@GoogleMapsCompatible/{z}/{x}/{y}.{extension_shown}"
        else:
            yield f"/wmts/{name}/GLOBAL_WEBMERCATOR/{z}/{x}/{y}.{extension_shown}"


@dataclass(frozen=True)
class Work:
    """`goals`: what DESIGN.md §6 wants of rhumb over each peer; `daemon`: which rhumb is asked."""

    name: str
    goals: dict
    targets: object
    daemon: str = "rhumb"


def maps(name, layers, mime, srs, goals):
    areas = ((AREA_MERCATOR, TOWN_MERCATOR), (AREA_UTM, TOWN_UTM))[srs != "EPSG:3857"]
    # A metre of mercator is shorter on the ground: from 41° to the north no finer level is asked for.
    finest = resolution(cache.LEVEL_MAX) * (1 if srs == "EPSG:3857" else 0.76)
    for kind, boxes, area in (("fresh", fresh, areas[0]), ("overlapping", overlapping, areas[1])):
        own = {peer: goal[kind == "overlapping"] for peer, goal in goals.items()}
        yield Work(
            f"{name}, {kind}", own,
            lambda peer, boxes=boxes, area=area: map_targets(peer, layers, mime, srs, boxes(area, finest)),
        )


ALL = (
    Work("stored tile, from disk", {"mapproxy": 12, "mapcache": 2.5, "nginx": 0.9}, lambda peer: tile_targets(peer, None), "rhumb-disk"),
    Work("stored tile, memory tier", {"mapproxy": 15, "mapcache": 3, "nginx": 1.2}, lambda peer: tile_targets(peer, MEMORY_TILES)),
    *maps("map PNG", "map", "image/png", "EPSG:3857", {"mapproxy": (5, 8), "mapcache": (1.3, 2)}),
    *maps("map JPEG", "photo", "image/jpeg", "EPSG:3857", {"mapproxy": (4, 6), "mapcache": (1.8, 2.5)}),
    *maps("two layers PNG", "photo,lines", "image/png", "EPSG:3857", {"mapproxy": (6, 9), "mapcache": (1.5, 2)}),
    *maps("EPSG:25832 JPEG", "photo", "image/jpeg", "EPSG:25832", {"mapproxy": (4, 6)}),
    *maps("EPSG:25832 PNG", "map", "image/png", "EPSG:25832", {"mapproxy": (5, 8)}),
)


# Maps whose sizes are compared.
SIZED_MAPS = 60


def measure_sizes(work, running, results):
    """Mean bytes of the same maps from every server: speed must not be bought with size."""
    for peer in ("rhumb", *work.goals):
        targets = itertools.islice(work.targets(peer), SIZED_MAPS)
        sizes = [len(running.get(peer, target)) for target in targets]
        results["sizes"].setdefault(work.name, {})[peer] = sum(sizes) / len(sizes)


def measure(work, number, running, programs, seconds, results):
    """One round of one workload: each peer in turn, the order turned on with the round."""
    peers = ["rhumb", *work.goals]
    peers = peers[number % len(peers):] + peers[: number % len(peers)]
    kept = results["rates"].setdefault(work.name, {})
    for peer in peers:
        server = work.daemon if peer == "rhumb" else peer
        path = os.path.join(cache.BENCH, "targets", f"{work.name.replace(' ', '-').replace(',', '').replace(':', '')}.{peer}")
        if not os.path.exists(path) or number == 0:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write("\n".join(work.targets(peer)))
        # Each round asks for other maps, the same ones of every peer.
        answer = running.load(server, path, seconds, start=number * 3_000)
        print(f"{number + 1} {work.name:28} {peer:9} {answer['rate']:9.0f}/s  p50 {answer['p50_ms']:8.2f}  p99 {answer['p99_ms']:8.2f} ms"
              f"  {answer['mean_bytes']:7.0f} bytes  {answer['faults'] or ''}", flush=True)
        kept.setdefault(peer, []).append(answer)
