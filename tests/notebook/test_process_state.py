"""What belongs to a whole process is the notebook's in a cell, and what a cell changes of it holds here: modules, logging, warnings."""

from __future__ import annotations

from kit import Kernel


def test_a_cell_with_much_data_in_one_line_costs_no_search_of_its_line_for_each_number(kernel: Kernel) -> None:
    kernel.ok("%%remote\n1")
    kernel.ok("numbers = [" + ", ".join(f"0.{i:06d}" for i in range(100_000)) + "]")  # for many minutes, once
    assert kernel.ok("%%remote\nlen(numbers)").value == "100000"


def test_plain_values_that_are_set_on_modules_go_both_ways(kernel: Kernel) -> None:
    kernel.ok(
        "open('config_of_mine.py', 'w').write('RATE = 1\\nTABLE = {1: 2}\\nNAMES = []\\ndef all(): return RATE, TABLE, NAMES\\n')\n"
        "import config_of_mine as config\ntable = config.TABLE"
    )
    kernel.ok("config.RATE = 2; config.TABLE['here'] = 1")
    kernel.ok("%%time\nconfig.NAMES.append('a')")
    assert kernel.ok("%%remote\nconfig.all()").value == "(2, {1: 2, 'here': 1}, ['a'])"
    kernel.ok(
        "%%remote\nimport config_of_mine\nconfig_of_mine.RATE += 5\nconfig.TABLE['there'] = 1\nconfig.NEW = ('n', 1)"
    )
    assert kernel.ok("config.all(), config.NEW, table is config.TABLE").value == (
        "((7, {1: 2, 'here': 1, 'there': 1}, ['a']), ('n', 1), True)"
    )
    kernel.run("%%remote\ndel config.NEW\nsetattr(config, 'RATE', 8)\n1 / 0")
    assert kernel.ok("config.RATE, hasattr(config, 'NEW')").value == "(8, False)"
    assert kernel.ok("%%remote --each i=range(2)\nrates = config.RATE\nrates").value == "[8, 8]"
    elsewhere = "nbray.get([nbray.remote(lambda: __import__('config_of_mine').all()).remote() for _ in range(4)])"
    assert kernel.ok(f"{elsewhere} == [(1, {{1: 2}}, [])] * 4").value == "True"


def test_what_else_is_set_on_a_module_is_told(kernel: Kernel) -> None:
    kernel.ok("open('patched_there.py', 'w').write('def tell(): return 1\\n')\nimport patched_there")
    cell = kernel.ok(
        "%%remote\npatched_there.tell = (n for n in range(3)).__next__\npatched_there.tell() + patched_there.tell() + 1"
    )
    assert cell.value == "2"
    assert "patched_there.tell was set on the worker only" in cell.text("stderr")
    assert kernel.ok("patched_there.tell()").value == "1"
    assert kernel.ok("%%remote\npatched_there.tell()").value == "1"


def test_what_is_set_on_classes_and_functions_of_modules_goes_both_ways(kernel: Kernel) -> None:
    kernel.ok(
        "import os\nos.makedirs('lib_of_mine', exist_ok=True)\n"
        "open('lib_of_mine/__init__.py', 'w').write('from .parts import Model\\ndef name(): return \"lib\"\\n')\n"
        "open('lib_of_mine/parts.py', 'w').write('class Model:\\n    rate, seen = 1, []\\n    def fit(self): return self.rate\\n    class Inner: k = 1\\n')\n"
        "import lib_of_mine as lib, pandas as pd\nfrom lib_of_mine.parts import Model\nseen = Model.seen"
    )
    kernel.ok(
        "factor = 10\ndef fit(self): return factor * self.rate\nModel.fit = fit; pd.Series.twice = lambda self: self * 2"
    )
    # What was set here is there; what is set there is here afterwards.
    assert (
        kernel.ok("%%remote\nModel().fit(), lib.Model().fit(), pd.Series([1]).twice().tolist()").value
        == "(10, 10, [2])"
    )
    kernel.ok(
        "%%remote\nModel.rate = 3; lib.Model.seen.append('there'); lib.parts.Model.Inner.k = 2\n"
        "def better(self): return -factor\nlib.Model.fit = better; lib.name = staticmethod(lambda: 'mine'); Model.new = property(lambda self: 7)"
    )
    assert kernel.ok(
        "factor = 5\nModel.rate, seen, Model.Inner.k, Model().fit(), Model.fit is better, lib.name(), Model().new"
    ).value == ("(3, ['there'], 2, -5, True, 'mine', 7)")
    kernel.ok("%%remote\nfrom lib_of_mine.parts import Model as Again\nAgain.rate = 4; del Again.new")
    assert kernel.ok("Model.rate, hasattr(Model, 'new')").value == "(4, False)"
    elsewhere = "lambda: (lib.name(), Model.rate, Model.seen, Model().fit())"
    assert kernel.ok(f"nbray.get([nbray.remote({elsewhere}).remote() for _ in range(4)])").value == str(
        [("lib", 1, [], 1)] * 4
    )


