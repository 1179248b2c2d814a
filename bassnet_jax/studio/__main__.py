"""`python -m bassnet_jax.studio`."""

import sys

from bassnet_jax.studio.main import main

sys.exit(main())
