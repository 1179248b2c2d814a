"""Reads a multitrack MIDI file, finds its bass part and makes a `Song` of it: notes and audio from one list of events."""

from __future__ import annotations

import bisect
import collections
import dataclasses
import io
import os

import mido
import numpy as np

from data_pipeline import rendering
from data_pipeline.notes import DRUMS, Notes, monophonic
from data_pipeline.rendering import DRUM_CHANNEL, Event, Instruments
from data_pipeline.song import SkipSong, Song, SongKey, Stem

BASS_PROGRAMS = range(32, 40)
"""General MIDI's basses: acoustic, finger, pick, fretless, two slapped, two synthetic."""

_LONGEST_MINUTES_READ = 600
"""A file that claims more is damaged; nothing is computed from it."""
_MOST_BEATS = 100_000
_FINEST_BEAT = 32
_SHORTEST_DRUM_SECONDS = 0.05
"""Some programs write drum notes of no length at all; they are meant to sound."""
_RING_SECONDS = 1.0
"""Audio goes on that long after the last note, for releases and cymbals."""
_OVERLAP_SECONDS = 0.03
"""Notes that touch by less are legato, not two voices."""

# Passed on to the synthesizer: data entry and parameter numbers (bend range, tuning), volume, pan, expression.
_PASSED_CONTROLS = frozenset({6, 7, 10, 11, 38, 39, 42, 43, 98, 99, 100, 101})
_SUSTAIN, _ALL_SOUND_OFF, _RESET_CONTROLLERS, _ALL_NOTES_OFF = 64, 120, 121, 123


class NoNotes(SkipSong):
  """A sound MIDI file, in which nothing is played."""


@dataclasses.dataclass(frozen=True)
class BassRule:
  """What a piece must have to be used; the defaults are those of the open dataset.

  Attributes:
    fewest_bass, fewest_drums, fewest_others: smallest numbers of notes of the bass part, the drums and everything else.
    most_overlapping: largest share of bass notes that still sound when the next one begins.
    lowest, highest: MIDI range in which the bass must lie after one shift by whole octaves.
    least_in_range: smallest share of bass notes inside it.
    longest_minutes: a piece must be shorter.
  """

  fewest_bass: int = 60
  fewest_drums: int = 50
  fewest_others: int = 50
  most_overlapping: float = 0.15
  lowest: int = 28
  highest: int = 67
  least_in_range: float = 0.95
  longest_minutes: float = 15.0


STRICT = BassRule()

LENIENT = BassRule(fewest_bass=16, fewest_drums=0, fewest_others=16, most_overlapping=0.25, longest_minutes=20.0)
"""For a user's own files: short pieces and pieces without drums get in."""


@dataclasses.dataclass(frozen=True)
class MidiPiece:
  """A MIDI file on a clock in seconds.

  Attributes:
    notes: every note; held pedals are resolved, so an offset is where the key *or* the pedal lets go.
    channel: [notes] int64, 0..15, the channel of each note; a part is a pair (channel, program).
    channel_events: programs, controls and bends of all channels in playing order; with `note_events` they make the audio.
    beats: [beats] seconds.
    seconds: length of the audio, with room to ring after the last note.
  """

  notes: Notes
  channel: np.ndarray
  channel_events: tuple[Event, ...]
  beats: np.ndarray
  seconds: float

  @property
  def is_bass(self) -> np.ndarray:
    """[notes] bool: notes of any bass part."""
    return (self.notes.program >= BASS_PROGRAMS.start) & (self.notes.program < BASS_PROGRAMS.stop)


@dataclasses.dataclass(frozen=True)
class BassSplit:
  """A piece taken apart into its bass and the mix without any bass.

  Attributes:
    bass_notes: one at a time, moved by `octaves`.
    bass_events: make the bass's audio: the very notes of `bass_notes` with their channel's controls and bends.
    mix_notes, mix_events: the same of everything but bass parts.
    mix_channel: [mix notes] int64, 0..15.
    octaves: whole octaves by which the bass was moved.
  """

  bass_notes: Notes
  bass_events: tuple[Event, ...]
  mix_notes: Notes
  mix_events: tuple[Event, ...]
  mix_channel: np.ndarray
  octaves: int


