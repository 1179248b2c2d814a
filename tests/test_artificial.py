"""The artificial sets: the bass is a function of (mix, pattern), and the mix says nothing of the pattern."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import stats

from data_pipeline import catalogue, extraction
from data_pipeline import features as ft
from data_pipeline.notes import DRUMS, KICK_KEYS, SNARE_KEYS, Notes
from data_pipeline.sources.artificial import Artificial, combined, drums, instruments, standard
from data_pipeline.sources.artificial import harmony as a1
from data_pipeline.sources.artificial.source import COMPOSERS, PATTERN_NAMES

SETS = tuple(COMPOSERS)
PATTERNS = {'a1': 3, 'a2': 2, 'a3': 3, 'a4': 8}
SPLITS = ('train', 'validation', 'test', 'test_timbre')
SOURCES = {name: standard(name) for name in SETS}
every_set = pytest.mark.parametrize('name', SETS)


@pytest.fixture(scope='module')
def scores():
  """Set -> key -> score, of all keys: notes are drawn in a moment."""
  return {name: {key: source.score(key) for key in source.songs()} for name, source in SOURCES.items()}


def chords(mix: Notes) -> list[np.ndarray]:
  """Pitches at each of the attacks of a mix or a part of it."""
  return [mix.pitch[mix.onset == onset] for onset in np.unique(mix.onset)]


def part(score, name: str) -> Notes:
  """What the pianos, the guitars, or neither play."""
  family = {'piano': (*instruments.PIANOS, *instruments.HELD_OUT_PIANOS), 'guitar': (*instruments.GUITARS, *instruments.HELD_OUT_GUITARS)}
  return score.mix.where(np.isin(score.mix.program, family[name]))


def root_third_fifth(classes) -> tuple[int, int, int]:
  """Of a triad, whatever its inversion."""
  found = [
    (r, (r + t) % 12, (r + 7) % 12) for r in range(12) for t in (3, 4) if {r, (r + t) % 12, (r + 7) % 12} == {int(c) for c in classes}
  ]
  assert len(found) == 1
  return found[0]


def sounding(notes: Notes, time: float) -> np.ndarray:
  """Pitches that sound at a time."""
  return notes.pitch[(notes.onset <= time + 1e-9) & (notes.offset > time + 1e-9)]


def in_bass(pitch_class: int) -> int:
  return next(pitch for pitch in range(28, 40) if pitch % 12 == pitch_class)


# Every set.


def test_there_are_four_sets():
  assert SETS == ('a1', 'a2', 'a3', 'a4') == tuple(catalogue.DESCRIPTIONS['bassnet_artificial'])
  assert {name: len(patterns) for name, patterns in PATTERN_NAMES.items()} == PATTERNS
  for name in SETS:
    assert catalogue.source(f'bassnet_artificial/{name}') == SOURCES[name]
    assert SOURCES[name].test >= 60 and SOURCES[name].test_timbre >= 60, 'songs that control is measured on'


@every_set
def test_a_key_is_a_song_for_good(name):
  """Another source object, other sizes, other order: the same notes."""
  source = SOURCES[name]
  key = source.songs()[7]
  for other in (standard(name), Artificial(name, train=8, test=1)):
    for mine, same in zip(dataclasses.astuple(source.score(key)), dataclasses.astuple(other.score(key)), strict=True):
      np.testing.assert_equal(mine, same)
  elsewhere = Artificial(name, seed=1).score(key).mix.rows()
  assert elsewhere.shape != source.score(key).mix.rows().shape or (elsewhere != source.score(key).mix.rows()).any()


@every_set
def test_songs_differ(name, scores):
  assert len({score.mix.rows().tobytes() for score in scores[name].values()}) == len(scores[name])


@every_set
@pytest.mark.parametrize('split', ['train', 'test_timbre'])
def test_the_mix_is_bit_identical_under_every_pattern(name, split, monkeypatch):
  key = [key for key in SOURCES[name].songs() if key.split == split][3]
  made = []
  for pattern in range(PATTERNS[name]):
    monkeypatch.setattr(Artificial, 'pattern', lambda self, key, pattern=pattern: pattern)
    song = SOURCES[name].load(key)
    made.append((song, extraction.features_of(song)))
  for song, features in made[1:]:
    np.testing.assert_array_equal(song.mix, made[0][0].mix)
    np.testing.assert_array_equal(features.mix, made[0][1].mix)
    assert (features.gain, features.tuning) == (made[0][1].gain, made[0][1].tuning)
    assert (song.bass != made[0][0].bass).any()
    for mine, first in zip(features.patterns, made[0][1].patterns, strict=True):
      np.testing.assert_array_equal(mine.rows(), first.rows())
  for pattern, (song, features) in enumerate(made):
    np.testing.assert_array_equal(song.notes.rows(), song.patterns[pattern].rows())
    assert features.pattern == pattern and len(features.patterns) == PATTERNS[name]


@every_set
def test_the_patterns_differ_at_every_moment(name, scores):
  """In no frame do two patterns sound the same pitch, and no onset of one is, with its pitch class, an onset of another."""
  for key, score in list(scores[name].items())[::2]:
    targets = [ft.frame_targets(line, ft.EXCERPT_FRAMES) for line in score.patterns]
    for (first, line), (second, other) in itertools.combinations(zip(targets, score.patterns, strict=True), 2):
      assert not ((first[0] == second[0]) & (first[0] != ft.NO_PITCH)).any(), key
      near = np.abs(line.onset[:, None] - other.onset) < 0.1
      assert not (near & (line.pitch[:, None] % 12 == other.pitch % 12)).any(), key


@every_set
def test_some_pattern_sounds_at_nearly_every_moment(name, scores):
  """So that hardly a window is silent under all patterns, where z could mean nothing."""
  for key, score in list(scores[name].items())[::2]:
    sounds = np.any([ft.frame_targets(line, ft.EXCERPT_FRAMES)[0] != ft.NO_PITCH for line in score.patterns], axis=0)
    begin, end = (int(time * ft.FRAME_RATE) for time in (score.patterns[0].onset[0], score.patterns[0].onset[-1]))
    most = 48 if name == 'a4' else 32  # in a4 no pattern plays with the snare; 0.6 s are less than the shortest window
    silent = np.diff(np.flatnonzero(np.concatenate([[True], sounds[begin:end], [True]]))).max() - 1
    assert silent <= most, (key, silent)


@every_set
def test_lines_are_playable(name, scores):
  for score in scores[name].values():
    assert len(score.patterns) == PATTERNS[name]
    for line in score.patterns:
      assert isinstance(line, Notes) and len(line) >= 5
      assert (np.diff(line.onset) > 0.1).all() and (line.offset > line.onset + 0.09).all()
      assert (line.offset[:-1] <= line.onset[1:]).all(), 'one note at a time'
      assert line.offset[-1] <= 12.8
      assert set(line.program) == {33} and line.velocity.min() >= 1 and line.velocity.max() <= 127
      assert line.pitch.min() >= 28 and line.pitch.max() < 40, 'the lowest octave from E1'


@every_set
def test_the_mix_is_well_formed(name, scores):
  for score in scores[name].values():
    mix = score.mix
    assert (mix.offset > mix.onset).all() and mix.onset.min() >= 0 and mix.offset.max() <= 12.9
    assert mix.velocity.min() >= 1 and mix.velocity.max() <= 127
    assert mix.pitched.pitch.min() >= 45 and mix.pitched.pitch.max() <= 96
    tempo = 60 / np.diff(score.beats)
    assert tempo.min() > 79.9 and tempo.max() < 160.1 and np.ptp(tempo) < 1e-6


@every_set
def test_tempi_cover_their_range(name, scores):
  tempi = [60 / np.diff(score.beats).mean() for score in scores[name].values()]
  assert np.histogram(tempi, bins=4, range=(80, 160))[0].min() > 0.18 * len(tempi)


@every_set
def test_all_keys_are_there(name, scores):
  played = np.concatenate([score.patterns[0].pitch % 12 for score in scores[name].values()])
  assert np.bincount(played, minlength=12).min() > 0.04 * len(played)


@every_set
def test_patterns_are_balanced_in_every_split(name):
  for source in (SOURCES[name], Artificial(name, train=10, validation=3, test=7, test_timbre=4)):
    for split in SPLITS:
      counts = np.bincount([source.pattern(key) for key in source.songs() if key.split == split], minlength=PATTERNS[name])
      assert counts.max() - counts.min() <= 1, split


@every_set
def test_patterns_are_not_in_the_order_of_the_songs(name):
  count = PATTERNS[name]
  train = [SOURCES[name].pattern(key) for key in SOURCES[name].songs() if key.split == 'train']
  assert train != [i % count for i in range(len(train))]
  followed = np.mean([(b - a) % count == 1 for a, b in itertools.pairwise(train)])
  assert abs(followed - 1 / count) < 0.09


@every_set
def test_what_is_held_out_sounds_in_test_timbre_alone(name, scores):
  """Programs, and on the drum channel keys."""
  used = {split: set() for split in SPLITS}
  for key, score in scores[name].items():
    pitched, kit = score.mix.pitched, score.mix.drums
    used[key.split] |= set(pitched.program.tolist()) | {(DRUMS, pitch) for pitch in kit.pitch.tolist()}
  trained, held_out = {
    'a1': ((a1.PROGRAMS,), (a1.HELD_OUT_PROGRAMS,)),
    'a2': ((instruments.PIANOS, instruments.GUITARS), (instruments.HELD_OUT_PIANOS, instruments.HELD_OUT_GUITARS)),
    'a3': ((instruments.SUSTAINED,), (instruments.HELD_OUT_SUSTAINED,)),
    'a4': ((instruments.PIANOS, instruments.GUITARS), (instruments.HELD_OUT_PIANOS, instruments.HELD_OUT_GUITARS)),
  }[name]
  kits = [
    {(DRUMS, key) for group in groups for key in group} if name in ('a3', 'a4') else set()
    for groups in (
      (instruments.KICKS, instruments.SNARES, instruments.TIMEKEEPERS),
      (instruments.HELD_OUT_KICKS, instruments.HELD_OUT_SNARES, instruments.HELD_OUT_TIMEKEEPERS),
    )
  ]
  assert used['train'] == {program for group in trained for program in group} | kits[0]
  assert used['test_timbre'] == {program for group in held_out for program in group} | kits[1]
  assert not used['test_timbre'] & (used['train'] | used['validation'] | used['test'])


# a1: harmony.


def test_a1_the_triad_of_every_attack_and_the_pattern_make_the_bass(scores):
  """Read back from the mix alone."""
  for score in list(scores['a1'].values())[:60]:
    onsets = np.unique(score.mix.onset)
    for tone, line in enumerate(score.patterns):
      np.testing.assert_array_equal(line.onset, onsets)
      for pitch, velocity, chord, onset in zip(line.pitch, line.velocity, chords(score.mix), onsets, strict=True):
        assert pitch == in_bass(root_third_fifth(set(chord % 12))[tone])
        assert velocity == score.mix.velocity[score.mix.onset == onset][0]


def test_a1_the_lowest_note_is_the_root_in_about_a_third_of_the_chords(scores):
  """Else 'follow the lowest note' would be a pattern."""
  lowest = np.concatenate([[chord.min() % 12 for chord in chords(score.mix)] for score in scores['a1'].values()])
  for tone in range(3):
    played = np.concatenate([score.patterns[tone].pitch % 12 for score in scores['a1'].values()])
    assert 0.20 < (lowest == played).mean() < 0.47


def test_a1_has_both_modes(scores):
  roots, thirds = (np.concatenate([score.patterns[tone].pitch % 12 for score in scores['a1'].values()]) for tone in (0, 1))
  assert 0.3 < (((thirds - roots) % 12) == 4).mean() < 0.7


# a2: timbre.


def test_a2_the_bass_doubles_the_line_of_its_family(scores):
  for score in scores['a2'].values():
    for line, family in zip(score.patterns, ('piano', 'guitar'), strict=True):
      doubled = part(score, family)
      np.testing.assert_array_equal(line.onset, doubled.onset)
      np.testing.assert_array_equal(line.pitch, [in_bass(pitch % 12) for pitch in doubled.pitch])
      assert set(line.velocity) == {90}, 'the bass alone must not tell the family'
      gaps = np.diff(line.onset)
      np.testing.assert_allclose(line.offset[:-1] - line.onset[:-1], 0.92 * gaps)


def test_a2_the_lines_never_share_a_pitch_class_at_one_time(scores):
  """Nor with what the other has only just left, which still rings: a note counts until its line's next begins, and 20 ms longer."""
  for key, score in scores['a2'].items():
    piano, guitar = part(score, 'piano'), part(score, 'guitar')
    ends = [np.append(line.onset[1:] + 0.02, 13.0) for line in (piano, guitar)]
    together = (piano.onset[:, None] < ends[1]) & (guitar.onset < ends[0][:, None])
    assert not (together & (piano.pitch[:, None] % 12 == guitar.pitch % 12)).any(), key


