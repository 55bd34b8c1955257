"""Reads a window of a raster with the GDAL that pyogrio's wheel carries: newer than Debian's, which knows no tile matrix sets of the OGC API.

read_with_gdal.py SOURCE OPTION,OPTION,… WEST,SOUTH,EAST,NORTH FILE.png reads the window, in the raster's own system, into a picture; run it in a
directory of its own, where GDAL keeps a cache.
"""
import ctypes
import glob
import os
import sys

import pyogrio
from PIL import Image

SIDE_PX = 256
OF_RASTER, OF_VERBOSE_ERROR = 0x02, 0x40
GF_READ, GDT_BYTE = 0, 1


def library():
    path, = glob.glob(f"{os.path.dirname(pyogrio.__file__)}/../pyogrio.libs/libgdal*")
    gdal = ctypes.CDLL(path)
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    gdal.GDALOpenEx.restype, gdal.GDALOpenEx.argtypes = pointer, [text, ctypes.c_uint, pointer, pointer, pointer]
    gdal.CSLSetNameValue.restype, gdal.CSLSetNameValue.argtypes = pointer, [pointer, text, text]
    gdal.GDALGetGeoTransform.argtypes = [pointer, pointer]
    gdal.GDALDatasetRasterIO.argtypes = [pointer, number] + [number] * 4 + [pointer] + [number] * 4 + [pointer] + [number] * 3
    gdal.GDALClose.argtypes = [pointer]
    gdal.CPLSetConfigOption.argtypes = [text, text]
    gdal.GDALAllRegister()
    return gdal


def main():
    source, options, window, path = sys.argv[1:]
    west, south, east, north = map(float, window.split(","))
    gdal = library()
    gdal.CPLSetConfigOption(b"GDAL_DEFAULT_WMS_CACHE_PATH", os.fsencode(os.getcwd() + "/cache"))
    names = None
    for option in options.split(","):
        names = gdal.CSLSetNameValue(names, *(part.encode() for part in option.split("=", 1)))
    dataset = gdal.GDALOpenEx(source.encode(), OF_RASTER | OF_VERBOSE_ERROR, None, names, None)
    if not dataset:
        raise SystemExit(f"GDAL does not open {source}")
    place = (ctypes.c_double * 6)()
    gdal.GDALGetGeoTransform(dataset, place)
    left, right = (round((x - place[0]) / place[1]) for x in (west, east))
    top, bottom = (round((y - place[3]) / place[5]) for y in (north, south))
    pixels = (ctypes.c_ubyte * (SIDE_PX * SIDE_PX * 3))()
    bands = (ctypes.c_int * 3)(1, 2, 3)
    failed = gdal.GDALDatasetRasterIO(dataset, GF_READ, left, top, right - left, bottom - top, pixels, SIDE_PX, SIDE_PX, GDT_BYTE,
                                      3, bands, 3, 3 * SIDE_PX, 1)
    gdal.GDALClose(dataset)
    if failed:
        raise SystemExit(f"GDAL does not read {window} of {source}")
    Image.frombytes("RGB", (SIDE_PX, SIDE_PX), bytes(pixels)).save(path)


main()
