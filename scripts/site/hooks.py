"""What mkdocs calls while it builds the site: pages from outside docs/, links to the repository, reference pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from repository import linked_from, place_of, with_links_of_the_site

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = ("README.md", "CONTRIBUTING.md")
MORE = "More"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """The site has README and CONTRIBUTING, what pages link to, and the reference, all of them beside docs/."""
    for name, text in reference.pages().items():
        files.append(File.generated(config, name, content=text))
    sources = [*OUTSIDE, *(f"docs/{file.src_uri}" for file in files.documentation_pages() if not file.generated_by)]
    for source in linked_from(ROOT, sources):
        place = place_of(source)
        if files.get_file_from_path(place) is None:
            level = InclusionLevel.INCLUDED if source in OUTSIDE else InclusionLevel.NOT_IN_NAV
            files.append(File.generated(config, place, abs_src_path=str(ROOT / source), inclusion=level))
    _name_the_others(config, files)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as the repository has them become links of the site."""
    source = page.file.abs_src_path
    if source is None:
        return markdown
    name = Path(source).relative_to(ROOT).as_posix()
    if page.file.inclusion.is_not_in_nav():
        page.meta["search"] = {"exclude": True}  # a report's figures would hide what pages say
    return with_links_of_the_site(ROOT, name, markdown)


def _name_the_others(config: MkDocsConfig, files: Files) -> None:
    """Pages that the navigation does not name are put at its end, so that a new page is found."""
    named = set(_leaves(config.nav))
    shown = (file for file in files.documentation_pages() if not file.inclusion.is_not_in_nav())
    others = sorted(file.src_uri for file in shown if file.src_uri not in named)
    if others and config.nav is not None:
        config.nav = [*config.nav, {MORE: others}]


def _leaves(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    inner = nav.values() if isinstance(nav, dict) else nav or ()
    return [leaf for item in inner for leaf in _leaves(item)]
