"""What the documentation shows of Lightning."""
# pyright: reportMissingImports=false

import pytest

from tests.integrations import documented
from tests.integrations.lightning.test_doctor import Net, loader


@pytest.mark.filterwarnings("ignore:.*logging interval:UserWarning")  # of a Trainer as it comes, at few batches
def test_the_documents_lines(tmp_path, one_thread, capsys):
    found = documented.run("lightning", tmp_path, model=Net(), loader=loader(64))
    assert found["doctor"].watches[0].steps == 20
    assert str(found["doctor"]) in capsys.readouterr().out
