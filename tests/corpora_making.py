"""Small trees in the exact layouts of corpora that users own: real audio files, real metadata formats, every stem at its own pitch."""

from __future__ import annotations

import json
import pathlib

import mido
import numpy as np
import soundfile
import yaml

HERTZ = {'bass': 55.0, 'drums': 1320.0, 'guitar': 330.0, 'other': 440.0, 'vocals': 660.0, 'keys': 880.0}
"""Every stem is a tone by which it is found again in a mix."""
LEVELS = {'bass': 0.2, 'drums': 0.1, 'guitar': 0.15, 'other': 0.12, 'vocals': 0.08, 'keys': 0.05}
SECONDS = 5.5
BASS_KEY = 33
"""MIDI pitch of 55 Hz."""


def tone(stem: str, seconds: float = SECONDS, rate: int = 22_050, channels: int = 1) -> np.ndarray:
  """[samples] or [samples, channels] float32: the tone of a stem."""
  wave = LEVELS[stem] * np.sin(2 * np.pi * HERTZ[stem] * np.arange(int(seconds * rate)) / rate)
  wave = wave.astype(np.float32)
  return np.stack([wave] * channels, axis=1) if channels > 1 else wave


def heard(audio: np.ndarray, stem: str, rate: int = 16_000) -> float:
  """Amplitude of a stem's tone in the second to the fourth second of some audio."""
  piece = audio[rate : 4 * rate].astype(np.float64)
  return float(2 * np.abs(np.mean(piece * np.exp(-2j * np.pi * HERTZ[stem] * np.arange(len(piece)) / rate))))


def content(audio: np.ndarray) -> set[str]:
  """The stems that are heard in some audio."""
  return {stem for stem in HERTZ if heard(audio, stem) > LEVELS[stem] / 2}


def write(path: pathlib.Path, samples: np.ndarray, rate: int = 22_050, **options) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  soundfile.write(path, samples, rate, **options)


def write_stem(path: pathlib.Path, stem: str, seconds: float = SECONDS, rate: int = 22_050, channels: int = 1) -> None:
  options = {'format': 'OGG', 'subtype': 'OPUS'} if path.suffix == '.opus' else {}
  write(path, tone(stem, seconds, rate, channels), rate, **options)


def mixture(stems, **options) -> np.ndarray:
  return sum(tone(stem, **options) for stem in stems)


def musdb18hq(root: pathlib.Path) -> None:
  """Stereo 44.1 kHz WAV; two songs of one name, one of the fixed validation songs, one without its vocals."""
  for name in ('train/Somebody - A Song', 'train/ANiMAL - Rockshow', 'test/Somebody - A Song', 'test/Nobody - No Vocals'):
    for stem in ('bass', 'drums', 'other', 'vocals'):
      if (name, stem) != ('test/Nobody - No Vocals', 'vocals'):
        write_stem(root / name / f'{stem}.wav', stem, rate=44_100, channels=2)
    write(root / name / 'mixture.wav', mixture(('bass', 'drums', 'other', 'vocals'), rate=44_100, channels=2), 44_100)


def slakh_stem(kind: str, program: int, rendered: bool = True, drum: bool = False) -> dict:
  return {
    'audio_rendered': rendered,
    'inst_class': kind,
    'integrated_loudness': -12.8,
    'is_drum': drum,
    'midi_program_name': 'Drums' if drum else kind,
    'midi_saved': rendered,
    'plugin_name': f'{kind.lower()}.nkm',
    'program_num': program,
  }


def slakh_track(folder: pathlib.Path, uuid: str, stems: dict[str, tuple[dict, str]], extension: str = 'flac', octave: int = 0) -> None:
  """A TrackNNNNN folder; `stems` are SNN -> (metadata, tone); the bass's notes are written `octave` octaves too high."""
  metadata = {
    'UUID': uuid,
    'audio_dir': 'stems',
    'lmd_midi_dir': f'lmd_matched/O/O/H/TROOHTB128F931F9DF/{uuid}.mid',
    'midi_dir': 'MIDI',
    'normalization_factor': -13.0,
    'normalized': True,
    'overall_gain': 0.18,
    'stems': {name: stem for name, (stem, _) in stems.items()},
    'target_peak': -1.0,
  }
  folder.mkdir(parents=True)
  (folder / 'metadata.yaml').write_text(yaml.safe_dump(metadata))
  (folder / 'MIDI').mkdir()
  rendered = {name: (stem, kind) for name, (stem, kind) in stems.items() if stem['audio_rendered']}
  for name, (stem, kind) in rendered.items():
    write_stem(folder / 'stems' / f'{name}.{extension}', kind)
    key = BASS_KEY + 12 * octave if kind == 'bass' else 60
    one_part(folder / 'MIDI' / f'{name}.mid', [(0.5 * i, 0.5 * i + 0.45, key) for i in range(10)], stem['program_num'], stem['is_drum'])
  if rendered:
    write(folder / f'mix.{extension}', mixture(kind for _, kind in rendered.values()))


