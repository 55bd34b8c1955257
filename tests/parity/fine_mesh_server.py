#!/usr/bin/env python3
"""MapProxy with a finer mesh: the reference where its own is too coarse.

usage: fine_mesh_server.py CONFIG PORT

MapProxy 7.0.0 subdivides the mesh of a reprojection until its error is below
one pixel; a drawn line may so lie a pixel off, which costs many decibels.
Here the mesh is refined to a twentieth of a pixel and nothing else differs:
where an image disagrees with the original and agrees with this, the mesh was
the difference.
"""
import sys

from mapproxy.image import transform

ERROR_MAX_PX = 0.05

original = transform.ImageTransformer.__init__


def with_fine_mesh(self, src_srs, dst_srs, max_px_err=ERROR_MAX_PX):
    original(self, src_srs, dst_srs, max_px_err=max_px_err)


transform.ImageTransformer.__init__ = with_fine_mesh

if __name__ == "__main__":
    import waitress

    from mapproxy.wsgiapp import make_wsgi_app

    config, port = sys.argv[1:]
    waitress.serve(make_wsgi_app(config), host="127.0.0.1", port=int(port), threads=4, _quiet=True,
                   clear_untrusted_proxy_headers=False)
