from . import auth_integration_delivery
from . import auth_integration_delivery_claim
from . import auth_integration_delivery_self_service
from . import auth_integration_delivery_webhook
from . import auth_integration_delivery_send_test
from . import auth_integration_key_delivery
from . import auth_integration_second_factor
from . import auth_integration_signing_secrets
