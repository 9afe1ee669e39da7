"""`phasemix demo`, `up`, `down` and `status`."""

from deploy.demo.demo import add_demo
from deploy.local.commands import add_down, add_status, add_up

NOUNS = {"demo": add_demo, "up": add_up, "down": add_down, "status": add_status}
