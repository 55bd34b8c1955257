#!/usr/bin/env python3
"""Writes the tables that rhumb's grid arithmetic is tested against.

Run it with the Python of a MapProxy 7.0.0 installation:

    python tests/parity/grid_table.py src/geo/testdata

grids.tsv holds a grid a block: a `grid` line with its options, then lines with
what MapProxy's own code answers. Numbers are written so that they read back
without loss. The draw is seeded: the same MapProxy gives the same tables.
"""
import itertools
import random
import sys

from mapproxy.grid import GridError, NoTiles
from mapproxy.grid.meta_grid import MetaGrid
from mapproxy.grid.tile_grid import tile_grid
from mapproxy.srs import SRS

MERC = 20037508.342789244
GRIDS = [
    dict(srs='EPSG:900913'),
    dict(srs='EPSG:3857', origin='nw'),
    dict(srs='EPSG:102100', num_levels=5, tile_size=(512, 512)),
    dict(srs='EPSG:4326'),
    dict(srs='EPSG:4326', origin='ul', min_res=0.703125),
    dict(srs='EPSG:4326', min_res=0.703125, num_levels=22),
    dict(srs='EPSG:4326', bbox=(5.2, 47.13, 15.77, 55.31), origin='nw'),
    dict(srs='EPSG:4326', bbox=(5.2, 47.13, 15.77, 55.31), res_factor='sqrt2'),
    dict(srs='EPSG:3857', bbox=(4, 46, 16, 56), bbox_srs='EPSG:4326', origin='sw'),
    dict(srs='EPSG:3857', bbox=(-180, -90, 180, 90), bbox_srs='EPSG:4326'),
    dict(srs='EPSG:25832', bbox=(280000, 5234000.5, 921290.25, 6101443), origin='nw', res_factor='sqrt2', tile_size=(512, 512)),
    dict(srs='EPSG:25832', bbox=(4000, 5230000, 400000, 6000000), res=[4891.96, 2445.98, 1222.99, 611.4, 305.7, 152.8, 76.4, 38.2, 19.1]),
    dict(srs='EPSG:25832', bbox=(0, 5000000, 1000000, 6000000), res=[1000, 500, 250, 100, 50, 20, 10, 5, 2, 1, 0.5], origin='ul'),
    dict(srs='EPSG:25832', bbox=(0, 0, 1000001, 777), res=[10, 1000, 333.3, 100, 0.1], threshold_res=[700, 150, 9], stretch_factor=1.4),
    dict(srs='EPSG:25832', bbox=(-46133.17, 5048875.26857567, 1206211.10142433, 6301219.54), origin='nw', num_levels=16),
    dict(srs='EPSG:25832', bbox=(1, 2, 30003, 40004), min_res=500, max_res=0.3, num_levels=9),
    dict(srs='EPSG:25832', bbox=(1, 2, 30003, 40004), min_res=500, max_res=0.3),
    dict(srs='EPSG:25832', bbox=(1, 2, 30003, 40004), min_res=500, max_res=0.3, res_factor=1.7, tile_size=(100, 250)),
    dict(srs='EPSG:2056', bbox=(2420000, 1030000, 2900000, 1350000), res=[4000, 3750, 3500, 3250, 3000, 2000, 1500, 1000, 650, 500, 250, 100, 50, 20, 10, 5, 2.5, 2, 1.5, 1, 0.5], origin='nw'),
    dict(srs='EPSG:27700', bbox=(0, 0, 700000, 1300000), num_levels=12, max_shrink_factor=1.5, stretch_factor=1.0),
    dict(srs='EPSG:3857', threshold_res=[100000, 50000, 1000, 300]),
    dict(srs='EPSG:3857', threshold_res=[200000], num_levels=8),
    dict(srs='EPSG:3857', bbox=(-1e6, -1e6, 1e6, 1e6), align='EPSG:3857', align_factor=2.0, num_levels=6),
    dict(srs='EPSG:3857', bbox=(-1e6, -1e6, 1e6, 1e6), align='EPSG:3857', align_factor=2.0, res_factor='sqrt2', max_res=10),
    dict(srs='EPSG:3857', bbox=(-1e6, -1e6, 1e6, 1e6), align='EPSG:3857', align_factor='sqrt2', min_res=5000),
    dict(srs='EPSG:3857', bbox=(-1e6, -1e6, 1e6, 1e6), align='EPSG:3857', align_factor='sqrt2', res_factor='sqrt2', min_res=5000, num_levels=7),
]
METAS = [((4, 4), 80), ((2, 2), 0), ((3, 5), 10), ((1, 1), 200), ((8, 2), 0), ((7, 7), 1)]


