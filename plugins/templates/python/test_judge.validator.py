from types import SimpleNamespace
from unittest import TestCase

from judge import check, judge


class Comments(TestCase):
    def test_a_comment_must_be_long_enough(self):
        def codes(comment):
            return [code for code, _, _ in judge({"min_chars": 3}, SimpleNamespace(comment=comment))]

        self.assertEqual(codes(None), ["no-comment"])
        self.assertEqual(codes("ab"), ["no-comment"])
        self.assertEqual(codes("әәә"), [])

    def test_a_setting_must_be_a_number(self):
        self.assertEqual(check({}), [])
        self.assertEqual(check({"min_chars": "3"})[0][0], "/min_chars")
