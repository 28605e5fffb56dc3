"""The deployments of prefect.yaml on a real local server, and refresh run by a real process worker."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PREFECT = str(Path(sys.executable).with_name("prefect"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A server of its own on a free port; the environment its clients need."""
    port = free_port()
    home = tmp_path_factory.mktemp("prefect")
    settings = os.environ | {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
    }
    log = (home / "server.log").open("w")
    server = subprocess.Popen(
        [PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port)], env=settings, stdout=log, stderr=log
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/api/health", server)
        yield settings
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def wait_for(address, server):
    for _ in range(240):
        assert server.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("the server did not answer within two minutes")


def prefect(environment, *arguments, timeout=180):
    result = subprocess.run(
        [PREFECT, *arguments], env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=timeout
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_deployments_register_and_a_worker_runs_refresh(environment, simulated, tmp_path):
    prefect(environment, "work-pool", "create", "--type", "process", "biascarevl")
    prefect(environment, "--no-prompt", "deploy", "--all")
    listed = prefect(environment, "deployment", "ls")
    for name in ("refresh/refresh", "train/train", "evaluate/evaluate", "full-pipeline"):
        assert name in listed
    assert "0 3 * * *" in prefect(environment, "deployment", "inspect", "refresh/refresh")

    shutil.copytree(simulated / "raw", tmp_path / "raw")
    shutil.copy(simulated / "demo.toml", tmp_path / "demo.toml")
    worker = subprocess.Popen(
        ["env", "--default-signal=INT", PREFECT, "worker", "start", "--pool", "biascarevl"],
        env=environment, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        prefect(
            environment, "deployment", "run", "refresh/refresh", "--watch", "--param", f"config={tmp_path}/demo.toml"
        )
    finally:
        worker.send_signal(signal.SIGINT)
        worker.wait(30)
    assert (tmp_path / "work" / "shards" / "manifest.json").exists()
    assert "quarantined" in prefect(environment, "artifact", "inspect", "biascarevl-rows")
