"""Refuses to delete threads that have a tag. The rule is in judge.py, which knows nothing of WebAssembly."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.lifecycle import Description, Issue
from wit_world.imports.types import Acceptance, Rejection

import judge
from sigpersist_plugin import reported
from wit_world.imports import config


@reported
class Lifecycle(exports.Lifecycle):
    def describe(self):
        return Description(judge.SUMMARY)

    def validate_config(self, settings):
        return [Issue(*issue) for issue in judge.check(json.loads(settings))]


@reported
class DeleteValidator(exports.DeleteValidator):
    def validate_delete(self, context, stored):
        reasons = judge.judge(json.loads(config.json()), stored)
        if reasons:
            raise Err([Rejection(*reason) for reason in reasons])
        return Acceptance([], [])
