"""Q-Align's features and level logits against the network itself, and reading a released folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cvqa_models.branches import qalign
from cvqa_models.branches.qalign import QAlign, QAlignLevels, read_one_align, split_prompt
from cvqa_models.nn.lmm.levels import word_tokenizer
from cvqa_models.nn.lmm.mplug_owl2 import MplugOwl2, MplugOwl2Config
from cvqa_models.nn.lmm.square import MEAN, STD, square
from tests.unit.branches.tiny import MPLUG_OWL2

PROMPT = "rate <|image|> it is"
FRAMES = torch.randint(0, 256, (1, 2, 3, 1, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def hidden(network: MplugOwl2, images: Tensor) -> Tensor:
    """Return what the network makes of images in its slot; the words of PROMPT are tokens 2 to 4, 1 starts a text."""
    pixels = (images / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    result: Tensor = network(torch.tensor([1, 2]), pixels[:, None], torch.tensor([3, 4]))
    return result


@torch.no_grad()
def test_features_are_means_over_halves_and_positions() -> None:
    branch = QAlign(config=MPLUG_OWL2, num_clips=2, prompt=PROMPT, dtype="float32")
    frame = FRAMES[0, 1, :, 0][None]
    upper, lower = (hidden(branch.asker.network, square(half, 28).float()) for half in frame.split(20, dim=2))
    expected = (upper.mean(dim=1) + lower.mean(dim=1)) / 2
    torch.testing.assert_close(branch.tokens(FRAMES)[:, 1], expected)


@torch.no_grad()
def test_level_logits_are_the_output_layer_on_the_last_state() -> None:
    torch.manual_seed(0)
    levels = QAlignLevels(
        config=MPLUG_OWL2, num_clips=2, prompt=PROMPT, words=["good", "poor"], frozen=True, dtype="float32"
    )
    network = levels.asker.network
    last = hidden(network, square(FRAMES[0, :, :, 0], 28).float())[:, -1]
    torch.testing.assert_close(levels.tokens(FRAMES)[0], network.lm_head(last)[:, [5, 6]])
    torch.manual_seed(0)
    features = QAlign(config=MPLUG_OWL2, num_clips=2, prompt=PROMPT, halves=False, pool="last", dtype="float32")
    torch.testing.assert_close(features.tokens(FRAMES)[0], last)


@torch.no_grad()
def test_local_crops_are_seen() -> None:
    torch.manual_seed(0)
    branch = QAlignLevels(config=MPLUG_OWL2, num_clips=2, local=(2, 2), frozen=True, dtype="float32")
    lengths = []
    branch.asker.network.register_forward_pre_hook(lambda _, given: lengths.append(given[1].shape[1]))
    branch.tokens(FRAMES)
    assert lengths == [5]


@torch.no_grad()
def test_local_crops_of_training_follow_the_seeds_of_the_videos(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    branch = QAlignLevels(config=MPLUG_OWL2, num_clips=2, local=(2, 2), lora=None, dtype="float32").train()
    monkeypatch.setattr("cvqa_models.branches.qalign.IMAGES_PER_PASS", 3)  # a video is cut in two
    frames = FRAMES[:1].expand(3, *FRAMES.shape[1:])
    branch.seeds = torch.tensor([4, 5, 4])
    drawn = branch.tokens(frames)
    torch.testing.assert_close(drawn[0], drawn[2])
    assert (drawn[0] - drawn[1]).abs().max() > 1e-6
    branch.seeds = torch.tensor([5])
    torch.testing.assert_close(branch.tokens(frames[:1])[0], drawn[1])
    branch.seeds = None
    still = branch.tokens(frames)
    torch.testing.assert_close(branch.eval().tokens(frames), still)
    assert (still - drawn).abs().max() > 1e-6


def test_adapters_and_abstractor_train_in_float32_beside_a_narrow_base() -> None:
    branch = QAlignLevels(config=MPLUG_OWL2, num_clips=2, dtype="bfloat16")
    kinds = {(name.split(".lora_")[0].split("model.")[-1].split(".")[0], p.dtype, p.requires_grad)
             for name, p in branch.named_parameters()}  # fmt: skip
    trained = {name for name, dtype, learns in kinds if learns}
    assert trained == {"layers", "visual_abstractor"}
    assert all(dtype == (torch.float32 if learns else torch.bfloat16) for _, dtype, learns in kinds)
    assert branch.tokens(FRAMES).dtype == torch.float32


def test_the_whole_network_trains_without_adapters() -> None:
    branch = QAlignLevels(config=MPLUG_OWL2, num_clips=2, lora=None)
    frozen = [name for name, p in branch.named_parameters() if not p.requires_grad]
    assert frozen == ["asker.network.lm_head.weight"]


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, MplugOwl2]:
    """Return a folder as Q-Align's authors publish it, of tiny visual sizes, and the network in it."""
    torch.manual_seed(3)
    network = MplugOwl2(replace(MPLUG_OWL2, rms_eps=1e-5))
    state = {**network.state_dict(), "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    keys = sorted(state)
    for number, part in enumerate((keys[:20], keys[20:]), start=1):
        torch.save({key: state[key] for key in part}, tmp_path / f"pytorch_model-{number:05}-of-00002.bin")
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    stated = dict(zip(names, (64, 16, 24, 2, 2), strict=True)) | {"rms_norm_eps": 1e-5}
    (tmp_path / "config.json").write_text(json.dumps(stated), encoding="utf-8")
    word_tokenizer([PROMPT.replace("<|image|>", ""), "good poor"], ["<s>"]).save(str(tmp_path / "tokenizer.json"))
    read = MplugOwl2Config.read

    def read_tiny(path: Path) -> MplugOwl2Config:
        stated = read(path)
        return replace(MPLUG_OWL2, vocabulary=stated.vocabulary, dim=stated.dim, rms_eps=stated.rms_eps)

    monkeypatch.setattr(qalign.MplugOwl2Config, "read", read_tiny)
    return tmp_path, network


@torch.no_grad()
def test_a_released_folder_gives_its_network(released: tuple[Path, MplugOwl2]) -> None:
    folder, network = released
    branch = QAlignLevels(str(folder), num_clips=2, prompt=PROMPT, words=["good", "poor"], frozen=True, dtype="float32")
    last = hidden(network, square(FRAMES[0, :, :, 0], 28).float())[:, -1]
    torch.testing.assert_close(branch.tokens(FRAMES)[0], network.lm_head(last)[:, [5, 6]])


def test_a_folder_without_shards_is_named(released: tuple[Path, MplugOwl2]) -> None:
    for shard in released[0].glob("*.bin"):
        shard.unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no .*fetch the whole folder"):
        read_one_align(str(released[0]), torch.float32)


def test_a_folder_with_a_missing_shard_is_refused(released: tuple[Path, MplugOwl2]) -> None:
    next(released[0].glob("*.bin")).unlink()
    with pytest.raises(ValueError, match="missing"):
        read_one_align(str(released[0]), torch.float32)


def test_an_absent_folder_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="one-align"):
        QAlign("one-align-nowhere")


def test_sizes_beside_a_checkpoint_are_refused() -> None:
    with pytest.raises(ValueError, match="states its own sizes"):
        QAlign("one-align", config=MPLUG_OWL2)


def test_a_vocabulary_below_the_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="`vocabulary` is 4, but prompt and words need"):
        QAlign(config=replace(MPLUG_OWL2, vocabulary=4))


@pytest.mark.parametrize("prompt", ["no picture", "<|image|> twice <|image|>"])
def test_a_prompt_needs_one_image(prompt: str) -> None:
    with pytest.raises(ValueError, match="expected it once"):
        split_prompt(prompt, "<|image|>")