def test_a2_nothing_but_the_timbre_tells_the_lines_apart(scores):
  """Registers, loudness and rhythms are exchangeable, and change within a song."""
  above, louder, denser, alike = [], [], [], []
  for score in scores['a2'].values():
    piano, guitar = part(score, 'piano'), part(score, 'guitar')
    bars = score.beats[::4]
    higher = []
    for begin, end in itertools.pairwise(bars):
      p, g = piano.between(begin - 1e-6, end - 1e-6), guitar.between(begin - 1e-6, end - 1e-6)
      higher.append(p.pitch.mean() > g.pitch.mean())
      denser.append(np.sign(len(p) - len(g)))
      rhythm = {round((onset - begin) * 1000) for onset in p.onset} ^ {round((onset - begin) * 1000) for onset in g.onset}
      alike.append(len(rhythm) < 2)
    above.append(np.mean(higher))
    velocity = {f: np.mean(n.velocity / [instruments.equal_velocity(100, p) for p in n.program]) for f, n in (('p', piano), ('g', guitar))}
    louder.append(velocity['p'] > velocity['g'])
  assert 0.45 < np.mean(above) < 0.55 and 0.45 < np.mean(louder) < 0.55 and abs(np.mean(denser)) < 0.05
  assert np.mean([0 < share < 1 for share in above]) > 0.8, 'the registers change places within most songs'
  assert not any(alike), 'the rhythms differ in every bar'


