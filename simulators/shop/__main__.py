"""`python -m simulators.shop`."""

import sys

from simulators.shop import main

sys.exit(main())
