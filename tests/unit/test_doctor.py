"""What `nbray doctor` says of GPUs and packages that this machine may not have."""

import importlib.metadata
from types import SimpleNamespace

from nbray.cli import doctor
from nbray.node.gpu import GpuSample

GIB = 1 << 30


def test_gpus_by_number_and_name():
    driver = SimpleNamespace(read=lambda: [GpuSample(0, "NVIDIA H200", 0, 140 * GIB, None)])
    (none,) = doctor._gpus([], None)
    assert (none.level, none.found) == (doctor.OK, "none")
    (one,) = doctor._gpus([0], driver)
    assert (one.level, one.found) == (doctor.OK, "1 (0: NVIDIA H200, 140.0 GiB)")
    (two,) = doctor._gpus([0, 3], driver)
    assert two.found == "2 (0: NVIDIA H200, 140.0 GiB; 3: not told by the driver)"
    (silent,) = doctor._gpus([0, 1], None)
    assert silent.level == doctor.NOTE and silent.found.startswith("2;") and "libnvidia-ml" in silent.advice


def test_a_kernel_that_overlooks_cells(monkeypatch):
    def found(version):
        monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
        return list(doctor._kernel())

    for version in ("6.31.0", "7.4.0", "7.10.0"):
        (good,) = found(version)
        assert (good.level, good.found) == (doctor.OK, version)
    (bad,) = found("7.3.0")
    assert bad.level == doctor.WARNING and "overlook" in bad.advice

    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    assert not list(doctor._kernel())
