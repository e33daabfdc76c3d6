"""What must be settled before any test module is imported."""

import os

import torch

# Triton decides at its first import whether kernels are compiled or interpreted. Where there is no
# GPU to compile for, the kernels of the rasteriser are tested in the interpreter.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
