"""The same Lightning under its older name, which may be the only one that is installed."""
# pyright: reportMissingImports=false

import subprocess
import sys

import pytest

FIT = """
import sys, warnings
{before}
import pytorch_lightning as pl, torch
import stepwell.integrations.lightning as door
from stepwell.integrations.lightning import DoctorCallback
assert door.Callback is pl.Callback

class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
    def training_step(self, batch, index):
        return self.layer(batch[0]).square().mean()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(64, 2)), 8)
callback = DoctorCallback(every=2)
pl.Trainer(max_steps=6, accelerator="cpu", callbacks=[callback], logger=False, enable_progress_bar=False,
           enable_checkpointing=False, enable_model_summary=False).fit(Net(), data)
print(callback.watches[0].steps)
"""


@pytest.mark.parametrize("before", ["sys.modules['lightning'] = None", ""], ids=["alone", "in use"])
def test_it_works_with_pytorch_lightning(before, tmp_path):
    code = FIT.format(before=before)
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.stdout.splitlines()[-1:] == ["6"], found.stdout + found.stderr
