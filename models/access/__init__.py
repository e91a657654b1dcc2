from . import auth_integration_key_operation
from . import auth_integration_key_access
from . import auth_integration_key_enforcement
from . import auth_integration_key_summary
from . import auth_integration_key_counts
from . import auth_integration_key_suggestion
from . import auth_integration_key_rights
from . import auth_integration_policy_access
