"""Turns what the network predicts for every frame into a line of bass notes."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage

from data_pipeline import features
from data_pipeline.notes import Notes

BASS_PROGRAM = 33  # General MIDI 'Electric Bass (finger)', counted from 0

RANGES = {'4-string': (28, 55), '5-string': (23, 55), 'full': (features.LOWEST_PITCH, features.HIGHEST_PITCH)}
"""Lowest and highest MIDI pitch of the range presets: E1-G3, B0-G3, and all that the network can say."""

PEAK_REACH = 3  # an onset peak is the highest of this many frames on either side
PEAK_DISTANCE = 4  # frames between two onsets, 50 ms: faster than anybody plays a bass
GAP = 3  # frames of 'no pitch' in a row that end a note; shorter holes are flicker
LATE_PITCH = 4  # frames by which the pitch may come after its onset peak
STEADY = 6  # frames that a new pitch must hold to begin a note without an onset peak
SILENCE = 0.5  # probability of 'no pitch' from which a frame is silent for a note that already sounds
LONGEST_RING = 8  # frames, 0.1 s, by which a note goes on at most while the network is unsure which pitch it is
JUMP = 7  # semitones; a larger step within a phrase is a jump
JUMP_COST = 6.0  # nats of summed log-probability by which another octave of a note must be better to be worth a jump
RESTRIKE = 13  # frames, 0.16 s: the same pitch again within so many is a restrike, seldom meant
RESTRIKE_DOUBT = 0.2  # by which the probability of an onset must exceed the threshold to be one
PHRASE_GAP = 80  # frames of rest, 1 s, after which a line may begin anywhere
PITCH_FRAMES = 32  # frames from a note's beginning that decide its pitch, 0.4 s
VELOCITY_FRAMES = 16  # frames from a note's beginning whose highest level is its velocity, 0.2 s
SHORTEST_STACCATO = 0.4  # share of a note's length that is left at articulation 0
SHORTEST_SOUNDING = 0.03  # seconds below which staccato doesn't cut
LONGEST_TIE = 2.0  # seconds by which legato holds a note at most: a rest between two phrases stays a rest
FULL_VELOCITY_DB = -10.0  # level that is velocity 127


@dataclasses.dataclass(frozen=True)
class Prediction:
  """What the network says about one song, on the features' clock (80 frames a second, frame t centred at t / 80 seconds).

  Attributes:
    bass: [frames, 144] float32, log1p-compressed constant-Q magnitudes of the bass.
    pitch_logits: [frames, 46] float32, classes 0..44 = MIDI 23..67, 45 = no pitch.
    onset: [frames] float32, probability that a note begins here.
    level: [frames] float32, 0..1 = RMS from -60 to 0 dB, of audio at the front end's gain.
  """

  bass: np.ndarray
  pitch_logits: np.ndarray
  onset: np.ndarray
  level: np.ndarray

  def __post_init__(self):
    expected = {'bass': (features.BASS_BINS,), 'pitch_logits': (features.PITCHES + 1,), 'onset': (), 'level': ()}
    for name, rest in expected.items():
      shape = np.shape(getattr(self, name))
      if shape != (len(self.onset), *rest):
        raise ValueError(f'Prediction.{name} has shape {shape}; expected {(len(self.onset), *rest)}.')

  @property
  def frames(self) -> int:
    return len(self.onset)


def onset_peaks(onset: np.ndarray, threshold: float) -> np.ndarray:
  """Frames at which a note begins: the highest of +-3 frames, above `threshold`, at least 4 frames apart.

  Args:
    onset: [frames] probabilities.
    threshold: 0..1; a probability of exactly 0 is never an onset.

  Returns:
    [peaks] int64, rising.
  """
  onset = np.asarray(onset, dtype=np.float32)
  highest = ndimage.maximum_filter1d(onset, 2 * PEAK_REACH + 1, mode='constant', cval=0.0)
  peaks = np.flatnonzero((onset >= highest) & (onset > max(threshold, 0.0)))
  if len(peaks) < 2 or np.diff(peaks).min() >= PEAK_DISTANCE:
    return peaks
  kept = [peaks[0]]  # equal neighbours (a plateau): the first one counts
  for peak in peaks[1:]:
    if peak - kept[-1] >= PEAK_DISTANCE:
      kept.append(peak)
  return np.asarray(kept, dtype=np.int64)


def velocity_of(level: np.ndarray) -> np.ndarray:
  """MIDI velocity of a level: -10 dB is 127, and amplitude goes with the square of velocity, as General MIDI players have it.

  Args:
    level: 0..1 = -60..0 dB.

  Returns:
    int64 of the same shape, 1..127.
  """
  decibels = (1 - np.asarray(level, dtype=np.float64)) * features.LEVEL_FLOOR_DB
  return np.clip(np.round(127 * 10 ** ((decibels - FULL_VELOCITY_DB) / 40)), 1, 127).astype(np.int64)


def notes_from_prediction(
  prediction: Prediction,
  onset_threshold: float = 0.3,
  articulation: float = 0.5,
  lowest: int = features.LOWEST_PITCH,
  highest: int = features.HIGHEST_PITCH,
  *,
  octaves: int = 0,
  jump_cost: float = JUMP_COST,
  longest_ring: int = LONGEST_RING,
  restrike_doubt: float = RESTRIKE_DOUBT,
  pitch_changes: bool = False,
  shortest: float = 0.05,
) -> Notes:
  """The bass line of a prediction.

  A note begins at a peak of the onset probability and, if `pitch_changes`, where the most likely pitch changes inside a sounding note
  and then holds for 6 frames. Its pitch class is that of the pitch with the highest summed log-probability over its first 0.4 s, given
  that there is a pitch; its octave is the best one of the whole line, where jumps of more than a fifth within a phrase have a price: a
  line whose octave the network is unsure of stays in one place. The same pitch again within 0.16 s is a new note only where its onset's
  probability exceeds the threshold by `restrike_doubt`; else the note before goes on. A note is there if a pitch wins over 'no pitch';
  it ends where 'no pitch' wins for 3 frames, or, at most 0.1 s later, where it is the more probable half, or where the next note begins.

  Args:
    prediction: of one song.
    onset_threshold: 0..1, low plays more notes, high plays fewer.
    articulation: 0 staccato (40 % of the predicted length), 0.5 as predicted, 1 legato (to the next onset, at most 2 s longer).
    lowest, highest: MIDI pitches; notes outside are moved by octaves. See `RANGES`.
    octaves: by which the whole line is moved up, before the range counts.
    jump_cost: nats; 0 takes every note's octave for itself.
    longest_ring: frames that a note may go on while 'no pitch' wins but isn't the more probable half; 0 ends it at once.
    restrike_doubt: 0 takes every onset for a new note.
    pitch_changes: whether a change of pitch alone begins a note. Off: on validation songs it added more wrong notes than right ones.
    shortest: seconds; shorter notes, as predicted, are left out.

  Returns:
    Notes, one at a time, program 33, inside the frames' time.

  Raises:
    ValueError: an argument is out of its range.
  """
  if not 0 <= onset_threshold <= 1:
    raise ValueError(f'The onset threshold is {onset_threshold}; expected 0 to 1.')
  if not 0 <= articulation <= 1:
    raise ValueError(f'The articulation is {articulation}; expected 0 (staccato) to 1 (legato).')
  if highest - lowest < 11:
    raise ValueError(f'The range {lowest}..{highest} is narrower than an octave.')
  frames = prediction.frames
  peaks = onset_peaks(prediction.onset, onset_threshold)
  if not len(peaks):
    return Notes.empty()

  best = np.argmax(prediction.pitch_logits, axis=1)
  rest = _runs_at_least(best == features.NO_PITCH, GAP)
  likelihood = _cumulative_pitch_likelihood(prediction.pitch_logits)
  starts, changed = peaks, np.zeros(len(peaks), dtype=bool)
  if pitch_changes:
    changes = _pitch_changes(best, rest, peaks)
    starts = np.concatenate([peaks, changes])
    order = np.argsort(starts)
    starts, changed = starts[order], np.repeat([False, True], [len(peaks), len(changes)])[order]

  starts, ends, changed = _with_ends(starts, changed, rest, shortest=1)
  pitch = _pitch(likelihood, starts, ends)
  # A change of the frame-by-frame winner that doesn't change the note's pitch is no new note.
  same = np.zeros(len(starts), dtype=bool)
  same[1:] = changed[1:] & (pitch[1:] == pitch[:-1]) & (starts[1:] == ends[:-1])
  starts, ends, changed = _with_ends(starts[~same], changed[~same], rest, shortest=round(shortest * features.FRAME_RATE))
  if not len(starts):
    return Notes.empty()
  support = _support(likelihood, starts, ends)
  pitch = _steady_octaves(support, np.argmax(support, axis=1), starts[1:] - ends[:-1] < PHRASE_GAP, jump_cost)
  if restrike_doubt > 0:
    goes_on = _going_on(starts, ends, pitch, prediction.onset[starts] < onset_threshold + restrike_doubt)
    first = np.flatnonzero(~goes_on)
    starts, ends, changed, pitch = starts[first], ends[np.append(first[1:], len(ends)) - 1], changed[first], pitch[first]
  ends = np.minimum(_ringing(ends, prediction.pitch_logits, longest_ring), np.append(starts[1:], frames))

  onset = (starts + np.where(changed, 0.0, _between_frames(prediction.onset, starts))) / features.FRAME_RATE
  onset = np.maximum(onset, 0.0)
  offset = ends / features.FRAME_RATE
  following = np.append(onset[1:], frames / features.FRAME_RATE)
  offset = _articulate(onset, np.minimum(offset, following), following, articulation)
  velocity = velocity_of(_maximum_between(prediction.level, starts, np.minimum(ends, starts + VELOCITY_FRAMES)))
  pitch = features.into_range(pitch + features.LOWEST_PITCH + 12 * octaves, lowest, highest)
  return Notes(onset, offset, pitch.astype(np.int64), velocity, np.full(len(onset), BASS_PROGRAM, dtype=np.int64))


def _runs_at_least(mask: np.ndarray, length: int) -> np.ndarray:
  """[frames] bool: the frames of `mask` that lie in a run of at least `length` true frames."""
  edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
  long = np.zeros(len(mask) + 1, dtype=np.int64)
  first, last = edges[::2], edges[1::2]
  enough = last - first >= length
  long[first[enough]] += 1
  long[last[enough]] -= 1
  return np.cumsum(long)[:-1] > 0


def _next_true(mask: np.ndarray) -> np.ndarray:
  """[frames] int64: the first true frame at or after each frame; the number of frames where there is none."""
  frames = len(mask)
  return np.minimum.accumulate(np.where(mask, np.arange(frames), frames)[::-1])[::-1]


def _cumulative_pitch_likelihood(logits: np.ndarray) -> np.ndarray:
  """[frames + 1, 45] float64: running sums over time of log P(pitch | there is a pitch)."""
  pitched = logits[:, : features.NO_PITCH].astype(np.float32)
  pitched = pitched - pitched.max(axis=1, keepdims=True)
  pitched -= np.log(np.exp(pitched).sum(axis=1, keepdims=True))
  total = np.zeros((len(pitched) + 1, pitched.shape[1]), dtype=np.float64)
  np.cumsum(pitched, axis=0, out=total[1:])
  return total


def _pitch_changes(best: np.ndarray, rest: np.ndarray, peaks: np.ndarray) -> np.ndarray:
  """Frames where a steady pitch follows another pitch inside a note that an onset peak began."""
  edges = np.concatenate([[0], np.flatnonzero(np.diff(best)) + 1, [len(best)]])
  first, length = edges[:-1], np.diff(edges)
  steady = (length >= STEADY) & (best[first] != features.NO_PITCH)
  first = first[steady]
  if len(first) < 2:
    return np.empty(0, dtype=np.int64)
  rests_before = np.cumsum(rest)
  together = rests_before[first[1:]] == rests_before[first[:-1]]  # no rest between this steady pitch and the one before
  changes = first[1:][together & (best[first[1:]] != best[first[:-1]])]
  previous = np.searchsorted(peaks, changes, side='right') - 1
  behind = np.where(previous >= 0, changes - peaks[np.maximum(previous, 0)], -1)
  ahead = np.append(peaks, np.iinfo(np.int64).max)[previous + 1] - changes
  began = previous >= 0
  # An onset beside the change is the change's own: the pitch is often a few frames early or late.
  sounding = began & (rests_before[changes] == rests_before[np.minimum(peaks[np.maximum(previous, 0)] + LATE_PITCH, changes)])
  return changes[sounding & (behind >= STEADY) & (ahead >= STEADY)]


def _with_ends(starts: np.ndarray, changed: np.ndarray, rest: np.ndarray, shortest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Ends of the notes that begin at `starts`, without those that are shorter than `shortest` frames or never get a pitch."""
  frames = len(rest)
  following = np.append(starts[1:], frames)
  voiced = np.append(_next_true(~rest), frames)[starts]
  ends = np.append(_next_true(rest), frames)[np.minimum(voiced, frames)]
  ends = np.minimum(ends, following)
  kept = (voiced - starts <= LATE_PITCH) & (voiced < following) & (ends - starts >= max(shortest, 1))
  return starts[kept], ends[kept], changed[kept]


