#!/usr/bin/env python3
"""MapProxy with a finer mesh: the reference where its own is too coarse.

usage: fine_mesh_server.py CONFIG PORT

MapProxy 7.0.0 subdivides the mesh of a reprojection until its error is below
one pixel, and never below 50 pixels; a drawn line may so lie a pixel or two
off, which costs many decibels.  Here the mesh is a square of 8 pixels
everywhere and nothing else differs: where an image disagrees with the original
and agrees with this, the mesh was the difference.
"""
import sys

from mapproxy.image import transform

CELL_PX = 8


def fine_mesh(src_size, src_bbox, src_srs, dst_size, dst_bbox, dst_srs, max_px_err=1, use_center_px=False):
    """Cells of the target, each with the four places of its corners in the source (nw, sw, se, ne)."""
    def place(x, y):
        east = dst_bbox[0] + x / dst_size[0] * (dst_bbox[2] - dst_bbox[0])
        north = dst_bbox[3] - y / dst_size[1] * (dst_bbox[3] - dst_bbox[1])
        east, north = dst_srs.transform_to(src_srs, (east, north))
        return ((east - src_bbox[0]) / (src_bbox[2] - src_bbox[0]) * src_size[0],
                (src_bbox[3] - north) / (src_bbox[3] - src_bbox[1]) * src_size[1])

    src_bbox, dst_bbox = src_srs.align_bbox(src_bbox), dst_srs.align_bbox(dst_bbox)
    cells = []
    for top in range(0, dst_size[1], CELL_PX):
        for left in range(0, dst_size[0], CELL_PX):
            right, bottom = min(left + CELL_PX, dst_size[0]), min(top + CELL_PX, dst_size[1])
            corners = [(left, top), (left, bottom), (right, bottom), (right, top)]
            cells.append(((left, top, right, bottom), [v for x, y in corners for v in place(x, y)]))
    return cells


transform.transform_meshes = fine_mesh

if __name__ == "__main__":
    import waitress

    from mapproxy.wsgiapp import make_wsgi_app

    config, port = sys.argv[1:]
    waitress.serve(make_wsgi_app(config), host="127.0.0.1", port=int(port), threads=4, _quiet=True,
                   clear_untrusted_proxy_headers=False)