def read_piece(source: bytes | str | os.PathLike) -> MidiPiece:
  """Reads a MIDI file; tempo changes count in whichever track they stand.

  Args:
    source: the file's bytes, or its path.

  Raises:
    NoNotes: it has none.
    SkipSong: it isn't a readable MIDI file, or is of a kind without one time line (type 2, SMPTE time).
  """
  midi = _parse(source)
  try:
    merged = midi.merged_track
  except TypeError as error:
    raise SkipSong('a MIDI file of type 2 (its tracks are independent patterns, not one piece); save it as type 1') from error
  if midi.ticks_per_beat <= 0:
    raise SkipSong(f'MIDI time is given as SMPTE frames, or damaged (division {midi.ticks_per_beat}); save it with ticks per quarter note')
  messages, tick = [], 0
  for message in merged:
    tick += message.time
    messages.append((tick, message))
  clock = _Clock(messages, midi.ticks_per_beat)
  if clock.seconds(tick) > 60 * _LONGEST_MINUTES_READ:
    raise SkipSong(f'it claims to last {clock.seconds(tick) / 60:.0f} minutes; the file is probably damaged: export it again')
  rows, channel_events = _follow(messages, clock)
  if not rows:
    raise NoNotes('no notes in this MIDI file; a piece with a bass part is expected')
  table = np.asarray(rows, dtype=np.float64)
  table = table[np.lexsort((table[:, 5], table[:, 2], table[:, 0]))]
  notes = Notes(table[:, 0], table[:, 1], *(table[:, i].astype(np.int64) for i in (2, 3, 4)))
  seconds = float(notes.offset.max()) + _RING_SECONDS
  return MidiPiece(notes, table[:, 5].astype(np.int64), tuple(channel_events), clock.beats(messages, seconds), seconds)


def split_bass(piece: MidiPiece, rule: BassRule) -> BassSplit:
  """Finds the main bass part and takes every bass part out of the mix.

  Of several bass parts the one with most notes is the bass; the others leave the mix too: it must not play what the model is to find.

  Raises:
    SkipSong: the piece breaks `rule`; the message says how, with the figures.
  """
  minutes = piece.seconds / 60
  if minutes >= rule.longest_minutes:
    raise SkipSong(f'{minutes:.1f} minutes long; shorter than {rule.longest_minutes:g} is needed')
  is_bass = piece.is_bass
  parts = collections.Counter(zip(piece.channel[is_bass].tolist(), piece.notes.program[is_bass].tolist(), strict=True))
  if not parts:
    raise SkipSong('no bass part: no notes with programs 32-39 (General MIDI basses, counted from 0) outside the drum channel')
  (channel, program), _ = max(parts.items(), key=lambda item: (item[1], -item[0][0], -item[0][1]))
  raw = piece.notes.where(is_bass & (piece.channel == channel) & (piece.notes.program == program))
  mix_notes, mix_channel = piece.notes.where(~is_bass), piece.channel[~is_bass]
  drums, others = int((mix_notes.program == DRUMS).sum()), int((mix_notes.program != DRUMS).sum())
  for name, found, fewest in (
    ('bass', len(raw), rule.fewest_bass),
    ('drum', drums, rule.fewest_drums),
    ('other', others, rule.fewest_others),
  ):
    if found < fewest:
      raise SkipSong(f'{found} {name} notes; at least {fewest} are needed')
  overlapping = float(np.mean(raw.offset[:-1] > raw.onset[1:] + _OVERLAP_SECONDS)) if len(raw) > 1 else 0.0
  if overlapping > rule.most_overlapping:
    raise SkipSong(f'{overlapping:.0%} of the bass notes overlap the next one; at most {rule.most_overlapping:.0%} may')
  octaves, share = _best_octave(raw.pitch, rule)
  if share < rule.least_in_range:
    raise SkipSong(
      f'{share:.0%} of the bass notes lie in MIDI {rule.lowest}..{rule.highest} after a shift of {octaves:+d} octaves; '
      f'at least {rule.least_in_range:.0%} are needed'
    )
  bass_notes = monophonic(raw.transposed(12 * octaves))
  own_channel = np.full(len(bass_notes), channel, dtype=np.int64)
  bass_events = [event for event in piece.channel_events if event.channel == channel]
  return BassSplit(
    bass_notes=bass_notes,
    bass_events=(*bass_events, *note_events(bass_notes, own_channel)),
    mix_notes=mix_notes,
    mix_events=(*piece.channel_events, *note_events(mix_notes, mix_channel)),
    mix_channel=mix_channel,
    octaves=octaves,
  )


def note_events(notes: Notes, channel: np.ndarray) -> list[Event]:
  """Beginnings and ends of notes as events for `rendering.render`; channel is [notes] int64."""
  events = []
  for (onset, offset, pitch, velocity, _), played_on in zip(notes.rows().tolist(), channel.tolist(), strict=True):
    events += [Event(onset, played_on, 'on', int(pitch), int(velocity)), Event(offset, played_on, 'off', int(pitch))]
  return events


