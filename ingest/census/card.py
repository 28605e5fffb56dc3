"""The dataset card: the census as Croissant JSON-LD with its RAI fields, and as Markdown, beside the tables themselves.

Every figure stands beside the query that gives it; the queries run as they are, in DuckDB, in the exported folder.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.attributes import KEPT_LEVELS
from ingest.census.counts import WHOLE_CORPUS
from ingest.census.pairs import SENSITIVE
from ingest.census.snapshots import check_against_published, record_published
from ingest.percent import between, percent
from ingest.workspace import Workspace, publishing

SHOWN_ASSOCIATIONS = 10
Row = dict[str, Any]


def export_census(
    workspace: Workspace, out: Path, *, name: str, licences: Sequence[str], below: int, identifiable: set[str]
) -> Path:
    """Write ``out``/{croissant.json, card.md, *.parquet} whole and return the card's path.

    Raises: GateRefused where an earlier export and this one would give a small group away by subtraction.
    """
    tables = {path.stem: pq.read_table(path) for path in sorted(workspace.census.glob("*.parquet"))}
    published = workspace.root / "published"
    check_against_published(tables["counts"], published, below=below, identifiable=identifiable)
    record = json.loads((workspace.census / "census.json").read_text())
    findings = _findings(tables)
    with publishing(out) as folder:
        folder.mkdir(parents=True)
        for path in sorted(workspace.census.iterdir()):
            shutil.copy(path, folder / path.name)
        (folder / "card.md").write_text(_markdown(name, licences, record, tables, findings), encoding="utf-8")
        croissant = _croissant(name, licences, record, tables, findings, folder)
        (folder / "croissant.json").write_text(json.dumps(croissant, indent=2, default=str) + "\n", encoding="utf-8")
        _validate(folder / "croissant.json")
    record_published(tables["counts"], published)
    return out / "card.md"


def _validate(path: Path) -> None:
    """Read the file back as Croissant. Raises: mlcroissant.ValidationError."""
    import mlcroissant  # 1.5 s

    mlcroissant.Dataset(jsonld=path)


def _findings(tables: dict[str, pa.Table]) -> list[tuple[str, str, str]]:
    """(figure, sentence, query): the bias of the corpus in figures, each with the query that gives it."""
    return [*_share_findings(tables["counts"]), *_missing_findings(tables["missingness"]),
            *_association_findings(tables["associations"]), *_shortcut_findings(tables["detectability"]),
            *_reference_findings(tables["reference"])]  # fmt: skip


def _query(table: str, column: str, row: Row, keys: Sequence[str]) -> str:
    return f"SELECT {column} FROM '{table}.parquet' WHERE " + " AND ".join(
        f"{key} IS NULL" if row[key] is None else f"{key} = {_quoted(row[key])}" for key in keys
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _share_findings(counts: pa.Table) -> list[tuple[str, str, str]]:
    found = []
    for row in counts.to_pylist():
        if row["dataset"] != WHOLE_CORPUS:
            continue
        query = _query("counts", "share", row, ("attribute", "level", "dataset"))
        who = f"{row['attribute']} = {row['level']}"
        if row["suppressed"]:
            found.append(("suppressed", f"{who}: suppressed, too few persons to be shown.", query))
            continue
        interval = f"95 % {between(row['low'], row['high'])}"
        words = f"of rows have {who} ({interval}, {row['num_persons']:,} persons)."
        found.append((percent(row["share"]), words, query))
    return found


def _missing_findings(missing: pa.Table) -> list[tuple[str, str, str]]:
    return [
        (percent(row["share"]), f"of the rows that {row['attribute']} applies to do not say it.",
         _query("missingness", "share", row, ("attribute", "dataset")))
        for row in missing.to_pylist()
        if row["dataset"] == WHOLE_CORPUS and not row["suppressed"] and row["share"]
    ]  # fmt: skip


def _association_findings(associations: pa.Table) -> list[tuple[str, str, str]]:
    flagged = [row for row in associations.to_pylist() if row["q_value"] is not None and row["q_value"] < 0.05]
    hidden = [row for row in associations.to_pylist() if row["suppressed"]]
    found = []
    for row in [*flagged, *hidden][:SHOWN_ASSOCIATIONS]:
        query = _query("associations", "cramers_v", row, ("attribute_a", "attribute_b", "level_b"))
        other = row["attribute_b"] + (f" = {row['level_b']}" if row["level_b"] else "")
        if row["suppressed"]:
            found.append(("suppressed", f"Cramér's V between {row['attribute_a']} and {other}: few persons.", query))
            continue
        flags = "".join(f", {name}" for name, held in (("explained", row["explained"]), ("reversed", row["reversal"]))
                        if held)  # fmt: skip
        words = (
            f"Cramér's V between {row['attribute_a']} and {other} (95 % {row['low']:.2f} to {row['high']:.2f}, "
            f"q {row['q_value']:.2g} of {row['family_size']} tests{flags})."
        )
        found.append((f"{row['cramers_v']:.2f}", words, query))
    return found


def _shortcut_findings(detectability: pa.Table) -> list[tuple[str, str, str]]:
    """What can be told from the pictures, and the riskiest of what goes with a label."""
    flagged = [row for row in detectability.to_pylist() if row["q_value"] is not None and row["q_value"] < 0.05]
    alone = [
        (f"{row['auc']:.2f}", f"AUC of {row['attribute']} told from coarse features of {row['num_pictures']:,} "
         f"pictures (95 % {row['auc_low']:.2f} to {row['auc_high']:.2f}).",
         _query("detectability", "auc", row, ("attribute", "label")))
        for row in flagged if row["label"] is None
    ]  # fmt: skip
    risks = [
        (f"{row['risk']:.2f}", f"shortcut risk of {row['attribute']} for label = {row['label']} (95 % "
         f"{row['low']:.2f} to {row['high']:.2f}; V {row['utility']:.2f}, AUC {row['auc']:.2f}, q {row['q_value']:.2g} "
         f"of {row['family_size']} tests).",
         _query("detectability", "risk", row, ("attribute", "label")))
        for row in flagged if row["label"] is not None
    ]  # fmt: skip
    return [*alone, *risks[:SHOWN_ASSOCIATIONS]]


def _reference_findings(reference: pa.Table) -> list[tuple[str, str, str]]:
    return [
        (f"{row['ratio']:.2f}", f"times the share of {row['attribute']} = {row['level']} in {row['reference']} "
         f"{row['version']} ({row['date']}), 95 % {row['low']:.2f} to {row['high']:.2f}.",
         _query("reference", "ratio", row, ("attribute", "level", "dataset")))
        for row in reference.to_pylist()
        if row["dataset"] == WHOLE_CORPUS and row["ratio"] is not None
    ]  # fmt: skip


def _markdown(
    name: str, licences: Sequence[str], record: Row, tables: dict[str, pa.Table],
    findings: list[tuple[str, str, str]],
) -> str:  # fmt: skip
    datasets = _datasets(tables)
    rows = "\n".join(f"| {figure} | {words} | `{query}` |" for figure, words, query in findings)
    notes = "\n".join(f"- {note}" for note in record["notes"]) or "- none"
    return (
        f"# {name}\n\nMedical image-text corpus of {', '.join(datasets)}; version {record['samples_version']} of its "
        f"samples table.\nLicences of the sources: {', '.join(licences) or 'not declared'}. "
        "Counts are of persons wherever certainty is told; cells that could point to a person are suppressed.\n\n"
        "## Figures\n\nEach stands beside the query that gives it (DuckDB, in this folder).\n\n"
        f"| figure | | query |\n|---|---|---|\n{rows}\n\n## Not tested, not counted\n\n{notes}\n"
    )


def _datasets(tables: dict[str, pa.Table]) -> list[str]:
    return sorted(set(tables["persons"]["dataset"].to_pylist()))


def _croissant(
    name: str, licences: Sequence[str], record: Row, tables: dict[str, pa.Table],
    findings: list[tuple[str, str, str]], folder: Path,
) -> Any:  # fmt: skip
    """The census as Croissant 1.0 with RAI 1.0: what is described is the corpus's measured bias."""
    import mlcroissant as mlc

    kinds = {pa.string(): mlc.DataType.TEXT, pa.int64(): mlc.DataType.INTEGER, pa.bool_(): mlc.DataType.BOOL,
             pa.float64(): mlc.DataType.FLOAT}  # fmt: skip
    files, records = [], []
    for table_name, table in tables.items():
        file = f"{table_name}.parquet"
        digest = hashlib.sha256((folder / file).read_bytes()).hexdigest()
        files.append(mlc.FileObject(id=file, name=file, content_url=file, sha256=digest,
                                    encoding_formats=["application/x-parquet"]))  # fmt: skip
        fields = [
            mlc.Field(id=f"{table_name}/{column.name}", name=f"{table_name}/{column.name}",
                      data_types=kinds.get(column.type, mlc.DataType.TEXT),
                      source=mlc.Source(file_object=file, extract=mlc.Extract(column=column.name)))
            for column in table.schema
        ]  # fmt: skip
        records.append(mlc.RecordSet(id=table_name, name=table_name, fields=fields))
    attributes = list(dict.fromkeys(tables["counts"]["attribute"].to_pylist()))
    told = [f"{figure} {words} [{query}]" for figure, words, query in findings]
    metadata = mlc.Metadata(
        name=name, description=f"Bias census of a medical image-text corpus of {', '.join(_datasets(tables))}.",
        license=list(licences) or ["not declared"], url=f"urn:biascarevl:{name}",
        version=f"{record['samples_version']}.0.0", date_published=datetime.now(UTC).replace(microsecond=0),
        cite_as="BiasCareVL, arXiv 2604.16884", distribution=files, record_sets=records,
        data_biases=told, data_limitations=[*record["notes"]] or ["none noted"],
        data_collection_missing_data="; ".join(f"{figure} {words}" for figure, words, _ in
                                               _missing_findings(tables["missingness"])) or "none",
        personal_sensitive_information=[one for one in attributes if one in SENSITIVE] or ["none counted"],
        data_imputation_protocol="none: what is missing is counted as missing",
        data_manipulation_protocol=f"levels not known: {', '.join(KEPT_LEVELS)}; small cells suppressed",
    )  # fmt: skip
    return metadata.to_json()
