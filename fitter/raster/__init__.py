"""Rasterisation of triangle meshes: one public function, several backends that agree."""

from fitter.raster.api import Fragments, RasterSettings, rasterize
from fitter.raster.topology import MeshTopology, stack_meshes

__all__ = ["Fragments", "MeshTopology", "RasterSettings", "rasterize", "stack_meshes"]
