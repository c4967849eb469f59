"""Files on a model hub, through the hub's own client: it resumes, caches, and supports mirrors and an offline mode."""

from __future__ import annotations

from pathlib import Path


def cached(repo: str, name: str) -> Path | None:
    """Return a file of a repository from the cache, None if it is not there; no connection is opened.

    Args:
        repo: Owner and name, with a slash between them.
        name: File in the repository.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(repo, name)
    except HFValidationError:  # no repository can have this name
        return None
    # The client returns text for a file, and an object for a file that it knows to be missing.
    return Path(found) if isinstance(found, str) else None


def fetch(repo: str, name: str) -> Path:
    """Return a file of a repository, fetched into the cache of the hub's client if it is not there.

    `HF_ENDPOINT` names a mirror, `HF_HOME` another folder for the cache, and `HF_HUB_OFFLINE=1` forbids connections.

    Args:
        repo: Owner and name, with a slash between them.
        name: File in the repository.

    Raises:
        FileNotFoundError: If there is no such file, or the hub cannot be reached.
    """
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError

    try:
        return Path(hf_hub_download(repo, name))
    except HFValidationError as error:
        raise FileNotFoundError(f"'{repo}' is no repository of a hub; expected OWNER/NAME.") from error
    except (EntryNotFoundError, OSError) as error:
        if constants.HF_HUB_OFFLINE:
            raise FileNotFoundError(
                f"'{name}' of {repo} is not in the hub's cache, and HF_HUB_OFFLINE forbids to fetch it; unset it."
            ) from error
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise FileNotFoundError(
            f"'{name}' of {repo} cannot be fetched ({reason}); check the name and the connection, or name a mirror in "
            "HF_ENDPOINT."
        ) from error


def upload(folder: Path, repo: str, *, private: bool, keep: str) -> str:
    """Put the files of a folder into a repository and return its address; a missing repository is made.

    Args:
        folder: What to put there.
        repo: Owner and name, with a slash between them.
        private: Whether only its owner can see a new repository.
        keep: Name of a file that is not overwritten if the repository already has it.

    Raises:
        ValueError: If the hub refuses, or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    client = HfApi()
    try:
        url = str(client.create_repo(repo, private=private, exist_ok=True))
        there = client.file_exists(repo, keep)
        client.upload_folder(repo_id=repo, folder_path=folder, ignore_patterns=[keep] if there else None)
    except (HFValidationError, OSError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(
            f"Nothing was put into {repo} ({reason}); log in with `hf auth login`, and check name and connection."
        ) from error
    return url
