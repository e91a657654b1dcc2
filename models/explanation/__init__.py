from . import auth_attempt_diagnostic
from . import auth_attempt_case_details
from . import auth_attempt_case_details_key
from . import auth_attempt_case_details_password
from . import auth_attempt_fix
from . import auth_attempt_operation
from . import auth_attempt_related
from . import auth_attempt_ask_administrator