def song_from_midi(
  key: SongKey,
  source: bytes | str | os.PathLike,
  rule: BassRule,
  licence: str,
  credit: str,
  soundfont: str | None = None,
  players: Instruments | None = None,
) -> Song:
  """Reads, takes apart and renders one piece.

  Args:
    key: name and split of the song.
    source: the MIDI file's bytes, or its path.
    rule: what the piece must have.
    licence, credit: go into the song.
    soundfont: path of a General MIDI .sf2, or None for the default.
    players: of the mix, if others than the SoundFont's; then the song has its stems, one a channel.

  Raises:
    SkipSong: the file is unreadable, breaks `rule`, or its mix or bass is silent when played.
  """
  piece = read_piece(source)
  split = split_bass(piece, rule)
  own = Instruments(soundfont)
  stems = () if players is None else _stems(piece, split, players)
  mix = sum(stem.audio for stem in stems) if stems else rendering.render(split.mix_events, piece.seconds, own)
  bass = rendering.render(split.bass_events, piece.seconds, own)
  for name, audio in (('mix', mix), ('bass', bass)):
    if not np.abs(audio).max() > 1e-4:
      raise SkipSong(f'the {name} is silent when played: its volume is zero, or the SoundFont lacks its instruments')
  return Song(
    key=key,
    mix=mix,
    bass=bass,
    licence=licence,
    credit=credit,
    notes=split.bass_notes,
    mix_notes=split.mix_notes,
    beats=piece.beats,
    stems=stems,
  )


def _stems(piece: MidiPiece, split: BassSplit, players: Instruments) -> tuple[Stem, ...]:
  """The channels of the mix, one by one."""
  stems = []
  for channel in np.unique(split.mix_channel):
    notes = split.mix_notes.where(split.mix_channel == channel)
    events = [event for event in piece.channel_events if event.channel == channel]
    played_on = np.full(len(notes), channel, dtype=np.int64)
    stems.append(Stem(rendering.render([*events, *note_events(notes, played_on)], piece.seconds, players), notes))
  return tuple(stems)


def _parse(source: bytes | str | os.PathLike) -> mido.MidiFile:
  try:
    if isinstance(source, bytes):
      data = source
    else:
      with open(source, 'rb') as file:
        data = file.read()
  except OSError as error:
    raise SkipSong(f"the MIDI file can't be read ({error.strerror or error}); look at its permissions") from error
  if data[:4] == b'RIFF':  # An .rmi file: a MIDI file in a wrapper.
    data = data[max(data.find(b'MThd'), 0) :]
  if data[:4] != b'MThd':
    raise SkipSong(f'not a MIDI file: it begins with {data[:4]!r}, not with MThd' if data else 'not a MIDI file: it is empty')
  try:
    return mido.MidiFile(file=io.BytesIO(data), clip=True)
  except Exception as error:  # On a damaged file mido raises whatever its parser trips over: a dozen kinds.
    raise SkipSong(f'a damaged MIDI file ({type(error).__name__}: {str(error) or "it ends too early"}); export it again') from error


class _Clock:
  """Seconds from ticks, by the tempo changes of all tracks."""

  def __init__(self, messages, ticks_per_quarter: int):
    self._quarter = ticks_per_quarter
    self._ticks, self._starts, self._rates = [0], [0.0], [0.5 / ticks_per_quarter]
    for tick, message in messages:
      if message.type == 'set_tempo' and message.tempo > 0:
        start, rate = self.seconds(tick), message.tempo * 1e-6 / ticks_per_quarter
        if tick == self._ticks[-1]:
          self._rates[-1] = rate
        else:
          self._ticks.append(tick)
          self._starts.append(start)
          self._rates.append(rate)

  def seconds(self, tick: float) -> float:
    i = bisect.bisect_right(self._ticks, tick) - 1
    return self._starts[i] + (tick - self._ticks[i]) * self._rates[i]

  def beats(self, messages, end: float) -> np.ndarray:
    """[beats] seconds of all beats before `end`; the beat of 6/8, 9/8, 12/8 is three eighths; a new signature begins a new grid."""
    signatures = {0: (4, 4)} | {tick: (m.numerator, m.denominator) for tick, m in messages if m.type == 'time_signature'}
    changes = sorted(signatures)
    beats = []
    for start, stop in zip(changes, [*changes[1:], None], strict=True):
      numerator, denominator = signatures[start]
      if not (numerator >= 1 and 1 <= denominator <= _FINEST_BEAT):
        numerator, denominator = 4, 4  # No music is written so; it's a damaged byte.
      step = 4 * self._quarter / denominator
      if denominator >= 8 and numerator > 3 and numerator % 3 == 0:
        step *= 3
      count = 0
      while (stop is None or start + count * step < stop) and self.seconds(start + count * step) < end:
        beats.append(self.seconds(start + count * step))
        count += 1
        if len(beats) > _MOST_BEATS:
          raise SkipSong(f'more than {_MOST_BEATS} beats in {end:.0f} s; its tempo is damaged: export it again')
    return np.asarray(beats, dtype=np.float64)


