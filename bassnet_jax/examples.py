"""Makes the page of examples: `python -m bassnet_jax.examples --checkpoint=WORKDIR --manual_dir=FOLDER --output=docs/examples`.

Three fragments of held-out pieces that may be published, as different from each other as the test split has them; for each the bass at
six positions of the plane and along a path through it: audio (OGG), MIDI and piano roll. The page says what fails, as measured.
"""

from __future__ import annotations

import dataclasses
import html
import os
import sys
from collections.abc import Sequence

import numpy as np
from absl import flags

from bassnet_jax.evaluation import failures
from bassnet_jax.evaluation.failures import Figures
from bassnet_jax.evaluation.page import Page, write_json
from bassnet_jax.trajectory import Trajectory, constant, from_points
from data_pipeline import commands, storage
from data_pipeline import features as ft
from data_pipeline.notes import Notes
from data_pipeline.progress import Progress
from data_pipeline.song import SkipSong, Song

SECONDS = 15.0
FRAGMENTS = 3
CORNERS = ((-2.0, 2.0), (2.0, 2.0), (2.0, -2.0), (-2.0, -2.0))
_PUBLISHABLE = 'bassnet_pop_rock/freedoom'


class ExamplesError(ValueError):
  """No page can be made; the message says why."""


@dataclasses.dataclass(frozen=True)
class Fragment:
  """A part of a held-out piece, on a clock of its own.

  Attributes:
    song: id of the piece.
    start: seconds into the piece.
    mix: [samples] float32, 16 kHz, without the bass; `bass`: the true bass at the mix's scale.
    notes: of the true bass, those that begin in the fragment; `mix_notes`: those that sound in it.
    beats: [beats] seconds.
    licence, credit: of the piece.
  """

  song: str
  start: float
  mix: np.ndarray
  bass: np.ndarray
  notes: Notes
  mix_notes: Notes
  beats: np.ndarray
  licence: str
  credit: str

  @property
  def seconds(self) -> float:
    return len(self.mix) / ft.SAMPLE_RATE


@dataclasses.dataclass(frozen=True)
class Rendition:
  """A bass for a fragment.

  Attributes:
    key: of its files.
    title: on the page.
    notes: the line.
    audio: [samples] float32, the mix with it.
    figures: as measured.
    wrong: what fails, in words with figures.
  """

  key: str
  title: str
  notes: Notes
  audio: np.ndarray
  figures: Figures
  wrong: list[str]


def fragment_of(song: Song, seconds: float = SECONDS) -> Fragment | None:
  """The part of a song in which the bass plays most notes; None where the notes of bass or mix aren't known, or there are too few."""
  if song.notes is None or song.mix_notes is None or not len(song.notes):
    return None
  last = max(len(song.mix) / ft.SAMPLE_RATE - seconds, 0)
  starts = np.arange(int(last) + 1)
  start = float(starts[np.argmax([len(song.notes.between(s, s + seconds)) for s in starts])])
  cut = slice(int(start * ft.SAMPLE_RATE), int((start + seconds) * ft.SAMPLE_RATE))
  notes = song.notes.between(start, start + seconds).shifted(-start)
  mix_notes = _sounding(song.mix_notes, start, start + seconds)
  if len(notes) < failures.FEWEST_NOTES or not len(mix_notes.pitched):
    return None
  beats = np.zeros(0) if song.beats is None else song.beats[(song.beats >= start) & (song.beats < start + seconds)] - start
  return Fragment(song.key.id, start, song.mix[cut], song.bass[cut], notes, mix_notes, beats, song.licence, song.credit)


def _sounding(notes: Notes, start: float, end: float) -> Notes:
  """The notes that sound between two moments, cut to them and on a clock that begins with the first: a held chord is harmony too."""
  kept = notes.where((notes.onset < end) & (notes.offset > start))
  return dataclasses.replace(kept, onset=np.maximum(kept.onset, start), offset=np.minimum(kept.offset, end)).shifted(-start)


