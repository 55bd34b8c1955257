#!/usr/bin/env python3
"""Writes the table that rhumb's coverages are tested against.

    python tests/parity/coverage_table.py src/geo/testdata

Blocks of an `area` line (WKT polygons), `shape` lines with the extent and size
of what MapProxy 7.0.0 makes of it, and `ask` lines with rectangles and whether
they meet the area or lie in it. Seeded: the same MapProxy gives the same table.
"""
import math
import random
import sys

from shapely.geometry import MultiPolygon, Polygon

from mapproxy.srs import SRS
from mapproxy.util.coverage import GeomCoverage, diff_coverage, intersection_coverage, union_coverage
from mapproxy.util.geom import build_multipolygon, load_polygon_lines


def star(rng, x, y, size, corners):
    """A ring around a centre that does not cross itself."""
    return [(round(x + math.cos(a) * r, 6), round(y + math.sin(a) * r, 6))
            for a, r in ((2 * math.pi * i / corners, size * rng.uniform(.4, 1)) for i in range(corners))]


def polygon(rng, x, y, size):
    outer = star(rng, x, y, size, rng.randint(3, 40))
    holes = [star(rng, x, y, size * .2, rng.randint(3, 9))] if rng.random() < .5 else []
    return Polygon(outer, holes)


def areas(rng):
    yield ['POLYGON((5 45, 15 45, 15 55, 5 55, 5 45))']
    yield ['POLYGON((5 45, 15 45, 15 55, 5 55, 5 45),(8 48, 12 48, 12 52, 8 52, 8 48))']
    yield ['MULTIPOLYGON(((0 0, 4 0, 4 4, 0 4, 0 0)),((2 2, 8 2, 8 8, 2 8, 2 2)))', 'POLYGON((20 20, 21 20, 21 21, 20 20))']
    for _ in range(8):
        parts = [polygon(rng, rng.uniform(-40, 40), rng.uniform(-30, 50), rng.uniform(1, 25)) for _ in range(rng.randint(1, 4))]
        yield [p.wkt for p in parts]


def ask(rng, coverage):
    x0, y0, x1, y1 = coverage.bbox
    w, h = x1 - x0, y1 - y0
    for i in range(24):
        size = 10 ** rng.uniform(-3, 0.2)
        x, y = x0 + rng.uniform(-.3, 1.1) * w, y0 + rng.uniform(-.3, 1.1) * h
        box = (x, y, x + w * size, y + h * size * rng.uniform(.3, 1))
        yield 'ask', ','.join(map(repr, box)), str(int(coverage.intersects(box, coverage.srs))), str(int(coverage.contains(box, coverage.srs)))


def shape(kind, coverage):
    return kind, ','.join(map(repr, coverage.bbox)), repr(coverage.geom.area)


def main(folder):
    rng = random.Random(11)
    last = None
    with open(f'{folder}/coverages.tsv', 'w') as out:
        for lines in areas(rng):
            geometry = build_multipolygon(load_polygon_lines(lines), simplify=True)[1]
            coverage = GeomCoverage(geometry, SRS(4326))
            rows = [('area', *lines), shape('shape', coverage), *ask(rng, coverage)]
            if last is not None:
                rows.append(shape('union', union_coverage([last, coverage])))
                for kind, combine in (('intersection', intersection_coverage), ('difference', diff_coverage)):
                    try:
                        rows.append(shape(kind, combine([last, coverage])))
                    except Exception:
                        rows.append((kind, 'none'))
            for row in rows:
                out.write('\t'.join(row) + '\n')
            last = coverage


if __name__ == '__main__':
    main(sys.argv[1])
