"""Refuses to delete threads that have a tag."""

SUMMARY = "Refuses to delete threads that have a tag"
DEFAULTS = {"tag": "keep"}


def check(settings):
    """The mistakes in settings: JSON pointer and message of each."""
    issues = [(f"/{name}", "there is no such setting") for name in settings if name not in DEFAULTS]
    if not isinstance({**DEFAULTS, **settings}["tag"], str):
        issues.append(("/tag", "must be a text"))
    return issues


def judge(settings, stored):
    """The reasons to keep a thread: code, message and field of each."""
    tag = {**DEFAULTS, **settings}["tag"]
    return [("kept", f"Remove the tag {tag} first.", "/thread")] if tag in stored.tags else []