def test_families_are_equally_loud():
  from data_pipeline import rendering

  def loudness(program: int) -> float:
    rms = []
    for pitch in (50, 60, 70):
      note = Notes.from_rows([(0.1, 0.4, pitch, instruments.equal_velocity(95, program), program)])
      rms.append(np.sqrt(np.square(rendering.render(rendering.events_from_notes(note), 0.4)[1600:4800]).mean()))
    return float(np.mean(rms))

  families = (instruments.PIANOS, instruments.GUITARS, instruments.HELD_OUT_PIANOS, instruments.HELD_OUT_GUITARS)
  levels = {program: 20 * np.log10(loudness(program)) for program in sum(families, ())}
  assert np.ptp(list(levels.values())) < 2.5, levels
  mean = [np.mean([levels[program] for program in family]) for family in families]
  assert np.ptp(mean) < 1.5, mean


# a3 and a4: drums.


def timekeeper(score) -> dict[float, int]:
  """Onset -> velocity of what sounds on every eighth."""
  keeper = score.mix.drums.where(~np.isin(score.mix.drums.pitch, KICK_KEYS + SNARE_KEYS))
  return dict(zip(keeper.onset.tolist(), keeper.velocity.tolist(), strict=True))


def grid(score) -> tuple[np.ndarray, np.ndarray]:
  """Times and roles of the eighths, read back from the drums."""
  kit = score.mix.drums
  times = np.unique(kit.onset)
  roles = []
  for time in times:
    keys = set(kit.pitch[kit.onset == time].tolist())
    roles.append(drums.KICK if keys & set(KICK_KEYS) else drums.SNARE if keys & set(SNARE_KEYS) else drums.OFF_BEAT)
    assert keys - set(KICK_KEYS) - set(SNARE_KEYS), 'the time-keeper sounds on every eighth'
  return times, np.asarray(roles)


