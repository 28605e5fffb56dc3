"""Flow: raw datasets in, a published samples table and its census out."""

from prefect import flow

from flows.config import Config
from flows.stage_task import run_tasks, settings_of
from flows.stages import SHARD_STAGES, Stage, Summary, refresh_stages


def ingest_stages(config: Config) -> list[Stage]:
    """Read, curate, count."""
    return [stage for stage in refresh_stages(config) if stage.name not in SHARD_STAGES]


@flow(name="ingest-datasets", log_prints=True)
def ingest_datasets(config: str, workspace: str | None = None) -> dict[str, Summary]:
    """Read what changed, curate it, count it."""
    return run_tasks(settings_of(config, workspace), ingest_stages)