def test_settings_of_a_library_that_only_the_cell_loads_come_back(fresh_kernel: Kernel) -> None:
    fresh_kernel.ok("%load_ext nbray\nimport nbray; nbray.init(num_cpus=1)\nNone")
    fresh_kernel.ok("%%remote\nimport numpy as np\nnp.set_printoptions(precision=2)")
    assert fresh_kernel.ok("np.array([1.23456])").value == "array([1.23])"
    assert fresh_kernel.ok("%%remote\nprint(np.array([1.23456]))").text() == "[1.23]\n"
    told = fresh_kernel.ok("nbray.get(nbray.remote(lambda: np.get_printoptions()['precision']).remote())")
    assert told.value == "8"


def test_handlers_of_the_notebook_hear_what_a_cell_logs(kernel: Kernel) -> None:
    kernel.ok(
        "import logging\nheard = []\nclass Heard(logging.Handler):\n    def emit(self, record):\n"
        "        heard.append((record.name, record.getMessage(), record.exc_text is not None))\n"
        "mine = Heard(level='INFO'); logging.getLogger('app').addHandler(mine); logging.getLogger('app').setLevel('DEBUG')\n"
        "to_file = logging.FileHandler('app.log'); logging.getLogger('app').addHandler(to_file)"
    )
    kernel.ok(
        "%%remote\nlog = logging.getLogger('app.part')\nlog.info('read %d', 5); log.debug('quiet')\ntry:\n    1 / 0\n"
        "except ArithmeticError:\n    log.exception('failed', extra={'odd': open('app.log')})"
    )
    assert kernel.ok("heard").value == "[('app.part', 'read 5', False), ('app.part', 'failed', True)]"
    lines = kernel.ok("print(open('app.log').read())").text()
    assert lines.startswith("read 5\nquiet\nfailed\nTraceback") and "ZeroDivisionError" in lines
    assert kernel.ok("logging.getLogger('app').handlers == [mine, to_file]").value == "True"
    kernel.ok("def refuse(record): raise RuntimeError('never mind')\nmine.addFilter(refuse)")
    assert kernel.ok("%%remote\nlog.error('all the same'); 5").value == "5"
    kernel.ok("logging.getLogger('app').removeHandler(mine); del heard[:]")
    kernel.ok("%%remote\nlog.error('unheard')")
    assert kernel.ok("heard").value == "[]"


def test_handlers_of_any_logger_that_print(kernel: Kernel) -> None:
    kernel.ok(
        "import logging, sys\nlog = logging.getLogger('own'); log.addHandler(logging.StreamHandler()); log.propagate = False\n"
        "log.setLevel('INFO')"
    )
    assert kernel.ok("%%remote --quiet\nlog.info('there')").text("stderr") == "there\n"
    kernel.ok(
        "%%remote --quiet\nshown = logging.StreamHandler(sys.stdout)\nshown.setFormatter(logging.Formatter('%(name)s: %(message)s'))\n"
        "logging.getLogger('late').addHandler(shown)"
    )
    assert kernel.ok("logging.getLogger('late').error('here')").text() == "late: here\n"
    kernel.ok("%%remote --quiet\nlogging.disable()")
    assert kernel.ok("log.error('no')").text("stderr") == ""
    kernel.ok("logging.disable(0)")


