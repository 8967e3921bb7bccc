"""What MkDocs calls while it builds: pages that the book, the rules and the doors make join those in this folder."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

from stepwell.pages import matrix, site


def on_config(config: Any) -> Any:
    docs = Path(config.docs_dir)
    guides = sorted(path.name for path in docs.glob("*.md") if path.stem != "index")
    home, *generated = site.nav()
    config.nav = [home, {"Guides": guides}, *generated, *matrix.contents(docs)]
    return config


def on_files(files: Any, config: Any) -> Any:
    for place, content in site.pages().items():
        files.append(File.generated(config, place, content=content))
    page = matrix.page(Path(config.docs_dir) / "doors" / "matrix")
    files.append(File.generated(config, "doors/matrix.md", content=page))
    return files
