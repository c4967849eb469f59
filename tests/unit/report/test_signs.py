"""Groups in which scores run against people are named, but never by the thousand."""

from __future__ import annotations

import re

import numpy as np

from cvqa_models.metrics.group_score import Thresholds, fisher_z, group_scores, group_table, pooled
from cvqa_models.report.signs import MOST, sign_notes


def test_of_many_groups_the_lowest_are_listed() -> None:
    groups, videos = MOST + 60, 20
    rng = np.random.default_rng(0)
    mos = rng.normal(size=(groups, videos))
    scores = rng.normal(size=(groups, videos)) - 0.3 * mos
    names = [f"g{number:03d}" for number in range(groups) for _ in range(videos)]
    table = group_table(names, mos.ravel(), scores.reshape(-1, 1))
    z, weight = fisher_z(table, Thresholds(), "zero")
    (score,) = group_scores(table, pooled(z, weight), weight)
    listed = re.findall(r"(g\d+) \(([+-][\d.]+)\)", sign_notes("model", score)[-1])
    lowest = sorted(min(row.srocc, row.plcc, row.krocc) for row in score.groups if row.group in score.against)
    assert len(listed) == MOST
    assert [float(value) for _, value in listed] == [round(value, 2) + 0.0 for value in lowest[:MOST]]
    assert sign_notes("model", score)[-1].endswith(f" and {len(score.against) - MOST} others")
