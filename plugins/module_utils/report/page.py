# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``index.html`` of a run: static, self-contained, everything that comes from a host escaped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from . import svg
from .files import HOST_FILES
from .result import state_of
from .table import HEAD, row_of

#: Nothing is loaded from anywhere, and no script runs, whatever a host may have put into its names.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em;color:#222}
table{border-collapse:collapse;width:100%}td,th{border:1px solid #ccc;padding:.3em .6em;text-align:left}
th{background:#f3f3f3}svg{max-width:100%;height:auto;display:block;margin:.4em 0}svg text{font-size:11px}
.converted,.rehearsed,.planned,.updated,.rolled_back{background:#dff2e1}.returned,.fell_back{background:#fdf1cf}
.failed,.refused{background:#f8d7d7}.unknown{background:#eee}
section{border-top:2px solid #ccc;margin-top:2em}dt{font-weight:600}code{background:#f3f3f3;padding:0 .2em}
.refuse{border-left:4px solid #c0392b}.warn{border-left:4px solid #d68910}.info{border-left:4px solid #7f8c8d}
.finding{padding-left:.8em;margin:.6em 0}
"""


def page(run_id: str, hosts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page; ``hosts`` is what ``files.read_run`` returned."""
    body = [
        f"<h1>Run {escape(run_id)}</h1>",
        f"<p>{escape(_summary(hosts))}</p>",
        _table(hosts),
        *(_host(host, documents) for host, documents in hosts.items()),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>dualroot.migrate {escape(run_id)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _summary(hosts: Mapping[str, Mapping[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for documents in hosts.values():
        state = state_of(documents)
        counts[state] = counts.get(state, 0) + 1
    return f"{len(hosts)} host(s): " + ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


def _table(hosts: Mapping[str, Mapping[str, Any]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in HEAD)
    rows = []
    for host, documents in hosts.items():
        cells = row_of(host, documents)
        link = f'<td><a href="#{escape(host)}">{escape(host)}</a></td>'
        rest = "".join(f"<td>{escape(cell)}</td>" for cell in cells[1:])
        rows.append(f'<tr class="{escape(state_of(documents))}">{link}{rest}</tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _host(host: str, documents: Mapping[str, Any]) -> str:
    return f'<section id="{escape(host)}"><h2>{escape(host)}</h2>{"".join(_parts(host, documents))}</section>'


def _parts(host: str, documents: Mapping[str, Any]) -> Iterator[str]:
    preflight, result = documents.get("preflight") or {}, documents.get("result") or {}
    fault = result.get("fault") or documents.get("fault")
    if fault:
        yield f"<h3>Fault</h3>{_finding({**fault, 'severity': 'refuse'})}"
    if result.get("phases"):
        yield f"<h3>Time line</h3>{svg.time_line(result['phases'])}"
    picture = preflight.get("picture") or {}
    for title in ("before", "after"):
        if picture.get(title):
            yield f"<h3>Disk {title}</h3>{svg.disk(picture[title])}"
    if preflight.get("findings"):
        yield "<h3>Findings</h3>" + "".join(_finding(finding) for finding in preflight["findings"])
    links = (f'<a href="{escape(host)}/{name}.json">{name}.json</a>' for name in HOST_FILES if name in documents)
    yield f"<p>Evidence: {', '.join(links)}</p>"


def _finding(finding: Mapping[str, Any]) -> str:
    severity = str(finding.get("severity"))
    kind = severity if severity in ("refuse", "warn", "info") else "info"
    return (
        f'<div class="finding {kind}"><code>{escape(str(finding.get("id")))}</code> '
        f"{escape(str(finding.get('what')))}<br>{escape(str(finding.get('why')))}<br>"
        f"<em>{escape(str(finding.get('how')))}</em></div>"
    )
