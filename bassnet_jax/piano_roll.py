"""Draws a generated bass line over the constant-Q picture of its mix, in rows of time, as a PNG picture."""

from __future__ import annotations

import io
import math

import numpy as np

from data_pipeline import features
from data_pipeline.notes import Notes

ROW_SECONDS = 20.0
LONGEST = 120.0
"""Seconds that are drawn unless told otherwise; a picture of a whole symphony can't be read."""

_NAMES = ('C', 'C♯', 'D', 'E♭', 'E', 'F', 'F♯', 'G', 'A♭', 'A', 'B♭', 'B')
_BACKGROUND = '#0e1116'
_TEXT = '#c9d1d9'
_FAINT = '#8b949e'
_MIX_COLOURS = ('#0e1116', '#131c29', '#1b3147', '#285271', '#3f7f9c')
_NOTE_COLOURS = ('#b4531f', '#ef8a34', '#ffd08a')
_HALF = 0.62  # semitones from the middle of a drawn note to its edge; one line at a time, so nothing is hidden
_CONTEXT = 16  # semitones of the mix above the highest bass note: enough to see the chords it goes with


def pitch_name(pitch: int) -> str:
  """'E1' of 28; middle C is C4."""
  return f'{_NAMES[pitch % 12]}{pitch // 12 - 1}'


def clock(seconds: float) -> str:
  """'3:05' of 185 seconds; '1:02:07' from an hour on."""
  whole = int(seconds)
  hours, minutes = whole // 3600, whole // 60 % 60
  return f'{hours}:{minutes:02d}:{whole % 60:02d}' if hours else f'{minutes}:{whole % 60:02d}'


def frames_drawn(span: tuple[float, float], longest: float = LONGEST) -> int:
  """How many frames from the beginning of a song `draw` looks at."""
  return math.ceil((max(span[0], 0.0) + longest) * features.FRAME_RATE) + 2


def draw(
  notes: Notes,
  mix: np.ndarray,
  *,
  beats: np.ndarray | None = None,
  title: str = 'Bass',
  longest: float = LONGEST,
  span: tuple[float, float] = (0.0, math.inf),
) -> bytes:
  """The picture, as the content of a PNG file.

  Args:
    notes: the bass line.
    mix: [frames, 192] log-compressed magnitudes, 80 frames a second.
    beats: [beats] seconds, drawn as thin lines; none where there are none, or None.
    title: what stands above the picture.
    longest: seconds that are drawn, at most.
    span: (start, end) seconds of the part of the song that is drawn.
  """
  # The object-oriented interface: pyplot keeps global state, which threads (a studio) mustn't share.
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.colors import LinearSegmentedColormap
  from matplotlib.figure import Figure

  beats = None if beats is None or not len(beats) else beats
  song = max(len(mix) - 1, 1) / features.FRAME_RATE  # the last frame is centred on the end
  begin = max(min(span[0], song), 0.0)
  end = min(span[1], begin + longest, song)
  rows = max(int(np.ceil((end - begin) / ROW_SECONDS - 1e-6)), 1)
  width = ROW_SECONDS if rows > 1 else max(end - begin, 1.0)
  shown = notes.where((notes.onset < end) & (notes.offset > begin))
  lowest, highest = _pitch_range(shown)
  mix_colours = LinearSegmentedColormap.from_list('mix', _MIX_COLOURS)
  note_colours = LinearSegmentedColormap.from_list('notes', _NOTE_COLOURS)
  brightest = _brightest(mix[int(begin * features.FRAME_RATE) : int(end * features.FRAME_RATE) + 1])

  height = 0.7 + rows * 2.9 + 0.35
  figure = Figure(figsize=(15, height), facecolor=_BACKGROUND)
  canvas = FigureCanvasAgg(figure)
  plots = figure.subplots(rows, 1, squeeze=False)[:, 0]
  figure.subplots_adjust(left=0.052, right=0.985, top=1 - 0.68 / height, bottom=0.62 / height, hspace=0.26)
  for row, plot in enumerate(plots):
    start = begin + row * width
    _draw_mix(plot, mix, start, min(start + width, end), lowest, highest, brightest, mix_colours)
    _draw_grid(plot, start, start + width, lowest, highest, beats)
    _draw_notes(plot, shown, start, start + width, note_colours)
    _draw_axes(plot, start, start + width, lowest, highest)
  plots[-1].set_xlabel('time (minutes:seconds)', color=_FAINT, fontsize=10)
  count = f'{len(notes):,} note{"" if len(notes) == 1 else "s"}'
  figure.text(0.052, 1 - 0.28 / height, title, color='#f0f6fc', fontsize=14, fontweight='bold', va='center')
  legend = f'{count}  ·  {_part(begin, end, song)}  ·  orange: the bass, brighter = louder  ·  blue: the mix' + (
    '  ·  lines: beats' if beats is not None else ''
  )
  figure.text(0.985, 1 - 0.28 / height, legend, color=_FAINT, fontsize=10, va='center', ha='right')

  content = io.BytesIO()
  # Level 4 of 9 takes half the time of the usual 6, and a sixth more space.
  canvas.print_figure(content, format='png', dpi=100, facecolor=_BACKGROUND, pil_kwargs={'compress_level': 4})
  return content.getvalue()


