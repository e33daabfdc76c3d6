"""The errors that a user is told of, in one sentence each."""

from __future__ import annotations

from typing import Any, Self

from fitter.errors.sentences import sentence


class UserError(Exception):
    """Something a user has to know; it carries facts, and says them in one sentence.

    Attributes:
        code: which sentence of `fitter.errors.sentences.SENTENCES`, such as "image.missing".
        facts: what the sentence speaks of, by name. `file`, where there is one, is what the
            sentence is about and stands in front of it.
    """

    def __init__(self, code: str, /, **facts: Any) -> None:
        """Raises KeyError for an unknown code and for a fact that the sentence needs and lacks."""
        self.code = code
        self.facts = facts
        super().__init__(sentence(code, facts))

    def without(self, *names: str) -> str:
        """The sentence without some facts that may be left out, such as "file" where the reader
        sees it anyway."""
        return sentence(self.code, {k: v for k, v in self.facts.items() if k not in names})

    def about(self, **facts: Any) -> Self:
        """The same error with further or other facts, such as the file that its raiser did not
        know."""
        return type(self)(self.code, **(self.facts | facts))

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors travel between processes; keywords do not by themselves.
        return _rebuild, (type(self), self.code, self.facts)


class InputError(UserError):
    """A user's mistake or a bad input."""


class LostError(UserError):
    """What the work was done on failed: processes, machines, a cluster."""


def _rebuild(kind: type[UserError], code: str, facts: dict[str, Any]) -> UserError:
    return kind(code, **facts)
