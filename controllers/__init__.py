from . import base_setup
from . import challenge
from . import guide
from . import metrics
from . import sheet
from . import verify
