from . import auth_integration_policy
from . import auth_integration
from . import auth_integration_status
from . import auth_integration_revocation
from . import auth_integration_rights
from . import auth_integration_encryption
from . import auth_integration_connection_sheet
from . import auth_integration_provision
