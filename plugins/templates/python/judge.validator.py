"""Refuses a version without a comment."""

SUMMARY = "Refuses a version without a comment"
DEFAULTS = {"min_chars": 1}


def check(settings):
    """The mistakes in settings: JSON pointer and message of each."""
    issues = [(f"/{name}", "there is no such setting") for name in settings if name not in DEFAULTS]
    min_chars = {**DEFAULTS, **settings}["min_chars"]
    if type(min_chars) is not int or min_chars < 0:
        issues.append(("/min_chars", "must be a whole number"))
    return issues


def judge(settings, draft):
    """The reasons to refuse a version: code, message and field of each."""
    min_chars = {**DEFAULTS, **settings}["min_chars"]
    if len(draft.comment or "") >= min_chars:
        return []
    message = f"Say what this version changes, in {min_chars} or more characters."
    return [("no-comment", message, "/version_comment")]