def test_filters_of_warnings_that_a_cell_sets_hold_here(kernel: Kernel) -> None:
    kernel.ok("import warnings\nclass Mine(UserWarning): pass\nbefore = list(warnings.filters)")
    kernel.ok("%%remote\nwarnings.filterwarnings('ignore', 'well known')\nwarnings.simplefilter('error', Mine)")
    assert kernel.ok("warnings.warn('well known')").text("stderr") == ""
    assert kernel.run("warnings.warn('mine', Mine)").error["ename"] == "Mine"
    assert kernel.run("%%remote\nwarnings.warn('mine', Mine)").error["ename"] == "Mine"
    assert kernel.ok("warnings.filters[2:] == before").value == "True"
    kernel.ok("%%remote\nwarnings.resetwarnings()")
    assert kernel.ok("warnings.filters").value == "[]"
    kernel.ok("warnings.filters[:] = before; warnings.simplefilter('ignore', Mine)")
    kernel.ok("%%remote\nwith warnings.catch_warnings():\n    warnings.simplefilter('error')\nimport json")
    assert kernel.ok("warnings.filters[1:] == before").value == "True"


def test_parts_of_packages_are_no_values(kernel: Kernel) -> None:
    kernel.ok(
        "import os, sys\nos.makedirs('parted'); open('parted/__init__.py', 'w').close()\n"
        "open('parted/part.py', 'w').write('def call(): return 5\\n')\nimport parted"
    )
    # Loaded there alone: by a function, so that nothing comes back.
    kernel.ok("%%remote --actor loader\ndef load():\n    import parted.part\nload()")
    cell = "%%remote --actor loader\nimport parted.part\nparted.part.call()\nparted.part.call()"
    assert kernel.ok(cell).value == "5"
    there = "%%remote --quiet\ndef late():\n    import parted.late\nlate()\nif False:\n    parted.late.x()\nparted.late.__name__"
    kernel.ok("open('parted/late.py', 'w').close()")
    assert kernel.ok(there).value == "'parted.late'"
    assert kernel.ok(there).value == "'parted.late'"  # also in a worker that has loaded it
    # Loaded here alone.
    kernel.ok("import parted.part")
    kernel.ok("%%remote --actor other\nif False:\n    parted.part.call()")
    assert kernel.ok("parted.part.call()").value == "5"


def test_what_functions_of_the_users_modules_change_in_them_goes_both_ways(kernel: Kernel) -> None:
    kernel.ok(
        "open('state_of_mine.py', 'w').write('''\nSEED, CONFIG, NAMES, REGISTER = 0, {}, [], {}\n"
        "class Settings:\n    level = 1\n    def __init__(self): self.fast = False\nsettings = Settings()\n"
        "def set_seed(n):\n    global SEED\n    SEED = n\n"
        "def configure(**given):\n    CONFIG.update(given); settings.fast = True; Settings.level += 1\n"
        "def register(f):\n    NAMES.append(f.__name__); REGISTER[f.__name__] = f\n    return f\n"
        "def seen(): return SEED, CONFIG, NAMES, settings.fast, Settings.level\n''')\n"
        "open('user_of_state.py', 'w').write('from state_of_mine import CONFIG\\ndef look(): return CONFIG\\n')\n"
        "import state_of_mine as mine, user_of_state\nfrom state_of_mine import CONFIG\nmine.set_seed(3)"
    )
    there = kernel.ok(
        "%%remote\nfirst = mine.seen()\nmine.configure(a=1)\nmine.register(len)\nmine.set_seed(first[0] + 1)\n"
        "CONFIG, user_of_state.look() is CONFIG, mine.seen()"
    )
    now = "(4, {'a': 1}, ['len'], True, 2)"
    assert there.value == f"({{'a': 1}}, True, {now})"
    assert kernel.ok("first[0], mine.seen(), CONFIG is mine.CONFIG").value == f"(3, {now}, True)"
    kernel.ok("mine.configure(b=2)")
    assert kernel.ok("%%remote\nCONFIG['c'] = 3\nmine.seen()[1]").value == "{'a': 1, 'b': 2, 'c': 3}"
    assert kernel.ok("user_of_state.look()").value == "{'a': 1, 'b': 2, 'c': 3}"
    elsewhere = "lambda: __import__('state_of_mine').seen()"
    asked = f"set(map(str, nbray.get([nbray.remote({elsewhere}).remote() for _ in range(4)])))"
    assert kernel.ok(asked).value == str({"(0, {}, [], False, 1)"})
    # A module that only the cell loads.
    kernel.ok(
        "open('late_state.py', 'w').write('N = 0\\ndef add():\\n    global N\\n    N += 1\\n    return N\\n')"
        "\nfor name in 'mine', 'CONFIG', 'user_of_state': globals().pop(name)"
    )
    kernel.ok("%%remote\nimport late_state\nlate_state.add()")
    assert kernel.ok("late_state.add()").value == "2"
    assert kernel.ok("%%remote\nlate_state.add()").value == "3"


