from types import SimpleNamespace
from unittest import TestCase

from judge import check, judge


class Tags(TestCase):
    def test_the_tag_tells_whether_there_is_a_comment(self):
        self.assertEqual(judge({}, SimpleNamespace(comment=None)), ([], ["commented"]))
        self.assertEqual(judge({}, SimpleNamespace(comment="The first signature")), (["commented"], []))

    def test_a_setting_must_be_a_text(self):
        self.assertEqual(check({}), [])
        self.assertEqual(check({"tag": 7})[0][0], "/tag")
