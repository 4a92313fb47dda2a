# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A module ends in one of two ways: with a result, or with the record of a fault."""

from __future__ import annotations

import pytest
from ansible.module_utils.common.parameters import remove_values
from ansible_collections.dualroot.migrate.plugins.module_utils.ansible_module import hide_login, run_module
from ansible_collections.dualroot.migrate.plugins.module_utils.faults import command
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault


class Ended(Exception):
    pass


class FakeModule:
    params: dict = {}
    check_mode = False

    def __init__(self):
        self.no_log_values = set()

    def exit_json(self, **result):
        raise Ended("exit", result)

    def fail_json(self, msg, **result):
        raise Ended("fail", {"msg": msg, **result})


def test_result():
    with pytest.raises(Ended) as ended:
        run_module(FakeModule(), lambda: {"changed": True})
    assert ended.value.args == ("exit", {"changed": True})


def test_fault():
    def work():
        raise Fault(command.MISSING, program="sgdisk")

    with pytest.raises(Ended) as ended:
        run_module(FakeModule(), work)
    how, result = ended.value.args
    assert how == "fail"
    assert result["fault"]["id"] == "command.missing"
    assert result["msg"].startswith("The program sgdisk is not on this system. It is needed")
    assert "changed" not in result


def test_a_login_is_struck_out_of_the_arguments_that_a_module_returns():
    module = FakeModule()
    hide_login(module, "/var/lib/dualroot/stage")
    assert module.no_log_values == set()
    hide_login(module, "https://deploy:hunter2@bundles.example/gw?token=7")
    returned = {"invocation": {"module_args": {"source": "https://deploy:hunter2@bundles.example/gw?token=7"}}}
    shown = remove_values(returned, module.no_log_values)["invocation"]["module_args"]["source"]
    assert "deploy" not in shown and "hunter2" not in shown and "token" not in shown
    assert "bundles.example/gw" in shown
