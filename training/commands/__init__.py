"""The command line of training: each module is a noun of `phasemix`."""
