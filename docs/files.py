"""A preprocessor of mdBook: a link to a file of the repository that is not in the book becomes the file's path, as in src/book."""

import json
import posixpath
import re
import sys

LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def chapters(items):
    for item in items:
        if chapter := isinstance(item, dict) and item.get("Chapter"):
            yield chapter
            yield from chapters(chapter["sub_items"])


def main():
    if sys.argv[1:2] == ["supports"]:
        return
    _, book = json.load(sys.stdin)
    items = book.get("items") or book.get("sections")
    pages = {chapter["source_path"] for chapter in chapters(items)}
    for chapter in chapters(items):
        folder = posixpath.dirname(chapter["source_path"])

        def replaced(link):
            text, file, _ = link.groups()
            path = posixpath.normpath(posixpath.join("docs", folder, file))
            if path.removeprefix("docs/") in pages:
                return link[0]
            return text if path.endswith(text.strip("`")) else f"{text} (`{path}`)"

        chapter["content"] = LINK.sub(replaced, chapter["content"])
    json.dump(book, sys.stdout)


main()
