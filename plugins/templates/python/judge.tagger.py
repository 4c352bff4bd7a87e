"""Tags versions that have a comment."""

SUMMARY = "Tags versions that have a comment"
DEFAULTS = {"tag": "commented"}


def check(settings):
    """The mistakes in settings: JSON pointer and message of each."""
    issues = [(f"/{name}", "there is no such setting") for name in settings if name not in DEFAULTS]
    if not isinstance({**DEFAULTS, **settings}["tag"], str):
        issues.append(("/tag", "must be a text"))
    return issues


def judge(settings, draft):
    """The tags to set, and those to remove."""
    tag = {**DEFAULTS, **settings}["tag"]
    # A client can't claim it: without a comment, the tag is removed.
    return ([], [tag]) if draft.comment is None else ([tag], [])
