"""Flow: a trained run in, predictions, group-by-group scores and the report out."""

from prefect import flow
from prefect.artifacts import create_link_artifact

from flows.stage_task import run_tasks, settings_of
from flows.stages import Summary, evaluate_stages


@flow(name="evaluate", log_prints=True)
def evaluate_model(config: str, workspace: str | None = None) -> dict[str, Summary]:
    """Predict, score and report the current run."""
    settings = settings_of(config, workspace)
    summaries = run_tasks(settings, evaluate_stages)
    create_link_artifact(key="biascarevl-report", link=settings.workspace.report.as_uri(), link_text="Report")
    return summaries