def test_a_modules_state_with_a_connection_in_it_stays_where_it_is(kernel: Kernel) -> None:
    kernel.ok(
        "open('connected.py', 'w').write('''\nready, line = False, None\n"
        "def ask():\n    global ready, line\n"
        "    if not ready:\n        line, ready = iter(range(9)), True\n        line = (n for n in line)\n"
        "    return next(line)\n''')\nimport connected\nconnected.ask()"
    )
    assert kernel.ok("%%remote\nconnected.ask(), connected.ready").value == "(0, True)"
    assert kernel.ok("connected.ask()").value == "1"
    kernel.ok("import importlib\nimportlib.reload(connected)")
    cell = kernel.ok("%%remote\nconnected.ask()")
    assert "what functions of connected changed in it stays on the worker: connected.line is a generator" in cell.text(
        "stderr"
    )
    assert kernel.ok("connected.ready").value == "False"


def test_what_is_added_to_the_classes_of_pandas_goes_both_ways(kernel: Kernel) -> None:
    accessor = (
        "@pd.api.extensions.register_{kind}_accessor('{name}')\nclass Geo:\n"
        "    def __init__(self, data): self.data = data\n    def n(self): return {factor} * len(self.data)\n"
    )
    kernel.ok(
        "import pandas as pd\nfrom tqdm import tqdm\ntqdm.pandas(disable=True)\n"
        + accessor.format(kind="dataframe", name="geo", factor=1)
        + "df = pd.DataFrame({'a': [1, 2]})"
    )
    assert kernel.ok("%%remote\ndf.geo.n(), df.a.progress_apply(lambda v: v + 1).tolist()").value == "(2, [2, 3])"
    kernel.ok(
        "import warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n    "
        + accessor.format(kind="dataframe", name="geo", factor=10).replace("\n", "\n    ").rstrip()
    )
    assert kernel.ok("%%remote\ndf.geo.n()").value == "20"
    kernel.ok("%%remote\n" + accessor.format(kind="series", name="geo_of_series", factor=100))
    assert kernel.ok("df.a.geo_of_series.n(), df.a.geo_of_series.__class__ is Geo").value == "(200, True)"
    elsewhere = "lambda: [hasattr(__import__('pandas').Series, name) for name in ('progress_apply', 'geo_of_series')]"
    asked = f"nbray.get([nbray.remote({elsewhere}).remote() for _ in range(4)]) == [[False, False]] * 4"
    assert kernel.ok(asked).value == "True"


def test_the_mask_for_new_files_goes_both_ways(kernel: Kernel) -> None:
    kernel.ok("import os\nmask = os.umask(0o077)")
    assert kernel.ok("%%remote\nopen('masked', 'w').close()\noct(os.stat('masked').st_mode & 0o777)").value == "'0o600'"
    kernel.ok("%%remote\nos.umask(0o027)\nNone")
    assert kernel.ok("oct(os.umask(mask))").value == "'0o27'"
    assert kernel.ok("%%remote\nos.umask(0o022) == mask").value == "True"


