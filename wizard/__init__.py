from . import auth_integration_issue
from . import auth_integration_claim
from . import auth_integration_revoke
