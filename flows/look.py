"""What a stranger tries first: recognise the data under a folder, count it, show its bias. No torch, no pixels."""

import json
import os
import secrets
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console

from evaluation.report import write_bias_page
from flows.progress import Reporter
from ingest.adapters import ADAPTERS
from ingest.adapters.recognise import Recognised, once_each, recognise_under, unrecognised_under
from ingest.attributes import connect_table
from ingest.census import associations, count_levels, count_persons, encode, with_partners
from ingest.dataset_config import DatasetConfig
from ingest.errors import BadInput
from ingest.read import has_rows
from ingest.sample import to_table

LOOKED_AT = ("dataset", "task", "modality", "anatomy", "sex", "age_band", "label")


def look_at(root: Path, out: Path) -> Path:
    """Write the bias page of everything recognised under ``root`` to ``out``. Opens no picture and no mask."""
    found, _ = _recognise(root)
    console = Console(stderr=True, highlight=False)
    reporter = Reporter(console)
    tables, datasets = [], []
    for recognised in found:
        with reporter.stage(f"read {recognised.adapter}"):
            table, facts = _read(recognised, reporter)
        console.print(f"{recognised.adapter}: {facts['rows_in']:,} rows in {recognised.folder}")
        tables.append(table)
        datasets.append(facts)
    connection = connect_table(pa.concat_tables(tables))
    coded = encode(connection, with_partners(LOOKED_AT))
    write_bias_page(
        title=f"What is in {root.resolve().name}",
        counts=count_levels(coded, LOOKED_AT),
        persons=count_persons(connection),
        associations=associations(coded, [name for name in LOOKED_AT if name != "task"]),
        datasets=datasets,
        out=out,
    )
    return out


def _recognise(root: Path) -> tuple[list[Recognised], list[str]]:
    """The data sets under ``root``, each once, and a line for every folder that is left out; the lines are shown."""
    if not root.is_dir():
        raise BadInput(f"{root}: expected a folder, got none")
    found, again = once_each(recognise_under(root))
    left_out = [f"not recognised: {folder}" for folder in unrecognised_under(root, [*found, *again])]
    left_out += [f"{each.adapter} once more, left out: {each.folder}" for each in again]
    _say(left_out)
    if not found:
        raise BadInput(f"{root}: expected a data set in the layout of {', '.join(ADAPTERS)}, got none")
    return found, left_out


def _say(lines: list[str]) -> None:
    console = Console(stderr=True, highlight=False, markup=False)
    for line in lines:
        console.print(line, style="dim", soft_wrap=True)


def _config_of(recognised: Recognised) -> DatasetConfig:
    """The data set under pseudonyms that nobody can make again."""
    return DatasetConfig(
        adapter=recognised.adapter, root=recognised.folder, options=recognised.options,
        identifiable=ADAPTERS[recognised.adapter].identifiable, key=secrets.token_bytes(32),
    )  # fmt: skip


def _read(recognised: Recognised, reporter: Reporter) -> tuple[pa.Table, dict[str, Any]]:
    root = _config_of(recognised).open(pixels=False)
    samples = []
    for sample in ADAPTERS[recognised.adapter].read(root, recognised.options):
        samples.append(sample)
        if len(samples) % 1000 == 0:
            reporter.rows(len(samples))
    reasons = [str(rejection.reason) for rejection in root.rejections]
    facts = {
        "dataset": recognised.adapter,
        "rows_in": len(samples) + len(reasons),
        "samples": len(samples),
        "quarantined": len(reasons),
        "by_reason": {reason: reasons.count(reason) for reason in sorted(set(reasons))},
    }
    return to_table(samples), facts


_TEMPLATE = """\
# Written by `biascarevl init`. Every key: README, "Configuration". Paths are relative to this file.
workspace = "work"
seed = 2026
{left_out}{datasets}
[census]
attributes = ["modality", "anatomy", "sex", "age_band"]
suppress_below = 11                      # persons; hides small cells of identifiable data sets

[weights]
lower = 0.05
upper = 20.0
min_effective_share = 0.5
[weights.targets]
modality = {{ toward = "uniform", strength = 0.3 }}

[gates]
leakage = "drop_from_train"              # or "refuse", "warn"

[shards]
image_side_px = 256

[model]
preset = "tiny"

[training]
epochs = 2

[evaluation]
attributes = ["sex", "age_band", "modality"]
"""


def write_config(root: Path, out: Path) -> None:
    """Write the recognised data sets as a configuration. Raises: BadInput when ``out`` exists."""
    if out.exists():
        raise BadInput(f"{out}: expected a new file, got one that exists; give --out")
    tables = []
    found, left_out = _recognise(root)
    for recognised in found:
        if not has_rows(_config_of(recognised)):
            left_out.append(f"{recognised.adapter} without a row, left out: {recognised.folder}")
            _say(left_out[-1:])
            continue
        lines = [
            "",
            "[[datasets]]",
            f'adapter = "{recognised.adapter}"',
            f"root = {_quoted(recognised.folder, out)}",
        ]
        for name, value in vars(recognised.options).items():
            if isinstance(value, Path):
                lines.append(f"{name} = {_quoted(value, out)}")
            elif isinstance(value, dict) and value:
                pairs = ", ".join(f"{key} = {json.dumps(column)}" for key, column in value.items())
                lines.append(f"{name} = {{ {pairs} }}")
        tables.append("\n".join([*lines, ""]))
    comments = "".join(f"# {line}\n" for line in left_out)
    out.write_text(_TEMPLATE.format(datasets="".join(tables), left_out=comments and f"\n{comments}"), encoding="utf-8")


def _quoted(path: Path, out: Path) -> str:
    """The path relative to the configuration, as a TOML string (which is written like a JSON one)."""
    return json.dumps(os.path.relpath(path.resolve(), out.resolve().parent), ensure_ascii=False)