@dataclasses.dataclass
class _Sounding:
  """A note that has begun: onset in seconds, velocity, program, and whether only the pedal still holds it."""

  onset: float
  velocity: int
  program: int
  pedalled: bool = False


def _follow(messages, clock: _Clock) -> tuple[list[tuple], list[Event]]:
  """Plays the messages through: rows (onset, offset, pitch, velocity, program, channel), and the events that aren't notes.

  The synthesizer's rules are applied here: at one tick programs and controls act before notes, whichever track holds them; the
  oldest of two notes on one key ends first. Bank selects are left out: files carry them for synthesizers that nobody has.
  """
  rows: list[tuple] = []
  events: list[Event] = []
  sounding: dict[tuple[int, int], list[_Sounding]] = collections.defaultdict(list)
  program, pedal = [0] * 16, [False] * 16

  def end(channel: int, key: int, note: _Sounding, now: float) -> None:
    sounding[channel, key].remove(note)
    offset = max(now, note.onset + _SHORTEST_DRUM_SECONDS) if channel == DRUM_CHANNEL else now
    if offset > note.onset:
      rows.append((note.onset, offset, key, note.velocity, note.program, channel))

  def end_all(now: float, channel: int, only_pedalled: bool = False) -> None:
    for (played_on, key), held in list(sounding.items()):
      for note in list(held):
        if played_on == channel and (note.pedalled or not only_pedalled):
          end(channel, key, note, now)

  for tick, message in sorted(messages, key=lambda item: (item[0], item[1].type in ('note_on', 'note_off'))):
    now, kind = clock.seconds(tick), message.type
    if kind == 'program_change':
      program[message.channel] = message.program
      events.append(Event(now, message.channel, 'program', message.program))
    elif kind == 'pitchwheel':
      events.append(Event(now, message.channel, 'bend', message.pitch + 8192))
    elif kind == 'control_change':
      channel, control = message.channel, message.control
      if control in _PASSED_CONTROLS:
        events.append(Event(now, channel, 'control', control, message.value))
      elif control == _SUSTAIN:
        pedal[channel] = message.value >= 64
        if not pedal[channel]:
          end_all(now, channel, only_pedalled=True)
      elif control in (_ALL_SOUND_OFF, _ALL_NOTES_OFF):
        end_all(now, channel)
      elif control == _RESET_CONTROLLERS:
        pedal[channel] = False
        end_all(now, channel, only_pedalled=True)
        # Spelled out, since the synthesizer would reset the volume too, which General MIDI keeps.
        events += [Event(now, channel, 'control', 11, 127), Event(now, channel, 'bend', 8192)]
    elif kind == 'note_on' and message.velocity > 0:
      for note in [note for note in sounding[message.channel, message.note] if note.pedalled]:
        end(message.channel, message.note, note, now)
      played = DRUMS if message.channel == DRUM_CHANNEL else program[message.channel]
      sounding[message.channel, message.note].append(_Sounding(now, message.velocity, played))
    elif kind in ('note_on', 'note_off'):
      held = next((note for note in sounding[message.channel, message.note] if not note.pedalled), None)
      if held is not None and pedal[message.channel] and message.channel != DRUM_CHANNEL:
        held.pedalled = True
      elif held is not None:
        end(message.channel, message.note, held, now)
  finish = clock.seconds(messages[-1][0]) if messages else 0.0
  for channel in range(16):
    end_all(finish, channel)
  return rows, events


def _best_octave(pitch: np.ndarray, rule: BassRule) -> tuple[int, float]:
  """The shift in whole octaves that brings most notes into the rule's range (of equals the smallest), and that share."""
  shares = {}
  for octaves in range(-4, 5):
    moved = pitch + 12 * octaves
    shares[octaves] = float(np.mean((moved >= rule.lowest) & (moved <= rule.highest)))
  best = max(shares, key=lambda octaves: (shares[octaves], -abs(octaves)))
  return best, shares[best]
