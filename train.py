"""Train, validate, test or predict: `python train.py fit|validate|test|predict --config ...`; see README.md."""

from cvqa_models.cli import main

if __name__ == "__main__":
    main()
