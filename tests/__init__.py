from . import test_attempt_explanation
from . import test_finding
from . import test_integration
from . import test_key
from . import test_rotation
from . import test_rotation_self_service
from . import test_rotation_webhook
from . import test_verify
