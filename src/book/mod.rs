//! The documentation in `docs/` as a book of HTML pages with a search, made of what is in the program.
//!
//! The same folder is an mdBook (`docs/book.toml`), for who publishes it elsewhere. Here it is rendered without mdBook, so that every
//! build has it, for its own version, under a content security policy without exceptions. `render` turns one page into HTML.

mod render;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Value, json};
use sigpersist_model::digest::{sha256, to_hex};

use render::{Rendered, escaped, render};

/// The file in `docs/` that lists the pages in order, as mdBook reads it.
const SUMMARY: &str = include_str!("../../docs/SUMMARY.md");

macro_rules! sources {
    ($include:ident: $($path:literal),+ $(,)?) => {
        &[$(($path, $include!(concat!("../../docs/", $path)))),+]
    };
}

/// All pages in `docs/`.
const PAGES: &[(&str, &str)] = sources![include_str:
    "README.md",
    "admins.md",
    "browser.md",
    "clients/README.md",
    "contract.md",
    "events.md",
    "evidence.md",
    "first-plugin.md",
    "first-server.md",
    "first-signature.md",
    "generators.md",
    "identity-providers.md",
    "operators.md",
    "plugin-cases.md",
    "plugin-registry.md",
    "running.md",
    "signatures.md",
];
/// All images in `docs/`.
const IMAGES: &[(&str, &[u8])] = sources![include_bytes: "images/api.webp"];

/// The book of this program. It is rendered when it is first asked for.
pub static BOOK: LazyLock<Book> = LazyLock::new(Book::new);

/// A book of HTML pages.
#[derive(Debug)]
pub struct Book {
    files: BTreeMap<String, File>,
}

/// A file of the book.
#[derive(Debug)]
pub struct File {
    /// The media type.
    pub kind: &'static str,
    /// The content.
    pub bytes: Bytes,
    /// SHA-256 of the content, in hexadecimal.
    pub sha256: String,
}

impl File {
    fn new(kind: &'static str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            kind,
            sha256: to_hex(&sha256(&bytes)),
            bytes,
        }
    }
}

/// A line of the summary.
enum Line<'a> {
    /// The title of a group of pages.
    Part(&'a str),
    /// A page: its title and its path in `docs/`.
    Page(&'a str, &'a str),
}

/// The lines of the summary that name a group or a page.
fn summary() -> impl Iterator<Item = Line<'static>> {
    SUMMARY.lines().skip(1).filter_map(|line| {
        if let Some(part) = line.strip_prefix("# ") {
            return Some(Line::Part(part));
        }
        let link = line.trim_start_matches("- ").strip_prefix('[')?;
        let (title, path) = link.strip_suffix(')')?.split_once("](")?;
        Some(Line::Page(title, path))
    })
}

/// The path in the book of a page in `docs/`, as mdBook names it.
fn address(path: &str) -> String {
    match path.strip_suffix("README.md") {
        Some(folder) => format!("{folder}index.html"),
        None => path.replace(".md", ".html"),
    }
}

impl Book {
    fn new() -> Self {
        let mut files = BTreeMap::new();
        for (path, bytes) in IMAGES {
            files.insert((*path).to_owned(), File::new("image/webp", *bytes));
        }
        let order: Vec<_> = summary()
            .filter_map(|line| match line {
                Line::Page(title, path) => Some((title, path)),
                Line::Part(_) => None,
            })
            .collect();
        let mut index = Vec::new();
        for (place, (title, path)) in order.iter().enumerate() {
            let Some((_, source)) = PAGES.iter().find(|(other, _)| other == path) else {
                continue;
            };
            let page = render(source, path);
            index.extend(searched(&page, path, title));
            let before = place.checked_sub(1).and_then(|place| order.get(place));
            let html = dressed(&page, path, before, order.get(place + 1));
            files.insert(address(path), File::new("text/html; charset=utf-8", html));
        }
        let index = Value::from(index).to_string();
        let style = include_str!("book.css");
        let script = include_str!("search.js");
        files.insert(
            "searchindex.json".to_owned(),
            File::new("application/json", index),
        );
        files.insert(
            "book.css".to_owned(),
            File::new("text/css; charset=utf-8", style),
        );
        files.insert(
            "search.js".to_owned(),
            File::new("text/javascript; charset=utf-8", script),
        );
        Self { files }
    }

    /// A file by its path in the book; an empty path is the first page's.
    pub fn file(&self, path: &str) -> Option<&File> {
        let path = match path {
            "" => "index.html",
            path => path,
        };
        self.files.get(path)
    }

    /// The paths of all files.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }
}

