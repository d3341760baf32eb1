"""The page of a profile, as HTML and as Markdown: what is on it is worked out once, in `model`."""

from __future__ import annotations

from pathlib import Path

from attnlab.bench.profilers.profiles import Profile
from attnlab.bench.reporters.profile_page import as_html, as_markdown
from attnlab.bench.reporters.profile_page.model import ProfilePage

PAGE, SUMMARY = "index.html", "summary.md"


def write_pages(profile: Profile, folder: Path) -> list[Path]:
    """Both into the folder; links to raw files are relative to it. Raises OSError where it cannot be written."""
    page = ProfilePage.of(profile)
    paths = [folder / PAGE, folder / SUMMARY]
    paths[0].write_text(as_html.render(page), encoding="utf-8")
    paths[1].write_text(as_markdown.render(page), encoding="utf-8")
    return paths
