from . import auth_throttle
from . import auth_throttle_guard
from . import auth_throttle_notice
from . import res_users_throttle
