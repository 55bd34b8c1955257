"""Load stage of MapProxy over a set of configurations.

usage: fixtures.py [FILE ...]

Without arguments: every YAML file that MapProxy's own package brings. Prints
one line for each, tab separated: verdict of the load stage (`loads` or
`refused`), verdict of building the services (`builds`, `fails` or `-`), the
file, the reason. The suite compares the first column with `rhumb check`.
"""

import logging
import os
import sys
import warnings

import mapproxy
from mapproxy.config.loader import load_configuration


def reason(error):
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:200]


def verdict(path):
    try:
        conf = load_configuration(path)
    except Exception as error:  # whatever stops MapProxy's start is a refusal
        return "refused", "-", reason(error)
    try:
        with conf:
            conf.services.services()
    except Exception as error:
        return "loads", "fails", reason(error)
    return "loads", "builds", ""


def fixtures():
    root = os.path.dirname(mapproxy.__file__)
    for folder, _, names in sorted(os.walk(root)):
        for name in sorted(names):
            if name.endswith((".yaml", ".yml")):
                yield os.path.join(folder, name)


def main():
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for path in sys.argv[1:] or fixtures():
        print("\t".join((*verdict(path)[:2], path, verdict(path)[2])))


if __name__ == "__main__":
    main()
