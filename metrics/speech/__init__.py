"""Word error rate: what recognisers make of a clip's speech against what was to be said."""