def _support(likelihood: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
  """[notes, 45]: the log-likelihood of every pitch over each note's first frames."""
  return likelihood[np.minimum(ends, starts + PITCH_FRAMES)] - likelihood[starts]


def _pitch(likelihood: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
  """[notes] int64: the pitch 0..44 of the highest likelihood over each note's first frames."""
  return np.argmax(_support(likelihood, starts, ends), axis=1)


def _steady_octaves(support: np.ndarray, pitch: np.ndarray, together: np.ndarray, cost: float) -> np.ndarray:
  """The same pitch classes in the octaves that make the best line: most likely in sum, each jump within a phrase for its price.

  The best path by dynamic programming (Viterbi). What is far away doesn't matter: a note that the network is sure of decides for itself.

  Args:
    support: [notes, 45] log-likelihoods.
    pitch: [notes] the most likely one, 0..44.
    together: [notes - 1] bool, whether a note and the next are of one phrase.
    cost: of a step of more than `JUMP` semitones.

  Returns:
    [notes] int64, 0..44.
  """
  if len(pitch) < 2 or cost <= 0:
    return pitch
  octaves = pitch[:, None] % 12 + 12 * np.arange(-(-features.PITCHES // 12))  # [notes, 4]
  there = octaves < features.PITCHES
  likely = np.where(there, np.take_along_axis(support, np.minimum(octaves, features.PITCHES - 1), axis=1), -np.inf)
  jumps = np.abs(octaves[1:, None, :] - octaves[:-1, :, None]) > JUMP  # [notes - 1, from, to]
  prices = np.where(jumps & together[:, None, None], cost, 0.0)
  score, came = likely[0], np.zeros(likely.shape, dtype=np.int64)
  for note in range(1, len(pitch)):
    ways = score[:, None] - prices[note - 1]
    came[note] = np.argmax(ways, axis=0)
    score = ways.max(axis=0) + likely[note]
  path = np.empty(len(pitch), dtype=np.int64)
  path[-1] = np.argmax(score)
  for note in range(len(pitch) - 1, 0, -1):
    path[note - 1] = came[note, path[note]]
  return octaves[np.arange(len(pitch)), path]


def _going_on(starts: np.ndarray, ends: np.ndarray, pitch: np.ndarray, doubtful: np.ndarray) -> np.ndarray:
  """[notes] bool: which notes only go on with the one before, of the same pitch and begun less than `RESTRIKE` frames ago.

  Of a row of doubtful ones every second or third one is left, as its time goes: the time counts from the last note that was struck.
  """
  going_on = np.zeros(len(starts), dtype=bool)
  follows = doubtful[1:] & (pitch[1:] == pitch[:-1]) & (starts[1:] - ends[:-1] <= GAP)
  struck = starts[0]
  for note in np.flatnonzero(np.append(False, follows)):
    struck = starts[note - 1] if not going_on[note - 1] else struck
    going_on[note] = starts[note] - struck < RESTRIKE
  return going_on


def _ringing(ends: np.ndarray, logits: np.ndarray, longest: int) -> np.ndarray:
  """Ends of notes, moved to where silence is the more probable half, by `longest` frames at most.

  Where the network is torn between pitches each of them can be less likely than silence, though all of them together are not.
  """
  pitched = logits[:, : features.NO_PITCH].max(axis=1)
  # log of the sum over all pitches, against silence
  total = pitched + np.log(np.exp(logits[:, : features.NO_PITCH] - pitched[:, None]).sum(axis=1))
  silent = _runs_at_least(logits[:, features.NO_PITCH] - total > np.log(SILENCE / (1 - SILENCE)), GAP)
  later = np.append(_next_true(silent), len(silent))[np.minimum(ends, len(silent))]
  return np.minimum(later, ends + longest)


def _between_frames(onset: np.ndarray, peaks: np.ndarray) -> np.ndarray:
  """Offset of the true peak from its frame, in frames from -0.5 to 0.5: a parabola through the peak and its neighbours."""
  padded = np.pad(onset.astype(np.float64), 1, mode='edge')
  before, here, after = padded[peaks], padded[peaks + 1], padded[peaks + 2]
  curvature = before - 2 * here + after
  return np.clip(np.where(curvature < -1e-6, 0.5 * (before - after) / np.minimum(curvature, -1e-6), 0.0), -0.5, 0.5)


def _maximum_between(values: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
  """[notes]: the maximum of values[start:end] for every pair, start < end."""
  padded = np.append(values, 0.0)  # `reduceat` takes no index past the end
  return np.maximum.reduceat(padded, np.stack([starts, ends], axis=1).ravel())[::2]


def _articulate(onset: np.ndarray, offset: np.ndarray, following: np.ndarray, articulation: float) -> np.ndarray:
  """[notes] seconds: the ends of the notes at this articulation."""
  length = offset - onset
  if articulation <= 0.5:
    share = SHORTEST_STACCATO + (1 - SHORTEST_STACCATO) * articulation / 0.5
    return onset + np.maximum(length * share, np.minimum(length, SHORTEST_SOUNDING))
  reach = np.clip(following - offset, 0.0, LONGEST_TIE)
  reach[-1] = 0.0  # nothing follows the last note that it could be tied to
  return offset + reach * (articulation - 0.5) / 0.5
