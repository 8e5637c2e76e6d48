"""Build nbray/_cstore.abi3.so: the C core and its cffi binding in one shared object.

Run as a script it builds into the package beside this checkout; the wheel build calls
`build`. cffi reads nbs_api.h as it stands. One abi3 binary serves all Python versions.
Object files are kept by the hash of everything that went into them, so that a second
build takes a moment. CC, CFLAGS and LDFLAGS are honoured.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cffi import FFI, recompiler

HERE = Path(__file__).resolve().parent
MODULE = "nbray._cstore"
FILE_NAME = "_cstore.abi3.so"
ABI = "0x030A0000"  # Python 3.10 and above
FLAGS = ["-std=gnu11", "-O2", "-g", "-fPIC", "-pthread", "-fvisibility=hidden"]
DEFINES = ["-D_GNU_SOURCE", "-DPy_LIMITED_API=" + ABI]
WARNINGS = ["-Wall", "-Wextra", "-Wshadow"]


def sources() -> list[Path]:
    """The C files of the library, without its tests."""
    return sorted(p for p in HERE.glob("*.c") if not p.name.endswith("_test.c") and p.name != "failpoint.c")


def _declarations() -> str:
    """nbs_api.h as cffi wants it: without comments, which its parser does not need."""
    text = (HERE / "nbs_api.h").read_text()
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)


def _binding_source(folder: Path) -> Path:
    ffi = FFI()
    ffi.cdef(_declarations())
    target = folder / "_cstore_binding.c"
    recompiler.recompile(
        ffi,
        MODULE,
        '#include "nbs.h"',
        call_c_compiler=False,
        uses_ffiplatform=False,
        c_file=str(target),
        verbose=False,
    )
    return target


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "") or "cc")


def what_is_missing() -> str | None:
    """Why the C core cannot be built on this machine and what to do; None when it can."""
    if not sys.platform.startswith("linux"):
        return f"nbray runs on Linux; this is {sys.platform}. On other systems, install it in a container or virtual machine."
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return (
            f"nbray does not run on the free-threaded build of Python yet ({sys.executable}). "
            "Install it for the ordinary build of the same version."
        )
    if shutil.which(_compiler()[0]) is None:
        return (
            f"The C core of nbray needs a C compiler, and there is no {_compiler()[0]!r}. Install one "
            "(Debian: `apt install gcc libc6-dev`, Fedora: `dnf install gcc`) or name one in CC."
        )
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return (
            f"The C core of nbray needs Python's headers, and there is no Python.h in {sysconfig.get_path('include')}. "
            "Install them (Debian: `apt install python3-dev`, Fedora: `dnf install python3-devel`)."
        )
    return None


def _compile(source: Path, cache: Path, flags: list[str], inputs: bytes) -> Path:
    command = [*_compiler(), *flags, "-c"]
    key = hashlib.sha256(inputs + source.read_bytes() + repr(command).encode()).hexdigest()[:20]
    target = cache / f"{source.stem}-{key}.o"
    if not target.exists():
        for old in cache.glob(f"{source.stem}-*.o"):
            old.unlink(missing_ok=True)
        scratch = target.with_suffix(f".{os.getpid()}.tmp")
        subprocess.run([*command, str(source), "-o", str(scratch)], check=True)
        scratch.replace(target)
    return target


def build(out_dir: Path, debug: bool = True) -> Path:
    """Build the shared object into `out_dir`; returns its path. Replaces it atomically.

    Without `debug` it has no debugging information, three quarters of its size.

    Raises
    ------
    RuntimeError
        This machine lacks something that the build needs; the message says what.
    """
    missing = what_is_missing()
    if missing is not None:
        raise RuntimeError(missing)
    out_dir = Path(out_dir).resolve()
    out_dir.mkdir(parents=True, exist_ok=True)
    cache = HERE.parent / "build" / "csrc"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:  # a read-only source tree
        cache = Path(tempfile.mkdtemp(prefix="nbray-build-"))
    extra = shlex.split(os.environ.get("CFLAGS", ""))
    include = [f"-I{HERE}"]
    headers = b"".join(p.read_bytes() for p in sorted(HERE.glob("*.h")))
    with tempfile.TemporaryDirectory(prefix="nbray-ffi-") as scratch:
        binding = _binding_source(Path(scratch))
        python = [f"-I{sysconfig.get_path('include')}", f"-I{sysconfig.get_path('platinclude')}"]
        jobs = [(binding, [*FLAGS, *DEFINES, *include, *python, *extra])]
        jobs += [(p, [*FLAGS, *DEFINES[:1], *WARNINGS, *include, *extra]) for p in sources()]
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            objects = list(pool.map(lambda j: _compile(j[0], cache, j[1], headers), jobs))
    target = out_dir / FILE_NAME
    fresh = out_dir / f".{FILE_NAME}.{os.getpid()}"
    link = [*_compiler(), "-shared", "-pthread", *map(str, objects), "-o", str(fresh)]
    link += [] if debug else ["-Wl,--strip-debug"]
    link += [*extra, *shlex.split(os.environ.get("LDFLAGS", "")), "-lpthread"]
    try:
        subprocess.run(link, check=True)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
    return target


if __name__ == "__main__":
    print(build(HERE.parent / "nbray"), file=sys.stderr)
