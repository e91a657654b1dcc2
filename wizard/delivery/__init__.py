from . import auth_integration_second_factor
from . import auth_integration_signing_secret
