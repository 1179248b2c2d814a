"""The studio: a local web page in which a musician steers a bass line with a dot. `python -m bassnet_jax.studio`."""
