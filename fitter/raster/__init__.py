"""Rasterisation of triangle meshes: one public function, several backends that agree."""

from fitter.raster.api import Fragments, RasterSettings, rasterize

__all__ = ["Fragments", "RasterSettings", "rasterize"]