@pytest.mark.parametrize('name', ['a3', 'a4'])
def test_drums_sound_on_every_eighth_and_the_roles_are_100_ms_apart(name, scores):
  for score in scores[name].values():
    times, roles = grid(score)
    np.testing.assert_array_equal(times[::2], score.beats)
    assert (roles[1::2] == drums.OFF_BEAT).all() and (roles[::2] != drums.OFF_BEAT).all()
    for first, second in itertools.combinations((drums.KICK, drums.SNARE, drums.OFF_BEAT), 2):
      assert np.abs(times[roles == first][:, None] - times[roles == second]).min() >= 0.15
    runs = [(role, len(list(run))) for role, run in itertools.groupby(roles[::2])]
    assert max(length for _, length in runs) <= 2
    if name == 'a4':
      assert max(length for role, length in runs if role == drums.SNARE) == 1, 'a kick on every second beat at least'


def test_a3_the_drums_the_chord_s_root_and_the_pattern_make_the_bass(scores):
  for score in list(scores['a3'].values())[::3]:
    times, roles = grid(score)
    for role, line in enumerate(score.patterns):
      np.testing.assert_array_equal(line.onset, times[roles == role])
      for onset, pitch, velocity in zip(line.onset, line.pitch, line.velocity, strict=True):
        assert pitch == in_bass(root_third_fifth(set(sounding(score.mix.pitched, onset) % 12))[0])
        assert velocity == timekeeper(score)[onset], 'whatever the drum'


