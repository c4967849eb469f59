"""Level scorers: what they learn from, what their checkpoints hold, and HIVE's fitted average."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.utils.data import DataLoader

from cvqa_models.branches.qalign import QAlignLevels
from cvqa_models.branches.timm import Timm
from cvqa_models.branches.views import key_frame_view
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.metrics.ensemble import combine, fit_weights
from cvqa_models.models.hive import Hive, raw_weights
from cvqa_models.models.iqa_llava import IqaLlava
from cvqa_models.models.level_scorer import level_loss, padded
from cvqa_models.nn.lmm.lora import Lora
from cvqa_models.training.checkpoint import load_weights, read_checkpoint
from cvqa_models.training.module import Recipe
from cvqa_models.types import Batch
from cvqa_models.weights.sources import WeightSource
from tests.unit.branches.tiny import MPLUG_OWL2

FAST = Recipe(lr_backbone=3e-3, weight_decay=0.0, warmup=0.0, videos_per_pass=3)
DIGITS = [str(digit) for digit in range(9, -1, -1)]


def scorer(seed: int = 0, **changes: Any) -> QAlignLevels:
    torch.manual_seed(seed)
    lora = Lora(2, 4, dropout=0.0)
    branch = QAlignLevels(**({"config": MPLUG_OWL2, "num_clips": 2, "lora": lora, "dtype": "float32"} | changes))
    branch.sources["base"] = WeightSource("one-align")  # as if its numbers were those of a file
    return branch


def make_batch(videos: int = 8, groups: int = 2, seed: int = 0) -> Batch:
    """Return videos of two frames, brighter with their `mos`."""
    generator = torch.Generator().manual_seed(seed)
    mos = torch.rand(videos, generator=generator)
    noise = torch.randint(0, 56, (videos, 2, 3, 1, 30, 40), generator=generator)
    group = torch.arange(videos) % groups
    return Batch(
        video_id=[f"v{seed}-{i}" for i in range(videos)],
        group_name=[f"g{int(g)}" for g in group],
        group=group,
        mos=mos,
        weight=torch.ones(videos),
        views={"key2-native": (noise + 199 * mos.view(-1, 1, 1, 1, 1, 1)).to(torch.uint8)},
    )


class Data(pl.LightningDataModule):
    def train_dataloader(self) -> DataLoader:
        return DataLoader([make_batch(seed=seed) for seed in (1, 2)], batch_size=None)  # type: ignore[arg-type]

    val_dataloader = train_dataloader


def fit(model: IqaLlava | Hive, folder: Path, epochs: int = 1) -> pl.Trainer:
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(model, datamodule=Data())
    return trainer


def test_level_loss_is_a_mean_per_group_summed_over_groups() -> None:
    logits = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    batch = make_batch(5)
    batch.group = torch.tensor([0, 0, 1, 1, 2])
    batch.mos = torch.tensor([0.0, 4.0, 1.0, 1.0, 3.0])  # only group 0 has a spread
    batch.weight = torch.tensor([1.0, 3.0, 1.0, 1.0, 1.0])
    worst, best = -logits[0].log_softmax(-1)[:, 2].mean(), -logits[1].log_softmax(-1)[:, 0].mean()
    torch.testing.assert_close(level_loss(logits, batch), (worst + 3 * best) / 4)


def test_videos_without_weight_teach_nothing() -> None:
    logits = torch.randn(8, 2, 3, generator=torch.Generator().manual_seed(0))
    batch = make_batch(6)
    repeated = padded(batch, 8)
    torch.testing.assert_close(level_loss(logits, repeated), level_loss(logits[:6], batch))
    assert repeated.video_id[5:] == [batch.video_id[5]] * 3
    assert torch.equal(repeated.views["key2-native"][7], batch.views["key2-native"][5])
    assert repeated.weight.tolist() == [1.0] * 6 + [0.0] * 2
    assert batch.weight.tolist() == [1.0] * 6


def test_a_branch_without_levels_is_refused() -> None:
    branch = Timm(name="test_vit", view=key_frame_view(2, size=32))
    with pytest.raises(ValueError, match="`lmm` is a Timm, which gives no level logits"):
        IqaLlava(branch, GroupLoss())


def test_scores_are_expected_levels_averaged_over_frames() -> None:
    model = IqaLlava(scorer(), GroupLoss())
    logits = torch.full((1, 2, 5), -50.0)
    logits[0, 0, 0] = logits[0, 1, 1] = 50.0  # one frame is excellent, the other good
    torch.testing.assert_close(model.score({"lmm": logits}), torch.tensor([0.875]))
    torch.testing.assert_close(model.maps({"lmm": logits})["lmm"], torch.tensor([[1.0, 0.75]]))


def test_adapters_learn_and_the_base_stays(tmp_path: Path) -> None:
    model = IqaLlava(scorer(), GroupLoss(), recipe=FAST)
    before = copy.deepcopy(model.state_dict())
    batch = make_batch(seed=1)
    first = model.training_loss(model.features(batch), batch)[0].item()
    fit(model, tmp_path, epochs=8)
    assert model.training_loss(model.features(batch), batch)[0].item() < 0.85 * first
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    moved = {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}
    assert moved <= trained
    assert any("lora_B" in key for key in moved)


def test_checkpoints_hold_what_is_trained_alone(tmp_path: Path) -> None:
    model = IqaLlava(scorer(), GroupLoss(), recipe=FAST)
    path = tmp_path / "last.ckpt"
    fit(model, tmp_path).save_checkpoint(path)
    checkpoint = read_checkpoint(path)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert set(checkpoint["state_dict"]) == trained
    again = IqaLlava(scorer(), GroupLoss())  # the same base, other adapters
    for parameter in again.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter)
    load_weights(again, checkpoint, path)
    torch.testing.assert_close(again.eval()(make_batch()), model.eval()(make_batch()))


def test_adapters_of_another_base_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    fit(IqaLlava(scorer(), GroupLoss(), recipe=FAST), tmp_path).save_checkpoint(path)
    with pytest.raises(ValueError, match="trained with other frozen weights of branch `lmm`"):
        load_weights(IqaLlava(scorer(seed=1), GroupLoss()), read_checkpoint(path), path)


def test_a_base_of_random_numbers_stays_in_the_checkpoint(tmp_path: Path) -> None:
    branch = scorer()
    branch.sources["base"] = WeightSource(None, seed=0)
    model = IqaLlava(branch, GroupLoss(), recipe=FAST)
    path = tmp_path / "last.ckpt"
    fit(model, tmp_path).save_checkpoint(path)
    checkpoint = read_checkpoint(path)
    assert checkpoint["state_dict"].keys() == model.state_dict().keys()
    other = IqaLlava(scorer(seed=1), GroupLoss())
    load_weights(other, checkpoint, path)
    torch.testing.assert_close(other.eval()(make_batch()), model.eval()(make_batch()))


def test_a_fully_trained_scorer_keeps_all_but_the_unused_output_layer(tmp_path: Path) -> None:
    model = IqaLlava(scorer(lora=None), GroupLoss(), recipe=FAST)
    path = tmp_path / "last.ckpt"
    fit(model, tmp_path).save_checkpoint(path)
    left_out = set(model.state_dict()) - set(read_checkpoint(path)["state_dict"])
    assert {key.split(".")[-2] if "lm_head" in key else key.split(".")[-1] for key in left_out} == {
        "lm_head",
        "q_pos_embed",
        "k_pos_embed",
        "level_rows",
    }


def test_shards_do_not_predict() -> None:
    model = IqaLlava(scorer(), GroupLoss())
    model._device_mesh = DeviceMesh.__new__(DeviceMesh)
    with pytest.raises(ValueError, match=r"does not predict.*predict with `--trainer\.strategy auto`"):
        model.on_predict_start()


def columns(videos: int = 60) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return groups, labels, and a good and a poor scorer whose scales differ eightfold."""
    rng = np.random.default_rng(0)
    mos = rng.normal(size=videos)
    scores = np.stack([0.8 * mos + 0.2 * rng.normal(size=videos), 0.1 * (0.5 * mos + rng.normal(size=videos))], axis=1)
    return [f"g{i % 3}" for i in range(videos)], mos, scores


