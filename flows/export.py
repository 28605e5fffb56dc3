"""The dataset card of a configured corpus (``biascarevl census --export DIR``)."""

from pathlib import Path

from flows.config import Config
from ingest.attributes import connect_samples
from ingest.census.card import export_census


def export_card(config: Config, out: Path) -> Path:
    """Write the card of the census that stands in the workspace. Raises: GateRefused for what gives persons away."""
    licences = connect_samples(config.workspace.samples).execute(
        "SELECT DISTINCT licence FROM samples WHERE licence IS NOT NULL ORDER BY 1"
    )
    return export_census(
        config.workspace,
        out,
        name=config.source.stem,
        licences=[licence for (licence,) in licences.fetchall()],
        below=config.census.suppress_below,
        identifiable=config.identifiable,
    )
