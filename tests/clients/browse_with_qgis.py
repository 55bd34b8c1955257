"""Lets QGIS find layers in its browser as a person does, draw one, ask about a point and fetch a legend.

browse_with_qgis.py BASE_URL WEST,SOUTH,EAST,NORTH DIRECTORY prints what it found, a line for each thing, and writes DIRECTORY/browsed.png.
"""
import os
import sys

from qgis.core import (QgsApplication, QgsCoordinateReferenceSystem, QgsLayerItem, QgsMapRendererParallelJob, QgsMapSettings, QgsRaster,
                       QgsRasterLayer, QgsRectangle, QgsSettings)
from qgis.PyQt.QtCore import QEventLoop, QSize, QTimer

SIDE_PX = 256
PATIENCE_MS = 30_000
# Items that Python holds nobody takes away below it.
KEPT = []


def layers(item):
    """Names and sources of the layers below an item of the browser, as a click on them would add them."""
    children = item.createChildren() or (item.populate(True), item.children())[1]
    KEPT.extend([item, children])
    for child in children:
        if isinstance(child, QgsLayerItem):
            yield child.name(), child.uri()
        else:
            yield from layers(child)


def browse(name, url):
    """What a connection to a server shows."""
    QgsSettings().setValue(f"qgis/connections-wms/{name}/url", url)
    provider, = (p for p in QgsApplication.dataItemProviderRegistry().providers() if p.name() == "WMS")
    return dict(layers(provider.createDataItem(f"wms:/{name}", None)))


def opened(uri):
    layer = QgsRasterLayer(uri, "layer", "wms")
    if not layer.isValid():
        raise SystemExit(f"QGIS does not take {uri}: {layer.error().message()}")
    return layer


def map_of(layer, extent):
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
    settings.setExtent(extent)
    settings.setOutputSize(QSize(SIDE_PX, SIDE_PX))
    return settings


def draw(layer, extent, path):
    job = QgsMapRendererParallelJob(map_of(layer, extent))
    job.start()
    job.waitForFinished()
    for error in job.errors():
        raise SystemExit(error.message)
    job.renderedImage().save(path, "PNG")


def legend(layer, extent):
    """The size of its legend."""
    fetcher = layer.dataProvider().getLegendGraphicFetcher(map_of(layer, extent))
    loop, answers = QEventLoop(), []
    fetcher.finish.connect(lambda image: (answers.append(f"{image.width()}x{image.height()}"), loop.quit()))
    fetcher.error.connect(lambda text: (answers.append(text), loop.quit()))
    QTimer.singleShot(PATIENCE_MS, loop.quit)
    fetcher.start()
    loop.exec_()
    return answers


def main():
    base, bbox, directory = sys.argv[1:]
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], False)
    application.initQgis()
    extent = QgsRectangle(*map(float, bbox.split(",")))
    maps = browse("maps", f"{base}/service")
    tiles = browse("tiles", f"{base}/wmts/1.0.0/WMTSCapabilities.xml")
    print("wms", *sorted(maps))
    print("wmts", *sorted(tiles))
    draw(opened(tiles["cached"]), extent, f"{directory}/browsed.png")
    print("legend", *legend(opened(maps["one"].replace("crs=EPSG:4326", "crs=EPSG:3857")), extent))
    text = opened(maps["text"].replace("crs=EPSG:4326", "crs=EPSG:3857"))
    answer = text.dataProvider().identify(extent.center(), QgsRaster.IdentifyFormatText, extent, SIDE_PX, SIDE_PX)
    print("info", *answer.results().values(), flush=True)
    # Python would take the browser's items down in the wrong order.
    os._exit(0)


main()
