"""Hook of mkdocs: pages that lie beside `docs/` join the site, and every link goes by the place of its file.

So a page is read alike in the repository, where its links are paths, and on the site.
"""

from __future__ import annotations

import os.path
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = (
    "CHANGELOG.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "checkpoints").glob("*.md"))),
)
LINK = re.compile(r"\[(?P<text>[^\]\n]*)\]\((?P<path>[^)#:\s]+)(?P<anchor>#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside under their own path."""
    for path in OUTSIDE:
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files into links between pages; what is no page is shown without a link."""
    docs = Path(config.docs_dir)
    pages = {(ROOT / f.src_uri if f.src_uri in OUTSIDE else docs / f.src_uri): f.src_uri for f in files}
    folder = Path(page.file.abs_src_path or docs).parent
    here = os.path.dirname(page.file.src_uri)  # noqa: PTH120 - a path of the site

    def moved(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / link["path"]))
        if target == ROOT / "README.md":
            target = docs / "index.md"
        if target in pages:
            return f"[{link['text']}]({os.path.relpath(pages[target], here or '.')}{link['anchor'] or ''})"
        # A page that is not there is left for mkdocs to name; a folder or a program is no page of the site.
        return link["text"] if target.exists() else link[0]

    return LINK.sub(moved, markdown)
