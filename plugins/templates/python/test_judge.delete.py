from types import SimpleNamespace
from unittest import TestCase

from judge import check, judge


class Kept(TestCase):
    def test_a_thread_with_the_tag_is_kept(self):
        self.assertEqual(judge({}, SimpleNamespace(tags=["draft"])), [])
        self.assertEqual(judge({}, SimpleNamespace(tags=["draft", "keep"]))[0][0], "kept")

    def test_a_setting_must_be_a_text(self):
        self.assertEqual(check({}), [])
        self.assertEqual(check({"tag": 7})[0][0], "/tag")
