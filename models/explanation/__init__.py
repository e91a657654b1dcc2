from . import auth_attempt_diagnostic
from . import auth_attempt_explanation
from . import auth_attempt_explanation_key
from . import auth_attempt_explanation_password
from . import auth_attempt_fix
from . import auth_attempt_operation
from . import auth_attempt_related
from . import auth_attempt_ask_administrator