def test_hive_ranks_as_the_fitted_ensemble_does() -> None:
    group, mos, scores = columns()
    weights = raw_weights(group, mos, scores)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    ensemble = combine(group, scores, fit_weights(group, mos, scores).tolist())
    ours = scores @ weights
    for name in set(group):
        rows = [own == name for own in group]
        assert np.corrcoef(ours[rows], ensemble[rows])[0, 1] > 0.99


def test_hive_gives_no_weight_to_a_constant_scorer() -> None:
    group, mos, scores = columns()
    scores[:, 1] = 0.3
    assert raw_weights(group, mos, scores).tolist() == [1.0, 0.0]


def test_hive_keeps_equal_weights_while_no_scorer_ranks() -> None:
    group, mos, scores = columns()
    with pytest.warns(UserWarning, match="Both scorers keep equal weights"):
        assert raw_weights(group, mos, -scores).tolist() == [0.5, 0.5]


@pytest.mark.filterwarnings("ignore:Both scorers keep equal weights")
def test_hive_fits_its_weights_on_validation_videos(tmp_path: Path) -> None:
    model = Hive(scorer(), scorer(1, words=DIGITS, local=(2, 2)), GroupLoss(), recipe=FAST)
    trainer = fit(model, tmp_path, epochs=2)
    model.eval()
    features = [model.features(make_batch(seed=seed)) for seed in (1, 2)]
    details = [model.details(given) for given in features]
    scores = torch.cat([torch.stack([own["coarse"], own["fine"]], dim=1) for own in details]).detach().double().numpy()
    batches = [make_batch(seed=seed) for seed in (1, 2)]
    group = [name for batch in batches for name in batch.group_name]
    mos = torch.cat([batch.mos for batch in batches]).double().numpy()
    np.testing.assert_allclose(model.weight.numpy(), raw_weights(group, mos, scores), atol=1e-3)
    torch.testing.assert_close(
        model.score(features[0]), model.weight[0] * details[0]["coarse"] + model.weight[1] * details[0]["fine"]
    )
    assert float(trainer.callback_metrics["val/weight_coarse"]) == pytest.approx(float(model.weight[0]))
    assert {"val/srocc", "val/plcc", "val/krocc", "val/result"} <= set(trainer.callback_metrics)
