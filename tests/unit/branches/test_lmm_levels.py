"""Level logits of transformers' models against transformers' own, folders of both layouts, and what trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cvqa_models.branches.lmm_levels import LmmLevels, checked_prompt
from cvqa_models.nn.lmm.llava import untrained_llava
from cvqa_models.nn.lmm.lora import Lora
from cvqa_models.nn.lmm.square import pad_to_square
from tests.unit.branches.tiny import LLAVA

PROMPT = "USER: <image>\nRate it. ASSISTANT: It is"
WORDS = ("good", "fair", "poor")
FRAMES = torch.randint(0, 256, (1, 2, 3, 1, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def build(seed: int = 0, **changes: Any) -> LmmLevels:
    torch.manual_seed(seed)
    given: dict[str, Any] = {"untrained": LLAVA, "prompt": PROMPT, "words": WORDS, "num_clips": 2, "dtype": "float32"}
    return LmmLevels(**(given | changes)).eval()


def save(folder: Path, seed: int) -> Any:
    """Write an untrained LLaVA to `folder` in transformers' layout and return it."""
    torch.manual_seed(seed)
    network, processor = untrained_llava(LLAVA, [PROMPT, *WORDS])
    network.save_pretrained(folder)  # type: ignore[operator]
    processor.save_pretrained(folder)
    return network.eval()


def own_logits(network: Any, branch: LmmLevels) -> Tensor:
    """Return transformers' own logits of the level words, which are the last words of the vocabulary."""
    images = list(pad_to_square(FRAMES[0, :, :, 0]))
    inputs = branch.processor(images=images, text=[PROMPT] * 2, return_tensors="pt")
    ids = [branch.processor.tokenizer.convert_tokens_to_ids(word) for word in WORDS]
    result: Tensor = network(**inputs).logits[:, -1, ids]
    return result


@torch.no_grad()
def test_logits_of_a_folder_are_those_of_transformers(tmp_path: Path) -> None:
    network = save(tmp_path, seed=1)
    branch = build(base=str(tmp_path), untrained=None, frozen=True)
    torch.testing.assert_close(branch.tokens(FRAMES)[0], own_logits(network, branch), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_checkpoint_in_llavas_own_layout_replaces_the_base(tmp_path: Path) -> None:
    save(tmp_path / "base", seed=1)
    torch.manual_seed(2)
    tuned = untrained_llava(LLAVA, [PROMPT, *WORDS])[0].eval()
    renamed = {
        "model.language_model.": "model.",
        "model.multi_modal_projector.linear_1.": "model.mm_projector.0.",
        "model.multi_modal_projector.linear_2.": "model.mm_projector.2.",
        "model.vision_tower.": "model.vision_tower.vision_tower.vision_model.",
    }
    original = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    for key, tensor in tuned.state_dict().items():
        old = next((key.replace(new, old, 1) for new, old in renamed.items() if key.startswith(new)), key)
        # The authors' vocabulary lacks what transformers added at its end.
        original[old] = tensor[:60] if old in {"model.embed_tokens.weight", "lm_head.weight"} else tensor
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "config.json").write_text("{}", encoding="utf-8")
    torch.save(original, tmp_path / "tuned" / "pytorch_model.bin")
    branch = build(base=str(tmp_path / "base"), tuned=str(tmp_path / "tuned"), untrained=None, frozen=True)
    torch.testing.assert_close(branch.tokens(FRAMES)[0], own_logits(tuned, branch), rtol=1e-4, atol=1e-5)


def test_the_prompt_has_a_place_for_every_image_feature() -> None:
    branch = build()
    inputs = branch.processor(images=list(FRAMES[0, :, :, 0]), text=[PROMPT] * 2, return_tensors="pt")
    assert (inputs.input_ids == branch.processor.tokenizer.convert_tokens_to_ids("<image>")).sum(1).tolist() == [4, 4]


def test_adapters_stand_on_the_text_stack_alone() -> None:
    branch = build(lora=Lora(2, 4), dtype="bfloat16")
    trained = {name: p for name, p in branch.named_parameters() if p.requires_grad}
    assert {name.split(".")[1] for name in trained} == {"language_model", "multi_modal_projector"}
    assert sum("lora_A" in name for name in trained) == 2 * 7
    assert all("lora_" in name for name in trained if "language_model" in name)
    assert {p.dtype for p in trained.values()} == {torch.float32}
    assert {p.dtype for name, p in branch.named_parameters() if name not in trained} == {torch.bfloat16}


def test_untouched_adapters_change_nothing() -> None:
    torch.testing.assert_close(build(lora=Lora(2, 4)).tokens(FRAMES), build(frozen=True).tokens(FRAMES))


def test_a_frame_of_another_shape_is_seen_whole_or_cropped() -> None:
    assert not torch.equal(build(square=True).tokens(FRAMES), build(square=False).tokens(FRAMES))


def test_words_of_several_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="not distinct single tokens"):
        build(words=("very good", "poor"))


def test_sizes_beside_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="states its own sizes"):
        build(base=str(tmp_path))


def test_an_absent_folder_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="llava-nowhere"):
        build(base="llava-nowhere", untrained=None)


def test_a_vocabulary_below_the_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="`vocab_size` is 8, but prompt and words need"):
        build(untrained={**LLAVA, "text_config": {**LLAVA["text_config"], "vocab_size": 8}})


def test_a_prompt_needs_one_image_token() -> None:
    with pytest.raises(ValueError, match=r"`prompt` holds '<image>' 0 times"):
        checked_prompt("no picture", "<image>")
