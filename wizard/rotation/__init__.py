from . import auth_integration_claim
from . import auth_integration_postpone
