//! One page of the book, from Markdown to HTML.

use std::collections::BTreeMap;

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

use super::{IMAGES, PAGES, address};

/// A page as HTML.
pub(super) struct Rendered {
    /// The first heading, without marks.
    pub(super) title: String,
    /// The content.
    pub(super) html: String,
    /// The sections, each from one heading to the next.
    pub(super) sections: Vec<Section>,
}

/// A heading with what follows it, for the search.
pub(super) struct Section {
    /// The id of the heading.
    pub(super) anchor: String,
    /// The heading, without marks.
    pub(super) title: String,
    /// The text, without marks.
    pub(super) text: String,
}

/// The place that a link leads to.
enum Target {
    /// A page or image of the book, a place in this page, or another site: the link's new address.
    Link(String),
    /// A file of the repository that is not in the book: its path there.
    File(String),
}

/// Renders a page, which has this path in `docs/`.
pub(super) fn render(source: &str, path: &str) -> Rendered {
    let mut events: Vec<Event<'_>> = Vec::new();
    let mut sections: Vec<Section> = Vec::new();
    let mut ids = BTreeMap::new();
    let mut heading = None;
    let mut file = None;
    for event in Parser::new_ext(source, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => {
                heading = Some((events.len(), String::new()));
                events.push(event);
            }
            Event::End(TagEnd::Heading(level)) => {
                if let Some((start, title)) = heading.take() {
                    let anchor = unique(&mut ids, id_of(&title));
                    events[start] = Event::Start(Tag::Heading {
                        level,
                        id: Some(anchor.clone().into()),
                        classes: Vec::new(),
                        attrs: Vec::new(),
                    });
                    sections.push(Section {
                        anchor,
                        title,
                        text: String::new(),
                    });
                }
                events.push(event);
            }
            Event::Start(Tag::Link {
                link_type,
                dest_url,
                title,
                id,
            }) => match target(path, &dest_url) {
                Target::Link(address) => events.push(Event::Start(Tag::Link {
                    link_type,
                    dest_url: address.into(),
                    title,
                    id,
                })),
                Target::File(path) => file = Some((path, events.len())),
            },
            Event::End(TagEnd::Link) => match file.take() {
                // Says where the file is, unless the text of the link does.
                Some((path, start)) => {
                    let text: String = events[start..].iter().filter_map(text_of).collect();
                    if !path.ends_with(text.trim_start_matches("./")) {
                        events.push(Event::Text(" (".into()));
                        events.push(Event::Code(path.into()));
                        events.push(Event::Text(")".into()));
                    }
                }
                None => events.push(event),
            },
            event => {
                if let Some(text) = text_of(&event) {
                    match (&mut heading, sections.last_mut()) {
                        (Some((_, title)), _) => title.push_str(text),
                        (None, Some(section)) => section.text.push_str(text),
                        (None, None) => {}
                    }
                } else if let (None, Some(section)) = (&heading, sections.last_mut())
                    && matches!(event, Event::End(_) | Event::SoftBreak)
                    && !section.text.ends_with(' ')
                {
                    section.text.push(' ');
                }
                events.push(event);
            }
        }
    }
    let mut content = String::with_capacity(source.len() * 2);
    html::push_html(&mut content, events.into_iter());
    Rendered {
        title: sections
            .first()
            .map_or_else(String::new, |section| section.title.clone()),
        html: content
            // Wide tables scroll by themselves.
            .replace("<table>", "<div class=\"table\"><table>")
            .replace("</table>", "</table></div>"),
        sections,
    }
}

/// Text as HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut html = String::new();
    html::push_html(
        &mut html,
        [Event::Text(CowStr::from(text.to_owned()))].into_iter(),
    );
    html
}

fn text_of<'a>(event: &'a Event<'_>) -> Option<&'a str> {
    match event {
        Event::Text(text) | Event::Code(text) => Some(text),
        _ => None,
    }
}

/// The id of a heading, as mdBook and code hosts make it.
fn id_of(title: &str) -> String {
    title
        .chars()
        .filter_map(|character| match character {
            ' ' => Some('-'),
            '-' | '_' => Some(character),
            _ if character.is_alphanumeric() => Some(character.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

/// The id, with a number if the page had it before.
fn unique(ids: &mut BTreeMap<String, usize>, id: String) -> String {
    let times = ids.entry(id.clone()).or_default();
    *times += 1;
    match *times {
        1 => id,
        times => format!("{id}-{}", times - 1),
    }
}

/// The place that a link on the page with this path leads to.
fn target(page: &str, link: &str) -> Target {
    if link.starts_with('#') || link.contains("://") || link.starts_with("mailto:") {
        return Target::Link(link.to_owned());
    }
    let (file, anchor) = link
        .split_once('#')
        .map_or((link, String::new()), |(file, anchor)| {
            (file, format!("#{anchor}"))
        });
    let mut path = vec!["docs"];
    path.extend(page.split('/'));
    path.pop();
    for segment in file.trim_end_matches('/').split('/') {
        match segment {
            ".." => drop(path.pop()),
            "." => {}
            segment => path.push(segment),
        }
    }
    let path = path.join("/");
    let root = "../".repeat(page.matches('/').count());
    match path.strip_prefix("docs/") {
        Some(other) if PAGES.iter().any(|(path, _)| *path == other) => {
            Target::Link(format!("{root}{}{anchor}", address(other)))
        }
        Some(other) if IMAGES.iter().any(|(path, _)| *path == other) => {
            Target::Link(format!("{root}{other}"))
        }
        _ => Target::File(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_pages_and_files_outside_the_book_are_named() {
        let page = render(
            "# The *title*\n\nSee [pages](../running.md#backups), [others](../../plugins/wit/hooks.wit), [`curl.sh`](curl.sh),\n[a site](https://example.com/a.md) and [below](#again).\n\n## Again\n\nx `y`\n\n## Again\n",
            "clients/README.md",
        );
        assert_eq!(page.title, "The title");
        for part in [
            "<h1 id=\"the-title\">",
            "<a href=\"../running.html#backups\">pages</a>",
            "others (<code>plugins/wit/hooks.wit</code>),",
            " <code>curl.sh</code>,",
            "<a href=\"https://example.com/a.md\">",
            "<a href=\"#again\">",
            "<h2 id=\"again\">",
            "<h2 id=\"again-1\">",
        ] {
            assert!(page.html.contains(part), "{part} in {}", page.html);
        }
        let texts: Vec<_> = page
            .sections
            .iter()
            .map(|section| (&*section.anchor, section.text.trim()))
            .collect();
        assert_eq!(texts[1..], [("again", "x y"), ("again-1", "")]);
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escaped("a <b> & c"), "a &lt;b&gt; &amp; c");
    }
}