def one_part(path: pathlib.Path, notes: list[tuple[float, float, int]], program: int, drum: bool = False) -> None:
  """A MIDI file of one instrument: a track of tempo, a track of notes; 120 BPM, then 60 BPM from 2 s on."""
  midi = mido.MidiFile(ticks_per_beat=480)
  tempo = mido.MidiTrack([mido.MetaMessage('set_tempo', tempo=500_000), mido.MetaMessage('set_tempo', tempo=1_000_000, time=1920)])
  channel = 9 if drum else 0
  events = [(tick(on), 1, key) for on, _, key in notes] + [(tick(off), 0, key) for _, off, key in notes]
  track, now = mido.MidiTrack([mido.Message('program_change', program=min(program, 127), channel=channel)]), 0
  for at, on, key in sorted(events):
    track.append(mido.Message('note_on', note=key, velocity=90 * on, time=at - now, channel=channel))
    now = at
  midi.tracks += [tempo, track]
  path.parent.mkdir(parents=True, exist_ok=True)
  midi.save(path)


def tick(seconds: float) -> int:
  return round(960 * min(seconds, 2.0) + 480 * max(seconds - 2.0, 0.0))


def slakh2100(root: pathlib.Path) -> None:
  """Redux's folders; gaps in the numbers, stems that were never rendered, a bass by program only, a MIDI file used twice."""
  bass, piano, guitar = slakh_stem('Bass', 33), slakh_stem('Piano', 0), slakh_stem('Guitar', 27)
  drums = slakh_stem('Drums', 128, drum=True)
  slakh_track(
    root / 'train' / 'Track00001',
    'a' * 32,
    {
      'S00': (drums, 'drums'),
      'S01': (slakh_stem('Strings (continued)', 49, rendered=False), 'other'),
      'S02': (bass, 'bass'),
      'S05': (guitar, 'guitar'),
    },
    octave=1,
  )
  slakh_track(root / 'validation' / 'Track01501', 'b' * 32, {'S00': (slakh_stem('Synth Lead', 38), 'bass'), 'S03': (piano, 'keys')})
  slakh_track(root / 'test' / 'Track01876', 'c' * 32, {'S00': (slakh_stem('Bass', 33, rendered=False), 'bass'), 'S01': (piano, 'keys')})
  slakh_track(root / 'test' / 'Track01877', 'd' * 32, {'S00': (guitar, 'guitar'), 'S01': (slakh_stem('Drums', 35, drum=True), 'drums')})
  slakh_track(root / 'test' / 'Track01878', 'a' * 32, {'S00': (bass, 'bass'), 'S01': (piano, 'keys')})
  slakh_track(root / 'omitted' / 'Track00002', 'e' * 32, {'S00': (bass, 'bass'), 'S01': (piano, 'keys')})


def moises_song(folder: pathlib.Path, artist: str, title: str, tracks: list[tuple[str, str, str, bool]]) -> None:
  """`tracks` are (stemName, trackType, tone, has_bleed); files are named by uuid."""
  stems: dict[str, list] = {}
  for number, (stem, kind, sound, bleed) in enumerate(tracks):
    name = f'{number:08x}-aaaa-4bbb-8ccc-dddddddddddd'
    write_stem(folder / stem / f'{name}.wav', sound, rate=44_100, channels=2, seconds=SECONDS + 0.1 * number)
    stems.setdefault(stem, []).append({'id': name, 'trackType': kind, 'extension': 'wav', 'has_bleed': bleed})
  listed = [{'id': f'{i:04d}', 'stemName': stem, 'tracks': found} for i, (stem, found) in enumerate(stems.items())]
  (folder / 'data.json').write_text(json.dumps({'song': title, 'artist': artist, 'genre': 'rock', 'stems': listed}))


