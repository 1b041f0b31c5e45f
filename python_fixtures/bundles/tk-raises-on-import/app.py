"""An app whose module can't be imported."""

import a_library_that_is_nowhere
