"""The list of runs: one small function an experiment, one experiment a table row."""

from experiments import artificial, pop_rock
from experiments.registry import UnknownExperimentError, description, get, give_one, names, preset

__all__ = ['UnknownExperimentError', 'artificial', 'description', 'get', 'give_one', 'names', 'pop_rock', 'preset']
