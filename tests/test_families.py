"""The study of what tells the families of a2 apart: what it leaves out, and that it can tell both 'yes' and 'no'."""

import numpy as np
import pytest

from data_pipeline.sources.artificial import families, instruments

PIANOS, GUITARS = (0, 1, 4), (24, 25, 27)


def notes(decays: dict[int, float]) -> dict[int, np.ndarray]:
  """Noise of its own colour for every program, that fades by as many dB a frame."""
  made = {}
  for program, decay in decays.items():
    rng = np.random.default_rng(program)
    colour = rng.uniform(0.05, 0.2, size=(1, 192, 1)) * rng.uniform(0.9, 1.1, size=(16, 192, 1))
    made[program] = colour * 10 ** (-decay * np.maximum(families._FRAMES, 0) / 20)
  return made


def mean(folds: list[families.Fold]) -> float:
  return float(np.mean([[fold.piano_share, fold.guitar_share] for fold in folds]))


def test_what_the_families_have_in_common_is_found_and_nothing_else():
  common = notes({program: 0.2 if program in PIANOS else 1.5 for program in PIANOS + GUITARS})
  alien = notes({0: 0.2, 1: 1.5, 4: 0.2, 24: 1.5, 25: 0.2, 27: 1.5})
  asked = {'asked': (PIANOS, GUITARS), 'same_samples': False}
  assert mean(families.leave_out(common, PIANOS, GUITARS, **asked, changes=True)) > 0.95
  assert mean(families.leave_out(alien, PIANOS, GUITARS, **asked, changes=True)) < 0.7


@pytest.mark.parametrize('same_samples', [False, True])
def test_what_plays_the_same_recordings_is_left_out_too(same_samples):
  """Programs 0 and 1 are alike and unlike 4, which is as the guitars are: 0 is told by 1 alone."""
  made = notes({0: 0.1, 1: 0.1, 4: 1.4, 24: 1.5, 25: 1.5, 27: 1.5})
  made[1] = made[0] * 1.01
  folds = families.leave_out(made, PIANOS, GUITARS, asked=((0,), GUITARS), same_samples=same_samples)
  assert len(folds) == 3 and (np.mean([fold.piano_share for fold in folds]) > 0.9) == (not same_samples)


def test_colouring_keeps_the_notes_before_their_onset_in_time_and_changes_each_otherwise():
  made = notes({0: 0.5})[0]
  decibels = 20 * np.log10(families.coloured(made, np.random.default_rng(0)) / made)
  assert decibels.shape == made.shape and 3 < decibels[:, :, 1].std() < 12
  np.testing.assert_allclose(decibels[:, :, 0], decibels[:, :, 1])  # decay begins with the note
  assert np.abs(decibels[0] - decibels[1]).max() > 1


def test_what_is_held_out_has_no_part_in_it():
  held_out = set(instruments.HELD_OUT_PIANOS + instruments.HELD_OUT_GUITARS)
  assert not held_out & set(instruments.PIANOS + families.MORE_PIANOS + instruments.GUITARS + families.MORE_GUITARS)
