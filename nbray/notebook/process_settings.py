"""What libraries keep for a whole process, as a cell finds it here: random numbers, warnings, logging, how things are printed.

A cell draws the numbers that it would draw here after ``random.seed(1)``, prints as ``numpy.set_printoptions`` says, and draws
with the colours of ``plt.style.use``; what it changes of these comes back. Nothing is imported for this: what a cell loads itself
gets the notebook's settings then.
"""

from __future__ import annotations

import _random
import array
import ast
import ctypes
import importlib
import pickle
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from . import warning_filters
from .after_import import AfterImport

MT19937_BYTES = 624 * 4 + 4  # numpy's struct: the words, and the position among them


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


def _decimal_context(decimal: Any) -> tuple[Any, ...]:
    parts: tuple[Any, ...] = decimal.getcontext().__reduce__()[1]
    return parts  # precision, rounding, limits, and signals: those that were raised, those that are errors


def _put_decimal_context(decimal: Any, kept: tuple[Any, ...]) -> None:
    context, wanted = decimal.getcontext(), decimal.Context(*kept)
    for name in ("prec", "rounding", "Emin", "Emax", "capitals", "clamp", "flags", "traps"):
        setattr(context, name, getattr(wanted, name))  # whoever holds the context is to see it


def _interpreter(sys: Any) -> tuple[int, float, int]:
    return sys.getrecursionlimit(), round(sys.getswitchinterval(), 6), sys.get_int_max_str_digits()


def _put_interpreter(sys: Any, kept: tuple[int, float, int]) -> None:
    sys.setrecursionlimit(kept[0])
    sys.setswitchinterval(kept[1])
    sys.set_int_max_str_digits(kept[2])


def _collector(gc: Any) -> tuple[bool, tuple[int, int, int]]:
    return gc.isenabled(), gc.get_threshold()


def _put_collector(gc: Any, kept: tuple[bool, tuple[int, int, int]]) -> None:
    gc.enable() if kept[0] else gc.disable()
    gc.set_threshold(*kept[1])


def _backend(matplotlib: Any) -> tuple[str | None, bool]:
    """Return what draws figures (None: it is not chosen yet), and whether each command does."""
    name = dict.get(matplotlib.rcParams, "backend")
    return name if isinstance(name, str) else None, matplotlib.is_interactive()


def _put_backend(matplotlib: Any, kept: tuple[str | None, bool]) -> None:
    present, _ = _backend(matplotlib)
    matplotlib.interactive(kept[1])
    # Where it is to be chosen by what there is, the one that a worker without a screen chooses is none of the notebook's.
    if None not in (present, kept[0]) and present != kept[0]:
        matplotlib.use(kept[0])


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


def _umask(os: Any) -> int:
    # To look is to set; files that another thread makes in between are at most more private.
    present: int = os.umask(0o077)
    os.umask(present)
    return present


def _inline_backend() -> Any:
    """Return the configuration of what makes figures pictures, if there is one already."""
    kind = getattr(sys.modules.get("matplotlib_inline.config"), "InlineBackend", None)
    return kind.instance() if kind is not None and kind.initialized() else None


def _figures(matplotlib: Any) -> dict[str, Any]:
    backend = _inline_backend()
    if backend is not None:
        found = {"figure_formats": backend.figure_formats, "print_figure_kwargs": dict(backend.print_figure_kwargs)}
    else:  # what %config has set is kept until there is one
        shell = getattr(sys.modules.get("IPython.core.interactiveshell"), "InteractiveShell", None)
        found = dict(shell.instance().config.get("InlineBackend", {})) if shell is not None and shell._instance else {}
        if "figure_format" in found:
            found["figure_formats"] = {found["figure_format"]}
    found["figure_formats"] = sorted(found.get("figure_formats", FIGURES["figure_formats"]))
    return {name: found[name] for name, default in FIGURES.items() if found.get(name, default) != default}


def _put_figures(matplotlib: Any, changes: dict[str, Any]) -> None:
    backend = _inline_backend()
    if changes and backend is None:
        backend = importlib.import_module("matplotlib_inline.config").InlineBackend.instance()
    if backend is not None:
        present = {**FIGURES, **_figures(matplotlib)}
        for name, value in {**FIGURES, **changes}.items():
            if value != present[name]:
                setattr(backend, name, set(value) if name == "figure_formats" else value)