def moisesdb(root: pathlib.Path) -> None:
  """uuid folders: two basses in one song, two songs of one name, bleed, no bass."""
  top = root / 'moisesdb_v0.1'
  two = [('bass', 'bass_guitar', 'bass', False), ('bass', 'bass_synthesizer', 'bass', False), ('drums', 'snare', 'drums', False)]
  bleed = [('bass', 'bass_guitar', 'bass', False), ('drums', 'overheads', 'drums', True)]
  moises_song(top / '0a0a0a0a-1111-4222-8333-000000000000', 'Band', 'Song', [*two, ('guitar', 'clean_electric_guitar', 'guitar', False)])
  moises_song(top / '1b1b1b1b-1111-4222-8333-000000000000', 'Band', 'Song', two)
  moises_song(top / '2c2c2c2c-1111-4222-8333-000000000000', 'Other', 'Bleeding', bleed)
  moises_song(top / '3d3d3d3d-1111-4222-8333-000000000000', 'Other', 'No bass', [('vocals', 'lead_male_singer', 'vocals', False)])


def medley_song(root: pathlib.Path, name: str, stems: list[tuple[str, object, str]], bleed: str = 'no', apart: bool = False) -> None:
  """`stems` are (component, instrument, tone); `apart`: metadata in the repository's folder instead of beside the song."""
  folder = root / 'Audio' / name
  table = {}
  for number, (component, instrument, sound) in enumerate(stems, start=1):
    file = f'{name}_STEM_{number:02d}.wav'
    write_stem(folder / f'{name}_STEMS' / file, sound, rate=44_100, channels=2)
    raw = {'R01': {'filename': f'{name}_RAW_{number:02d}_01.wav', 'instrument': instrument}}
    table[f'S{number:02d}'] = {'component': component, 'filename': file, 'instrument': instrument, 'raw': raw}
  artist, title = name.split('_')
  write(folder / f'{name}_MIX.wav', mixture([sound for _, _, sound in stems], rate=44_100, channels=2), 44_100)
  metadata = {
    'album': '',
    'artist': artist,
    'composer': [artist],
    'excerpt': 'no',
    'genre': 'Rock',
    'has_bleed': bleed,
    'instrumental': 'no',
    'mix_filename': f'{name}_MIX.wav',
    'raw_dir': f'{name}_RAW',
    'stem_dir': f'{name}_STEMS',
    'stems': table,
    'title': title,
    'version': 1.2,
  }
  path = (root / 'Metadata' if apart else folder) / f'{name}_METADATA.yaml'
  path.parent.mkdir(exist_ok=True)
  path.write_text(yaml.safe_dump(metadata))


def medleydb(root: pathlib.Path) -> None:
  """A bass that no component says, a cello whose component is bass, bleed, a stem of everything, metadata apart."""
  medley_song(root, 'Band_Hidden', [('', 'electric bass', 'bass'), ('bass', 'cello', 'other'), ('', 'drum set', 'drums')])
  medley_song(root, 'Band_Apart', [('bass', ['double bass'], 'bass'), ('melody', 'male singer', 'vocals')], apart=True)
  medley_song(root, 'Trio_Cello', [('bass', 'cello', 'other'), ('melody', 'violin', 'guitar')])
  medley_song(root, 'Trio_Bleeding', [('bass', 'double bass', 'bass'), ('', 'piano', 'keys')], bleed='yes')
  medley_song(root, 'Trio_System', [('bass', 'double bass', 'bass'), ('', 'Main System', 'other')])


def aam(root: pathlib.Path) -> None:
  """Archives unpacked side by side: notes from ARFF (one song), from MIDI (another), no bass (a third), only a mix (a fourth)."""
  songs = {
    '0001': {'ElectricBass': 'bass', 'Drums': 'drums', 'AcousticGuitar': 'guitar', 'BassoonSolo': 'other'},
    '0002': {'DoubleBassPizz': 'bass', 'GrandPiano': 'keys'},
    '0003': {'Violin': 'vocals', 'BassDrum': 'drums'},
  }
  for number, instruments in songs.items():
    for name, sound in instruments.items():
      write_stem(root / 'audio-multitracks' / f'{number}_{name}.flac', sound, rate=44_100)
    write(root / 'audio-mixes' / f'{number}_mix.flac', mixture(instruments.values(), rate=44_100), 44_100)
  write_stem(root / 'audio-mixes' / '0004_mix.flac', 'bass')
  annotations = root / 'annotations'
  annotations.mkdir()
  rows = [f"{0.5 * i:.3f},'[+{BASS_KEY}]','[{'+36' if i % 2 == 0 else ''}]','[+60,+64]','[]'" for i in range(10)]
  names = ('ElectricBass', 'Drums', 'AcousticGuitar', 'BassoonSolo')
  header = ["@RELATION '0001 onsets'", "@ATTRIBUTE 'Onset time in seconds' NUMERIC"]
  header += [f"@ATTRIBUTE 'Onset events of {name}' STRING" for name in names]
  (annotations / '0001_onsets.arff').write_text('\n'.join([*header, '', '@DATA', *rows]) + '\n')
  beats = [f"{0.5 * i:.3f},{i // 4 + 1},{i % 4 + 1},'Amaj'" for i in range(11)]
  attributes = ["@ATTRIBUTE 'Start time in seconds' NUMERIC", "@ATTRIBUTE 'Bar count' NUMERIC", "@ATTRIBUTE 'Chord name' STRING"]
  (annotations / '0001_beatinfo.arff').write_text('\n'.join(["@RELATION 'beats'", *attributes, *beats]) + '\n')  # without @DATA
  for name, key in (('DoubleBassPizz', BASS_KEY), ('GrandPiano', 60)):
    one_part(root / 'midis' / f'0002_{name}.mid', [(0.5 * i, 0.5 * i + 0.45, key) for i in range(10)], 0)


