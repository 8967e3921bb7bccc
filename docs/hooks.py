"""What MkDocs calls while it builds: the pages that the book and the rules make are added to those in this folder."""

from typing import Any

from mkdocs.structure.files import File

from stepwell.pages import site


def on_config(config: Any) -> Any:
    config.nav = site.nav()
    return config


def on_files(files: Any, config: Any) -> Any:
    for place, content in site.pages().items():
        files.append(File.generated(config, place, content=content))
    return files
