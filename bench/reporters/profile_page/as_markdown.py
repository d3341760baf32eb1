"""The page of a profile as Markdown: findings and the short tables; the long ones are on the other page."""

from __future__ import annotations

from collections.abc import Iterator

from attnlab.bench.reporters.markdown import text
from attnlab.bench.reporters.profile_page.model import CaseSection, PageTable, Profiled, ProfilePage


def render(page: ProfilePage) -> str:
    """The whole text."""
    return "\n".join(_lines(page)) + "\n"


def _lines(page: ProfilePage) -> Iterator[str]:
    yield f"# {text(page.title)}"
    yield ""
    yield text(page.subtitle)
    for section in page.sections:
        yield from _section(section)
    yield ""
    yield f"Again: `{page.command}`"


def _section(section: CaseSection) -> Iterator[str]:
    yield ""
    yield f"## {text(section.case)}"
    for told in section.differences:
        yield ""
        yield f"**{text(told)}**"
    yield ""
    yield from _table(section.glance)
    for one in section.tables:
        yield ""
        yield f"### {text(one.title)}"
        yield ""
        yield from _table(one)
    for profiled in section.profiled:
        yield from _profiled(profiled)


def _profiled(one: Profiled) -> Iterator[str]:
    yield ""
    yield f"### {text(one.name)}"
    yield ""
    if one.wrong:
        yield f"> **WRONG RESULT**, profiled all the same: {text(one.wrong)}"
    else:
        yield text(one.outcome)
    for flag in one.flags:
        yield ""
        yield f"> {text(flag)}"
    yield ""
    for finding in one.findings:
        tried = f" **Try:** {text(finding.try_)}" if finding.try_ else ""
        yield f"- *{text(finding.about)}*: {text(finding.says)} {text(finding.evidence)}.{tried}"
    for tool in one.tools:
        for file in tool.files:
            yield f"- [{file.path}]({file.path}): {text(file.what)}"
    for name, why in one.refused:
        yield f"- {text(name)} found nothing: {text(why)}"


def _table(table: PageTable) -> Iterator[str]:
    yield f"| {' | '.join(text(head) for head in table.columns)} |"
    yield f"|{'---|' * len(table.columns)}"
    for row in table.rows:
        yield f"| {' | '.join(text(cell) for cell in row)} |"