def test_a_handler_of_logging_that_cannot_come_back_is_told_to_stay_there(kernel: Kernel) -> None:
    cell = kernel.ok(
        "%%remote\nimport logging\nlogging.getLogger('written').addHandler(logging.StreamHandler(open('cell.log', 'w')))\n"
        "logging.getLogger('written').warning('to the file')\nopen('cell.log').read()"
    )
    assert cell.value == "'to the file\\n'"
    assert "StreamHandler of the logger 'written' stays on the worker" in cell.text("stderr")
    assert "stays on the worker" not in kernel.ok("%%remote\nlogging.getLogger('written').setLevel('ERROR')").text(
        "stderr"
    )


def test_what_a_cell_newly_sets_on_a_module_is_there_in_the_next_remote_cell(kernel: Kernel) -> None:
    kernel.ok("%%remote\nimport builtins, json\nbuiltins.set_there = 3\njson.made_there = lambda: 4")
    assert kernel.ok("set_there, json.made_there()").value == "(3, 4)"
    assert kernel.ok("%%remote\nset_there, json.made_there()").value == "(3, 4)"
    kernel.ok("%%remote\ndel json.made_there, builtins.set_there")
    assert kernel.ok("hasattr(json, 'made_there'), hasattr(builtins, 'set_there')").value == "(False, False)"


def test_random_numbers_of_a_library_that_only_the_cell_has_loaded(fresh_kernel: Kernel) -> None:
    fresh_kernel.ok(
        "import numpy as np\n%load_ext nbray\nimport nbray; nbray.init(num_cpus=1)\nNone"
    )  # numpy.random comes later
    fresh_kernel.ok("%%remote\nnp.random.seed(2)\nnp.random.rand()")
    assert fresh_kernel.ok("np.random.rand() == np.random.RandomState(2).rand(2)[1]").value == "np.True_"


def test_settings_of_the_interpreter_go_both_ways(kernel: Kernel) -> None:
    kernel.ok("import decimal, gc, locale, socket, sys\nbefore = decimal.getcontext().copy(), gc.get_threshold()")
    try:
        kernel.ok(
            "%%remote\ndecimal.getcontext().traps[decimal.Inexact] = True; decimal.getcontext().Emax = 99\n"
            "sys.set_int_max_str_digits(0); sys.setswitchinterval(0.1); gc.disable(); gc.set_threshold(5, 6, 7)\n"
            "socket.setdefaulttimeout(3); locale.setlocale(locale.LC_ALL, 'C')\nNone"
        )
        look = (
            "(decimal.getcontext().traps[decimal.Inexact], decimal.getcontext().Emax, sys.get_int_max_str_digits(), "
            "round(sys.getswitchinterval(), 4), gc.isenabled(), gc.get_threshold()[:2], socket.getdefaulttimeout(), "
            "locale.setlocale(locale.LC_ALL))"
        )
        expected = "(True, 99, 0, 0.1, False, (5, 6), 3.0, 'C')"
        assert kernel.ok(f"str({look})").value == repr(expected)
        assert kernel.ok(f"%%remote\nstr({look})").value == repr(expected)
    finally:
        kernel.ok(
            "decimal.setcontext(before[0]); sys.set_int_max_str_digits(4300); sys.setswitchinterval(0.005)\n"
            "gc.enable(); gc.set_threshold(*before[1]); socket.setdefaulttimeout(None)\n"
            "locale.setlocale(locale.LC_ALL, 'C.UTF-8')"
        )


def test_what_draws_figures_is_that_of_the_notebook_and_comes_back(fresh_kernel: Kernel) -> None:
    fresh_kernel.ok("import matplotlib\nimport matplotlib.pyplot as plt\n%load_ext nbray")
    fresh_kernel.ok("%%remote\nmatplotlib.use('agg'); plt.ioff(); plt.figure()")
    assert fresh_kernel.ok("plt.get_backend(), plt.isinteractive()").value == "('agg', False)"
    cell = fresh_kernel.ok(
        "%%remote --quiet\nprint(plt.get_backend(), plt.isinteractive(), plt.get_fignums())\nplt.plot([1]);"
    )
    assert cell.text() == "agg False []\n" and not cell.of("display_data")
    cell = fresh_kernel.ok("%%remote --quiet\n%matplotlib inline\nplt.plot([1]);")
    assert cell.of("display_data")
    assert fresh_kernel.ok("plt.plot([1]);").of("display_data")


