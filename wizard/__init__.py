from . import auth_integration_issue
from . import auth_integration_claim
from . import auth_integration_revoke
from . import auth_integration_second_factor
from . import auth_integration_signing_secret
from . import auth_integration_postpone
from . import base_module_uninstall
