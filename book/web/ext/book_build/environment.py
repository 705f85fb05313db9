"""What every kernel sees, so that a build gives the same bytes each time."""

from __future__ import annotations

__all__ = ["KERNEL_ENVIRONMENT"]

KERNEL_ENVIRONMENT = {
    # Pages run side by side; and a sum does not depend on the number of cores.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    # The date in an SVG's metadata.
    "SOURCE_DATE_EPOCH": "0",
    "TQDM_DISABLE": "1",
    # What a kernel would set itself, if matplotlib were not imported before it starts: see warm.py.
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    # Pages load the labs' script and style sheet themselves, once for all labs; see labs.py.
    "MLPINIT_LABS_LOADED": "1",
    # This environment's kernel, whatever the user has installed.
    "JUPYTER_PREFER_ENV_PATH": "1",
}
