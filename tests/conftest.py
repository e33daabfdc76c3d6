"""What must be settled before any test module is imported."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # One thread for each of the processes that run tests, and for the programs that they start:
    # threads beyond the cores keep each other waiting. Read when PyTorch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

# Triton decides at its first import whether kernels are compiled or interpreted. Where there is no
# GPU to compile for, the kernels of the rasteriser are tested in the interpreter.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
