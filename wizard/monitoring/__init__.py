from . import auth_integration_metrics_token
