"""What a component does while it is built. The modules that only a component has are stand-ins here."""

import contextlib
import importlib
import io
import random
import sys
import types
import unittest
from unittest import mock


def component():
    imports = types.ModuleType("wit_world.imports")
    for name in ("request", "rfile", "wfile", "types"):
        setattr(imports, name, mock.Mock())
    err = types.ModuleType("componentize_py_types")
    err.Err = type("Err", (Exception,), {})
    stand_ins = {
        "wit_world": types.ModuleType("wit_world"),
        "wit_world.imports": imports,
        "componentize_py_types": err,
    }
    with mock.patch.dict(sys.modules, stand_ins):
        return importlib.import_module("sandsock.component")


class Rehearsal(unittest.TestCase):
    def test_it_fails_nowhere_and_leaves_the_random_state_and_the_log_alone(self):
        state, log = random.getstate(), io.StringIO()
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            component()._rehearse()
        self.assertEqual(random.getstate(), state)
        self.assertEqual(log.getvalue(), "")


class Log(unittest.TestCase):
    def test_what_was_written_without_an_end_of_line_is_flushed_after_the_step(self):
        module = component()
        raw = io.BytesIO()
        file = module._Text(raw, "utf-8", line_buffering=True)
        with contextlib.redirect_stdout(file):
            module._reported(lambda: print("half a line", end=""))
        self.assertEqual(raw.getvalue(), b"half a line")
        self.assertFalse(file.is_written)
