from . import challenge
from . import sheet
from . import verify
