from __future__ import annotations

import pytest

from cvqa_models.metrics.direction import is_lower_better, is_measure


@pytest.mark.parametrize("name", ["FR LPIPS VGG", "ms_gmsd", "A-DISTS", "NR Y-NIQE", "il-niqe", "YUV-MSE", "pieapp"])
def test_distances_are_known_by_a_word_of_their_name(name: str) -> None:
    assert is_lower_better(name)


@pytest.mark.parametrize("name", ["FR Y-VMAF NEG", "MS-SSIM", "PSNR", "bitrate_kbps", "madness", "FR FOV VIDEO", ""])
def test_a_part_of_a_word_is_no_name(name: str) -> None:
    assert not is_lower_better(name)


@pytest.mark.parametrize("name", ["vmaf_neg", "FR YUV-PSNR", "ms_ssim", "cvqa-nr", "compression_level", "LPIPS"])
def test_measures_are_known_by_a_word_of_their_name(name: str) -> None:
    assert is_measure(name)


@pytest.mark.parametrize("name", ["quality", "quality_level", "gop", "crf", "speed", "bpp", "underscore", ""])
def test_settings_are_no_measures(name: str) -> None:
    assert not is_measure(name)
