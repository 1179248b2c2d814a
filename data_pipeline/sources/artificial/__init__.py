"""The artificial sets: songs whose bass is a deterministic function of the mix's notes and a pattern."""

from data_pipeline.sources.artificial.source import Artificial, ArtificialScore, standard

__all__ = ['Artificial', 'ArtificialScore', 'standard']
