"""A gate's verdicts as JUnit XML: one test case a verdict."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.gate.outputs import Samples, words
from attnlab.bench.gate.report import GateReport
from attnlab.bench.gate.rows import GateRow, GroupRow, QuantityRow, Standing, VerdictRow
from attnlab.bench.stats.verdict import Verdict

NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class JUnit:
    """slower is a failure, what closes the gate an error, what was not compared is skipped."""

    name: str = "junit"

    def files(self, report: GateReport, samples: Mapping[str, Samples]) -> dict[str, str]:
        return {"junit.xml": render(report)}


def render(report: GateReport) -> str:
    """The document as text."""
    suite = ET.Element("testsuite", name=f"attnlab gate {report.suite}", timestamp=report.started)
    suite.extend([_group_case(group, report) for group in report.groups])
    for row in words.ordered(report):
        suite.append(_benchmark_case(row, report))
        suite.extend([_quantity_case(row, found, report) for found in row.quantities if found.gated or found.told])
    count = {kind: len(suite.findall(f"testcase/{kind}")) for kind in ("failure", "error", "skipped")}
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(count["failure"]))
    suite.set("errors", str(count["error"]))
    suite.set("skipped", str(count["skipped"]))
    suite.set("time", f"{report.seconds:.3f}")
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _group_case(group: GroupRow, report: GateReport) -> ET.Element:
    case = ET.Element("testcase", classname=group.name, name="all cases (geometric mean)", time="0")
    return _with_verdict(case, group, (words.verdict(group), words.change(group.first)), report)


def _benchmark_case(row: GateRow, report: GateReport) -> ET.Element:
    seconds = units.ns_to_seconds(row.head_ns) if row.head_ns else 0.0
    case = ET.Element("testcase", classname=_class(row), name=row.case_id or row.group, time=f"{seconds:.9f}")
    return _with_verdict(case, row, (words.verdict(row), words.change(row.first), words.explanation(row)), report)


def _quantity_case(row: GateRow, found: QuantityRow, report: GateReport) -> ET.Element:
    case = ET.Element("testcase", classname=_class(row), name=f"{row.case_id} {found.label}".lstrip(), time="0")
    return _with_verdict(case, found, (words.quantity(found),), report)


def _class(row: GateRow) -> str:
    return row.group.replace("/", ".")


def _with_verdict(
    case: ET.Element, found: VerdictRow | GroupRow, told: Sequence[str], report: GateReport
) -> ET.Element:
    message = xml_text("; ".join(filter(None, told)))
    kind = _kind(found, report)
    if kind is None:
        ET.SubElement(case, "system-out").text = message
    else:
        ET.SubElement(case, kind, message=message)
    return case


def _kind(found: VerdictRow | GroupRow, report: GateReport) -> str | None:
    if found.verdict is Verdict.SLOWER:
        return "failure"
    if not isinstance(found, GroupRow) and found.closed:
        return "error"
    if found.verdict is Verdict.INCONCLUSIVE and report.strict:
        return "failure"
    skipped = not isinstance(found, GroupRow) and found.standing is not Standing.COMPARED
    return "skipped" if skipped else None


def xml_text(text: str) -> str:
    """Without what XML cannot hold."""
    return NOT_XML.sub("?", text)


OUTPUT = JUnit()
