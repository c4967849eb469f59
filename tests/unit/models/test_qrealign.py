"""Q-ReAlign: its authors' prompt and level logits, by transformers' own means, on a small untrained Qwen3.5-VL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import Qwen3_5Tokenizer

from cvqa_models.branches.lmm_levels import LmmLevels, asked
from cvqa_models.models.qrealign import QReAlign
from cvqa_models.nn.lmm.qwen import END, IMAGE, START, VIDEO, untrained_qwen

ROOT = Path(__file__).resolve().parents[3]
LMM = yaml.safe_load((ROOT / "configs/tiny/qrealign.yaml").read_text())["model"]["init_args"]["lmm"]["init_args"]
FULL = yaml.safe_load((ROOT / "configs/model/qrealign.yaml").read_text())["model"]["init_args"]["lmm"]["init_args"]
LEVELS, WEIGHTS = ["excellent", "good", "fair", "poor", "bad"], torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0])
QUESTION, STEM = "How would you rate the quality of this image?", "The quality of the image is"
# Qwen3.5's own conversation for a model that does not think aloud, in its essentials.
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}{% if c.type == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n\n</think>\n\n{% endif %}"
)
FRAMES = torch.randint(0, 256, (1, 2, 3, 1, 96, 160), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def tokenizer(size: int) -> Qwen3_5Tokenizer:
    """Return Qwen's own tokenizer with pieces of bytes learned from the words of the conversation."""
    learned = Tokenizer(BPE())
    learned.pre_tokenizer = ByteLevel(add_prefix_space=False)
    texts = [QUESTION, STEM, *(f"{STEM} {word}" for word in LEVELS)] * 50
    learned.train_from_iterator(texts, BpeTrainer(vocab_size=size, initial_alphabet=ByteLevel.alphabet()))
    pieces = json.loads(learned.to_str())["model"]
    words = Qwen3_5Tokenizer(pieces["vocab"], [tuple(pair) for pair in pieces["merges"]])
    words.add_special_tokens({"additional_special_tokens": [IMAGE, VIDEO, START, END, "<|im_start|>", "<|im_end|>"]})
    return words


def save(folder: Path) -> tuple[Any, Any]:
    """Write an untrained network to `folder` as transformers does, with Qwen's tokenizer and conversation."""
    torch.manual_seed(1)
    words = tokenizer(400)
    sizes = LMM["untrained"] | {"text_config": LMM["untrained"]["text_config"] | {"vocab_size": len(words)}}
    network, small = untrained_qwen(sizes, [])
    network.config.image_token_id = words.convert_tokens_to_ids(IMAGE)
    processor = type(small)(small.image_processor, words, small.video_processor, chat_template=TEMPLATE)
    network.save_pretrained(folder)  # type: ignore[operator]
    processor.save_pretrained(folder)
    return network.eval(), processor


def branch(folder: Path) -> LmmLevels:
    given = FULL | {"base": str(folder), "num_clips": 2, "dtype": "float32"}
    return LmmLevels(**{key: value for key, value in given.items() if key != "lora"}).eval()


def quick_start(network: Any, processor: Any, picture: Image.Image) -> tuple[str, torch.Tensor, torch.Tensor]:
    """Return text, level logits and score of a picture, step by step as the README of Q-ReAlign has it."""
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}]
    text = processor.apply_chat_template(messages, add_generation_prompt=True) + STEM
    inputs = processor(text=[text], images=[picture], return_tensors="pt")
    ids = [processor.tokenizer(" " + word, add_special_tokens=False).input_ids[0] for word in LEVELS]
    logits = network(**inputs).logits[0, -1, ids]
    return text, logits, (logits.softmax(-1) * WEIGHTS).sum()


@torch.no_grad()
def test_prompt_logits_and_scores_are_those_of_the_quick_start(tmp_path: Path) -> None:
    network, processor = save(tmp_path)
    model = QReAlign(branch(tmp_path)).eval()
    lmm = model.branches["lmm"]
    tokens = lmm.tokens(FRAMES)
    frames = model.maps({"lmm": tokens})["lmm"][0]
    for number, frame in enumerate(FRAMES[0, :, :, 0]):
        text, logits, score = quick_start(network, processor, Image.fromarray(frame.permute(1, 2, 0).numpy()))
        assert lmm.prompt == text
        torch.testing.assert_close(tokens[0, number], logits, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(frames[number], score, rtol=1e-4, atol=1e-5)
    assert tokens[0, 0].std() > 1e-3
    torch.testing.assert_close(model.score({"lmm": tokens}), frames.mean()[None])


def test_the_shipped_words_are_the_quick_starts() -> None:
    assert (FULL["question"], FULL["prompt"], FULL["words"]) == (QUESTION, STEM, LEVELS)


def test_a_picture_takes_as_many_tokens_as_its_size_asks_for(tmp_path: Path) -> None:
    save(tmp_path)
    lmm = branch(tmp_path)
    inputs = lmm.processor(images=list(FRAMES[0, :, :, 0]), text=[lmm.prompt] * 2, return_tensors="pt")
    side = 2 * LMM["untrained"]["vision_config"]["patch_size"]  # of a token: 2 x 2 patches
    count = (inputs.input_ids == lmm.processor.image_token_id).sum(1)
    assert count.tolist() == [round(96 / side) * round(160 / side)] * 2


def test_a_question_needs_a_conversation() -> None:
    with pytest.raises(ValueError, match="has no chat template; put the whole conversation into `prompt`"):
        asked(object(), QUESTION)


def test_a_vocabulary_below_the_prompt_is_refused() -> None:
    small = LMM["untrained"] | {"text_config": LMM["untrained"]["text_config"] | {"vocab_size": 8}}
    with pytest.raises(ValueError, match="`vocab_size` is 8, but prompt and words need"):
        LmmLevels(**(LMM | {"untrained": small, "lora": None}))
