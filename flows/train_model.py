"""Flow: shards and weights in, a trained run out. DeepSpeed works in processes of its own."""

from prefect import flow

from flows.stage_task import run_tasks, settings_of
from flows.stages import Summary, train_stages


@flow(name="train", log_prints=True)
def train_model(config: str, workspace: str | None = None) -> dict[str, Summary]:
    """Train on the current shards."""
    return run_tasks(settings_of(config, workspace), train_stages)
