"""Named runs: create, fork, extend, skip and stop them."""
