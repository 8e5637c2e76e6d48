"""What libraries keep for a whole process, as a cell finds it here: random numbers, warnings, how things are printed and drawn.

A cell draws the numbers that it would draw here after ``random.seed(1)``, prints as ``numpy.set_printoptions`` says, and draws
with the colours of ``plt.style.use``; what it changes of these comes back, except for the filters of warnings. Only libraries
that are loaded on both sides are looked at: nothing is imported for this.
"""

from __future__ import annotations

import array
import pickle
import re
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

SEEDS = re.compile("seed|set_?state|random_state")


@dataclass(frozen=True, slots=True)
class _Setting:
    """One thing that is kept per process."""

    module: str  # that must be loaded
    get: Callable[[Any], Any]  # of the module; the result can be pickled
    put: Callable[[Any, Any], None]


def _random_state(random: Any) -> tuple[int, bytes, Any]:
    version, words, gauss = random.getstate()
    return version, array.array("I", words).tobytes(), gauss


def _put_random_state(random: Any, state: tuple[int, bytes, Any]) -> None:
    random.setstate((state[0], tuple(array.array("I", state[1])), state[2]))


def _numpy_state(module: Any) -> tuple[Any, ...]:
    kind, words, *rest = module.get_state()
    return kind, words.tobytes(), *rest


def _put_numpy_state(module: Any, state: tuple[Any, ...]) -> None:
    kind, words, *rest = state
    module.set_state((kind, sys.modules["numpy"].frombuffer(words, "uint32"), *rest))


def _numpy_output(numpy: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return {k: v for k, v in numpy.get_printoptions().items() if k != "override_repr"}, numpy.geterr()


def _put_numpy_output(numpy: Any, kept: tuple[dict[str, Any], dict[str, str]]) -> None:
    numpy.set_printoptions(**kept[0])
    numpy.seterr(**kept[1])


def _rc_changes(matplotlib: Any) -> dict[str, Any]:
    defaults = matplotlib.rcParamsDefault
    own = ("backend", "backend_fallback", "interactive", "toolbar")
    found = {}
    for key, value in dict.items(matplotlib.rcParams):
        default = dict.get(defaults, key)
        if default is not value and default != value and key not in own:
            found[key] = value
    return found


def _put_rc(matplotlib: Any, changes: dict[str, Any]) -> None:
    back = {key: matplotlib.rcParamsDefault[key] for key in _rc_changes(matplotlib) if key not in changes}
    matplotlib.rcParams.update({**back, **changes})


def _pandas_changes(config: Any) -> dict[str, Any]:
    found = {}
    for key, option in config._registered_options.items():
        value = config._global_config
        for part in key.split("."):  # get_option() looks for abbreviations, which takes a while
            value = value[part]
        if value is not option.defval and value != option.defval and key not in config._deprecated_options:
            found[key] = value
    return found


def _put_pandas(config: Any, changes: dict[str, Any]) -> None:
    for key in _pandas_changes(config):
        if key not in changes:
            config.reset_option(key)
    for key, value in changes.items():
        config.set_option(key, value)


SETTINGS = {
    "random": _Setting("random", _random_state, _put_random_state),
    "numpy.random": _Setting("numpy.random", _numpy_state, _put_numpy_state),
    "numpy": _Setting("numpy", _numpy_output, _put_numpy_output),
    "matplotlib": _Setting("matplotlib", _rc_changes, _put_rc),
    "pandas": _Setting("pandas._config.config", _pandas_changes, _put_pandas),
}


def read(names: Iterable[str] = SETTINGS) -> dict[str, bytes]:
    """Return settings of this process, pickled, by name; those that cannot be are left out."""
    found = {}
    for name in names:
        setting = SETTINGS[name]
        module = sys.modules.get(setting.module)
        if module is None:
            continue
        try:
            found[name] = pickle.dumps(setting.get(module), 5)
        except Exception:  # a formatter that is a lambda, a library that is being loaded, another version of it
            continue
    return found


def write(settings: dict[str, bytes], present: dict[str, bytes] | None = None) -> None:
    """Put settings into force, those that differ from what is ``present``, as far as their libraries are loaded."""
    for name, data in settings.items():
        module = sys.modules.get(SETTINGS[name].module)
        if module is None or (present is not None and present.get(name) == data):
            continue
        try:
            SETTINGS[name].put(module, pickle.loads(data))
        except Exception:  # another version there
            continue


class Sender:
    """Chooses what the cells of one notebook take along: nothing of what nobody has touched."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._filters = filters()
        self._filters_changed = False
        self._looked = 0  # inputs of the notebook
        self._seeded = False

    def filters(self) -> list[Filter] | None:
        """Return the filters of warnings, unless they are those of the beginning."""
        now = filters()
        self._filters_changed = self._filters_changed or now != self._filters
        return now if self._filters_changed else None

    def settings(self, cell: str) -> dict[str, bytes]:
        """Return the other settings.

        Whoever has never made random numbers begin at a certain place cannot tell whether they go on elsewhere, and their state
        takes a tenth of a millisecond each way. Nothing tells that they were seeded but the notebook's text.
        """
        inputs = self._shell.history_manager.input_hist_raw
        self._seeded = self._seeded or any(SEEDS.search(text) for text in [*inputs[self._looked :], cell])
        self._looked = len(inputs)
        return read(SETTINGS if self._seeded else [name for name in SETTINGS if "random" not in name])


# ------------------------------------------------------------------------------ warnings

Filter = tuple[str, "tuple[str, int] | None", tuple[str, str], "tuple[str, int] | None", int]
_last_filters: list[Filter] | None = None


def filters() -> list[Filter]:
    """Return the filters of warnings, as plain data."""
    return [
        (action, _pattern(message), (category.__module__, category.__qualname__), _pattern(module), line)
        for action, message, category, module, line in list(warnings.filters)
        if isinstance(category, type)
    ]


def _pattern(text: Any) -> tuple[str, int] | None:
    if text is None:
        return None
    return (text, int(re.IGNORECASE)) if isinstance(text, str) else (text.pattern, text.flags)


def put_filters(wanted: list[Filter] | None) -> None:
    """Filter warnings so from now on (None: as before); filters for classes that are not loaded here have nothing to do."""
    global _last_filters
    if wanted is None or wanted == _last_filters:
        return
    _last_filters = wanted
    warnings.resetwarnings()
    for action, message, (module_name, class_name), module, line in wanted:
        category: Any = sys.modules.get(module_name)
        for part in class_name.split("."):
            category = getattr(category, part, None)
        if isinstance(category, type):
            compiled = [re.compile(*pattern) if pattern is not None else None for pattern in (message, module)]
            warnings.filters.append((action, compiled[0], category, compiled[1], line))  # type: ignore[attr-defined]
