"""What stands in the folder of a virtual environment that is made for runtime environments."""

COMPLETE = "complete"  # a file that is there once all is installed
