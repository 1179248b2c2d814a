"""Measures stage 1 of a build: minutes of music a core-minute, for recorded corpora with and without notes, and for rendered ones.

  python -m data_pipeline.benchmark --workers=2

The corpora are made first, which isn't timed: songs of the open band as stems of 44.1 kHz, stereo, 16 bits, in the layouts of the
configurations `stems` (no notes: targets come from the sound of the bass) and `slakh2100` (notes in MIDI files, compared with the sound).
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
import time

import numpy as np
import soundfile
import soxr
import yaml

from data_pipeline import commands, compiler_cache, extraction, parallel, rendering, storage
from data_pipeline import features as ft
from data_pipeline.notes import DRUMS, Notes
from data_pipeline.song import Source
from data_pipeline.sources.open_band import OpenBand, compose
from data_pipeline.sources.slakh2100 import Slakh2100
from data_pipeline.sources.stems import Stems

_RATE = 44_100
_TICKS = 960
"""A second, in the MIDI files: 480 a beat at 120 beats a minute."""


@dataclasses.dataclass(frozen=True)
class Speed:
  """What stage 1 took for one corpus.

  Attributes:
    corpus: which kind.
    songs, minutes: how many, and how long they are together.
    processes: that worked on them.
    seconds: from the call to the finished summary; starting the processes is in it.
    cpu_seconds: that all processes computed; on a machine that is busy with other things too, these stay.
  """

  corpus: str
  songs: int
  minutes: float
  processes: int
  seconds: float
  cpu_seconds: float

  @property
  def times_realtime(self) -> float:
    return 60 * self.minutes / self.seconds

  @property
  def minutes_a_core_minute(self) -> float:
    return self.times_realtime / self.processes

  def row(self) -> str:
    return (
      f'{self.corpus:<34}{self.songs:>6}{self.minutes:>9.1f}{self.processes:>11}{self.seconds:>9.1f}'
      f'{self.times_realtime:>17.1f}{self.minutes_a_core_minute:>23.1f}{self.cpu_seconds:>13.1f}'
    )


HEADER = (
  f'{"corpus":<34}{"songs":>6}{"minutes":>9}{"processes":>11}{"seconds":>9}'
  f'{"times real time":>17}{"minutes a core-minute":>23}{"CPU seconds":>13}'
)


def write_song(stems_folder: str, slakh_folder: str, index: int, seconds: float) -> None:
  """One song of the open band, repeated to a length, as stems with and without notes."""
  score = compose(0, index)
  parts = {'bass': score.notes, 'drums': score.mix_notes.drums, **_instruments(score.mix_notes.pitched)}
  once = int(score.seconds * ft.SAMPLE_RATE)
  table = {}
  for number, (name, notes) in enumerate(parts.items()):
    sound = rendering.render(rendering.events_from_notes(notes, dict(score.volumes)), score.seconds)
    sound = np.resize(sound[:once], int(seconds * ft.SAMPLE_RATE))
    stereo = np.repeat(soxr.resample(0.5 * sound, ft.SAMPLE_RATE, _RATE)[:, None], 2, axis=1)
    folder = os.path.join(stems_folder, f'song_{index:03d}')
    os.makedirs(folder, exist_ok=True)
    soundfile.write(os.path.join(folder, f'{name}.wav'), stereo, _RATE)
    track = os.path.join(slakh_folder, 'train', f'Track{index:05d}')
    for below in ('stems', 'MIDI'):
      os.makedirs(os.path.join(track, below), exist_ok=True)
    stem = f'S{number:02d}'
    soundfile.write(os.path.join(track, 'stems', f'{stem}.flac'), stereo, _RATE)
    program = int(notes.program[0]) if len(notes) else 0
    _write_midi(os.path.join(track, 'MIDI', f'{stem}.mid'), notes, score.seconds, seconds)
    kind = {'bass': 'Bass', 'drums': 'Drums'}.get(name, 'Guitar')
    table[stem] = {'inst_class': kind, 'is_drum': program == DRUMS, 'program_num': program, 'audio_rendered': True}
  with open(os.path.join(track, 'metadata.yaml'), 'w') as file:
    yaml.safe_dump({'UUID': f'{index:032x}', 'audio_dir': 'stems', 'midi_dir': 'MIDI', 'stems': table}, file)


def _instruments(notes: Notes) -> dict[str, Notes]:
  """Two stems from the pitched instruments of a mix, by program, so that every song has four stems."""
  half = sorted(set(notes.program.tolist()))
  low = np.isin(notes.program, half[: (len(half) + 1) // 2])
  return {'guitar': notes.where(low), 'keys': notes.where(~low)}


def _write_midi(path: str, notes: Notes, once: float, seconds: float) -> None:
  """One instrument's notes, again and again until `seconds`."""
  import mido

  events = []
  for repetition in range(int(np.ceil(seconds / once))):
    for onset, offset, pitch, velocity, _ in notes.shifted(repetition * once).rows():
      if onset < seconds:
        events += [(round(onset * _TICKS), 1, int(pitch), int(velocity)), (round(offset * _TICKS), 0, int(pitch), 0)]
  program = int(notes.program[0]) if len(notes) else 0
  channel = 9 if program == DRUMS else 0
  track, now = mido.MidiTrack([mido.Message('program_change', program=min(program, 127), channel=channel)]), 0
  for tick, _, pitch, velocity in sorted(events):
    track.append(mido.Message('note_on', note=pitch, velocity=velocity, time=tick - now, channel=channel))
    now = tick
  mido.MidiFile(ticks_per_beat=_TICKS // 2, tracks=[track]).save(path)


def measure(corpus: str, source: Source, workers: int) -> Speed:
  """Times stage 1 of a source, into a folder that is thrown away."""
  with tempfile.TemporaryDirectory() as directory:
    begin, computed = time.perf_counter(), sum(os.times()[:4])  # of this process and of those that it waited for
    summary = extraction.extract(source, directory, workers)
    seconds, computed = time.perf_counter() - begin, sum(os.times()[:4]) - computed
  if summary.skipped:
    raise ValueError(f'{corpus}: skipped {summary.skipped}; the figure would be of other songs')
  minutes = sum(entry['seconds'] for entry in summary.songs.values()) / 60
  return Speed(corpus, len(summary.songs), minutes, min(workers, len(summary.songs)), seconds, computed)


def run(songs: int, seconds: float, workers: int, report=print) -> list[Speed]:
  """Makes the corpora and measures each; `report` is given the table line by line."""
  with tempfile.TemporaryDirectory() as folder:
    stems, slakh = os.path.join(folder, 'stems'), os.path.join(folder, 'slakh')
    for _ in parallel.results(write_song, [(stems, slakh, index, seconds) for index in range(songs)], workers):
      pass
    compiler_cache.fill()  # a new installation compiles once, which is no part of a corpus
    sources = {
      'stems without notes (WAV)': Stems(stems),
      'slakh2100, notes known (FLAC)': Slakh2100(slakh),
      'open, rendered, notes known': OpenBand(song_count=songs),
    }
    report(HEADER)
    measured = []
    for corpus, source in sources.items():
      measured.append(measure(corpus, source, workers))
      report(measured[-1].row())
  return measured


@commands.plain_errors()
def main(arguments: list[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog='python -m data_pipeline.benchmark', description=__doc__.splitlines()[0])
  parser.add_argument('--songs', type=int, default=24, help='of each corpus')
  parser.add_argument('--seconds', type=float, default=180.0, help='length of a recorded song')
  parser.add_argument('--workers', type=int, default=os.cpu_count(), help='processes; default: one a core')
  parser.add_argument('--json', help='file to write the figures to as well')
  defined = parser.parse_args(arguments)
  if defined.songs < 1:
    parser.error(f'--songs={defined.songs}: expected 1 or more')
  measured = run(defined.songs, defined.seconds, defined.workers, lambda line: print(line, flush=True))
  if defined.json:
    table = [
      dataclasses.asdict(speed) | {'times_realtime': speed.times_realtime, 'minutes_a_core_minute': speed.minutes_a_core_minute}
      for speed in measured
    ]
    storage.write_json(defined.json, table)
  return 0


if __name__ == '__main__':
  sys.exit(main())
