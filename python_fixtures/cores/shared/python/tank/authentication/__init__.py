"""Who is asking."""

from .errors import IncompleteCredentials, ShotgunAuthenticationError
from .shotgun_authenticator import ShotgunAuthenticator
from .user import ScriptUser, ShotgunUser, deserialize_user, serialize_user

CORE_VERSION = "@VERSION@"
