"""Every run's draw log against the plan, the weights and their targets, as lines on the terminal."""

from ingest.errors import BadInput
from ingest.workspace import Workspace
from shards.audit import audit_draws, drawn_too_often


def audit_runs(workspace: Workspace) -> int:
    """Print a line per epoch and per problem; the exit code. Raises: BadInput when no run has a log."""
    folders = sorted(workspace.runs.glob("*/draws"))
    if not folders:
        raise BadInput(f"{workspace.runs}: expected a run with a draw log (<run>/draws), got none")
    num_problems = 0
    for folder in folders:
        for audited in audit_draws(workspace, folder):
            print(f"{folder.parent.name}: {audited}")
            for problem in audited.problems:
                print(f"{folder.parent.name}: {problem}")
            num_problems += len(audited.problems)
        for problem in drawn_too_often(workspace, folder):
            print(f"{folder.parent.name}: {problem}")
            num_problems += 1
    print(f"{num_problems} problems")
    return 1 if num_problems else 0
