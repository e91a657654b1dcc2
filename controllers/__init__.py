from . import base_setup
from . import challenge
from . import sheet
from . import verify
