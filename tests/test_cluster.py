"""Where sweeps run: Snakemake on one machine, its SLURM profile, the Kubernetes manifests."""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from itlm import sweep

bench_sweep = importlib.import_module("bench_sweep")

ROOT = Path(__file__).resolve().parents[1]
PROFILE = ["--workflow-profile", "sweeps/slurm"]


@pytest.fixture
def there(tmp_path):
    """A copy of the code with a small grid."""
    pytest.importorskip("snakemake")
    pytest.importorskip("snakemake_executor_plugin_slurm")
    folder = bench_sweep.checkout(tmp_path / "itlm", experiment="labels", blocks=[{"seed": [0, 1]}])
    shutil.copytree(ROOT / "sweeps" / "slurm", folder / "sweeps" / "slurm")
    return folder


def snakemake(there, *options, path=None, config=()):
    command = [sys.executable, "-m", "snakemake", "-s", "sweeps/Snakefile", *options]
    command += ["--config", "grid=grid", "python=true", *config]
    environment = os.environ | ({"PATH": f"{path}{os.pathsep}{os.environ['PATH']}"} if path else {})
    return subprocess.run(command, cwd=there, env=environment, capture_output=True, text=True)


def jobs(said: str) -> dict[str, list[dict]]:
    """The jobs of a dry run by rule, each with its resources."""
    found = {}
    for rule, told in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)+)", said, re.MULTILINE):
        resources = re.search(r"resources: (.*)", told)[1]
        found.setdefault(rule, []).append(dict(pair.split("=") for pair in resources.split(", ")))
    return found


def test_on_one_machine_there_is_a_worker_for_each_core(there):
    done = snakemake(there, "--cores", "3", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert {rule: len(found) for rule, found in jobs(done.stdout).items()} == {"plan": 1, "worker": 3, "collect": 1}
    assert not any("slurm" in name for job in jobs(done.stdout)["worker"] for name in job)


@pytest.mark.parametrize("parts", ["with a space", "it's; exit 1", "$HOME", "2026"])
def test_the_folder_of_the_parts_may_have_any_name_that_a_shell_would_split(there, parts):
    shown = there / "shown"
    shown.write_text('#!/bin/sh\necho "$#:$5" >> said\n')
    shown.chmod(0o755)
    done = snakemake(there, "--cores", "1", config=[f"parts={parts}", f"python={shown}"])
    assert done.returncode == 0, done.stderr
    assert (there / "said").read_text().splitlines() == [f"6:{parts}", f"5:{parts}", f"6:{parts}"]  # --plan, --collect


def test_the_profile_gives_each_worker_its_resources(there):
    done = snakemake(there, *PROFILE, "--dry-run")
    assert done.returncode == 0, done.stderr
    profile = yaml.safe_load((there / "sweeps/slurm/config.yaml").read_text())
    workers = jobs(done.stdout)["worker"]
    asked = {name: str(value) for name, value in profile["default-resources"].items()}
    assert len(workers) == profile["jobs"] == 20 and {"gpu", "runtime", "mem_mb"} < set(asked)
    assert all(asked.items() <= worker.items() for worker in workers)


def test_the_profile_reaches_slurm_once_it_is_filled_in(there, tmp_path):
    done = snakemake(there, *PROFILE)
    assert done.returncode == 1
    assert "slurm_account is still CHANGE_ME: fill in sweeps/slurm/config.yaml" in done.stdout + done.stderr

    config, slurm, log = there / "sweeps/slurm/config.yaml", tmp_path / "slurm", tmp_path / "log"
    config.write_text(config.read_text().replace("CHANGE_ME", "ours").replace("jobs: 20", "jobs: 2"))
    slurm.mkdir()
    for name in ("sbatch", "squeue", "sacct", "scontrol", "sacctmgr", "sshare", "sinfo", "scancel"):
        answer = f'echo "$@" >> {log}; exit 1' if name == "sbatch" else "echo ours"  # it takes no job
        (slurm / name).write_text(f"#!/bin/sh\n{answer}\n")
        (slurm / name).chmod(0o755)
    wait = ["--slurm-init-seconds-before-status-checks", "1"]
    assert snakemake(there, *PROFILE, *wait, path=slurm).returncode == 1
    submitted = [shlex.split(line) for line in log.read_text().splitlines() if line.startswith("--parsable")]
    assert len(submitted) == 4  # two workers, each of them tried twice
    for words in submitted:
        said = " ".join(words)
        assert "--gpus=1" in words and "--cpus-per-task=1" in words
        assert "-A ours" in said and "-p gpu" in said and "-t 720" in said and "--mem 8000" in said


# Kubernetes


@pytest.fixture
def manifests():
    folder = ROOT / "sweeps" / "kubernetes"
    found = [part for path in sorted(folder.glob("*.yaml")) for part in yaml.safe_load_all(path.read_text())]
    return {manifest["kind"]: manifest for manifest in found}


def test_the_pods_run_our_command_on_a_volume_that_all_of_them_share(manifests):
    claim, job = manifests["PersistentVolumeClaim"], manifests["Job"]["spec"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for pod in (manifests["Pod"]["spec"], job["template"]["spec"]):
        (container,), (volume,) = pod["containers"], pod["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/shared"}]
    python, *module = container["command"][:3]
    asked = sweep.options().parse_args(container["command"][3:])
    assert (python, module) == ("python", ["-m", "itlm.sweep"])
    assert (
        (ROOT / asked.grid).exists() and str(asked.parts).startswith("/shared/") and not (asked.plan or asked.collect)
    )
    variables = {v["name"]: v["value"] for v in container["env"]}
    assert variables["ITLM_DATA"].startswith("/shared/") and variables["OMP_NUM_THREADS"] == "1"


def test_a_lost_pod_is_replaced_and_a_fault_of_the_sweep_is_not_tried_again(manifests, tmp_path, capsys):
    job = manifests["Job"]["spec"]
    assert job["completions"] == job["parallelism"] > 1 and job["template"]["spec"]["restartPolicy"] == "Never"
    actions = {rule["action"]: rule for rule in job["podFailurePolicy"]["rules"]}
    assert actions["FailJob"]["onExitCodes"]["values"] == [sweep.main([str(tmp_path / "none.yaml")])]
    assert actions["Ignore"]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert "none.yaml" in capsys.readouterr().err


def test_the_image_is_made_of_files_that_are_there():
    lines = (ROOT / "sweeps/kubernetes/Dockerfile").read_text().splitlines()
    copied = [name for line in lines if line.startswith("COPY") for name in line.split()[1:-1]]
    assert {"pyproject.toml", "itlm", "results", "sweeps", "requirements.lock"} <= set(copied)
    assert all((ROOT / name).exists() for name in copied)


def test_every_placeholder_is_told_of_in_the_book():
    page = (ROOT / "book" / "running.md").read_text()
    files = [path for path in (ROOT / "sweeps").glob("*/*.yaml") if "CHANGE_ME" in path.read_text()]
    assert {path.name for path in files} == {"config.yaml", "volume.yaml", "job.yaml"} and "CHANGE_ME" in page
    assert all(path.name in page for path in files)