def text(value):
    if isinstance(value, (tuple, list)):
        return ','.join(text(v) for v in value)
    return repr(value)


def build(options):
    options = dict(options)
    align = options.pop('align', None)
    factor = options.pop('align_factor', None)
    if align:
        options['align_with'] = tile_grid(srs=align, res_factor=factor)
    return tile_grid(**options), options.get('align_with')


def odd_grids(rng):
    for _ in range(14):
        geographic = rng.random() < 0.5
        size = 10 ** rng.uniform(-1, 1.5) if geographic else 10 ** rng.uniform(3, 6.5)
        x, y = (rng.uniform(-150, 100), rng.uniform(-60, 40)) if geographic else (rng.uniform(-1e6, 3e6), rng.uniform(-1e6, 6e6))
        yield dict(
            srs='EPSG:4326' if geographic else 'EPSG:25832',
            bbox=(x, y, x + size * rng.uniform(.3, 1), y + size * rng.uniform(.3, 1)),
            origin=rng.choice(['ll', 'ul']),
            res_factor=rng.choice([2.0, 'sqrt2', 1.5, 3.7]),
            num_levels=rng.randint(1, 14),
            tile_size=rng.choice([(256, 256), (512, 512), (100, 300), (333, 17)]),
            stretch_factor=rng.choice([1.0, 1.15, 1.5]),
        )


def resolutions(rng, grid):
    """The sizes around which the choice of a level turns."""
    res = list(grid.resolutions.values())
    for r in rng.sample(res, min(4, len(res))):
        yield from (r, r * 1.0001, r / grid.stretch_factor * 1.001, r / grid.stretch_factor * 0.999)
    for t in grid.threshold_res or []:
        yield from (t, t * 1.001, t * 0.999)
    yield from (res[0] * 5, res[-1] / 9, res[0] * 10 ** rng.uniform(-4, 1))


def maps(rng, grid):
    w, h = grid.bbox[2] - grid.bbox[0], grid.bbox[3] - grid.bbox[1]
    for _ in range(6):
        size = (rng.randint(1, 1200), rng.randint(1, 1200))
        res = rng.choice(list(grid.resolutions.values())) * 10 ** rng.uniform(-.3, .3)
        x, y = grid.bbox[0] + rng.uniform(-.2, 1.1) * w, grid.bbox[1] + rng.uniform(-.2, 1.1) * h
        yield (x, y, x + size[0] * res, y + size[1] * res), size
    level = rng.randrange(grid.levels)
    tile = [rng.randrange(n) for n in grid.grid_sizes[level]]
    yield grid.tile_bbox((*tile, level)), grid.tile_size
    yield grid.bbox, (256, 256)


