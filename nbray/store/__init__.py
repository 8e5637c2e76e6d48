"""The C object store, channels and process slots, as Python sees them.

`errors` is the one place where a status of the C core becomes an exception; `segment` is a
thin class over the C functions. Hot paths call `nbray._cstore.lib` themselves and pass
what is not NBS_OK to `errors.check`.
"""
