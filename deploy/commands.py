"""`phasemix up`, `down` and `status`."""

from deploy.services_commands import add_down, add_status, add_up

NOUNS = {"up": add_up, "down": add_down, "status": add_status}
