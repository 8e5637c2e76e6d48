"""How processes talk: the messages, their encoding, and the sockets that carry them."""