@pytest.mark.parametrize('name', ['a3', 'a4'])
def test_bass_notes_end_before_the_next_eighth(name, scores):
  """Else lines whose onsets differ would sound together."""
  for score in scores[name].values():
    times, _ = grid(score)
    for line in score.patterns:
      following = np.append(times, 12.8)[np.searchsorted(times, line.onset + 1e-6)]
      assert (line.offset < following - 0.02).all()


def test_a3_the_roots_are_lowest_in_about_a_third_of_the_chords(scores):
  found = []
  for score in scores['a3'].values():
    found += [chord.min() % 12 == root_third_fifth(set(chord % 12))[0] for chord in chords(score.mix.pitched)]
  assert 0.20 < np.mean(found) < 0.47


def test_a3_patterns_are_equally_dense_on_the_beats(scores):
  """With the kick and with the snare: else the bass alone would tell which it is."""
  kicks, snares = (sum(len(score.patterns[role]) for score in scores['a3'].values()) for role in (0, 1))
  assert 0.9 < kicks / snares < 1.1


def test_a4_chord_drum_and_pattern_make_the_bass(scores):
  assert combined.PATTERNS[0] == 'root, piano, kick' and combined.PATTERNS[7] == 'fifth, guitar, off-beat'
  for score in list(scores['a4'].values())[::12]:
    times, roles = grid(score)
    chord_at = {}
    for player in ('piano', 'guitar'):
      notes = part(score, player)
      attacks = np.unique(notes.onset)
      for time in times:
        latest = attacks[attacks <= time + 1e-9].max()
        chord_at[player, time] = root_third_fifth(set(notes.pitch[notes.onset == latest] % 12))
    rows = itertools.product((0, 2), ('piano', 'guitar'), (drums.KICK, drums.OFF_BEAT))
    for (tone, player, role), line in zip(rows, score.patterns, strict=True):
      np.testing.assert_array_equal(line.onset, times[roles == role])
      np.testing.assert_array_equal(line.pitch, [in_bass(chord_at[player, time][tone]) for time in line.onset])
      np.testing.assert_array_equal(line.velocity, [timekeeper(score)[time] for time in line.onset])


def test_a4_the_two_chords_share_no_pitch_class_at_any_time(scores):
  """So that the two roots and the two fifths are four pitch classes; a chord counts until its player's next."""
  for key, score in scores['a4'].items():
    spans = []
    for player in ('piano', 'guitar'):
      notes = part(score, player)
      following = np.append(np.unique(notes.onset), 13.0)
      spans.append((notes, following[np.searchsorted(following, notes.onset + 1e-6)]))
    (piano, piano_ends), (guitar, guitar_ends) = spans
    together = (piano.onset[:, None] < guitar_ends) & (guitar.onset < piano_ends[:, None])
    assert not (together & (piano.pitch[:, None] % 12 == guitar.pitch % 12)).any(), key


def test_a4_roots_are_lowest_in_about_a_third_of_the_chords_and_registers_change_places(scores):
  lowest, above = [], []
  for score in scores['a4'].values():
    for player in ('piano', 'guitar'):
      lowest += [chord.min() % 12 == root_third_fifth(set(chord % 12))[0] for chord in chords(part(score, player))]
    above.append(part(score, 'piano').pitch.mean() > part(score, 'guitar').pitch.mean())
  assert 0.20 < np.mean(lowest) < 0.47 and 0.45 < np.mean(above) < 0.55


