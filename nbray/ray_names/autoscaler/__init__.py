"""Ray's cluster launcher: nbray does not have it; packages import it for the case that somebody asks for it."""
