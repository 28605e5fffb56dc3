"""One TOML file, checked as a whole before anything runs: every mistake is one line naming file, key, expected, got."""

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.app.config import DashboardConfig
from evaluation.fairness import DELTA
from flows.toml_table import check_keys, read_toml, table_of, value_of
from ingest.adapters import ADAPTERS
from ingest.attributes import ATTRIBUTES
from ingest.census import CensusConfig, Reference
from ingest.dataset_config import DatasetConfig
from ingest.deidentify import PUBLIC_KEY, key_of
from ingest.errors import BadInput
from ingest.leakage import GatesConfig
from ingest.workspace import Workspace
from model.config import ModelConfig, TrainingConfig
from shards.recipe import ShardsConfig
from shards.weigh import WeightsConfig

KEY_VARIABLE = "BIASCAREVL_KEY"


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """The ``[evaluation]`` table: by which attributes scores are told apart, and how intervals are drawn.

    delta: the largest difference between groups that is no disparity.
    report_pictures: how many test pictures the report shows; it never shows any of identifiable datasets.
    """

    attributes: tuple[str, ...] = ("sex", "age_band", "modality")
    num_resamples: int = 2000
    delta: float = DELTA
    report_pictures: int = 0

    def __post_init__(self) -> None:
        unknown = [name for name in self.attributes if name not in ATTRIBUTES or ATTRIBUTES[name].is_list]
        if unknown:
            raise ValueError(f"attributes: expected some of {', '.join(ATTRIBUTES)}, got {unknown[0]!r}")
        if self.num_resamples < 100:
            raise ValueError(f"num_resamples: expected at least 100, got {self.num_resamples}")


_TABLES: dict[str, type[Any]] = {
    "census": CensusConfig,
    "weights": WeightsConfig,
    "gates": GatesConfig,
    "shards": ShardsConfig,
    "model": ModelConfig,
    "training": TrainingConfig,
    "evaluation": EvaluationConfig,
    "dashboard": DashboardConfig,
}
_TOP_KEYS = ("workspace", "seed", "datasets", *_TABLES)
_DATASET_KEYS = tuple(f.name for f in dataclasses.fields(DatasetConfig) if f.name not in ("options", "key"))


