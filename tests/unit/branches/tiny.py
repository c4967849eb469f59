"""A tiny configuration of every branch: class path -> constructor arguments. A new branch adds a row."""

from __future__ import annotations

from typing import Any

from cvqa_models.branches.views import key_frame_view
from cvqa_models.nn.lmm.lora import Lora
from cvqa_models.nn.lmm.mplug_owl2 import MplugOwl2Config
from cvqa_models.video.frame_rules import Chunks, KeyFrames, UniformClips
from cvqa_models.video.patches import Fragments, NativePatches
from cvqa_models.video.pixel_rules import Crop, Fit, Resize
from cvqa_models.video.spliced import Spliced
from cvqa_models.video.view import View

MPLUG_OWL2 = MplugOwl2Config(
    image_size=28,
    vision_dim=16,
    vision_hidden=24,
    vision_layers=1,
    vision_heads=2,
    num_queries=2,
    abstractor_hidden=24,
    abstractor_layers=1,
    abstractor_heads=2,
    vocabulary=64,
    dim=16,
    hidden=24,
    layers=2,
    heads=2,
)
LLAVA = {
    "text_config": {
        "model_type": "llama",
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": 64,
    },
    "vision_config": {
        "model_type": "clip_vision_model",
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    },
}

UVQ = View(KeyFrames(2), Resize(96, 96, "bicubic"))

TINY: dict[str, dict[str, Any]] = {
    "cvqa_models.branches.clip.Clip": {
        "name": "ViT-B-16",
        "num_clips": 2,
        "dim": 16,
        "vision": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16},
    },
    "cvqa_models.branches.compression.Compression": {
        "view": View(Chunks(2, 5, fps=5), Fit(192, 448, "bicubic")),
        "grid": (2, 2),
        "net_width": 0.05,
        "features": 4,
    },
    "cvqa_models.branches.compression_level.CompressionLevel": {
        "width": 8,
        "view": View(UniformClips(2, 2), NativePatches((1, 2), 32)),
    },
    "cvqa_models.branches.compression_damage.CompressionDamage": {
        "view": View(UniformClips(2, 2), NativePatches((1, 2), 32)),
    },
    "cvqa_models.branches.efficientnet_lite_stats.EfficientNetLiteStats": {
        "view": View(UniformClips(2, 1), NativePatches((1, 2), 32)),
    },
    "cvqa_models.branches.slowfast.SlowFast": {
        "pathway": "both",
        "view": View(Chunks(2, 4), Resize(32, 32)),
        "depth": (1, 1, 1, 1),
        "width": 4,
        "ratio": 2,
    },
    "cvqa_models.branches.swin.Swin": {
        "name": "swin_tiny_patch4_window7_224",
        "view": key_frame_view(2, size=32),
        "args": {"embed_dim": 8, "depths": [1, 2], "num_heads": [1, 2], "window_size": 4},
    },
    "cvqa_models.branches.torchvision_swin.TorchvisionSwin": {
        "view": key_frame_view(2, size=32),
        "width": 8,
        "depths": (1, 1),
        "heads": (1, 2),
    },
    "cvqa_models.branches.timm.Timm": {"name": "test_vit", "view": key_frame_view(2, size=32)},
    "cvqa_models.branches.clip_frames.ClipFrames": {
        "view": View(UniformClips(4, 1, 2), Resize(30, 30)),
        "width": 16,
        "depth": 2,
        "heads": 2,
        "patch": 8,
        "dim": 8,
    },
    "cvqa_models.branches.convnext3d.ConvNeXt3DMap": {
        "view": View(Spliced(UniformClips(3, 2, 2)), Resize(32, 32)),
        "depths": (1, 2),
        "dims": (4, 8),
    },
    "cvqa_models.branches.fastvqa.FastVqa": {
        "view": View(UniformClips(2, 8, 2), Fragments((4, 4), 16)),
        "width": 8,
        "depths": (2, 1),
        "heads": (1, 2),
    },
    "cvqa_models.branches.liqe.Liqe": {"num_clips": 2, "window": 64, "width": 16, "depth": 1, "heads": 2},
    "cvqa_models.branches.swin3d.Swin3DMap": {
        "view": View(Spliced(UniformClips(3, 2, 2)), Fragments((2, 2), 16)),
        "width": 8,
        "depths": (2, 1),
        "heads": (1, 2),
    },
    "cvqa_models.branches.swin_attention.SwinAttention": {
        "name": "swin_tiny_patch4_window7_224",
        "view": key_frame_view(2, size=32),
        "args": {"embed_dim": 8, "depths": [1, 2], "num_heads": [1, 2], "window_size": 4},
        "head_dim": 4,
    },
    "cvqa_models.branches.hvs5m.HvsMotion": {"num_clips": 2, "depth": (1, 1, 1, 1), "width": 8},
    "cvqa_models.branches.hvs5m.HvsSpatial": {"name": "test_convnext", "num_clips": 1},
    "cvqa_models.branches.resnet50_stats.ResNet50Stats": {"name": "test_resnet", "num_clips": 2},
    "cvqa_models.branches.qalign.QAlign": {"config": MPLUG_OWL2, "num_clips": 2, "dtype": "float32"},
    "cvqa_models.branches.qalign.QAlignLevels": {
        "config": MPLUG_OWL2,
        "num_clips": 2,
        "local": (2, 2),
        "lora": Lora(rank=2, alpha=4),
        "dtype": "float32",
    },
    "cvqa_models.branches.lmm_levels.LmmLevels": {
        "untrained": LLAVA,
        "num_clips": 2,
        "lora": Lora(rank=2, alpha=4),
        "dtype": "float32",
    },
    "cvqa_models.branches.piq.Piq": {"measures": ["gmsd", "ssim"], "num_clips": 2},
    "cvqa_models.branches.library_metric.LibraryMetric": {"name": "piq:gmsd", "num_clips": 2},
    "cvqa_models.branches.uvq.UvqContent": {"view": UVQ, "shrink": 4},
    "cvqa_models.branches.uvq.UvqDistortion": {"view": UVQ, "shrink": 4},
    "cvqa_models.branches.ms_ssim.MsSsimFrames": {"num_clips": 2},
    "cvqa_models.branches.swin_similarity.SwinSimilarity": {
        "view": View(KeyFrames(2), Crop(32, short=32), with_reference=True),
        "width": 8,
        "depths": (1, 1),
        "heads": (1, 2),
    },
}
