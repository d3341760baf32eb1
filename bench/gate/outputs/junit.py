"""A gate's verdicts as JUnit XML: one test case a verdict."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.gate.outputs import Samples, words
from attnlab.bench.gate.records import GateReport, GateRow, GroupRow, Standing
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
    rows: list[GateRow | GroupRow] = [*report.groups, *words.ordered(report)]
    for found in rows:
        suite.append(_case(found, report))
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


def _case(found: GateRow | GroupRow, report: GateReport) -> ET.Element:
    if isinstance(found, GroupRow):
        case = ET.Element("testcase", classname=found.name, name="all cases (geometric mean)", time="0")
    else:
        seconds = units.ns_to_seconds(found.head_ns) if found.head_ns else 0.0
        case = ET.Element(
            "testcase",
            classname=f"{found.operator}.{found.implementation}",
            name=found.case_id,
            time=f"{seconds:.9f}",
        )
    told = [words.verdict(found), words.change(found.first)]
    if isinstance(found, GateRow):
        told.append(words.explanation(found))
    message = _clean("; ".join(filter(None, told)))
    kind = _kind(found, report)
    if kind is None:
        ET.SubElement(case, "system-out").text = message
    else:
        ET.SubElement(case, kind, message=message)
    return case


def _kind(found: GateRow | GroupRow, report: GateReport) -> str | None:
    if found.verdict is Verdict.SLOWER:
        return "failure"
    if isinstance(found, GateRow) and found.closed:
        return "error"
    if found.verdict is Verdict.INCONCLUSIVE and report.strict:
        return "failure"
    skipped = isinstance(found, GateRow) and found.standing is not Standing.COMPARED
    return "skipped" if skipped else None


def _clean(text: str) -> str:
    return NOT_XML.sub("?", text)


OUTPUT = JUnit()
