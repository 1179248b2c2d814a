"""A page of text, tables, pictures and sound, as one HTML file that needs nothing from the network."""

from __future__ import annotations

import dataclasses
import html
import json
import re
from collections.abc import Sequence
from typing import Any

from data_pipeline import storage


@dataclasses.dataclass(frozen=True)
class Page:
  """What the page shows: headings with text, tables and pictures, in order."""

  title: str
  parts: list[str]

  def heading(self, text: str) -> None:
    self.parts.append(f'<h2>{html.escape(text)}</h2>')

  def text(self, text: str) -> None:
    self.parts.append(f'<p>{html.escape(text)}</p>')

  def picture(self, name: str, caption: str) -> None:
    caption = html.escape(caption)
    self.parts.append(f'<figure><img src="{html.escape(name)}" alt="{caption}"><figcaption>{caption}</figcaption></figure>')

  def bullets(self, lines: Sequence[str]) -> None:
    self.parts.append('<ul>' + ''.join(f'<li>{html.escape(line)}</li>' for line in lines) + '</ul>')

  def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    cells = lambda tag, row: ''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in row)  # noqa: E731
    body = ''.join(f'<tr>{cells("td", row)}</tr>' for row in rows)
    self.parts.append(f'<div class="wide"><table><thead><tr>{cells("th", header)}</tr></thead><tbody>{body}</tbody></table></div>')

  def render(self) -> str:
    style = (
      'body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}'
      'img{max-width:100%;background:#fff}figure{margin:1rem 0}figcaption{opacity:.75;font-size:.9em}'
      '.wide{overflow-x:auto}table{border-collapse:collapse}td,th{padding:.25rem .75rem;text-align:left;border-bottom:1px solid #8884}'
      'td{white-space:nowrap}td:first-child{white-space:normal;min-width:14rem}th{vertical-align:bottom}.wide{font-size:.92em}'
    )
    return (
      '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
      f'<title>{html.escape(self.title)}</title><style>{style}</style><h1>{html.escape(self.title)}</h1>'
      + '\n'.join(self.parts)
      + '</html>\n'
    )


def write_json(path: str, values: Any) -> None:
  """Writes plain values, a list of numbers on one line: maps of a plane stay readable and small."""
  text = json.dumps(values, indent=1)
  text = re.sub(r'\[\s+([^][{}"]*?)\s+\]', lambda found: '[' + re.sub(r'\s*\n\s*', ' ', found.group(1)) + ']', text)
  storage.write_text(path, text + '\n')
