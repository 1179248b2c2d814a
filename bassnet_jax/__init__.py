"""bassnet_jax: a variational gated autoencoder that plays a bass track to a mix, steered by a dot in a plane."""

__version__ = '0.1.0'
