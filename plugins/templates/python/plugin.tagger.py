"""Tags versions that have a comment. The rule is in judge.py, which knows nothing of WebAssembly."""

import json

from wit_world import exports
from wit_world.exports.lifecycle import Description, Issue
from wit_world.exports.tagger import Changes

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
class Tagger(exports.Tagger):
    def tag(self, context, draft):
        return Changes(*judge.judge(json.loads(config.json()), draft))
