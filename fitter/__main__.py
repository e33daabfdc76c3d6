"""`python -m fitter` is `fit-hands`."""

from fitter.commands.fit_hands import fit_hands

if __name__ == "__main__":
    fit_hands()
