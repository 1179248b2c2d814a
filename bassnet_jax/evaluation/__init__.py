"""Evaluation: how good a generated bass line is, beside baselines, controls and the truth. No downloaded weights, no network."""
