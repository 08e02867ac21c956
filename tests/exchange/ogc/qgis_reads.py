"""Load every collection of an address into QGIS, draw it, and print features and coloured pixels of each; runs in QGIS's own Python."""

import json
import os
import sys
import urllib.request

os.environ["QT_QPA_PLATFORM"] = "offscreen"
from qgis.core import (
    QgsApplication,
    QgsMapRendererSequentialJob,
    QgsMapSettings,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor

SIDE = 100
WHITE = QColor("white")


def draw(layer, box):
    """Return how many pixels are coloured when the layer is drawn."""
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setBackgroundColor(WHITE)
    settings.setOutputSize(QSize(SIDE, SIDE))
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(box)
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    image = job.renderedImage()
    return sum(image.pixelColor(x, y) != WHITE for x in range(SIDE) for y in range(SIDE))


url = sys.argv[1]
QgsApplication.setPrefixPath("/usr", True)
application = QgsApplication([], False)
application.initQgis()
found = {}
for collection in json.load(urllib.request.urlopen(f"{url}/collections"))["collections"]:  # noqa: S310
    name = collection["id"]
    layer = QgsVectorLayer(f"url='{url}' typename='{name}' pageSize='5'", name, "OAPIF")
    box = QgsRectangle()
    box.setMinimal()
    count = 0
    for each in layer.getFeatures():
        count += 1
        box.combineExtentWith(each.geometry().boundingBox())
    box.grow(0.1)
    found[name] = {"features": count, "pixels": draw(layer, box)}
print(json.dumps(found), flush=True)  # noqa: T201
# Threads of QGIS keep an interpreter that ends normally from ending.
os._exit(0)
