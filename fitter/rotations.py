"""RoMa, the library of rotations, imported without PyTorch's compiler.

    from fitter.rotations import roma

Version 1.8 of RoMa marks two functions for `torch.compile` as it is imported, and so imports
the compiler, which takes longer than the rest of PyTorch. Nothing here is compiled by it.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from unittest.mock import patch

import torch

if "roma" in sys.modules or "torch._dynamo" in sys.modules:
    import roma
else:
    # Only for the moment of the import: `torch._dynamo` stays the module that it is.
    marker = SimpleNamespace(disable=lambda function: function)
    with patch.object(torch, "_dynamo", marker, create=True):
        import roma

__all__ = ["roma"]
