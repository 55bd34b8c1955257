#!/usr/bin/env python3
"""MapProxy with callbacks in its WSGI environ, as its documentation shows it.

usage: callback_server.py CONFIG PORT

`mymaps.py` beside CONFIG brings `authorize`, `decorate` or both.
"""
import os
import sys

from mapproxy.wsgiapp import make_wsgi_app

KEYS = {"authorize": "mapproxy.authorize", "decorate": "mapproxy.decorate_img"}

if __name__ == "__main__":
    import waitress

    config, port = sys.argv[1:]
    sys.path.insert(0, os.path.dirname(os.path.abspath(config)))
    import mymaps

    app = make_wsgi_app(config)

    def with_callbacks(environ, start_response):
        for name, key in KEYS.items():
            if hasattr(mymaps, name):
                environ[key] = getattr(mymaps, name)
        return app(environ, start_response)

    waitress.serve(with_callbacks, host="127.0.0.1", port=int(port), threads=4, _quiet=True,
                   clear_untrusted_proxy_headers=False)
