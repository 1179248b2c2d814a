"""The pieces of the Freedoom WADs: found, told apart, split the same way every time."""

from __future__ import annotations

import collections
import os
import struct

import pytest
from midi_making import midi_bytes

from data_pipeline.midi_file import STRICT, read_piece, split_bass
from data_pipeline.song import SPLITS, SkipSong
from data_pipeline.sources.freedoom import DEFAULT_FOLDER, Freedoom, WadError, read_music


def wad(lumps: dict[str, bytes]) -> bytes:
  """A WAD file: header, lumps, directory."""
  body, directory = b'', b''
  for name, data in lumps.items():
    directory += struct.pack('<ii8s', 12 + len(body), len(data), name.encode())
    body += data
  return struct.pack('<4sii', b'IWAD', len(lumps), 12 + len(body)) + body + directory


@pytest.fixture
def folder(tmp_path):
  below = tmp_path / 'usr' / 'share' / 'games' / 'doom'
  below.mkdir(parents=True)
  one, two, three = midi_bytes(), midi_bytes(bass_key=41), midi_bytes(bass_key=43)
  (below / 'freedoom1.wad').write_bytes(wad({'MAP01': b'', 'D_E1M1': one, 'D_E1M2': two, 'DEMO1': b'no music', 'D_SAME': one}))
  (below / 'freedoom2.wad').write_bytes(wad({'D_E1M2': three, 'D_RUNNIN': one, 'D_NOBASS': midi_bytes(bass=False)}))
  return tmp_path


def test_each_piece_is_there_once_under_its_own_name(folder):
  source = Freedoom(str(folder))
  names = [key.id for key in source.songs()]
  assert len(names) == 4
  assert {'d_e1m1', 'd_nobass'} < set(names)
  assert sum(name.startswith('d_e1m2-') for name in names) == 2
  assert source.songs() == Freedoom(str(folder)).songs()
  assert {key.split for key in source.songs()} <= set(SPLITS)


def test_a_piece_is_rendered_and_one_without_bass_skipped(folder):
  source = Freedoom(str(folder))
  keys = {key.id: key for key in source.songs()}
  made = source.load(keys['d_e1m1'])
  assert (made.licence, made.credit) == ('BSD-3-Clause', 'Contributors to the Freedoom project')
  assert len(made.notes) == 64 and len(made.mix) == len(made.bass)
  with pytest.raises(SkipSong, match='no bass part'):
    source.load(keys['d_nobass'])


def test_missing_files_are_said_with_what_to_do(tmp_path):
  for folder in (tmp_path, tmp_path / 'nowhere'):
    with pytest.raises(ValueError, match=r'apt-get download freedoom && dpkg -x freedoom_\*\.deb FOLDER.*--manual_dir=FOLDER'):
      Freedoom(str(folder)).songs()


def test_a_damaged_wad_is_said(tmp_path):
  whole = wad({'D_E1M1': midi_bytes()})
  for data, reason in ((b'no wad at all', 'not a WAD'), (whole[:-5], 'cut short'), (b'', 'not a WAD')):
    (tmp_path / 'freedoom1.wad').write_bytes(data)
    with pytest.raises(WadError, match=reason):
      read_music(str(tmp_path / 'freedoom1.wad'))


@pytest.mark.skipif(not os.path.exists(os.path.join(DEFAULT_FOLDER, 'freedoom1.wad')), reason='Debian package freedoom is not installed')
def test_the_real_files_hold_46_usable_pieces():
  source = Freedoom()
  pieces = source._pieces()
  usable = collections.Counter()
  for key in source.songs():
    try:
      split_bass(read_piece(pieces[key.id]), STRICT)
    except SkipSong:
      continue
    usable[key.split] += 1
  assert len(pieces) == 66
  assert usable == {'train': 28, 'validation': 6, 'test': 12}
