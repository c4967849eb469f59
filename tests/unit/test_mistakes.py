"""One sentence out of what parsers and the system say."""

from __future__ import annotations

import errno

from cvqa_models.mistakes import innermost, sentence

NESTED = """Parser key "model":
  Does not validate against any of the Union subtypes
  Subtypes: [<class 'QualityModule'>, <class 'NoneType'>]
  Errors:
    - Problem with given class_path 'models.MultiBranch':
        Parser key "branches":
          Problem with given class_path 'branches.SlowFast':
            Option 'pathwya' is not accepted
    - Expected a <class 'NoneType'>
  Given value type: <class 'dict'>
  Given value: {'class_path': 'models.MultiBranch'}"""


def test_the_innermost_reason_keeps_the_class_that_it_concerns() -> None:
    assert innermost(NESTED) == "class_path 'branches.SlowFast': Option 'pathwya' is not accepted"
    assert innermost("unrecognized arguments: --x") == "unrecognized arguments: --x"
    assert innermost("Parser key \"a\":\n  Expected a <class 'int'>") == "Parser key `a`: Expected a <class 'int'>"


def test_what_the_system_says_of_a_file_names_the_file_and_the_remedy() -> None:
    said = sentence(OSError(errno.ENOSPC, "No space left on device", "runs/x.csv"))
    assert said.startswith("'runs/x.csv' cannot be read or written (No space left on device); free space")
    assert sentence(OSError(errno.ENOSPC, "No space left on device")).startswith("a file cannot be")


def test_a_long_message_becomes_one_line() -> None:
    assert sentence(ValueError("one\n  two")) == "one two"
