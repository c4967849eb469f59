"""mPLUG-Owl2 against the numbers of Q-Align's own classes, and its names against the released checkpoint's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cvqa_models.nn.lmm.mplug_owl2 import MplugOwl2, MplugOwl2Config
from tests.parity.fill import clip, fill_
from tests.parity.summary import assert_close

REFERENCE = json.loads((Path(__file__).parent / "mplug_owl2_tiny.json").read_text(encoding="utf-8"))
FULL = json.loads((Path(__file__).parent / "mplug_owl2_full_keys.json").read_text(encoding="utf-8"))
# Every mistake that the reference lists moves the logits by 9.9e-5 or more; six digits are recorded.
TOLERANCE = REFERENCE["tolerance"]["suggested_max_abs_tolerance"]

TINY = MplugOwl2Config(
    image_size=56,
    vision_dim=16,
    vision_hidden=40,
    vision_layers=2,
    vision_heads=4,
    num_queries=4,
    abstractor_hidden=24,
    abstractor_layers=2,
    abstractor_heads=2,
    vocabulary=128,
    dim=32,
    hidden=64,
    layers=2,
    heads=4,
    rms_eps=1e-5,
)


@pytest.fixture(scope="module")
def network() -> MplugOwl2:
    """Return the reference network: filled by name, the position tables left as computed."""
    network = MplugOwl2(TINY)
    tables = {key: value.clone() for key, value in network.state_dict().items() if key.endswith("_pos_embed")}
    fill_(network)
    network.load_state_dict(tables, strict=False)
    return network.eval()


def test_names_and_shapes_are_those_of_the_official_tiny_network(network: MplugOwl2) -> None:
    ours = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert ours == dict(REFERENCE["state_dict"])


def test_names_shapes_and_count_are_those_of_the_full_network() -> None:
    with torch.device("meta"):
        network = MplugOwl2(MplugOwl2Config())
    assert {key: list(value.shape) for key, value in network.state_dict().items()} == dict(FULL["state_dict"])
    assert sum(parameter.numel() for parameter in network.parameters()) == FULL["parameters"]["total"]


def test_full_size_position_tables_are_the_recorded_ones() -> None:
    narrow = replace(TINY, image_size=448, vision_dim=1024, num_queries=64, vision_layers=0, abstractor_layers=1)
    attention = MplugOwl2(narrow).model.visual_abstractor.encoder.layers[0].crossattention.attention
    for name in ("q_pos_embed", "k_pos_embed"):
        table, recorded = getattr(attention, name), FULL["position_buffers"][name]
        assert list(table.shape) == recorded["shape"]
        for row, first in ((1, "row1_first8"), (2, "row2_first8"), (-1, "last_row_first8")):
            # The recorded angles, up to 63, were rounded to float32 before the sine.
            assert_close(table[row, :8], recorded[first], rtol=0, atol=5e-6)


def test_position_tables_are_the_stored_ones(network: MplugOwl2) -> None:
    attention = network.model.visual_abstractor.encoder.layers[1].crossattention.attention
    for name in ("q_pos_embed", "k_pos_embed"):
        assert_close(getattr(attention, name), REFERENCE["position_buffers"][name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda case: case["name"])
def test_outputs_are_those_of_the_official_classes(network: MplugOwl2, case: dict[str, Any]) -> None:
    given = case["input"]
    pixels = clip(given["pixels_shape"], seed=given["pixels_seed"]) * 4 - 2
    slot = given["prompt_ids"].index(REFERENCE["config"]["image_placeholder_id"])
    before, after = (torch.tensor(ids) for ids in (given["prompt_ids"][:slot], given["prompt_ids"][slot + 1 :]))
    with torch.no_grad():
        hidden = network(before, pixels.unflatten(0, (given["batch"], -1)), after)
        last = network.lm_head(hidden[:, -1])
        outputs = {
            "vision_tower": network.model.vision_model(pixels),
            "abstractor": network.image_tokens(pixels),
            "final_norm_hidden": hidden,
            "mean_over_tokens": hidden.mean(dim=1),
            "last_position_logits": last,
        }
    for name, output in outputs.items():
        assert deviation(output, case["outputs"][name]) <= TOLERANCE, name
    level = case["outputs"]["level_example"]
    probability = last[:, level["level_ids"]].softmax(dim=1)
    assert_close(probability, level["probabilities"], rtol=0, atol=TOLERANCE)
    score = probability @ torch.tensor(level["weights"], dtype=torch.float32)
    assert_close(score, level["score"], rtol=0, atol=TOLERANCE)


def deviation(output: torch.Tensor, recorded: dict[str, Any]) -> float:
    """Return the largest absolute difference of `output` to everything that the reference records of it."""
    assert list(output.shape) == recorded["shape"]
    flat = output.flatten()
    ours = {"mean": output.mean(), "std": output.std(correction=0), "first16": flat[:16], "last16": flat[-16:]}
    if "row_first4" in recorded:
        ours["row_first4"] = output.flatten(0, -2)[:, :4]
    if "values" in recorded:
        ours["values"] = output.reshape(torch.tensor(recorded["values"]).shape)
    return max(float((value - torch.tensor(recorded[key])).abs().max()) for key, value in ours.items())
