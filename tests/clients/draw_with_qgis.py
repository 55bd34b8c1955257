"""Draws one tile's extent with QGIS through each of its ways to a map server.

draw_with_qgis.py BASE_URL WEST,SOUTH,EAST,NORTH DIRECTORY writes DIRECTORY/WAY.png for each way and prints its name; run it with the Python of
python3-qgis, QT_QPA_PLATFORM=offscreen and a HOME of its own.
"""
import sys

from qgis.core import QgsApplication, QgsCoordinateReferenceSystem, QgsMapRendererParallelJob, QgsMapSettings, QgsRasterLayer, QgsRectangle
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor

SIDE_PX = 256


def ways(base):
    wms = f"url={base}/service&layers=painted&styles=&format=image/png&crs=EPSG:3857"
    yield "wms", wms
    yield "wms-1.1.1", wms.replace("/service", "/service?VERSION%3D1.1.1")
    yield "wmts", (f"url={base}/wmts/1.0.0/WMTSCapabilities.xml&layers=painted&styles=default&format=image/png"
                   "&crs=EPSG:3857&tileMatrixSet=GLOBAL_WEBMERCATOR")
    yield "wmts-kvp", (f"url={base}/service?SERVICE%3DWMTS%26REQUEST%3DGetCapabilities&layers=painted&styles=default&format=image/png"
                       "&crs=EPSG:3857&tileMatrixSet=GLOBAL_WEBMERCATOR")
    yield "xyz", f"type=xyz&zmin=0&zmax=18&url={base}/tiles/1.0.0/painted/EPSG3857/%7Bz%7D/%7Bx%7D/%7By%7D.png?origin%3Dnw"
    yield "tms", f"type=xyz&zmin=0&zmax=18&url={base}/tiles/1.0.0/painted/EPSG3857/%7Bz%7D/%7Bx%7D/%7B-y%7D.png?origin%3Dsw"


def draw(name, source, extent, path):
    layer = QgsRasterLayer(source, name, "wms")
    if not layer.isValid():
        raise SystemExit(f"{name}: QGIS does not take the layer: {layer.error().message()}")
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
    settings.setExtent(extent)
    settings.setOutputSize(QSize(SIDE_PX, SIDE_PX))
    settings.setBackgroundColor(QColor(0, 0, 0))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    for error in job.errors():
        raise SystemExit(f"{name}: {error.message}")
    job.renderedImage().save(path, "PNG")


def main():
    base, bbox, directory = sys.argv[1:]
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], False)
    application.initQgis()
    extent = QgsRectangle(*map(float, bbox.split(",")))
    for name, source in ways(base):
        draw(name, source, extent, f"{directory}/{name}.png")
        print(name, flush=True)
    application.exitQgis()


main()
