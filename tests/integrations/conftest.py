"""The integrations' tests ask nothing of a network, and those of packages that are not installed here are left out."""

import importlib.util
import os
from pathlib import Path

import pytest

os.environ |= {
    "DO_NOT_TRACK": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1", "MLFLOW_DISABLE_TELEMETRY": "true",
    "TRANSFORMERS_OFFLINE": "1",
}  # fmt: skip

HERE = Path(__file__).parent
FOREIGN = {  # warnings of others' making are no errors
    "lightning": [
        "ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning",
        "ignore:The '.*_dataloader' does not have many workers",  # by which Lightning means to help
    ],
    "mlflow": ["ignore:The ..noload.. loader strategy is deprecated"],
}
collect_ignore = [path.name for path in HERE.iterdir() if path.is_dir() and importlib.util.find_spec(path.name) is None]


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            for each in FOREIGN.get(item.path.parent.name, ()):
                item.add_marker(pytest.mark.filterwarnings(each))
