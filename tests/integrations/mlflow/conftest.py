"""A tracking server of the test's own: an SQLite file, and artifacts in a folder."""
# pyright: reportMissingImports=false

import contextlib

import mlflow
import pytest
from mlflow import MlflowClient


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Its URI: making the tables takes seconds, so all tests share it."""
    folder = tmp_path_factory.mktemp("tracking")
    uri = f"sqlite:///{folder}/mlflow.db"
    with contextlib.chdir(folder):  # where the artifacts of experiments go that are made without saying where
        for name in ("stepwell", "mine"):
            MlflowClient(uri).create_experiment(name)
    return uri


@pytest.fixture
def tracking(server):
    """The same as the active URI of the process."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(server)
    yield server
    mlflow.set_tracking_uri(before)


@pytest.fixture
def client(server):
    return MlflowClient(server)
