from . import integration
from . import key
from . import access
from . import delivery
from . import rotation
from . import incident
from . import monitoring
