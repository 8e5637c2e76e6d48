"""The table of limits: one place, environment variables, nothing unknown."""

from pathlib import Path

import pytest

from nbray import config
from nbray.config import Limit, Limits


def test_every_row_has_a_unit_a_meaning_and_a_variable():
    rows = Limits.rows()
    assert len(rows) > 20
    for name, row in rows.items():
        assert isinstance(row, Limit)
        assert row.name == name
        assert row.unit and len(row.meaning) > 10
        assert row.env == "NBRAY_" + name.upper()
        assert getattr(Limits(), name) == row.default


def test_environment_overrides():
    limits = Limits.from_environ({"NBRAY_IDLE_WORKER_S": "0.5", "NBRAY_EXTRA_WORKERS": "7", "HOME": "x"})
    assert limits.idle_worker_s == 0.5
    assert limits.extra_workers == 7
    assert Limits(limits.changed).extra_workers == 7


def test_variables_of_ray():
    limits = Limits.from_environ(
        {
            "RAY_object_spilling_threshold": "0.5",
            "RAY_idle_worker_killing_time_threshold_ms": "1500",
            "RAY_memory_usage_threshold": "0.9",
            "RAY_local_fs_capacity_threshold": "0.8",
            "NBRAY_SPILL_DISK_SHARE": "0.7",
        }
    )
    assert (limits.spill_from_share, limits.idle_worker_s, limits.memory_limit_share) == (0.5, 1.5, 0.9)
    assert limits.spill_disk_share == 0.7, "our own goes first"
    assert Limits.from_environ({"RAY_memory_monitor_refresh_ms": "0"}).memory_limit_share == 0
    assert Limits.from_environ({"RAY_memory_monitor_refresh_ms": "100"}).changed == {}
    assert set(config.RAYS_SETTINGS.values()) <= set(Limits.rows())
    with pytest.raises(ValueError, match="RAY_memory_usage_threshold"):
        Limits.from_environ({"RAY_memory_usage_threshold": "much"})


@pytest.mark.parametrize("value", ["many", "", "1.5"])
def test_nonsense_in_the_environment_is_named(value):
    with pytest.raises(ValueError, match="NBRAY_EXTRA_WORKERS"):
        Limits.from_environ({"NBRAY_EXTRA_WORKERS": value})


@pytest.mark.parametrize("changed", [{"nothing": 1}, {"extra_workers": -1}, {"extra_workers": "3"}])
def test_wrong_changes_are_refused(changed):
    with pytest.raises(ValueError):
        Limits(changed)


def test_every_limit_is_used_somewhere():
    folder = Path(config.__file__).parent
    text = "\n".join(path.read_text(encoding="utf-8") for path in folder.rglob("*.py") if path.name != "config.py")
    assert [name for name in Limits.rows() if f"limits.{name}" not in text] == []
