from . import auth_integration_issue
from . import auth_integration_revoke
from . import auth_integration_extend
from . import auth_integration_undo_revocation
from . import auth_integration_shorten
from . import base_module_uninstall
