"""How many votes adaptive questions save: simulated viewers, rank error over the number of votes, 20 seeds.

python benchmarks/adaptive_votes.py [--seeds 20]

Sets of 18 videos have scores drawn from a normal distribution of 2 logits, and viewers answer by Davidson's model with
ties. The fixed tests are those of `cvqa votes questions`: the ring with a share of all pairs, each asked as often as
the number of votes allows. The rank error is the share of pairs that the fitted scores order wrongly. Printed is the
error of each test at equal numbers of votes, and with how many fewer the adaptive test reaches that of the fixed one.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from cvqa_models.corpus.labels.adaptive import next_questions
from cvqa_models.corpus.labels.bradley_terry import fit_table
from cvqa_models.corpus.labels.votes import pair_list, simulate_votes

VIDEOS, SPREAD = 18, 2.0
SHARES = (0.0, 0.1, 0.3, 1.0)
BATCHES = 54
MARKS = (153, 306, 459, 612, 918)  # votes: one to six for each of the 153 pairs


def truth_of(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    names = [f"v{number:02d}" for number in range(VIDEOS)]
    return pd.DataFrame({"video_id": names, "group": "g", "truth": rng.normal(0, SPREAD, VIDEOS)})


def rank_error(videos: pd.DataFrame, votes: pd.DataFrame) -> float:
    """Return the share of pairs in wrong order; a pair of equal scores is half wrong, and so is one without a score."""
    fitted = fit_table(votes)[0].set_index("video_id")["score"].reindex(videos["video_id"]).to_numpy()
    order = np.sign(np.subtract.outer(fitted, fitted)) * np.sign(np.subtract.outer(*[videos["truth"].to_numpy()] * 2))
    pairs = np.nan_to_num(order[np.triu_indices(VIDEOS, 1)])
    return float(((1 - pairs) / 2).mean())


def fixed(videos: pd.DataFrame, share: float, seed: int) -> dict[int, float]:
    asked = pair_list(videos, share=share, seed=seed)
    answers = simulate_votes(videos, asked, votes_per_pair=-(-max(MARKS) // len(asked)), seed=seed)
    return {mark: rank_error(videos, answers[:mark]) for mark in MARKS}


def adaptive(videos: pd.DataFrame, seed: int) -> dict[int, float]:
    ring = pair_list(videos, share=0.0, seed=seed)
    votes = simulate_votes(videos, ring, votes_per_pair=1, seed=seed)
    found = {len(votes): rank_error(videos, votes)}
    for batch in range(1, BATCHES):
        asked = next_questions(videos, votes, seed=1000 * seed + batch)
        votes = pd.concat([votes, simulate_votes(videos, asked, votes_per_pair=1, seed=1000 * seed + batch)])
        found[len(votes)] = rank_error(videos, votes)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    seeds = range(parser.parse_args().seeds)
    ours = pd.DataFrame([adaptive(truth_of(seed), seed) for seed in seeds]).mean()
    tests = {share: pd.DataFrame([fixed(truth_of(seed), share, seed) for seed in seeds]).mean() for share in SHARES}
    print(f"{'votes':>6} {'test':>10} {'rank error':>10} {'adaptive':>10} {'fewer votes':>12}")
    falling = np.minimum.accumulate(ours.to_numpy())
    for mark in MARKS:
        own = float(np.interp(mark, ours.index, ours))
        for share, test in tests.items():
            needed = float(np.interp(-test[mark], -falling, ours.index))
            print(f"{mark:6d} {f'share {share:g}':>10} {test[mark]:10.4f} {own:10.4f} {1 - needed / mark:12.0%}")


if __name__ == "__main__":
    main()