def style_of(fragment: Fragment) -> np.ndarray:
  """[6] what tells styles apart: densities of bass, drums and the rest, chord size, length of bass notes, brightness of the mix."""
  pitched, drums, seconds = fragment.mix_notes.pitched, fragment.mix_notes.drums, fragment.seconds
  onsets = len(np.unique(np.rint(pitched.onset * 20)))
  spectrum = np.abs(np.fft.rfft(fragment.mix.astype(np.float64))) ** 2
  frequency = np.fft.rfftfreq(len(fragment.mix), 1 / ft.SAMPLE_RATE)
  return np.array(
    [
      np.log1p(len(fragment.notes) / seconds),
      np.log1p(len(drums) / seconds),
      np.log1p(onsets / seconds),
      len(pitched) / onsets,
      np.log(np.mean(fragment.notes.offset - fragment.notes.onset)),
      np.log(spectrum @ frequency / spectrum.sum()),
    ]
  )


def most_different(styles: np.ndarray, count: int) -> list[int]:
  """Indices of rows that lie far apart: the farthest pair first, then always the one farthest from all that are chosen.

  Args:
    styles: [pieces, measures], on any scales.
    count: how many; at most as many as there are.
  """
  scaled = (styles - styles.mean(axis=0)) / np.maximum(styles.std(axis=0), 1e-9)
  distance = np.linalg.norm(scaled[:, None] - scaled[None], axis=2)
  chosen = [int(i) for i in np.unravel_index(np.argmax(distance), distance.shape)] if len(styles) > 1 else [0]
  while len(chosen) < min(count, len(styles)):
    nearest = distance[:, chosen].min(axis=1)
    nearest[chosen] = -1
    chosen.append(int(np.argmax(nearest)))
  return sorted(chosen[:count])


def choose(source, pieces: Sequence[str] = (), count: int = FRAGMENTS) -> list[Fragment]:
  """Fragments of the test split of a source: of the pieces that are named, else of those that differ most.

  Raises:
    ExamplesError: a named piece isn't in the test split or can't be used, or there are too few.
  """
  keys = [key for key in source.songs() if key.split == 'test']
  unknown = [piece for piece in pieces if piece not in {key.id for key in keys}]
  if unknown:
    raise ExamplesError(f'--pieces: {", ".join(unknown)} not among the test pieces; there are {", ".join(key.id for key in keys)}')
  keys = [key for key in keys if key.id in pieces] if pieces else keys
  fragments = []
  with Progress(len(keys), 'reading test pieces', 'pieces') as progress:
    for key in keys:
      try:
        fragment = fragment_of(source.load(key))
      except SkipSong as error:
        progress.message(f'{key.id} is left out: {error}')
        fragment = None
      fragments += [fragment] if fragment else []
      progress.update()
  if len(fragments) < (len(pieces) or count):
    raise ExamplesError(
      f'{len(fragments)} test pieces can be used, with notes of bass and mix; expected {len(pieces) or count}. Give another --dataset or '
      '--manual_dir' + (', or other --pieces.' if pieces else '.')
    )
  if pieces:
    return fragments
  return [fragments[i] for i in most_different(np.stack([style_of(fragment) for fragment in fragments]), count)]


def positions(default_z: Sequence[float]) -> dict[str, tuple[str, Trajectory]]:
  """key -> (title, where): six points and a path through the four corners."""
  places = {
    'chosen': ('The one position for all songs, chosen on validation songs', tuple(default_z)),
    'origin': ('The origin', (0.0, 0.0)),
  }
  for name, corner in zip(('upper_left', 'upper_right', 'lower_right', 'lower_left'), CORNERS, strict=True):
    places[name] = (name.replace('_', ' ').capitalize(), corner)
  points = {key: (f'{title}: z = ({z[0]:.2f}, {z[1]:.2f})', constant(z)) for key, (title, z) in places.items()}
  corners = (*CORNERS, CORNERS[0])
  path = from_points([(time, *corner) for time, corner in zip(np.linspace(0, SECONDS, len(corners)), corners, strict=True)])
  return points | {'path': ('A path once around, from corner to corner', path)}


