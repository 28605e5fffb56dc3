"""Flow: a published samples table in, certified weights and WebDataset shards out."""

from prefect import flow

from flows.config import Config
from flows.stage_task import run_tasks, settings_of
from flows.stages import SHARD_STAGES, Stage, Summary, refresh_stages


def shard_stages(config: Config) -> list[Stage]:
    """Weigh and pack."""
    return [stage for stage in refresh_stages(config) if stage.name in SHARD_STAGES]


@flow(name="build-shards", log_prints=True)
def build_shards(config: str, workspace: str | None = None) -> dict[str, Summary]:
    """Weigh and pack what ingest published."""
    return run_tasks(settings_of(config, workspace), shard_stages)