def chart(path: pathlib.Path, parts: tuple[str, ...]) -> None:
  """notes.mid with the parts of a rhythm game: lanes, not pitches."""
  midi = mido.MidiFile(ticks_per_beat=480)
  midi.tracks.append(mido.MidiTrack([mido.MetaMessage('track_name', name='tempo'), mido.MetaMessage('set_tempo', tempo=500_000)]))
  for part in parts:
    notes = [mido.Message('note_on', note=96, velocity=100, time=240), mido.Message('note_on', note=96, velocity=0, time=120)]
    midi.tracks.append(mido.MidiTrack([mido.MetaMessage('track_name', name=part), *notes]))
  midi.save(path)


def game_song(folder: pathlib.Path, stems: dict[str, str], ini: str = '', parts: tuple[str, ...] = ('PART GUITAR',)) -> None:
  """`stems` are file name -> tone."""
  folder.mkdir(parents=True)
  for file, sound in stems.items():
    write_stem(folder / file, sound, rate=44_100 if not file.endswith('.opus') else 48_000, channels=2)
  (folder / 'song.ini').write_text(f'[song]\nname = {folder.name}\nartist = Band\n{ini}')
  chart(folder / 'notes.mid', parts)
  (folder / 'label.png').write_bytes(b'\x89PNG')


def rhythm_game(root: pathlib.Path) -> None:
  """Every way in which the bass is there, or isn't; `sectoid` is the layout of Debian's fretsonfire-songs-sectoid."""
  game_song(root / 'pack' / 'With bass', {'bass.ogg': 'bass', 'rhythm.ogg': 'guitar', 'song.ogg': 'other', 'drums_1.ogg': 'drums'})
  game_song(root / 'other pack' / 'With bass', {'bass.opus': 'bass', 'drums.mp3': 'drums', 'preview.ogg': 'vocals', 'crowd.ogg': 'keys'})
  game_song(root / 'Rhythm is bass', {'rhythm.ogg': 'bass', 'song.ogg': 'other'}, parts=('PART GUITAR', 'PART BASS'))
  game_song(root / 'Rhythm is guitar', {'rhythm.ogg': 'guitar', 'song.ogg': 'other'}, parts=('PART GUITAR', 'PART RHYTHM'))
  game_song(root / 'Ini says bass', {'rhythm.ogg': 'bass', 'song.ogg': 'other'}, ini='diff_bass = 3\ndiff_rhythm = -1\n')
  game_song(root / 'Nobody says', {'rhythm.ogg': 'bass', 'song.ogg': 'other'})
  game_song(root / 'Chart file', {'rhythm.ogg': 'guitar', 'song.ogg': 'other'}, ini='diff_bass = 3\n')
  (root / 'Chart file' / 'notes.mid').unlink()
  (root / 'Chart file' / 'notes.chart').write_text(
    '[Song]\n{\n  Name = "x"\n}\n[ExpertSingle]\n{\n  768 = N 0 0\n}\n[ExpertDoubleRhythm]\n{\n  768 = N 1 0\n}\n[ExpertDoubleBass]\n{\n}\n'
  )
  game_song(root / 'Full mix', {'bass.ogg': 'bass', 'guitar.ogg': 'guitar'})
  write(root / 'Full mix' / 'song.ogg', mixture(('bass', 'guitar', 'other'), rate=44_100, channels=2), 44_100)
  game_song(root / 'sectoid' / 'Metal madness', {'guitar.ogg': 'guitar', 'song.ogg': 'other'}, ini='cassettecolor = #111111\n')
  (root / 'sectoid' / 'library.ini').write_text('[library]\nname=Songs by Sectoid\n')
  game_song(root / 'Multichannel', {})
  (root / 'Multichannel' / 'audio.mogg').write_bytes(b'\x0a\x00\x00\x00')
  (root / 'packed.sng').write_bytes(b'SNGPKG')
