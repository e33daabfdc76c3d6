"""Rasterisation of triangle meshes: one public function, several backends that agree."""

from fitter.raster.api import rasterize
from fitter.raster.topology import MeshTopology, stack_meshes
from fitter.raster.types import Fragments, RasterSettings

__all__ = ["Fragments", "MeshTopology", "RasterSettings", "rasterize", "stack_meshes"]