def test_a_handler_that_has_a_name_is_changed_by_a_cell(kernel: Kernel) -> None:
    kernel.ok("import logging, sys\nhandler = logging.StreamHandler(sys.stdout)\nkept = [sys.stderr]")
    cell = kernel.ok("%%remote\nhandler.setLevel(logging.ERROR)\nkept.append(1)")
    assert cell.text("stderr") == ""
    value = kernel.ok("handler.level, handler.stream is sys.stdout, kept[0] is sys.stderr, kept[1]").value
    assert value == "(40, True, True, 1)"


def test_what_is_registered_in_the_users_modules_goes_both_ways(kernel: Kernel) -> None:
    kernel.ok(
        "open('plugins_of_mine.py', 'w').write('''\n"
        "PLUGINS, HOOKS = {}, []\n"
        "def plugin(f): PLUGINS[f.__name__] = f; return f\n"
        "class Base:\n"
        "    kinds = []\n"
        "    def __init_subclass__(cls): Base.kinds.append(cls)\n"
        "class Own(Base): pass\n"
        "class Bus:\n"
        "    def __init__(self): self.heard = {}\n"
        "    def on(self, event):\n"
        "        def take(f): self.heard.setdefault(event, []).append(f); return f\n"
        "        return take\n"
        "bus = Bus()\n"
        "@plugin\n"
        "def own(): return 0\n"
        "def told(): return sorted(PLUGINS), [k.__name__ for k in Base.kinds], [f() for f in bus.heard.get('e', ())]\n"
        "''')\nimport plugins_of_mine as plugins"
    )
    kernel.ok("@plugins.plugin\n@plugins.bus.on('e')\ndef here(): return 1\nclass Here(plugins.Base): pass")
    assert kernel.ok("%%remote\nplugins.told()").value == "(['here', 'own'], ['Own', 'Here'], [1])"
    assert (
        kernel.ok("%%remote\nplugins.PLUGINS['here'] is here, plugins.PLUGINS['own'] is plugins.own").value
        == "(True, True)"
    )
    kernel.ok(
        "%%remote\n@plugins.plugin\n@plugins.bus.on('e')\ndef there(): return 2\nclass There(plugins.Base): pass\n"
        "del plugins.PLUGINS['here']; plugins.HOOKS.append(there)"
    )
    assert kernel.ok("plugins.told()").value == "(['own', 'there'], ['Own', 'Here', 'There'], [1, 2])"
    look = "plugins.PLUGINS['there'] is there, plugins.Base.kinds[1:] == [Here, There], plugins.HOOKS == [there]"
    assert kernel.ok(look).value == "(True, True, True)"
    assert kernel.ok(f"%%remote\n{look}").value == "(True, True, True)"
    elsewhere = "nbray.get([nbray.remote(lambda: __import__('plugins_of_mine').told()).remote() for _ in range(4)])"
    assert kernel.ok(f"{elsewhere} == [(['own'], ['Own'], [])] * 4").value == "True"


def test_what_cannot_leave_a_register_is_told(kernel: Kernel) -> None:
    kernel.ok("open('hooks_of_mine.py', 'w').write('HOOKS = []\\n')\nimport hooks_of_mine as hooks")
    cell = kernel.ok(
        "%%remote\nclass Hook:\n    def __init__(self): self.waits = iter(open('/dev/null'))\nhooks.HOOKS.append(Hook())"
    )
    assert "what was registered in hooks_of_mine.HOOKS stays on the worker" in cell.text("stderr")
    assert kernel.ok("hooks.HOOKS").value == "[]"