def _part(begin: float, end: float, song: float) -> str:
  """Which part of the song is drawn, in words."""
  if begin > 0:
    return f'{clock(begin)} to {clock(end)} of {clock(song)}'
  return f'first {clock(end)} of {clock(song)}' if end < song else clock(song)


def _pitch_range(notes: Notes) -> tuple[int, int]:
  """MIDI pitches of the lower and upper edge: the bass line with room, and the mix above it."""
  lowest = int(notes.pitch.min(initial=28))
  highest = max(int(notes.pitch.max(initial=40)) + _CONTEXT, 64)
  return max(lowest - 2, features.LOWEST_BIN_PITCH), min(highest, features.LOWEST_BIN_PITCH + features.MIX_BINS // 2 - 1)


def _brightest(mix: np.ndarray) -> float:
  """The value drawn in the brightest colour: above all but the strongest frames, so that one loud hit doesn't darken the rest."""
  return max(float(np.percentile(mix[:: max(len(mix) // 2000, 1)], 99.7)), 1e-3)


def _draw_mix(plot, mix, start, end, lowest, highest, brightest, colours) -> None:
  low, high = 2 * (lowest - features.LOWEST_BIN_PITCH), 2 * (highest - features.LOWEST_BIN_PITCH) + 1
  first, last = int(start * features.FRAME_RATE), min(int(np.ceil(end * features.FRAME_RATE)) + 1, len(mix))
  picture = np.clip(mix[first:last, low:high].T.astype(np.float32) / brightest, 0, 1)
  # Bin b is the pitch 21 + b / 2; an image's edge lies half a bin and half a frame outside its centres.
  extent = (
    (first - 0.5) / features.FRAME_RATE,
    (last - 0.5) / features.FRAME_RATE,
    features.LOWEST_BIN_PITCH + low / 2 - 0.25,
    features.LOWEST_BIN_PITCH + (high - 1) / 2 + 0.25,
  )
  plot.imshow(picture**1.3, aspect='auto', origin='lower', extent=extent, cmap=colours, vmin=0, vmax=1, interpolation='bilinear')


def _draw_grid(plot, start, end, lowest, highest, beats) -> None:
  for pitch in range(lowest, highest + 1):
    if pitch % 12 == 0:
      plot.axhline(pitch, color='#ffffff', alpha=0.10, linewidth=0.8, zorder=2)
  if beats is not None:
    within = beats[(beats >= start) & (beats < end)]
    plot.vlines(within, lowest - 0.5, highest + 0.5, color='#ffffff', alpha=0.16, linewidth=0.7, zorder=2)


def _draw_notes(plot, notes: Notes, start: float, end: float, colours) -> None:
  from matplotlib.collections import PatchCollection
  from matplotlib.patches import FancyBboxPatch, Rectangle

  visible = notes.where((notes.onset < end) & (notes.offset > start))
  boxes, heads = [], []
  for onset, offset, pitch in zip(visible.onset, visible.offset, visible.pitch, strict=True):
    left, right = max(onset, start), min(offset, end)
    boxes.append(
      FancyBboxPatch((left, pitch - _HALF), right - left, 2 * _HALF, boxstyle='round,pad=0,rounding_size=0.03', mutation_aspect=12)
    )
    if onset >= start:
      heads.append(Rectangle((left, pitch - _HALF), min(0.03, right - left), 2 * _HALF))
  faces = colours(np.clip((visible.velocity - 20) / 100, 0, 1))
  plot.add_collection(PatchCollection(boxes, facecolors=faces, edgecolors=_BACKGROUND, linewidths=0.8, zorder=4))
  plot.add_collection(PatchCollection(heads, facecolors='#fff3df', edgecolors='none', alpha=0.9, zorder=5))


def _draw_axes(plot, start: float, end: float, lowest: int, highest: int) -> None:
  plot.set_facecolor(_BACKGROUND)
  plot.set_xlim(start, end)
  plot.set_ylim(lowest - 0.5, highest + 0.5)
  ticks = [
    pitch for pitch in range(lowest, highest + 1) if pitch % 12 in (0, 4, 9)
  ]  # C, E, A: the open strings among them, and no label touches the next
  plot.set_yticks(ticks, [pitch_name(pitch) for pitch in ticks])
  step = 2 if end - start > 8 else 1
  seconds = np.arange(np.ceil(start / step) * step, end + 1e-6, step)
  plot.set_xticks(seconds, [clock(second) for second in seconds])
  plot.tick_params(colors=_TEXT, labelsize=8.5, length=3, color=_FAINT)
  for label, pitch in zip(plot.get_yticklabels(), ticks, strict=True):
    if pitch % 12:
      label.set_color(_FAINT)
  for side in ('top', 'right'):
    plot.spines[side].set_visible(False)
  for side in ('left', 'bottom'):
    plot.spines[side].set_color('#30363d')
