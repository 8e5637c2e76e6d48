"""Whether this process keeps memory of a GPU: a context of CUDA (or of ROCm) stays until the process ends.

The device files that such a context holds open tell of it, whichever library made it, and without a call of the
driver, which would make one. A library that only looks at the GPUs (NVML) opens others.
"""

from __future__ import annotations

import os

_FILES = ("/dev/nvidia-uvm", "/dev/dxg", "/dev/kfd")  # CUDA, CUDA under WSL, ROCm


def is_held(descriptors: str = "/proc/self/fd") -> bool:
    """Tell whether a context is there.

    Parameters
    ----------
    descriptors
        Folder with a link per open file of the process; where it cannot be read, a context is taken to be there.
    """
    try:
        for name in os.listdir(descriptors):
            try:
                if os.readlink(os.path.join(descriptors, name)).startswith(_FILES):
                    return True
            except OSError:  # closed meanwhile, or that of the folder
                continue
    except OSError:
        return True
    return False
