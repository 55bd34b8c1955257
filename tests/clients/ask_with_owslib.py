"""Reads what a server says of itself with OWSLib and asks it for one tile's extent, in each way that it offers.

ask_with_owslib.py BASE_URL WEST,SOUTH,EAST,NORTH LEVEL,COLUMN,ROW DIRECTORY writes DIRECTORY/WAY.png for each way and prints its name.
"""
import sys

from owslib.tms import TileMapService
from owslib.wms import WebMapService
from owslib.wmts import WebMapTileService

SIDE_PX = 256


def wms(base, version, bbox):
    service = WebMapService(f"{base}/service", version=version)
    layer = service["painted"]
    assert layer.title == "Painted", layer.title
    assert "EPSG:3857" in layer.crsOptions, layer.crsOptions
    answer = service.getmap(layers=["painted"], styles=[""], srs="EPSG:3857", bbox=bbox, size=(SIDE_PX, SIDE_PX), format="image/png")
    return answer.read()


def wmts(base, tile):
    level, column, row = tile
    service = WebMapTileService(f"{base}/service")
    layer = service["painted"]
    assert list(layer.tilematrixsetlinks) == ["GLOBAL_WEBMERCATOR"], layer.tilematrixsetlinks
    matrix = service.tilematrixsets["GLOBAL_WEBMERCATOR"].tilematrix[f"{level:02}"]
    assert (matrix.tilewidth, matrix.matrixwidth) == (SIDE_PX, 2**level), (matrix.tilewidth, matrix.matrixwidth)
    answer = service.gettile(layer="painted", tilematrixset="GLOBAL_WEBMERCATOR", tilematrix=f"{level:02}", row=row, column=column, format="image/png")
    return answer.read()


def tms(base, tile):
    level, column, row = tile
    service = TileMapService(f"{base}/tms/1.0.0/")
    offers = [(entry.title, entry.srs) for entry in service.contents.values()]
    assert offers == [("Painted", "OSGEO:41001")], offers
    # The protocol's tree has no level 0 of the whole world, and counts rows from the south.
    answer = service.gettile(x=column, y=2**level - 1 - row, z=level - 1, title="Painted", srs="OSGEO:41001", mimetype="image/png")
    return answer.read()


def main():
    base, bbox, tile, directory = sys.argv[1:]
    bbox, tile = tuple(map(float, bbox.split(","))), tuple(map(int, tile.split(",")))
    ways = {
        "wms-1.1.1": lambda: wms(base, "1.1.1", bbox),
        "wms-1.3.0": lambda: wms(base, "1.3.0", bbox),
        "wmts": lambda: wmts(base, tile),
        "tms": lambda: tms(base, tile),
    }
    for name, ask in ways.items():
        with open(f"{directory}/{name}.png", "wb") as file:
            file.write(ask())
        print(name, flush=True)


main()
