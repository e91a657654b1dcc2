from . import res_users_fields
from . import res_users_integration
from . import res_users_conversion
from . import res_users_password
from . import res_users_actions