# The mix says nothing of the pattern.


def classifiers() -> list:
  from sklearn.decomposition import PCA
  from sklearn.linear_model import LogisticRegression
  from sklearn.neighbors import KNeighborsClassifier
  from sklearn.pipeline import make_pipeline
  from sklearn.preprocessing import StandardScaler

  return [make_pipeline(StandardScaler(), PCA(16, random_state=0), c) for c in (LogisticRegression(max_iter=500), KNeighborsClassifier(7))]


def assert_chance(hits: int, songs: int, patterns: int, what: str, confidence: float = 0.95) -> None:
  low, high = stats.binom.interval(confidence, songs, 1 / patterns)
  assert low <= hits <= high, f'{what}: {hits} of {songs} songs; chance is {low:.0f} to {high:.0f}'


def describe(score) -> np.ndarray:
  """What the notes of a mix say of it: pitch classes, lowest notes, register, rhythm, dynamics, programs, drums."""
  mix, kit = score.mix.pitched, score.mix.drums
  onsets = np.unique(mix.onset)
  return np.concatenate(
    [
      np.bincount(mix.pitch % 12, minlength=12) / len(mix),
      np.bincount([chord.min() % 12 for chord in chords(mix)], minlength=12) / len(onsets),
      [mix.pitch.mean(), mix.pitch.std(), np.diff(onsets).mean(), np.diff(onsets).std(), len(onsets), mix.velocity.mean()],
      [onsets[0], mix.program.mean(), (mix.offset - mix.onset).mean(), len(mix) / len(onsets)],
      [np.isin(kit.pitch, keys).mean() if len(kit) else 0.0 for keys in (KICK_KEYS, SNARE_KEYS)],
      [kit.pitch.mean(), kit.velocity.mean()] if len(kit) else [0.0, 0.0],
    ]
  )


@every_set
def test_the_notes_of_the_mix_do_not_tell_the_pattern(name):
  """Learned from the training songs, asked on all others; the set as it is, and more seeds together, which see smaller leaks."""
  more = 6
  hits = np.zeros((1 + more, 2), int)
  for seed in range(1 + more):
    source = SOURCES[name] if not seed else Artificial(name, seed=seed)
    values = np.stack([describe(source.score(key)) for key in source.songs()])
    pattern = np.asarray([source.pattern(key) for key in source.songs()])
    train = np.asarray([key.split == 'train' for key in source.songs()])
    for i, classifier in enumerate(classifiers()):
      hits[seed, i] = (classifier.fit(values[train], pattern[train]).predict(values[~train]) == pattern[~train]).sum()
  for i, method in enumerate(('logistic regression', '7 nearest neighbours')):
    assert_chance(hits[0, i], (~train).sum(), PATTERNS[name], method)
    assert_chance(hits[1:, i].sum(), more * (~train).sum(), PATTERNS[name], f'{method}, {more} seeds')


@pytest.mark.slow
@every_set
def test_the_sound_of_the_mix_does_not_tell_the_pattern(name):
  """Learned on training songs, asked of held-out ones: with so few, cross-validation lies below chance where there's nothing to learn.

  The interval is 95 % for all eight checks together (four sets, two classifiers): alone, one of eight would be outside every third time.
  """
  source = SOURCES[name]
  songs = source.songs()
  held_out = [key for key in songs if key.split in ('test', 'validation')]
  known = [key for key in songs if key.split == 'train'][: len(held_out)]

  def sound(keys) -> np.ndarray:
    mixes = (extraction.features_of(source.load(key)).mix.astype(np.float32) for key in keys)
    return np.stack([np.concatenate([mix.mean(axis=0), mix.std(axis=0)]) for mix in mixes])

  known_sound, held_out_sound = sound(known), sound(held_out)
  known_pattern, held_out_pattern = ([source.pattern(key) for key in keys] for keys in (known, held_out))
  for classifier in classifiers():
    predicted = classifier.fit(known_sound, known_pattern).predict(held_out_sound)
    assert_chance((predicted == held_out_pattern).sum(), len(held_out), PATTERNS[name], str(classifier[-1]), 0.95 ** (1 / 8))