/// The entries of a page in the index of the search, one for each section.
fn searched<'a>(
    page: &'a Rendered,
    path: &'a str,
    of: &'a str,
) -> impl Iterator<Item = Value> + 'a {
    page.sections.iter().map(move |section| {
        json!({
            "address": format!("{}#{}", address(path), section.anchor),
            "page": of,
            "title": section.title,
            "text": section.text,
        })
    })
}

/// A whole page: the content between the list of all pages and the links to the pages before and after it.
fn dressed(
    page: &Rendered,
    path: &str,
    before: Option<&(&str, &str)>,
    after: Option<&(&str, &str)>,
) -> String {
    let root = "../".repeat(path.matches('/').count());
    let mut contents = String::new();
    for line in summary() {
        let _infallible = match line {
            Line::Part(part) => writeln!(contents, "<h2>{}</h2>", escaped(part)),
            Line::Page(title, other) => {
                let current = if other == path {
                    " aria-current=\"page\""
                } else {
                    ""
                };
                let (to, title) = (address(other), escaped(title));
                writeln!(contents, "<a href=\"{root}{to}\"{current}>{title}</a>")
            }
        };
    }
    let mut around = String::new();
    for (link, rel, arrow) in [(before, "prev", "←"), (after, "next", "→")] {
        if let Some((title, other)) = link {
            let (to, title) = (address(other), escaped(title));
            let _infallible = writeln!(
                around,
                "<a href=\"{root}{to}\" rel=\"{rel}\">{arrow} {title}</a>"
            );
        }
    }
    include_str!("page.html")
        .replace("{{title}}", &escaped(&page.title))
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace("{{root}}", &root)
        .replace("{{contents}}", &contents)
        .replace("{{around}}", &around)
        // Last, so that nothing in the content is taken for a mark.
        .replace("{{content}}", &page.html)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The files in `docs/` with one of these endings, by their paths there.
    fn in_docs(folder: &Path, endings: &[&str], found: &mut BTreeSet<String>) {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&docs).unwrap().to_str().unwrap();
            if path.is_dir()
                && !["node_modules", "dist"]
                    .iter()
                    .any(|not| name.ends_with(not))
            {
                in_docs(&path, endings, found);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.insert(name.to_owned());
            }
        }
    }

    #[test]
    fn the_book_has_every_page_and_image_of_the_folder() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        let mut files = BTreeSet::new();
        in_docs(&docs, &[".md"], &mut files);
        files.remove("SUMMARY.md");
        let in_summary: BTreeSet<_> = summary()
            .filter_map(|line| match line {
                Line::Page(_, path) => Some(path.to_owned()),
                Line::Part(_) => None,
            })
            .collect();
        assert_eq!(files, in_summary, "docs/ and docs/SUMMARY.md");
        let pages: BTreeSet<_> = PAGES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(files, pages, "docs/ and PAGES");
        for path in &files {
            let text = fs::read_to_string(docs.join(path)).unwrap();
            assert!(BOOK.file(&address(path)).is_some(), "{path}");
            assert!(text.starts_with("# "), "{path} has no title");
        }
        let mut images = BTreeSet::new();
        in_docs(&docs, &[".png", ".webp", ".svg"], &mut images);
        let shown: BTreeSet<_> = IMAGES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(images, shown, "docs/ and IMAGES");
        for (path, bytes) in IMAGES {
            assert!(bytes.len() < 100_000, "{path} has {} bytes", bytes.len());
        }
    }

    #[test]
    fn every_link_within_the_book_leads_to_a_file_and_a_place_in_it() {
        let mut links = 0;
        for path in BOOK.paths().filter(|path| path.ends_with(".html")) {
            let html = String::from_utf8_lossy(&BOOK.file(path).unwrap().bytes);
            let ends = ["href=\"", "src=\""];
            let targets = ends
                .iter()
                .flat_map(|end| html.split(end).skip(1))
                .filter_map(|rest| rest.split('"').next());
            for target in targets.filter(|target| !target.contains("://")) {
                let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
                if file.ends_with("../docs") {
                    continue;
                }
                let file = match file {
                    "" => path.to_owned(),
                    file => match file.strip_prefix("../") {
                        Some(file) => file.to_owned(),
                        None => path
                            .rsplit_once('/')
                            .map_or(file.to_owned(), |(folder, _)| format!("{folder}/{file}")),
                    },
                };
                let other = BOOK.file(&file);
                let other = other.unwrap_or_else(|| panic!("{path} links to {target}"));
                let place = format!("id=\"{anchor}\"");
                assert!(
                    anchor.is_empty() || String::from_utf8_lossy(&other.bytes).contains(&place),
                    "{path} links to {target}"
                );
                links += 1;
            }
        }
        assert!(links > 100, "{links}");
    }
}
