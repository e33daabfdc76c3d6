"""`fit-hands` in a process that is killed where a function is called."""

RUN = """
import os, signal, sys
from pathlib import Path

def killed(function, times):
    def wrapped(*arguments, **more):
        wrapped.calls += 1
        if wrapped.calls == times:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **more)
    wrapped.calls = 0
    return wrapped

place, times, *arguments = sys.argv[1:]
if place != "nowhere":
    import importlib
    module, _, name = place.partition(":")
    owner = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    setattr(owner, last, killed(getattr(owner, last), int(times)))
from fitter.commands.fit_hands import fit_hands
fit_hands(arguments)
"""
"""Arguments: where, as `module:name`, the how many-th call does not come to its end, and those of
the command; "nowhere" and 0 for a run that is not killed."""
