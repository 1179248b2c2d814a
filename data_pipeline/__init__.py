"""Makes and reads data: sources of songs, the CQT front end, per-song feature files, TFDS builders."""
