"""A loss of another package trains a model by what it offers; no base class of ours is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor, nn

from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.training.batched_fit import HeadFit, fit_many
from cvqa_models.training.checkpoint import load_model, to_bytes
from cvqa_models.training.configured import Configured
from tests.cli.table_run import write_inputs
from tests.unit.training.cached import model, planted

STRANGER = """
from torch import Tensor
class Steep:
    def __init__(self, power: int = 2) -> None:
        self.power = power
    def forward(self, pred: Tensor, mos: Tensor, group: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return ((pred - mos).abs() ** self.power).sum(), group.new_tensor(len(pred))
class Blind:
    def forward(self, pred: Tensor) -> Tensor:
        return pred.sum()
"""


def configs(folder: Path, **loss: object) -> list[Path]:
    (folder / "stranger_losses.py").write_text(STRANGER)
    files = write_inputs(folder)
    content = yaml.safe_load(files[0].read_text())
    content["model"]["init_args"]["loss"] = loss
    files[0].write_text(yaml.safe_dump(content))
    return files


def test_it_comes_from_a_configuration_and_back_from_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    files = configs(tmp_path, class_path="stranger_losses.Steep", init_args={"power": 4})
    with pytest.raises(ValueError, match="name its package with `--trust`"):
        Configured(files)
    configured = Configured(files, trusted=["stranger_losses"])
    own = configured.build_model()
    path = tmp_path / "a.ckpt"
    path.write_bytes(to_bytes(own, configured.model_config))
    found = load_model(path, ["stranger_losses"])
    numbers = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0]), torch.tensor([0, 0])
    assert found.loss.forward(*numbers)[0].item() == 82
    with pytest.raises(ValueError, match="name its package with `--trust` if you trust its code"):
        load_model(path)


@pytest.mark.parametrize("class_path", ["stranger_losses.Blind", "cvqa_models.branches.timm.Timm"])
def test_a_class_that_offers_something_else_is_refused(
    class_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    files = configs(tmp_path, class_path=class_path)
    with pytest.raises(ValueError, match=r"(?i)not .*implement protocol"):
        Configured(files, trusted=["stranger_losses"])


def test_many_fits_at_once_train_under_it_as_under_ours() -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = GroupLoss({"plcc": 1.0, "srocc": 1.0, "anchor": 0.05})

        def forward(
            self, pred: Tensor, mos: Tensor, group: Tensor, weight: Tensor | None = None
        ) -> tuple[Tensor, Tensor]:
            total: tuple[Tensor, Tensor] = self.inner(pred, mos, group, weight)
            return total

    batch = planted(groups=6)
    results = []
    for foreign in (False, True):
        start = model()
        if foreign:
            start.loss = Wrapped()
        fits = [HeadFit(start, batch.group != left_out, 0.1) for left_out in (0, 4)]
        results.append(fit_many(fits, batch, steps=12, every=6))
    torch.testing.assert_close(results[1], results[0], atol=2e-4, rtol=2e-4)
    start.loss = Wrapped()
    with pytest.raises(ValueError, match="A fit has no group whose labels differ; use fewer folds"):
        fit_many([HeadFit(start, torch.arange(len(batch)) == 0, 0.0)], batch, steps=1, every=1)
