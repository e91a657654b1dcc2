from . import append_only_mixin
from . import dialog_mixin
from . import free_text_mixin
from . import guide_link
from . import rejection_mixin
from . import rejection_key_end
from . import signing_secret_mixin
from . import sql_computed_mixin
