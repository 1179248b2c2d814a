"""Evaluation: how good a generated bass line is, beside baselines, controls and the truth. numpy only; no downloaded weights."""
