"""Modin: pandas in tasks, with its Ray engine."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def modin_pandas():
    import modin.config

    modin.config.Engine.put("Ray")
    import modin.pandas

    return modin.pandas


def frames(modin_pandas):
    random = np.random.default_rng(0)
    columns = {"k": random.integers(0, 10, 20_000), "v": random.normal(size=20_000), "w": random.normal(size=20_000)}
    return pd.DataFrame(columns), modin_pandas.DataFrame(columns)


OPERATIONS = {
    "groupby": lambda f: f.groupby("k").sum(),
    "sort": lambda f: f.sort_values("v"),
    "merge": lambda f: f.merge(f.groupby("k").mean(), on="k"),
    "rows": lambda f: f.head(2000).apply(lambda row: row.v * row.w, axis=1),
    "cells": lambda f: f.map(lambda x: x + 1),
    "arithmetic": lambda f: (f * 2 - f.mean()).abs().describe(),
    "quantile": lambda f: f.quantile([0.1, 0.5, 0.9]),
    "pivot": lambda f: f.pivot_table(index="k", values=["v", "w"], aggfunc="mean"),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_as_pandas(modin_pandas, name):
    plain, parallel = (OPERATIONS[name](frame) for frame in frames(modin_pandas))
    parallel = parallel._to_pandas()
    if isinstance(plain, pd.Series):
        pd.testing.assert_series_equal(plain, parallel)
    else:
        pd.testing.assert_frame_equal(plain, parallel)


def test_files(modin_pandas, tmp_path):
    plain, parallel = frames(modin_pandas)
    plain.to_csv(tmp_path / "a.csv", index=False)
    parallel.to_parquet(tmp_path / "a.parquet")
    read = modin_pandas.read_csv(tmp_path / "a.csv")
    pd.testing.assert_frame_equal(plain, read._to_pandas())
    pd.testing.assert_frame_equal(plain, pd.read_parquet(tmp_path / "a.parquet").reset_index(drop=True))
