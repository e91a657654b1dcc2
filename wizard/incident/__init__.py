from . import auth_integration_alert_secret