def play(model, fragment: Fragment) -> list[Rendition]:
  """The bass at every position and along the path.

  Raises:
    ExamplesError: the fragment's mix is silent.
  """
  from bassnet_jax import decoding, hearing, sonification
  from data_pipeline import front_end

  try:
    analysis = front_end.analyse(hearing.heard(hearing.part_heard(model), fragment.mix))
  except front_end.SilentMixError as error:
    raise ExamplesError(f'{fragment.song}: {error}') from error
  code = model.encode_mix(analysis.mix)
  truth = failures.measure(fragment.notes, fragment.notes, fragment.mix_notes, fragment.seconds)
  renditions = []
  for key, (title, where) in positions(model.default_z).items():
    prediction = model.decode(code, where.at(len(analysis.mix)))
    notes = decoding.notes_from_prediction(prediction, model.onset_threshold)
    bass = sonification.synthesise(notes, prediction, len(fragment.mix), ft.SAMPLE_RATE, gain=analysis.gain, tuning=analysis.tuning)
    audio, _ = sonification.preview_mix(fragment.mix[:, None], bass)
    figures = failures.measure(notes, fragment.notes, fragment.mix_notes, fragment.seconds)
    renditions.append(Rendition(key, title, notes, audio[:, 0], figures, failures.of_line(figures, truth)))
  return renditions


def save_ogg(path: str, audio: np.ndarray) -> None:
  """Writes mono audio at 16 kHz as OGG Vorbis: under a temporary name first, then renamed."""
  import soundfile

  soundfile.write(path + '.tmp', audio, ft.SAMPLE_RATE, format='OGG', subtype='VORBIS')
  os.replace(path + '.tmp', path)


def write(model, fragments: Sequence[Fragment], folder: str, command: str) -> dict:
  """Plays every fragment and writes the page with all its files.

  Args:
    command: that makes the page; it stands on it.

  Returns:
    what examples.json holds.
  """
  os.makedirs(folder, exist_ok=True)
  page = Page('Examples: held-out fragments, six positions and a path', [])
  page.text(
    f'{len(fragments)} fragments of {SECONDS:g} s from pieces of the test split. Where no pieces are named, they are those that differ '
    'most in density, chords, note lengths and brightness. The model hears the mix alone; the true bass stands beside it.'
  )
  made = {'experiment': model.describe['experiment']['name'], 'steps': model.describe['step'], 'commit': model.describe['commit']}
  page.text(f'Made by: {command}. Model: {made["experiment"]}, {made["steps"]} steps, commit {made["commit"]}.')
  summary: dict = {'model': made, 'command': command, 'fragments': []}
  everything: list[str] = []
  with Progress(len(fragments), 'playing fragments', 'fragments') as progress:
    for fragment in fragments:
      renditions = play(model, fragment)
      wrong = _fragment(fragment, renditions, folder, page)
      everything += [f'{fragment.song}, {text}' for text in wrong]
      summary['fragments'].append(
        {
          'piece': fragment.song,
          'start': fragment.start,
          'licence': fragment.licence,
          'renditions': {item.key: dataclasses.asdict(item.figures) | {'wrong': item.wrong} for item in renditions},
          'wrong': wrong,
        }
      )
      progress.update()
  page.heading('All that fails, as measured')
  page.text(
    f'By rule: fewer than {failures.FEWEST_NOTES} notes; onset F1 within {failures.BY_CHANCE:g} of chance; diatonic share '
    f'{failures.OUT_OF_KEY:g} or chord tones {failures.OFF_CHORD:g} below those of the true bass; density under '
    f'{failures.SPARSE:g} or over {failures.DENSE:g} times its; two positions with the same line (agreement {failures.SAME_LINE:g}). '
    'A corner is meant to be unlike the true bass, so a breach there is a description as much as a fault; at the chosen position it is '
    'a fault.'
  )
  page.bullets(everything or ['No rule is broken.'])
  write_json(os.path.join(folder, 'examples.json'), summary)
  storage.write_text(os.path.join(folder, 'index.html'), page.render())
  return summary


