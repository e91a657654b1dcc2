from . import auth_integration_database
from . import auth_integration_finding_acceptance
from . import auth_integration_finding
from . import auth_integration_server
from . import auth_integration_diagnosis
from . import auth_integration_diagnosis_config
from . import auth_integration_diagnosis_http
from . import auth_integration_diagnosis_line
