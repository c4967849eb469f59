"""Low-rank adapters next to frozen weights; only the adapters are then trained."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from cvqa_models.extras import check_installed


@dataclass(frozen=True)
class Lora:
    """Size of the adapters (Hu et al., ICLR 2022); the defaults are the recipe of Q-Align and LLaVA-1.5.

    Attributes:
        rank: Inner width of an adapter.
        alpha: Scale: the output of an adapter is multiplied by alpha / rank.
        dropout: Dropout of an adapter's input, in [0, 1).
    """

    rank: int = 128
    alpha: int = 256
    dropout: float = 0.05


def adapt(network: nn.Module, lora: Lora, targets: str) -> None:
    """Freeze `network` in place and add a trained adapter to every linear layer that `targets` names.

    Args:
        network: Any module.
        lora: Size of the adapters.
        targets: Regular expression for the full names of the layers; it must not match layers of vision towers.
    """
    check_installed("peft", what="An adapter")
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets)
    inject_adapter_in_model(config, network)


def trained_in_float32(network: nn.Module) -> None:
    """Convert trained parameters to float32 in place: an update of 2e-5 would be lost in bfloat16."""
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