def _fragment(fragment: Fragment, renditions: Sequence[Rendition], folder: str, page: Page) -> list[str]:
  """Writes the files of a fragment, adds it to the page, and says what fails."""
  from bassnet_jax import midi_export, sonification
  from bassnet_jax.evaluation import plots

  os.makedirs(os.path.join(folder, fragment.song), exist_ok=True)
  place = lambda name: os.path.join(folder, fragment.song, name)  # noqa: E731
  page.heading(f'{fragment.song}, from {fragment.start:g} s')
  page.text(f'Licence: {fragment.licence}; by {fragment.credit or "unknown"}.')
  save_ogg(place('mix.ogg'), sonification.within_full_scale(fragment.mix)[0])
  save_ogg(place('true_bass.ogg'), sonification.within_full_scale(fragment.mix + fragment.bass)[0])
  _sound(page, fragment.song, 'mix', 'The mix without bass')
  _sound(page, fragment.song, 'true_bass', 'With the true bass')
  truth = failures.measure(fragment.notes, fragment.notes, fragment.mix_notes, fragment.seconds)
  rows = [_row(item.title, item.figures) for item in renditions]
  header = ('bass', 'notes/s', 'register', 'note_pc_f1', 'onset F1', 'chance', 'diatonic', 'chord tones')
  page.table(header, [*rows, _row('True bass', truth)])
  wrong = [f'{item.title[0].lower() + item.title[1:]}: {text}' for item in renditions for text in item.wrong]
  still = [item for item in renditions if item.key != 'path']
  wrong += failures.of_positions([item.key.replace('_', ' ') for item in still], [item.notes for item in still])
  page.text('What fails here:' if wrong else 'No rule is broken here.')
  if wrong:
    page.bullets(wrong)
  for item in renditions:
    save_ogg(place(f'{item.key}.ogg'), item.audio)
    midi_export.write(place(f'{item.key}.mid'), item.notes, beats=fragment.beats)
    plots.piano_roll(place(f'{item.key}.png'), item.notes, fragment.mix_notes, fragment.notes, 0.0, fragment.seconds)
    _sound(page, fragment.song, item.key, item.title, midi=True)
    page.picture(f'{fragment.song}/{item.key}.png', f'{item.title}: generated notes, the true bass as outlines, the mix behind.')
  return wrong


def _sound(page: Page, song: str, key: str, title: str, midi: bool = False) -> None:
  name = html.escape(f'{song}/{key}')
  link = f' <a href="{name}.mid">MIDI</a>' if midi else ''
  page.parts.append(f'<p>{html.escape(title)}{link}<br><audio controls preload="none" src="{name}.ogg"></audio></p>')


def _row(title: str, found: Figures) -> tuple[str, ...]:
  register = '' if found.register is None else f'{found.register:.1f}'
  shares = (found.note_pc_f1, found.onset_f1, found.onset_f1_chance, found.diatonic, found.chord_tones)
  return (title, f'{found.density:.1f}', register, *(f'{value:.2f}' for value in shares))


def _define_flags(define: commands.Define) -> None:
  define(flags.DEFINE_string, 'checkpoint', None, 'workdir of a training run, or a packaged model: short')
  define(flags.DEFINE_string, 'dataset', _PUBLISHABLE, 'whose test pieces; they must be free to be published')
  define(flags.DEFINE_string, 'manual_dir', None, 'folder of the corpus, where the dataset needs one')
  define(flags.DEFINE_string, 'output', os.path.join('docs', 'examples'), 'folder of the page')
  define(flags.DEFINE_list, 'pieces', [], 'ids of test pieces (default: the three that differ most)')


@commands.with_flags(_define_flags, bare='checkpoint')
def main(defined: flags.FlagValues) -> int:
  """Writes the page."""
  from bassnet_jax import packaged, trained
  from data_pipeline import catalogue

  if not defined.checkpoint:
    raise ExamplesError('--checkpoint is missing: give --checkpoint=WORKDIR, the --workdir of a training run, or a packaged model: short')
  checkpoint = packaged.resolve(defined.checkpoint)
  model = trained.load(checkpoint)
  named = defined.checkpoint if packaged.is_packaged(checkpoint) else 'WORKDIR'
  command = f'python -m bassnet_jax.examples --checkpoint={named}'
  command += ' --manual_dir=FREEDOOM' if defined.dataset == _PUBLISHABLE else f' --dataset={defined.dataset}'
  command += f' --pieces={",".join(defined.pieces)}' if defined.pieces else ''
  write(model, choose(catalogue.source(defined.dataset, defined.manual_dir), defined.pieces), defined.output, command)
  print(f'examples: {os.path.join(defined.output, "index.html")}', flush=True)
  return 0


if __name__ == '__main__':
  sys.exit(main())
