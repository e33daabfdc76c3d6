"""Everything from scenes to the shipped quality model; see `main`."""
