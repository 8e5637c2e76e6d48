"""Programs that others start as tasks: hydra-ray-launcher (sweeps), datatrove (pipelines of documents)."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

PROGRAM = """
import nbray
nbray.as_ray()
import hydra
import ray
from hydra.core.config_store import ConfigStore

ConfigStore.instance().store(name="config", node={"x": 1, "y": 2})

@hydra.main(version_base=None, config_name="config")
def program(config):
    return config.x * config.y

if __name__ == "__main__":
    import hydra_plugins.hydra_ray_launcher._core as launcher
    launch = launcher.launch
    def told(*args, **kwargs):
        runs = launch(*args, **kwargs)
        print("VALUES", [run.return_value for run in runs])
        return runs
    launcher.launch = told
    program()
"""


def test_hydra_ray_launcher(tmp_path):
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    line = [sys.executable, "program.py", "-m", "hydra/launcher=ray", "x=1,2,3", "y=5,7"]
    line.append("+hydra.launcher.ray.init.num_cpus=2")
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "VALUES [5, 7, 10, 14, 15, 21]" in done.stdout


def test_datatrove(tmp_path):
    from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor
    from datatrove.pipeline.filters import LambdaFilter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    (tmp_path / "in").mkdir()
    for part in range(4):
        lines = [json.dumps({"text": f"text {part * 10 + i}", "id": str(part * 10 + i)}) for i in range(10)]
        (tmp_path / "in" / f"{part}.jsonl").write_text("\n".join(lines))

    def run(executor, name, **options):
        executor(
            pipeline=[
                JsonlReader(str(tmp_path / "in")),
                LambdaFilter(lambda document: int(document.id) % 3 == 0),
                JsonlWriter(str(tmp_path / name), compression=None),
            ],
            tasks=4,
            logging_dir=str(tmp_path / f"{name}-logs"),
            **options,
        ).run()
        files = sorted((tmp_path / name).glob("*.jsonl"))
        return [json.loads(line)["id"] for file in files for line in file.read_text().splitlines()]

    parallel = run(RayPipelineExecutor, "ray", workers=2, mem_per_cpu_gb=0.1)
    assert parallel == run(LocalPipelineExecutor, "local", workers=1)
    assert sorted(map(int, parallel)) == list(range(0, 40, 3))
