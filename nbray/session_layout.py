"""Where things lie in the folder of a session, relative to it.

All of it lies among the logs: should every process be killed at once, so that nobody tidies
up, the folder of the logs is the only one that is left. ``RUN`` holds what is no log.
"""

LOGS = "logs"
RUN = "logs/run"  # its names are short: the path of a socket has 107 bytes
CONTROL_SOCKET = "logs/run/ctl"
SEGMENT_SOCKET = "logs/run/seg"
OWNER_FILE = "logs/run/owner.json"
STARTING = "logs/run/starting"  # a file that is there until the daemon has taken over
SPILLED = "logs/run/spill"
SPILL_DIR = "logs/run/spill_dir"  # a file that names the folder of spilled objects when that lies elsewhere
STACKS = "logs/run/stacks"
BREAKPOINTS = "logs/run/breakpoints"
PACKAGES = "logs/run/packages"
JOBS = "logs/run/jobs"
