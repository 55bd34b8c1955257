"""Asks about points and for maps of the OGC API with OWSLib.

inquire_with_owslib.py BASE_URL prints what was answered, a line for each thing.
"""
import sys

from owslib.ogcapi.maps import Maps
from owslib.wms import WebMapService
from PIL import Image

PLACE = {"bbox": (8, 50, 10, 52), "size": (200, 100), "srs": "EPSG:4326", "xy": (150, 20)}


def info(base, version):
    service = WebMapService(f"{base}/service", version=version)
    layer = service["text"]
    assert layer.queryable == 1, layer.queryable
    answer = service.getfeatureinfo(layers=["text"], query_layers=["text"], info_format="text/plain", format="image/png", feature_count=3, **PLACE)
    return answer.read().decode()


def legend(base, version):
    service = WebMapService(f"{base}/service", version=version)
    return service["one"].styles["default"]["legend"]


def main():
    base, = sys.argv[1:]
    for version in ("1.1.1", "1.3.0"):
        print(f"info-{version}", info(base, version))
        print(f"legend-{version}", legend(base, version))
    maps = Maps(f"{base}/ogcapi")
    print("collections", *sorted(maps.maps()))
    with Image.open(maps.map("mute", bbox=[8, 50, 10, 52], width=200, height=100, transparent=False)) as picture:
        print("map", picture.format, *picture.size)


main()
