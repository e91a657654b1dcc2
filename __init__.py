from . import controllers, models, wizard
from .hooks import post_init_hook, uninstall_hook
from .tools import core_patches

__all__ = ["controllers", "models", "post_init_hook", "uninstall_hook", "wizard"]

# Only wraps; every wrapper asks, per database, whether the add-on is in use there.
core_patches.apply()
