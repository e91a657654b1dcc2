from . import auth_attempt_counter
from . import auth_attempt_export
from . import auth_attempt_event
from . import auth_attempt_event_log
from . import auth_integration_metrics