def test_context_variables_and_what_is_kept_per_thread_go_both_ways(kernel: Kernel) -> None:
    kernel.ok(
        "import threading, contextvars\nmine = threading.local(); mine.x = 1\n"
        "class Kept(threading.local):\n    def __init__(self): self.n = 0\nkept = Kept(); kept.n = 4\n"
        "level = contextvars.ContextVar('level', default=0); level.set(5); both = [mine, level]"
    )
    assert kernel.ok("%%remote\nmine.x, kept.n, level.get(), both[0] is mine").value == "(1, 4, 5, True)"
    kernel.ok(
        "%%remote\nmine.x, mine.y = 2, 3\nkept.n += 1\nlevel.set(6)\nmade = contextvars.ContextVar('made')\nmade.set(7)\nNone"
    )
    assert kernel.ok("mine.x, mine.y, kept.n, level.get(), made.get(), both[0] is mine, both[1] is level").value == (
        "(2, 3, 5, 6, 7, True, True)"
    )
    kernel.ok(
        "elsewhere = []\nthread = threading.Thread(target=lambda: elsewhere.append(kept.n)); thread.start(); thread.join()"
    )
    assert kernel.ok("elsewhere").value == "[0]"
    kernel.ok(
        "open('context_of_mine.py', 'w').write('import threading, contextvars\\nstate, level = threading.local(), contextvars.ContextVar(\"l\", default=0)\\n"
        'def put(x): state.x = x; level.set(x)\\ndef told(): return getattr(state, "x", 0), level.get()\\n\')\n'
        "import context_of_mine as context\nfrom context_of_mine import level as its_level\ncontext.put(1)"
    )
    assert kernel.ok("%%remote\ncontext.told(), its_level is context.level").value == "((1, 1), True)"
    kernel.ok("%%remote\ncontext.put(2)")
    assert kernel.ok("context.told()").value == "(2, 2)"
    elsewhere = "nbray.get([nbray.remote(lambda: __import__('context_of_mine').told()).remote() for _ in range(4)])"
    assert kernel.ok(f"set({elsewhere})").value == "{(0, 0)}"


def test_filters_of_logging_go_both_ways(kernel: Kernel) -> None:
    kernel.ok(
        "import logging, sys\nlog = logging.getLogger('filtered'); log.propagate = False; log.setLevel(10)\n"
        "printing = logging.StreamHandler(sys.stdout); log.addHandler(printing)\n"
        "class Without:\n    def __init__(self, word): self.word = word\n    def filter(self, record): return self.word not in record.getMessage()\n"
        "lists = log.filters, printing.filters"
    )
    try:
        assert (
            kernel.ok("%%remote\nlog.addFilter(Without('secret'))\nlog.info('secret'); log.info('open')").text()
            == "open\n"
        )
        assert kernel.ok("log.info('secret'); log.info('here')").text() == "here\n"
        assert kernel.ok("%%remote\nlog.info('secret'); log.info('there')").text() == "there\n"
        kernel.ok("printing.addFilter(Without('noise'))")
        assert (
            kernel.ok("%%remote\nlog.info('noise'); log.info('sound')\nlog.filters[0].word = 'more'").text()
            == "sound\n"
        )
        assert kernel.ok("log.info('more'); log.info('noise'); log.info('secret')").text() == "secret\n"
        kernel.ok("%%remote\nlog.filters.clear()\nprinting.filters.clear()")
        cell = kernel.ok(
            "log.info('more noise')\nprint(log.filters, lists[0] is log.filters, lists[1] is printing.filters)"
        )
        assert cell.text() == "more noise\n[] True True\n"
        assert kernel.ok("%%remote\nlog.info('more noise')").text() == "more noise\n"
    finally:
        kernel.ok("log.removeHandler(printing)")


def test_attributes_that_loggers_were_given_go_both_ways(kernel: Kernel) -> None:
    kernel.ok(
        "import logging\ntagged = logging.getLogger('tagged'); tagged.tag = 'here'; tagged.conf = {'a': 1}; tagged.hook = print"
    )
    kernel.ok(
        "%%remote\ncame = tagged.tag, dict(tagged.conf)\ntagged.tag = 'there'; tagged.conf['b'] = 2; tagged.new = [1]"
    )
    assert kernel.ok("came, tagged.tag, tagged.conf, tagged.new, tagged.hook is print").value == (
        "(('here', {'a': 1}), 'there', {'a': 1, 'b': 2}, [1], True)"
    )
    assert kernel.ok("tagged is logging.getLogger('tagged')").value == "True"
