from . import auth_integration_allow_address
from . import auth_integration_revoke_all
from . import auth_integration_handover
from . import auth_integration_convert