@dataclass(frozen=True, kw_only=True)
class Config:
    """A checked configuration. Paths are absolute; ``source`` is the file it came from."""

    source: Path
    workspace: Workspace
    seed: int
    datasets: tuple[DatasetConfig, ...]
    census: CensusConfig = field(default_factory=CensusConfig)
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    gates: GatesConfig = field(default_factory=GatesConfig)
    shards: ShardsConfig = field(default_factory=ShardsConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    dashboard: DashboardConfig = field(default_factory=DashboardConfig)

    @property
    def identifiable(self) -> set[str]:
        """The data sets whose small cells are hidden."""
        return {dataset.name for dataset in self.datasets if dataset.identifiable}


def load_config(source: Path, *, workspace: Path | None = None) -> Config:
    """Read and check a configuration.

    Args: workspace: overrides the file's key; relative to the current folder.
    Raises: BadInput naming file, key, expected and got.
    """
    tables = read_toml(source)
    check_keys(tables, _TOP_KEYS, source, "")
    folder = source.resolve().parent
    location = (
        workspace.resolve()
        if workspace
        else folder / value_of(tables.get("workspace", "work"), str, source, "workspace")
    )
    if isinstance(tables.get("census"), dict):
        tables["census"] = _census(tables["census"], source, folder)
        if isinstance(tables.get("weights"), dict):
            tables["weights"] = _with_reference(tables["weights"], tables["census"])
    sections = {name: table_of(tables[name], kind, source, name) for name, kind in _TABLES.items() if name in tables}
    if "shards" in sections:
        sections["shards"] = _absolute_store(sections["shards"], folder)
    if "model" in sections:
        sections["model"] = _model_paths(sections["model"], folder, source)
    config = Config(
        source=source.resolve(),
        workspace=Workspace(location),
        seed=value_of(tables.get("seed", 0), int, source, "seed"),
        datasets=_datasets(tables.get("datasets", []), source, folder),
        **sections,
    )
    _check_example_images(config)
    return config


def _check_example_images(config: Config) -> None:
    """Pictures may be shown of configured data sets that are not identifiable, and of no others."""
    allowed = [dataset.name for dataset in config.datasets if not dataset.identifiable]
    for name in config.dashboard.example_images:
        if name not in allowed:
            raise BadInput(
                f"{config.source}: key dashboard.example_images: expected data sets that are not identifiable "
                f"({', '.join(allowed) or 'none here'}), got {name!r}"
            )


def _census(table: dict[str, Any], source: Path, folder: Path) -> dict[str, Any]:
    """The [census] table with ``reference`` read from its file, if it names one, and ``audit`` absolute."""
    table = dict(table)
    reference = table.get("reference")
    if isinstance(reference, str):
        if not (folder / reference).is_file():
            path = folder / reference
            raise BadInput(f"{source}: key census.reference: expected a TOML file, got {path} which does not exist")
        reference = table["reference"] = read_toml(folder / reference)
    if isinstance(reference, dict):
        check_keys(reference, tuple(f.name for f in dataclasses.fields(Reference)), source, "census.reference")
    if isinstance(table.get("audit"), str):
        table["audit"] = str(folder / table["audit"])
    return table


def _with_reference(weights: dict[str, Any], census: dict[str, Any]) -> dict[str, Any]:
    """The [weights] table; targets toward "reference" without shares of their own take [census.reference]'s."""
    reference, targets = census.get("reference"), weights.get("targets")
    shares = reference.get("shares") if isinstance(reference, dict) else None
    if not isinstance(shares, dict) or not isinstance(targets, dict):
        return weights
    filled = {
        name: {"reference": shares[name], **target}
        if isinstance(target, dict) and target.get("toward") == "reference" and name in shares
        else target
        for name, target in targets.items()
    }
    return weights | {"targets": filled}


def _absolute_store(shards: ShardsConfig, folder: Path) -> ShardsConfig:
    """A store that is a folder, not a URL, is relative to the configuration like every path."""
    if not shards.store or "://" in shards.store:
        return shards
    return dataclasses.replace(shards, store=str(folder / shards.store))


def _datasets(entries: Any, source: Path, folder: Path) -> tuple[DatasetConfig, ...]:
    if not isinstance(entries, list) or not entries:
        raise BadInput(f"{source}: key datasets: expected at least one [[datasets]] table, got {entries!r}")
    datasets = tuple(_dataset(entry, f"datasets[{number}]", source, folder) for number, entry in enumerate(entries))
    names = [dataset.name for dataset in datasets]
    for number, dataset in enumerate(datasets):
        where = f"{source}: key datasets[{number}].name: expected a name of its own"
        if dataset.name in names[:number]:
            raise BadInput(f'{where}, got {dataset.name} once more; give one of them name = "..."')
        if dataset.name != dataset.adapter and dataset.name in ADAPTERS:
            raise BadInput(f"{where}, got that of the adapter {dataset.name}")
    return datasets


def _dataset(entry: Any, where: str, source: Path, folder: Path) -> DatasetConfig:
    """One [[datasets]] table: the keys every dataset has, and the adapter's own options."""
    if not isinstance(entry, dict):
        raise BadInput(f"{source}: key {where}: expected a table, got {entry!r}")
    name = entry.get("adapter")
    if name not in ADAPTERS:
        raise BadInput(f"{source}: key {where}.adapter: expected one of {', '.join(ADAPTERS)}, got {name!r}")
    kind = ADAPTERS[name].Options
    own = tuple(f.name for f in dataclasses.fields(kind))
    check_keys(entry, (*_DATASET_KEYS, *own), source, where)
    if not isinstance(entry.get("root"), str):
        raise BadInput(f"{source}: key {where}.root: expected a folder, got {entry.get('root')!r}")
    root = folder / entry["root"]
    if not root.is_dir():
        raise BadInput(f"{source}: key {where}.root: expected a folder, got {root} which does not exist")
    common = {key: value for key, value in entry.items() if key in _DATASET_KEYS} | {"root": str(root)}
    common.setdefault("identifiable", ADAPTERS[name].identifiable)
    options = table_of({key: entry[key] for key in own if key in entry}, kind, source, where)
    checked: DatasetConfig = table_of(common, DatasetConfig, source, where)
    return dataclasses.replace(
        checked, options=_absolute(options, folder, source, where), key=_key(checked, folder, source, where)
    )


def _absolute(options: Any, folder: Path, source: Path, where: str) -> Any:
    """The adapter's options with every path taken relative to the configuration; a missing one is refused."""
    changes = {}
    for f in dataclasses.fields(options):
        value = getattr(options, f.name)
        if isinstance(value, Path):
            changes[f.name] = folder / value
            if not changes[f.name].exists():
                raise BadInput(
                    f"{source}: key {where}.{f.name}: expected a path, got {changes[f.name]} which does not exist"
                )
    return dataclasses.replace(options, **changes)


def _model_paths(model: ModelConfig, folder: Path, source: Path) -> ModelConfig:
    """Released weights relative to the configuration; a missing one is refused."""
    places = {key: getattr(model, key) for key in ("weights", "language", "segmentation")}
    paths = {key: folder / place for key, place in places.items() if place}
    for key, path in paths.items():
        if not path.exists():
            raise BadInput(f"{source}: key model.{key}: expected a path, got {path} which does not exist")
    return dataclasses.replace(model, **{key: str(path) for key, path in paths.items()})


def _key(dataset: DatasetConfig, folder: Path, source: Path, where: str) -> bytes:
    """The pseudonym key: published for public data; from ``key_file`` or the environment for identifiable data."""
    if not dataset.identifiable:
        return PUBLIC_KEY
    key_file = dataset.key_file and folder / dataset.key_file
    return pseudonym_key(key_file, f"{source}: key {where}.identifiable")


def pseudonym_key(key_file: Path | None, where: str) -> bytes:
    """The key of ``key_file``, else of the environment. Raises: BadInput where there is none, or too short a one."""
    if key_file is None:
        name, secret = KEY_VARIABLE, os.environ.get(KEY_VARIABLE, "").encode()
    else:
        name, secret = f"key_file {key_file}", key_file.read_bytes().strip() if key_file.is_file() else b""
    try:
        return key_of(secret)
    except ValueError as error:
        raise BadInput(f"{where}: expected a pseudonym key in {name}: {error}") from None
