"""What the panel asks its kernel about one thing: a task, the objects, the actors, the nodes. `requests.py` is the door."""
