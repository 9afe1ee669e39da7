"""`phasemix quickstart`, `demo`, `up`, `down` and `status`."""

from deploy.demo.demo import add_demo
from deploy.local.commands import add_down, add_status, add_up
from deploy.quickstart.quickstart import add_quickstart

NOUNS = {"quickstart": add_quickstart, "demo": add_demo, "up": add_up, "down": add_down, "status": add_status}
