"""Measurements, each one command: ``python -m benchmarks.NAME``; results in ``benchmarks/results/NAME.json``."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def write_result(name: str, result: dict[str, Any]) -> None:
    """Write benchmarks/results/NAME.json: the result, and where and when it was measured."""
    machine = {"machine": platform.platform(), "cores": os.cpu_count(), "date": datetime.now(UTC).date().isoformat()}
    path = Path(__file__).parent / "results" / f"{name}.json"
    path.write_text(json.dumps({**result, **machine}, indent=1) + "\n")
