"""The ten lines that README gives to other trainers work as they stand."""

import re
from pathlib import Path


def test_the_readmes_loader_gives_an_epoch(refreshed):
    text = Path("README.md").read_text()
    section = text[text.index("## Use the shards from your own trainer") :]
    (block,) = re.findall(r"```python\n(.*?)```", section.partition("\n## ")[0], flags=re.DOTALL)
    assert "work/demo/workspace" in block
    names: dict[str, object] = {}
    exec(block.replace("work/demo/workspace", str(refreshed.workspace.root)), names)
    assert names["state"]["position"] == names["loader"].plan.num_draws
    image, sample_id = names["batch"][0]
    assert image.ndim == 3 and len(sample_id) > 8
