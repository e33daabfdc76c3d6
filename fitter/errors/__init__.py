"""What can go wrong for a user: errors that carry a code and facts, and the one table of sentences.

    raise InputError("image.missing", file=path)
    try: ... except InputError as error: error.code == "image.missing"; error.facts["file"]

Code asks for `code` and `facts`, never for the wording. `str(error)` is the sentence for people.
"""

from fitter.errors.errors import InputError, LostError, UserError
from fitter.errors.sentences import SENTENCES, sentence

__all__ = ["SENTENCES", "InputError", "LostError", "UserError", "sentence"]
