"""Train, validate, test or predict: `python train.py fit|validate|test|predict --config ...`; see README.md."""

from cvqa_models import ending


def train() -> None:
    """Run the command line; it is imported here, so that a signal during these seconds ends in one line too."""
    from cvqa_models.training import cli

    cli.train()


if __name__ == "__main__":
    ending.run("train.py", train)
