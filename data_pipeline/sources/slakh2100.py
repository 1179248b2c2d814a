"""Slakh2100 (use redux) and BabySlakh: `TrackNNNNN/{metadata.yaml, stems/SNN.flac, MIDI/SNN.mid}`; the notes are known."""

from __future__ import annotations

import collections
import dataclasses
import functools
import os
import re
from typing import Any

import numpy as np

from data_pipeline.midi_file import BASS_PROGRAMS, read_piece
from data_pipeline.notes import DRUMS, Notes, merge
from data_pipeline.song import SkipSong, SongKey
from data_pipeline.song_keys import song_keys
from data_pipeline.sources.metadata_file import mapping
from data_pipeline.sources.stem_corpus import SongStems, StemCorpus, folders_with, stem_file

LICENCE = 'CC-BY-4.0'
CREDIT = 'Slakh2100 (Manilow, Wichern, Seetharaman, Le Roux 2019), MIDI from the Lakh MIDI Dataset'
_METADATA = 'metadata.yaml'
_OMITTED = 'omitted'


@dataclasses.dataclass(frozen=True)
class Slakh2100(StemCorpus):
  """Every TrackNNNNN folder below a folder, FLAC or WAV.

  Splits are the folders `train`, `validation`, `test`; BabySlakh has none and is split by a hash. Redux's folder `omitted` is left out.
  Of tracks made from one MIDI file (the original splits have the same piece in training and test) the lowest number stays. The bass is
  every stem of class Bass, or with a bass program, but for drums; mix.flac is never read.
  """

  def places(self) -> dict[SongKey, str]:
    """A key for every track.

    Raises:
      ValueError: there is none.
    """
    return {key: place for key, (place, _) in _tracks(os.path.abspath(self.folder)).items()}

  def stems(self, place: str) -> SongStems:
    """Raises SkipSong: omitted, a duplicate, no bass that was rendered, or stems that should be there are missing."""
    if os.path.basename(os.path.dirname(place)).lower() == _OMITTED:
      raise SkipSong('in the folder omitted: redux leaves it out as a duplicate')
    original = next(original for path, original in _tracks(os.path.abspath(self.folder)).values() if path == place)
    if original:
      raise SkipSong(f'made from the same MIDI file as {original}; use Slakh2100-redux, which has each once')
    metadata = mapping(os.path.join(place, _METADATA))
    stems = metadata.get('stems')
    if not isinstance(stems, dict) or not all(isinstance(stem, dict) for stem in stems.values()):
      raise SkipSong(f'{os.path.join(place, _METADATA)}: no table of stems; unpack the track again')
    bass = [name for name, stem in sorted(stems.items()) if _is_bass(stem)]
    rendered = {name: stem for name, stem in sorted(stems.items()) if stem.get('audio_rendered') is not False}
    if not bass:
      classes = collections.Counter(str(stem.get('inst_class')) for stem in stems.values())
      raise SkipSong(f'no bass stem: the classes are {", ".join(sorted(classes))}')
    if not any(name in rendered for name in bass):
      raise SkipSong(f'the bass was never rendered ({", ".join(bass)} with audio_rendered: false)')
    folder = os.path.join(place, str(metadata.get('audio_dir') or 'stems'))
    if not os.path.isdir(folder):
      raise SkipSong(f'{folder} is missing; unpack the track again')
    files = {name: stem_file(folder, name) for name in rendered}
    missing = [name for name, file in files.items() if file is None]
    if missing:
      raise SkipSong(f'{", ".join(missing)} missing in {folder}, although metadata.yaml says that it was rendered; unpack the track again')
    mix = [name for name in rendered if name not in bass]
    if not mix:
      raise SkipSong(f'nothing but bass: {", ".join(rendered)}')
    bass = [name for name in bass if name in rendered]
    midi = os.path.join(place, str(metadata.get('midi_dir') or 'MIDI'))
    bass_notes, beats = _notes(midi, {name: stems[name] for name in bass})
    mix_notes, _ = _notes(midi, {name: stems[name] for name in mix})
    return SongStems(
      [files[name] for name in bass], [files[name] for name in mix], LICENCE, CREDIT, bass_notes, mix_notes, beats if bass_notes else None
    )


def _is_bass(stem: dict[str, Any]) -> bool:
  return not stem.get('is_drum') and (str(stem.get('inst_class')).lower() == 'bass' or _program(stem) in BASS_PROGRAMS)


def _program(stem: dict[str, Any]) -> int:
  """Of General MIDI; 0, a piano, where the metadata gives none or another thing."""
  program = stem.get('program_num')
  return program if isinstance(program, int) and not isinstance(program, bool) and 0 <= program < 128 else 0


def _notes(folder: str, stems: dict[str, dict]) -> tuple[Notes | None, np.ndarray | None]:
  """All notes of some stems and the beats, from the MIDI files that they were rendered from; None if one lacks its file."""
  parts, beats = [], None
  for name, stem in stems.items():
    path = os.path.join(folder, f'{name}.mid')
    if not os.path.isfile(path):
      return None, None
    try:
      piece = read_piece(path)
    except SkipSong:  # The notes of one stem are missing or damaged; the audio is there all the same.
      return None, None
    program = DRUMS if stem.get('is_drum') else _program(stem)
    parts.append(dataclasses.replace(piece.notes, program=np.full(len(piece.notes), program)))
    if beats is None or len(piece.beats) > len(beats):
      beats = piece.beats
  return merge(parts), beats


@functools.lru_cache(maxsize=4)
def _tracks(folder: str) -> dict[SongKey, tuple[str, str]]:
  """Key -> (folder of the track, name of an earlier track from the same MIDI file or '')."""
  relatives = folders_with(folder, lambda _, __, files: _METADATA in files, f"Slakh's TrackNNNNN/{_METADATA} with TrackNNNNN/stems/")
  relatives.sort(key=lambda relative: (os.path.basename(relative), relative))  # by number: a piece's first track is the one to keep
  found, seen = {}, {}
  for key, relative in zip(_keys(relatives), relatives, strict=True):
    place = os.path.join(folder, relative)
    with open(os.path.join(place, _METADATA), encoding='utf-8', errors='replace') as file:
      uuid = re.search(r'^UUID:\s*(\S+)', file.read(2000), re.MULTILINE)
    omitted = f'/{_OMITTED}/' in f'/{relative}'.replace(os.sep, '/').lower()
    original = '' if omitted or not uuid else seen.setdefault(uuid[1], relative)
    found[key] = (place, original if original != relative else '')
  return found


def _keys(relatives: list[str]) -> list[SongKey]:
  """Splits by the nearest folder, whether the corpus or a folder above it was given."""
  nearest = [os.path.join(*relative.split(os.sep)[-2:]) for relative in relatives]
  return song_keys(nearest if len(set(nearest)) == len(nearest) else relatives)