def rows(rng, options):
    grid, align = build(options)
    yield ('grid', options['srs'], text(grid.bbox), grid.origin, text(grid.tile_size), text(grid.stretch_factor),
           text(grid.max_shrink_factor), text(grid.threshold_res or ()))
    asked = {k: v for k, v in options.items() if k in ('bbox', 'bbox_srs', 'res', 'res_factor', 'num_levels', 'min_res', 'max_res')}
    if align:
        asked['align'] = tuple(align.resolutions.values())
    yield ('asked', *(f'{k}={v if isinstance(v, str) else text(v)}' for k, v in asked.items()))
    yield ('levels', *(text((r, *grid.grid_sizes[i])) for i, r in enumerate(grid.resolutions.values())))
    yield ('flips', *(str(int(grid.supports_access_with_origin(o))) for o in ('ll', 'ul')))
    yield ('closest', *(text((r, grid.closest_level(r))) for r in resolutions(rng, grid)))
    for _ in range(6):
        level = rng.randrange(grid.levels)
        tile = tuple(rng.randint(-2, n + 1) for n in grid.grid_sizes[level]) + (level,)
        yield ('tile', text(tile), text(grid.tile_bbox(tile)), text(grid.flip_tile_coord(tile)),
               str(int(grid.limit_tile(tile) is not None)))
    for bbox, size in maps(rng, grid):
        try:
            extent, (columns, count), tiles = grid.get_affected_tiles(bbox, size)
            listed = list(itertools.islice(tiles, 400))
            first = next((i for i, t in enumerate(listed) if t), None)
            inside = [t for t in listed if t] if columns * count <= 400 else []
            answer = (text(extent), text((columns, count)), text((first, *inside[0], *inside[-1], len(inside))) if inside else '-')
        except NoTiles:
            answer = ('none',)
        except GridError:
            answer = ('invalid',)
        yield ('affected', text(bbox), text(size), *answer)
    for size, buffer in rng.sample(METAS, 3):
        meta = MetaGrid(grid, size, buffer)
        level = rng.randrange(grid.levels)
        tile = tuple(rng.choice((0, n - 1, rng.randrange(n))) for n in grid.grid_sizes[level]) + (level,)
        yield ('meta', text(size), text(buffer), text(tile), *block(meta, meta.meta_tile(tile)))
        n = grid.grid_sizes[level]
        some = [(min(tile[0] + i, n[0] - 1), min(tile[1] + j, n[1] - 1), level) for i, j in ((0, 0), (2, 1), (1, 0))]
        some = list(dict.fromkeys(some))
        yield ('minimal', text(size), text(buffer), ' '.join(map(text, some)), *block(meta, meta.minimal_meta_tile(list(some))))


def block(meta, tile):
    inside = [(t, at) for t, at in tile.tile_patterns if t]
    return (text(tile.bbox), text(tile.size), text(tile.grid_size), text(meta.main_tile(tile.main_tile_coord)),
            text(len(inside)), text((*inside[0][0], *inside[0][1])), text((*inside[-1][0], *inside[-1][1])))


def main(folder):
    rng = random.Random(7)
    chosen = GRIDS + list(odd_grids(rng))
    with open(f'{folder}/grids.tsv', 'w') as out:
        for options in chosen:
            for row in rows(rng, options):
                out.write('\t'.join(row) + '\n')
    grids = [build(o)[0] for o in chosen]
    extra = [tile_grid('EPSG:3857', num_levels=4), tile_grid('EPSG:3857', origin='nw', num_levels=7),
             tile_grid('EPSG:3857', bbox=(0, 0, MERC, MERC)), tile_grid('EPSG:3857', bbox=(0, 0, MERC, MERC), num_levels=3, origin='ul')]
    grids += extra
    with open(f'{folder}/subsets.tsv', 'w') as out:
        for g in extra:
            out.write('\t'.join(('extra', g.srs.srs_code, text(g.bbox), g.origin, text(g.levels))) + '\n')
        for i, a in enumerate(grids):
            out.write(f'{i}\t' + ''.join(str(int(a.is_subset_of(b))) for b in grids) + '\n')
    with open(f'{folder}/extents.tsv', 'w') as out:
        for _ in range(40):
            x, y = rng.uniform(-181, 150), rng.uniform(-90, 80)
            box = rng.choice([(x, y, x + 10 ** rng.uniform(-3, 2), y + 10 ** rng.uniform(-3, 1)), (-180.0, -90.0, 180.0, 90.0),
                              (-180.0, y, 180.0, 85.06)])
            for code in ('EPSG:3857', 'EPSG:102100'):
                out.write('\t'.join(('EPSG:4326', code, text(box), text(SRS(4326).transform_bbox_to(SRS(code), box)))) + '\n')
            m = tuple(v * 111319.49 for v in box)
            out.write('\t'.join(('EPSG:3857', 'EPSG:4326', text(m), text(SRS(3857).transform_bbox_to(SRS(4326), m)))) + '\n')


if __name__ == '__main__':
    main(sys.argv[1])
