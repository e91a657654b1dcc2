from . import auth_integration_access