FIGURES: dict[str, Any] = {"figure_formats": ["png"], "print_figure_kwargs": {"bbox_inches": "tight"}}  # defaults
RANDOM = ("random", "numpy.random")
SETTINGS = {
    "random": _Setting("random", _random_state, _put_random_state),
    "numpy.random": _Setting("numpy.random", _numpy_state, _put_numpy_state),
    "numpy": _Setting("numpy", _numpy_output, _put_numpy_output),
    "matplotlib": _Setting("matplotlib", _rc_changes, _put_rc),
    "figures": _Setting("matplotlib", _figures, _put_figures),
    "backend": _Setting("matplotlib", _backend, _put_backend),
    "interpreter": _Setting("sys", _interpreter, _put_interpreter),
    "collector": _Setting("gc", _collector, _put_collector),
    "timeout": _Setting(
        "socket", lambda socket: socket.getdefaulttimeout(), lambda socket, s: socket.setdefaulttimeout(s)
    ),
    "locale": _Setting(
        "locale",
        lambda locale: locale.setlocale(locale.LC_ALL),
        lambda locale, name: locale.setlocale(locale.LC_ALL, name),
    ),
    "umask": _Setting("os", _umask, lambda os, mask: os.umask(mask)),
    "decimal": _Setting("decimal", _decimal_context, _put_decimal_context),
    "sklearn": _Setting(
        "sklearn._config", lambda config: config.get_config(), lambda config, kept: config.set_config(**kept)
    ),
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


def marks() -> dict[str, bytes]:
    """Return what changes whenever random numbers are drawn or made to begin somewhere, of the libraries that are loaded.

    The memory of the generators itself: a look costs a microsecond, to ask them for their states hundreds.
    """
    found = {}
    generator: Any = getattr(sys.modules.get("random"), "_inst", None)
    if generator is not None:
        begin, end = object.__basicsize__, _random.Random.__basicsize__
        found["random"] = ctypes.string_at(id(generator) + begin, end - begin)
    numpy = sys.modules.get("numpy.random")
    bits = getattr(getattr(getattr(numpy, "mtrand", None), "_rand", None), "_bit_generator", None)
    if bits is not None and type(bits).__name__ == "MT19937":
        found["numpy.random"] = ctypes.string_at(bits.ctypes.state_address, MT19937_BYTES)
    return found


def drawn_since(before: dict[str, bytes]) -> list[str]:
    """Return the generators that have been used, set or loaded since ``marks``."""
    return [name for name, mark in marks().items() if before.get(name) != mark]


def load_their_modules(names: Iterable[str]) -> None:
    """Load the libraries of settings that a cell has changed: it has loaded them there, and whoever loads them here later is to find what it set."""
    for name in names:
        module = SETTINGS[name].module
        package = module.rpartition(".")[0]
        if module not in sys.modules and (not package or package in sys.modules):
            try:
                importlib.import_module(module)
            except Exception:
                continue


class InForce:
    """In a worker: settings of the notebook while its cell runs."""

    def __init__(self, given: dict[str, bytes]) -> None:
        self._given = given
        self._own = read(name for name in SETTINGS if name not in RANDOM or name in given)
        write(given, self._own)
        # What cannot be had here (a screen to draw on) is not changed by the cell.
        self._given.update(read(name for name in self._own.keys() & given.keys() if given[name] != self._own[name]))
        waiting = {setting.module for setting in SETTINGS.values() if setting.module not in sys.modules}
        self._late = AfterImport(waiting, self._loaded)  # for a library that the cell loads
        self._late.install()
        self._marks = marks()

    def _loaded(self, module: Any) -> None:
        names = [name for name, setting in SETTINGS.items() if setting.module == module.__name__]
        self._own.update(read(name for name in names if name not in RANDOM))
        write({name: self._given[name] for name in names if name in self._given})

    def end(self) -> dict[str, bytes]:
        """Put the worker's own settings into force again; returns what the cell changed of the notebook's."""
        self._late.remove()
        given = {**self._own, **self._given}
        now = read(given)
        changed = {name: data for name, data in now.items() if given.get(name, data) != data}
        changed.update(read(name for name in drawn_since(self._marks) if name not in given))
        write(self._own, now)
        return changed


class Sender:
    """Chooses what the cells of one notebook take along: nothing of what nobody has touched."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._filters, self._seen = warning_filters.filters(), list(warnings.filters)
        self._filters_changed = False
        self._used: set[str] = set()  # generators
        self._marks = marks()

    def look(self) -> None:
        """A cell has ended. Generators that it has used, or may have, go along from now on."""
        for name in drawn_since(self._marks) if len(self._used) < len(RANDOM) else ():
            if name in self._marks or not _only_imports(self._shell.history_manager.input_hist_parsed[-1]):
                self._used.add(name)
        if len(self._used) < len(RANDOM):
            self._marks = marks()

    def filters(self) -> list[warning_filters.Filter] | None:
        """Return the filters of warnings, unless they are those of the beginning."""
        present = list(warnings.filters)
        if present != self._seen:
            now = warning_filters.filters()
            self._filters_changed = self._filters_changed or now != self._filters
            self._seen, self._filters = present, now
        return self._filters if self._filters_changed else None

    def settings(self) -> dict[str, bytes]:
        """Return the other settings.

        Whoever has never drawn from a generator, nor made it begin at a certain place, cannot tell whether it goes on elsewhere,
        and to ask numpy for its state takes longer than all else that a cell brings along.
        """
        self.look()
        return read([name for name in SETTINGS if name not in RANDOM or name in self._used])


def _only_imports(cell: str) -> bool:
    """Whether a cell does nothing but import, by which nobody sets generators that he is to use."""
    try:
        return all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in ast.parse(cell).body)
    except SyntaxError:
        return False
